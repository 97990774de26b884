package provider

import (
	"context"
	"time"

	"github.com/ory/fosite"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// newFosite assembles fosite with handlers of ours. Its own are left out: they
// copy a serialised session into every token, write in several steps and have
// the faults that the tests of this package name.
func newFosite(p *Provider) *fosite.Fosite {
	allow := func([]string, string) bool { return true } // scopes are judged by claims.Resolve, for one person
	return &fosite.Fosite{
		Store: clientStore{p.Clients},
		Config: &fosite.Config{
			ScopeStrategy:                allow,
			AudienceMatchingStrategy:     func([]string, []string) error { return nil },
			MinParameterEntropy:          1, // OAuth asks for no minimum; dummyState stands in for none
			ClientAuthenticationStrategy: p.authenticateClient,
			AuthorizeEndpointHandlers:    fosite.AuthorizeEndpointHandlers{authorizeHandler{p}},
			TokenEndpointHandlers: fosite.TokenEndpointHandlers{
				codeHandler{p},
				refreshHandler{p},
				credentialsHandler{p},
				deviceHandler{p},
				jwtBearerHandler{p},
				passwordHandler{p},
				unsupportedHandler{},
			},
		},
	}
}

// client shows an oidc.Client to fosite.
type client struct{ *oidc.Client }

func (c client) GetID() string                      { return c.ID }
func (c client) GetHashedSecret() []byte            { return nil } // VerifySecret is asked instead
func (c client) GetRedirectURIs() []string          { return c.RedirectURIs }
func (c client) GetGrantTypes() fosite.Arguments    { return c.GrantTypes }
func (c client) GetResponseTypes() fosite.Arguments { return c.ResponseTypes }
func (c client) GetScopes() fosite.Arguments        { return nil } // see allow in newFosite
func (c client) IsPublic() bool                     { return c.Public() }
func (c client) GetAudience() fosite.Arguments      { return c.Audience }

// clientIn is clientOf for a client that was just authenticated.
func clientIn(found fosite.Client) *oidc.Client {
	c, ok := found.(client)
	if !ok {
		return &oidc.Client{} // authenticateClient returns nothing else
	}
	return c.Client
}

// clientStore is the part of fosite's storage that its core needs.
type clientStore struct{ clients Clients }

// GetClient implements fosite.ClientManager.
func (s clientStore) GetClient(_ context.Context, id string) (fosite.Client, error) {
	c, err := s.clients.Client(id)
	if err != nil {
		return nil, err
	}
	return client{c}, nil
}

// ClientAssertionJWTValid implements fosite.ClientManager. Our client
// authentication never asks.
func (clientStore) ClientAssertionJWTValid(context.Context, string) error {
	return fosite.ErrJTIKnown
}

// SetClientAssertionJWT implements fosite.ClientManager. Our client
// authentication never asks.
func (clientStore) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return fosite.ErrJTIKnown
}

// session carries what one request knows between fosite's steps. It is never
// serialised: the store's rows hold all that lasts.
type session struct {
	// At the authorisation endpoint.
	authorization *Authorization
	visitor       Visitor
	consent       *oidc.ConsentRecord

	// At the token endpoint.
	grant   oidc.Grant
	code    oidc.Code
	refresh oidc.Token
	once    *store.Once // what an answer uses up beside them
	// withoutIDToken means that nobody has signed in for this answer.
	withoutIDToken bool

	// At both: as the directory has them now, what they may have, and for where.
	person   person
	scopes   []string
	audience []string
}

func (s *session) SetExpiresAt(fosite.TokenType, time.Time)       {}
func (s *session) GetExpiresAt(fosite.TokenType) (none time.Time) { return none }
func (s *session) GetUsername() string                            { return "" }
func (s *session) GetSubject() string                             { return s.grant.Subject }

// Clone implements fosite.Session. Nothing of ours changes a clone.
func (s *session) Clone() fosite.Session { return s }

// sessionOf returns our session of a request that fosite hands on.
func sessionOf(r fosite.Requester) *session {
	s, ok := r.GetSession().(*session)
	if !ok {
		return &session{} // every entry point passes *session in
	}
	return s
}

// clientOf returns the client of a request that fosite hands on.
func clientOf(r fosite.Requester) *oidc.Client {
	c, ok := r.GetClient().(client)
	if !ok {
		return &oidc.Client{} // clientStore returns nothing else
	}
	return c.Client
}

// unsupportedHandler answers grant types that no handler knows, since fosite
// would call them an invalid request (RFC 6749, section 5.2).
type unsupportedHandler struct{}

func (unsupportedHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool {
	return false
}

func (unsupportedHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	for _, known := range grantTypesSupported {
		if r.GetGrantTypes().ExactOne(known) {
			return false
		}
	}
	return true
}

func (unsupportedHandler) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return fail("unsupported_grant_type", "the grant type is not supported")
}

func (unsupportedHandler) PopulateTokenEndpointResponse(context.Context, fosite.AccessRequester, fosite.AccessResponder) error {
	return fosite.ErrUnknownRequest
}
