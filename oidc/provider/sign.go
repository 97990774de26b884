package provider

import (
	"fmt"
	"slices"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// signFor signs claims for a client: by the key of the algorithm that its issuer
// has, or by the client's own secret (OpenID Connect Core 1.0, section 10.1).
func (p *Provider) signFor(c *oidc.Client, alg, typ string, claims any) (string, error) {
	if !slices.Contains(keys.Symmetric(), alg) {
		ours, err := p.keysOf(c)
		if err != nil {
			return "", err
		}
		return ours.Sign(alg, typ, claims)
	}
	if p.SecretOf == nil {
		return "", fmt.Errorf("sign with %s: no client's secret is known here", alg)
	}
	secret, err := p.SecretOf(c)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", alg, err)
	}
	return keys.SignMAC(alg, typ, secret, claims)
}

// verifyOwn returns the payload of a token that this server has signed for a
// client, by a key of ours or by the client's secret.
func (p *Provider) verifyOwn(c *oidc.Client, token string) ([]byte, error) {
	ours, err := p.keysOf(c)
	if err != nil {
		return nil, err
	}
	alg := c.IDTokenSignedResponseAlg
	if p.SecretOf == nil || !slices.Contains(keys.Symmetric(), alg) {
		return ours.Verify(token)
	}
	j, err := keys.ParseJWS(token)
	if err != nil {
		return nil, err
	}
	if j.Header.Alg != alg { // from before the client's algorithm was changed
		return ours.Verify(token)
	}
	secret, err := p.SecretOf(c)
	if err != nil {
		return nil, err
	}
	return j.Payload, j.VerifyMAC(secret, []string{alg})
}
