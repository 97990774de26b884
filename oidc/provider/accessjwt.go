package provider

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"gatehouse/oidc"
)

// typAccessToken keeps an access token from being taken for anything else (RFC
// 9068, section 2.1).
const typAccessToken = "at+jwt"

// accessJWT returns an access token as a JWT (RFC 9068, section 2). The store knows
// it by its hash like an opaque one, so that it is revoked and looked at live like
// one, and so that a changed letter makes it unknown.
func (p *Provider) accessJWT(c *oidc.Client, s *session, token oidc.Token) (string, error) {
	content := map[string]any{
		"iss": p.issuerOf(c), "exp": token.ExpiresAt.Unix(), "iat": token.IssuedAt.Unix(), "jti": oidc.NewID(),
		"aud": oneOrMany(token.Audience), "sub": c.ID, "client_id": c.ID,
	}
	if len(token.Scopes) > 0 {
		content["scope"] = strings.Join(token.Scopes, " ")
	}
	if s.grant.Subject != "" {
		content["sub"] = s.person.subject
		p.addPerson(content, c, s, token.Scopes)
	}
	signed, err := p.signFor(c, c.AccessTokenSignedResponseAlg, typAccessToken, content)
	if err != nil {
		return "", fmt.Errorf("sign the access token: %w", err)
	}
	return signed, nil
}

// addPerson adds how the person signed in (RFC 9068, section 2.2.1), and groups and
// roles where they are granted (section 2.2.3.1). Whatever else an API may know of a
// person it asks userinfo or introspection for.
func (p *Provider) addPerson(content map[string]any, c *oidc.Client, s *session, scopes []string) {
	if !s.grant.AuthTime.IsZero() {
		content["auth_time"] = s.grant.AuthTime.Unix()
	}
	if s.grant.ACR != "" {
		content["acr"] = s.grant.ACR
	}
	if len(s.grant.AMR) > 0 {
		content["amr"] = s.grant.AMR
	}
	rights := among([]string{"groups", "roles"}, scopes)
	found := p.claimsFor(c, s.person, rights, nil, true)
	maps.DeleteFunc(found, func(name string, _ any) bool {
		return !slices.Contains(rights, strings.TrimSuffix(name, "_truncated"))
	})
	maps.Copy(content, found)
}

// oneOrMany writes a single audience as a text, which every reader knows (RFC 7519,
// section 4.1.3).
func oneOrMany(audience []string) any {
	if len(audience) == 1 {
		return audience[0]
	}
	return audience
}
