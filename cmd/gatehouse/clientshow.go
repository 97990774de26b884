package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/oidc"
)

// clientField is one setting of a client: the key of its file, dotted, and a
// string, bool, int or list of strings.
type clientField struct {
	key   string
	value any
}

// fieldsOf lists what holds for a client, defaults filled in. Of the secret it
// says only whether there is one and how it is kept.
func fieldsOf(c *oidc.Client) []clientField {
	fields := []clientField{
		{"client_id", c.ID},
		{"client_name", c.Name},
		{"client_secret", secretForm(c)},
		{"redirect_uris", c.RedirectURIs},
		{"post_logout_redirect_uris", c.PostLogoutRedirectURIs},
		{"grant_types", c.GrantTypes},
		{"response_types", c.ResponseTypes},
		{"response_modes", c.ResponseModes},
		{"token_endpoint_auth_method", c.TokenEndpointAuthMethod},
		{"token_endpoint_auth_signing_alg", c.TokenEndpointAuthSigningAlg},
		{"jwks", string(c.JWKS)},
		{"jwks_uri", c.JWKSURI},
		{"assertion_issuers", assertionIssuers(c)},
		{"request_object_signing_alg", c.RequestObjectSigningAlg},
		{"request_uris", c.RequestURIs},
		{"audience", c.Audience},
		{"default_resource", c.DefaultResource},
		{"resource_identifiers", c.ResourceIdentifiers},
		{"client_uri", c.ClientURI},
		{"logo_uri", c.LogoURI},
		{"policy_uri", c.PolicyURI},
		{"tos_uri", c.TosURI},
		{"contacts", c.Contacts},
		{"software_id", c.SoftwareID},
		{"software_version", c.SoftwareVersion},
		{"consent", string(c.Consent)},
		{"require_pkce", c.RequirePKCE},
		{"on_missing_scope", string(c.OnMissingScope)},
		{"allowed_groups", dnTexts(c.AllowedGroups)},
		{"scopes.everyone", c.Scopes.Everyone},
	}
	for _, m := range c.Scopes.Groups {
		fields = append(fields, clientField{"scopes.groups." + m.Group.String(), m.Scopes})
	}
	fields = append(fields,
		clientField{"groups_claim.format", c.GroupsClaim.Format},
		clientField{"groups_claim.match", c.GroupsClaim.Match},
		clientField{"groups_claim.max", c.GroupsClaim.Max},
		clientField{"claims_in_id_token", c.ClaimsInIDToken},
		clientField{"withholdable_claims", c.WithholdableClaims},
		clientField{"subject_type", c.SubjectType},
		clientField{"subject_attribute", c.SubjectAttribute},
		clientField{"sector_identifier_uri", c.SectorIdentifierURI},
		clientField{"id_token_signed_response_alg", c.IDTokenSignedResponseAlg},
		clientField{"userinfo_signed_response_alg", c.UserInfoSignedResponseAlg},
		clientField{"access_token_signed_response_alg", c.AccessTokenSignedResponseAlg},
		clientField{"default_acr_values", c.DefaultACRValues},
		clientField{"initiate_login_uri", c.InitiateLoginURI},
		clientField{"allowed_cors_origins", c.AllowedCORSOrigins},
	)
	for _, f := range []struct { // said only where they hold: elsewhere they are noise
		name string
		on   bool
	}{
		{"own_issuer", c.OwnIssuer},
		{"strict_assertion_audience", c.StrictAssertionAudience},
		{"require_signed_request_object", c.RequireSignedRequestObject},
		{"require_pushed_authorization_requests", c.RequirePushedAuthorizationRequests},
		{"require_auth_time", c.RequireAuthTime},
	} {
		if f.on {
			fields = append(fields, clientField{f.name, true})
		}
	}
	if c.DefaultMaxAge != nil {
		fields = append(fields, clientField{"default_max_age", strconv.Itoa(int(*c.DefaultMaxAge / time.Second))})
	}
	for _, l := range []struct {
		name  string
		value fmt.Stringer
		set   bool
	}{
		{"code", c.Lifespans.Code, c.Lifespans.Code != 0},
		{"access", c.Lifespans.Access, c.Lifespans.Access != 0},
		{"id", c.Lifespans.ID, c.Lifespans.ID != 0},
		{"refresh", c.Lifespans.Refresh, c.Lifespans.Refresh != 0},
	} {
		if l.set {
			fields = append(fields, clientField{"lifespans." + l.name, l.value.String()})
		}
	}
	return slices.DeleteFunc(fields, func(f clientField) bool { return empty(f.value) })
}

func empty(value any) bool {
	switch v := value.(type) {
	case string:
		return v == ""
	case []string:
		return len(v) == 0
	case int:
		return v == 0
	default:
		return false
	}
}

// secretForm says how a secret is kept, and nothing of the hash.
func secretForm(c *oidc.Client) string {
	hash := c.SecretHash
	switch {
	case c.SecretSealed != "":
		return "kept encrypted"
	case hash == "":
		return ""
	case strings.HasPrefix(hash, "sha256:"):
		return "kept as SHA-256"
	default:
		form, _, _ := strings.Cut(strings.TrimPrefix(hash, "$"), "$")
		return "kept as " + form
	}
}

// assertionIssuers says whom a client may bring the word of, and about whom.
func assertionIssuers(c *oidc.Client) []string {
	var texts []string
	for _, i := range c.AssertionIssuers {
		from := i.JWKSURI
		if from == "" {
			from = "jwks"
		}
		texts = append(texts, fmt.Sprintf("%s (subject %s, keys from %s)", i.Issuer, i.Subject, from))
	}
	return texts
}

func dnTexts(dns []oidc.DN) []string {
	texts := make([]string, len(dns))
	for i, dn := range dns {
		texts[i] = dn.String()
	}
	return texts
}

// nested puts fields into objects as the file has them. A group's DN, dots and
// all, is one key.
func nested(fields []clientField) map[string]any {
	out := make(map[string]any)
	for _, f := range fields {
		at, key := out, f.key
		for range 2 {
			group, rest, found := strings.Cut(key, ".")
			if !found || group != "scopes" && group != "groups" && group != "groups_claim" && group != "lifespans" {
				break
			}
			inner, ok := at[group].(map[string]any)
			if !ok {
				inner = make(map[string]any)
				at[group] = inner
			}
			at, key = inner, rest
		}
		at[key] = f.value
	}
	return out
}

// withSecret is a client as JSON, with the secret beside it if it was just made.
func withSecret(c *oidc.Client, secret string) any {
	out := map[string]any{"client": nested(fieldsOf(c))}
	if secret != "" {
		out["client_secret"] = secret
	}
	return out
}

// showClient prints a client, headed by a sentence on what was done.
func (e *environment) showClient(c *oidc.Client, done string) error {
	fields := fieldsOf(c)
	return e.print(nested(fields), func(w io.Writer) {
		if done != "" {
			fmt.Fprintf(w, "%s\n\n", done)
		}
		for _, f := range fields {
			fmt.Fprintf(w, "%s: %s\n", plain(f.key), plain(valueText(f.value)))
		}
	})
}

func valueText(value any) string {
	switch v := value.(type) {
	case []string:
		return strings.Join(v, " ")
	case bool:
		return strconv.FormatBool(v)
	default:
		return fmt.Sprint(v)
	}
}

// ofPeople reports whether people sign in by a grant type.
func ofPeople(grant string) bool { return grant != "client_credentials" && grant != "refresh_token" }

// whoEnters says in a few words who can sign in to a client.
func whoEnters(c *oidc.Client) string {
	groups := 0
	for _, m := range c.Scopes.Groups {
		if slices.Contains(m.Scopes, "openid") {
			groups++
		}
	}
	who := "nobody: no map gives openid"
	switch {
	case !slices.ContainsFunc(c.GrantTypes, ofPeople):
		return "no people, the client itself"
	case slices.Contains(c.Scopes.Everyone, "openid"):
		who = "everyone"
	case groups == 1:
		who = "members of one group"
	case groups > 1:
		who = fmt.Sprintf("members of %d groups", groups)
	}
	if len(c.AllowedGroups) > 0 && (groups > 0 || who == "everyone") {
		who += ", within the allowed groups"
	}
	return who
}
