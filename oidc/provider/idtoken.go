package provider

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/keys"
)

// idTokenParts are what an ID token vouches for beside the person.
type idTokenParts struct {
	nonce  string
	access string // the access token that comes with it, "" for none
	code   string // the code that comes with it, "" for none
}

// idToken makes an ID token, or "" if openid was not granted (OpenID Connect Core
// 1.0, sections 2, 3.1.3.6, 3.2.2.10 and 3.3.2.11). It holds no claim that was not
// asked for: scope claims are in userinfo, unless there is neither access token
// nor code to ask there with (section 5.4), or the claims parameter or the
// client's setting asks for them here.
func (p *Provider) idToken(c *oidc.Client, s *session, with idTokenParts, now time.Time) (string, error) {
	if !slices.Contains(s.scopes, "openid") {
		return "", nil
	}
	alg := c.IDTokenSignedResponseAlg
	alone := with.access == "" && with.code == ""
	token := p.claimsFor(c, s.person, s.scopes, s.grant.Claims.IDToken, c.ClaimsInIDToken || alone)
	maps.Copy(token, map[string]any{
		"iss": p.issuerOf(c), "sub": s.person.subject, "aud": c.ID, "azp": c.ID,
		"exp": now.Add(p.lifespans(c).ID).Unix(), "iat": now.Unix(), "jti": oidc.NewID(),
	})
	if !s.grant.AuthTime.IsZero() {
		token["auth_time"] = s.grant.AuthTime.Unix()
	}
	if len(s.grant.AMR) > 0 {
		token["amr"] = s.grant.AMR
	}
	for name, value := range map[string]string{
		"nonce": with.nonce, "acr": s.grant.ACR, "sid": s.grant.SessionID,
		"at_hash": halfHash(alg, with.access), "c_hash": halfHash(alg, with.code),
	} {
		if value != "" {
			token[name] = value
		}
	}
	if alg == keys.None {
		return keys.Unsigned(token)
	}
	signed, err := p.signFor(c, alg, "JWT", token)
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
	out := claims.Build(request)
	p.addPicture(out, c, who, scopes, names, byScope)
	for _, name := range who.withheld { // row C7
		delete(out, name)
		delete(out, name+"_verified")
	}
	return out
}

// halfHash is at_hash and c_hash: the left half of the hash that the ID token's
// algorithm uses (OpenID Connect Core 1.0, section 3.1.3.6); EdDSA with Ed25519
// uses SHA-512. Of nothing it is nothing, and so it is for none, which has no hash.
func halfHash(alg, text string) string {
	if text == "" || alg == keys.None {
		return ""
	}
	var h hash.Hash
	switch {
	case strings.HasSuffix(alg, "384"):
		h = sha512.New384()
	case strings.HasSuffix(alg, "512"), alg == "EdDSA":
		h = sha512.New()
	default:
		h = sha256.New()
	}
	h.Write([]byte(text))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:h.Size()/2])
}
