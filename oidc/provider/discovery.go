package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"gatehouse/oidc"
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

	PathDeviceAuthorization = "/oauth2/device_authorization"
	PathDevice              = "/device" // where people type the code
	PathDeviceQR            = "/device/qr.svg"
)

// discoveryDocument renders the metadata of OpenID Connect Discovery 1.0, section
// 3, which is that of RFC 8414 too, for the issuer of a client. It lists what works
// and nothing else.
func (p *Provider) discoveryDocument(c *oidc.Client, algorithms []string) ([]byte, error) {
	endpoint := func(path string) string { return p.endpointOf(c, path) }
	clientAuth, clientAlgs := []string{"client_secret_basic", "client_secret_post", authPrivateKeyJWT}, keys.Asymmetric()
	if p.SecretOf != nil {
		clientAuth, clientAlgs = append(clientAuth, authSecretJWT), append(clientAlgs, keys.Symmetric()...)
	}
	idTokenAlgs := algorithms
	if p.SecretOf != nil {
		idTokenAlgs = append(slices.Clone(algorithms), keys.Symmetric()...)
	}
	document := map[string]any{
		"issuer":                 p.issuerOf(c),
		"authorization_endpoint": endpoint(PathAuthorize),
		"token_endpoint":         endpoint(PathToken),
		"userinfo_endpoint":      endpoint(PathUserInfo),
		"introspection_endpoint": endpoint(PathIntrospect),
		"revocation_endpoint":    endpoint(PathRevoke),
		"jwks_uri":               endpoint(PathJWKS),

		"device_authorization_endpoint": endpoint(PathDeviceAuthorization), // RFC 8628, section 4

		"scopes_supported":                               p.Claims.ScopesSupported(),
		"claims_supported":                               slices.Sorted(maps.Keys(p.claims)),
		"claim_types_supported":                          []string{"normal"},
		"claims_parameter_supported":                     true,
		"acr_values_supported":                           []string{acrPassword},
		"request_parameter_supported":                    true,
		"request_uri_parameter_supported":                p.Fetch != nil,
		"require_request_uri_registration":               true,
		"request_object_signing_alg_values_supported":    append(clientAlgs, keys.None),
		"pushed_authorization_request_endpoint":          endpoint(PathPAR),
		"require_pushed_authorization_requests":          p.RequirePushed,
		"response_types_supported":                       responseTypesSupported,
		"response_modes_supported":                       responseModesSupported,
		"grant_types_supported":                          p.grantTypes(),
		"subject_types_supported":                        []string{"public", "pairwise"},
		"id_token_signing_alg_values_supported":          idTokenAlgs,
		"userinfo_signing_alg_values_supported":          idTokenAlgs,
		"code_challenge_methods_supported":               []string{"S256"},
		"prompt_values_supported":                        []string{"none", "login", "consent", "select_account"},
		"display_values_supported":                       []string{"page"},
		"ui_locales_supported":                           []string{"en", "de", "fr"},
		"authorization_response_iss_parameter_supported": true,
	}
	if p.Registration != nil && !c.OwnIssuer {
		document["registration_endpoint"] = p.Issuer + PathRegister
	}
	for _, endpoint := range []string{"token", "introspection", "revocation"} { // RFC 8414, section 2
		methods := slices.Clone(clientAuth)
		if endpoint != "introspection" { // a public client can't introspect
			methods = append(methods, "none")
		}
		document[endpoint+"_endpoint_auth_methods_supported"] = methods
		document[endpoint+"_endpoint_auth_signing_alg_values_supported"] = clientAlgs
	}
	if c.OwnIssuer {
		p.narrowDocument(document, c)
	}
	body, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("render the discovery document: %w", err)
	}
	return body, nil
}

// grantTypes are those that a client can be given here.
func (p *Provider) grantTypes() []string {
	return slices.DeleteFunc(append([]string{"implicit"}, grantTypesSupported...), func(grant string) bool {
		return grant == "password" && p.Passwords == nil
	})
}

// discovery is the rendered documents by client id, "" for the server's own. One is
// rendered anew when there are keys of another algorithm, or the client has changed.
type discovery struct {
	mu   sync.Mutex
	docs map[string]rendered
}

type rendered struct {
	client     *oidc.Client // nil for the server's own
	algorithms []string
	body       []byte
}

// render returns the document of the issuer that ctx is addressed to.
func (d *discovery) render(ctx context.Context, p *Provider) ([]byte, error) {
	c, err := p.clientAt(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := p.keysOf(c)
	if err != nil {
		return nil, err
	}
	algorithms := ours.Algorithms()
	of := c
	if !c.OwnIssuer {
		of = nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if doc, there := d.docs[c.ID]; there && doc.client == of && slices.Equal(algorithms, doc.algorithms) {
		return doc.body, nil
	}
	body, err := p.discoveryDocument(c, algorithms)
	if err != nil {
		return nil, err
	}
	if len(d.docs) >= maxDocuments { // of clients that are no more, most likely
		clear(d.docs)
	}
	d.docs[c.ID] = rendered{client: of, algorithms: algorithms, body: body}
	return body, nil
}

const maxDocuments = 10_000

// Discovery answers all discovery addresses: the same document serves OpenID
// Connect Discovery 1.0 and RFC 8414.
func (p *Provider) Discovery() http.Handler {
	return p.publicJSON(func(ctx context.Context) ([]byte, error) { return p.discovery.render(ctx, p) })
}

// JWKS answers the public keys of an issuer (RFC 7517).
func (p *Provider) JWKS() http.Handler {
	return p.publicJSON(func(ctx context.Context) ([]byte, error) {
		c, err := p.clientAt(ctx)
		if err != nil {
			return nil, err
		}
		ours, err := p.keysOf(c)
		if err != nil {
			return nil, err
		}
		return ours.JWKS(), nil
	})
}

// publicJSON serves a document that is the same for everybody, to scripts of any
// origin too. Five minutes is how long a copy may lag behind a change.
func (p *Provider) publicJSON(render func(ctx context.Context) ([]byte, error)) http.Handler {
	return forEverybody(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := render(r.Context())
		if errors.Is(err, oidc.ErrNotFound) {
			http.NotFound(w, r)
			return
		}
		if err != nil {
			p.writeError(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write(body) // the client has gone if this fails
	}))
}
