package clients

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"gatehouse/oidc"
)

// Kept returns the metadata as it is to be kept: what Read makes the same client of.
func (m *Metadata) Kept() ([]byte, error) {
	members := describe(m.Client)
	delete(members, "scope")
	if m.scope != "" {
		members["scope"] = m.scope
	}
	return json.Marshal(members)
}

// Describe returns the metadata of a registered client as it is told (RFC 7591,
// section 3.2.1), without ids, secrets and times.
func Describe(c *oidc.Client) map[string]any { return describe(c) }

func describe(c *oidc.Client) map[string]any {
	members := map[string]any{
		"redirect_uris": c.RedirectURIs, "post_logout_redirect_uris": c.PostLogoutRedirectURIs, "grant_types": c.GrantTypes,
		"response_types": c.ResponseTypes, "response_modes": c.ResponseModes, "request_uris": c.RequestURIs, "contacts": c.Contacts,
		"default_acr_values": c.DefaultACRValues, "userinfo_signed_response_alg": c.UserInfoSignedResponseAlg,
		"token_endpoint_auth_method": c.TokenEndpointAuthMethod, "token_endpoint_auth_signing_alg": c.TokenEndpointAuthSigningAlg,
		"jwks_uri": c.JWKSURI, "request_object_signing_alg": c.RequestObjectSigningAlg, "client_uri": c.ClientURI, "logo_uri": c.LogoURI,
		"policy_uri": c.PolicyURI, "tos_uri": c.TosURI, "software_id": c.SoftwareID, "software_version": c.SoftwareVersion,
		"subject_type": c.SubjectType, "sector_identifier_uri": c.SectorIdentifierURI, "id_token_signed_response_alg": c.IDTokenSignedResponseAlg,
		"initiate_login_uri": c.InitiateLoginURI, "application_type": c.ApplicationType, "scope": strings.Join(scopesOf(c), " "),
	}
	if c.Name != c.ID && c.Name != "" {
		members["client_name"] = c.Name
	}
	if len(c.JWKS) > 0 {
		members["jwks"] = json.RawMessage(c.JWKS)
	}
	if c.DefaultMaxAge != nil {
		members["default_max_age"] = int64(c.DefaultMaxAge.Seconds())
	}
	for name, on := range map[string]bool{
		"require_auth_time": c.RequireAuthTime, "require_signed_request_object": c.RequireSignedRequestObject,
		"require_pushed_authorization_requests": c.RequirePushedAuthorizationRequests,
	} {
		if on {
			members[name] = true
		}
	}
	maps.DeleteFunc(members, func(_ string, v any) bool {
		list, isList := v.([]string)
		return v == "" || isList && len(list) == 0
	})
	return members
}

// scopesOf lists what a client can be given by any of its maps.
func scopesOf(c *oidc.Client) []string {
	scopes := slices.Clone(c.Scopes.Everyone)
	for _, m := range c.Scopes.Groups {
		scopes = append(scopes, m.Scopes...)
	}
	if c.HasGrantType(grantRefresh) {
		scopes = append(scopes, "offline_access")
	}
	return unique(scopes)
}
