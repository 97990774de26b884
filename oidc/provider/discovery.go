package provider

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"gatehouse/oidc/keys"
)

// Paths of the endpoints beneath the issuer.
const (
	PathAuthorize  = "/oauth2/authorize"
	PathToken      = "/oauth2/token"
	PathUserInfo   = "/oauth2/userinfo"
	PathIntrospect = "/oauth2/introspect"
	PathRevoke     = "/oauth2/revoke"
	PathPAR        = "/oauth2/par"
	PathJWKS       = "/oauth2/jwks"
)

// discoveryDocument renders the metadata of OpenID Connect Discovery 1.0, section
// 3, which is that of RFC 8414 too. It lists what works and nothing else.
func (p *Provider) discoveryDocument(algorithms []string) ([]byte, error) {
	issuer := p.Issuer
	clientAuth, clientAlgs := []string{"client_secret_basic", "client_secret_post", authPrivateKeyJWT}, keys.Asymmetric()
	if p.SecretOf != nil {
		clientAuth, clientAlgs = append(clientAuth, authSecretJWT), append(clientAlgs, keys.Symmetric()...)
	}
	idTokenAlgs := algorithms
	if p.SecretOf != nil {
		idTokenAlgs = append(slices.Clone(algorithms), keys.Symmetric()...)
	}
	document := map[string]any{
		"issuer":                 issuer,
		"authorization_endpoint": issuer + PathAuthorize,
		"token_endpoint":         issuer + PathToken,
		"userinfo_endpoint":      issuer + PathUserInfo,
		"introspection_endpoint": issuer + PathIntrospect,
		"revocation_endpoint":    issuer + PathRevoke,
		"jwks_uri":               issuer + PathJWKS,

		"scopes_supported":                               p.Claims.ScopesSupported(),
		"claims_supported":                               slices.Sorted(maps.Keys(p.claims)),
		"claim_types_supported":                          []string{"normal"},
		"claims_parameter_supported":                     true,
		"acr_values_supported":                           []string{acrPassword},
		"request_parameter_supported":                    true,
		"request_uri_parameter_supported":                p.Fetch != nil,
		"require_request_uri_registration":               true,
		"request_object_signing_alg_values_supported":    append(clientAlgs, keys.None),
		"pushed_authorization_request_endpoint":          issuer + PathPAR,
		"require_pushed_authorization_requests":          p.RequirePushed,
		"response_types_supported":                       responseTypesSupported,
		"response_modes_supported":                       responseModesSupported,
		"grant_types_supported":                          append([]string{"implicit"}, grantTypesSupported...),
		"subject_types_supported":                        []string{"public", "pairwise"},
		"id_token_signing_alg_values_supported":          idTokenAlgs,
		"code_challenge_methods_supported":               []string{"S256"},
		"prompt_values_supported":                        []string{"none", "login", "consent", "select_account"},
		"display_values_supported":                       []string{"page"},
		"ui_locales_supported":                           []string{"en", "de", "fr"},
		"authorization_response_iss_parameter_supported": true,
	}
	for _, endpoint := range []string{"token", "introspection", "revocation"} { // RFC 8414, section 2
		methods := slices.Clone(clientAuth)
		if endpoint != "introspection" { // a public client can't introspect
			methods = append(methods, "none")
		}
		document[endpoint+"_endpoint_auth_methods_supported"] = methods
		document[endpoint+"_endpoint_auth_signing_alg_values_supported"] = clientAlgs
	}
	body, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("render the discovery document: %w", err)
	}
	return body, nil
}

// discovery is the rendered document. It is rendered anew when there are keys of
// another algorithm.
type discovery struct {
	mu         sync.Mutex
	algorithms []string
	body       []byte
}

func (d *discovery) render(p *Provider) ([]byte, error) {
	algorithms := p.Keys.Algorithms()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.body != nil && slices.Equal(algorithms, d.algorithms) {
		return d.body, nil
	}
	body, err := p.discoveryDocument(algorithms)
	if err == nil {
		d.algorithms, d.body = algorithms, body
	}
	return body, err
}

// Discovery answers both discovery addresses: the same document serves OpenID
// Connect Discovery 1.0 and RFC 8414.
func (p *Provider) Discovery() http.Handler {
	return publicJSON(func() []byte {
		body, err := p.discovery.render(p)
		if err != nil { // what could be rendered once can be again
			return []byte("{}")
		}
		return body
	})
}

// JWKS answers the server's public keys (RFC 7517).
func (p *Provider) JWKS() http.Handler { return publicJSON(p.Keys.JWKS) }

// publicJSON serves a document that is the same for everybody, to scripts of any
// origin too. Five minutes is how long a copy may lag behind a change.
func publicJSON(body func() []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write(body()) // the client has gone if this fails
	})
}
