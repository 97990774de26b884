package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
)

// idToken makes the ID token of a token answer, or "" if openid was not granted
// (OpenID Connect Core 1.0, sections 2 and 3.1.3.6). It holds no claim that was
// not asked for: scope claims are in userinfo, since there is an access token,
// unless the claims parameter or the client's setting asks for them here.
func (p *Provider) idToken(c *oidc.Client, s *session, accessToken, nonce string, now time.Time) (string, error) {
	if !slices.Contains(s.scopes, "openid") {
		return "", nil
	}
	token := p.claimsFor(c, s.person, s.scopes, s.grant.Claims.IDToken, c.ClaimsInIDToken)
	maps.Copy(token, map[string]any{
		"iss": p.Issuer, "sub": s.person.subject, "aud": c.ID, "azp": c.ID,
		"exp": now.Add(p.lifespans(c).ID).Unix(), "iat": now.Unix(), "auth_time": s.grant.AuthTime.Unix(),
		"jti": oidc.NewID(), "at_hash": halfHash(accessToken),
	})
	if len(s.grant.AMR) > 0 {
		token["amr"] = s.grant.AMR
	}
	for name, value := range map[string]string{"nonce": nonce, "acr": s.grant.ACR, "sid": s.grant.SessionID} {
		if value != "" {
			token[name] = value
		}
	}
	signed, err := p.Keys.Sign(c.IDTokenSignedResponseAlg, "JWT", token)
	if err != nil {
		return "", fmt.Errorf("sign the ID token: %w", err)
	}
	return signed, nil
}

// claimsFor builds the claims about a person: those of the scopes if wanted, and
// those asked for by name whose scope is in the person's final set.
func (p *Provider) claimsFor(c *oidc.Client, who person, scopes, names []string, byScope bool) map[string]any {
	request := claims.Request{Client: c, User: who.user, Table: p.Claims, Names: names, Final: who.decision.Final}
	if byScope {
		request.Scopes = scopes
	}
	return claims.Build(request)
}

// halfHash is at_hash and c_hash for ES256 and RS256: the left half of SHA-256
// (OpenID Connect Core 1.0, section 3.1.3.6).
func halfHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])
}
