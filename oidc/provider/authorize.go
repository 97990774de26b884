package provider

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ory/fosite"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/store"
)

// maxRequest is how many bytes of an authorisation request's parameters are
// taken. It must come back in a form field and, sealed, in a URL.
const maxRequest = 8 << 10

// Begin reads an authorisation request, by GET or by POST (OpenID Connect Core
// 1.0, section 3.1.2.1). Exactly one result is set: the request that waits for
// its person, the answer to a client that asked wrongly, or a *PageError, where
// answering the client would send the browser to somebody who may be anyone.
func (p *Provider) Begin(r *http.Request) (*Authorization, *Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, nil, &PageError{Kind: PageInvalidRequest, Err: err}
	}
	form := r.URL.Query()
	if r.Method == http.MethodPost {
		form = r.PostForm
	}
	return p.authorization(r.Context(), form, p.Now())
}

// Resume reads a request again that Begin has accepted before and that was kept
// while its person signed in. The client may have changed since. The addresses that it
// came to are those of its client, unless ctx says where; see At.
func (p *Provider) Resume(ctx context.Context, form url.Values, requestedAt time.Time) (*Authorization, *Response, error) {
	if _, told := ctx.Value(addressKey{}).(string); !told && p.HasIssuer(form.Get("client_id")) {
		ctx = At(ctx, form.Get("client_id"))
	}
	a, response, err := p.authorization(ctx, form, requestedAt)
	if a != nil {
		a.resumed = true
	}
	return a, response, err
}

func (p *Provider) authorization(ctx context.Context, raw url.Values, requestedAt time.Time) (*Authorization, *Response, error) {
	form, repeated := keepKnown(raw)
	a := &Authorization{Form: form, RequestedAt: requestedAt}
	unresolved := p.resolve(ctx, a, raw.Get(sealParameter))
	a.read()
	if err := p.checkAddressee(ctx, a); err != nil {
		if unresolved == nil || a.Form.Get("client_id") == "" {
			return nil, nil, err
		}
		// Where an answer should go was in what can't be read.
		var ours *Error
		if errors.As(unresolved, &ours) {
			return nil, nil, &PageError{Kind: PageInvalidRequest, Err: unresolved}
		}
		return nil, nil, unresolved
	}
	var err error
	if a.types, a.mode, err = parseResponse(a.Form); err == nil { // first: errors go the same way
		err = unresolved
	}
	if err == nil {
		err = p.checkRequest(ctx, a, repeated)
	}
	if err == nil {
		return a, nil, nil
	}
	e := asError(err)
	p.logRefused(ctx, a, e)
	return nil, p.answerError(a, e), nil
}

// read takes over what is needed before the request is judged.
func (a *Authorization) read() {
	a.state, a.RedirectURI = a.Form.Get("state"), a.Form.Get("redirect_uri")
	a.LoginHint, a.UILocales = a.Form.Get("login_hint"), a.Form.Get("ui_locales")
}

// checkAddressee finds the client and its redirect URI. Until both are known
// nothing may be sent there (RFC 6749, sections 3.1.2.4 and 4.1.2.1).
func (p *Provider) checkAddressee(ctx context.Context, a *Authorization) error {
	id := a.Form.Get("client_id")
	if id == "" {
		return &PageError{Kind: PageInvalidRequest, Err: errors.New("client_id is missing")}
	}
	c, err := p.Clients.Client(id)
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return &PageError{Kind: PageUnknownClient, Err: err}
	case err != nil:
		return err
	case a.RedirectURI == "":
		return &PageError{Kind: PageInvalidRequest, ClientID: c.ID, Err: errors.New("redirect_uri is missing")}
	case !matchRedirectURI(c.RedirectURIs, a.RedirectURI):
		return &PageError{Kind: PageRedirectMismatch, ClientID: c.ID, Err: errors.New("redirect_uri is not registered for this client")}
	}
	if err := p.checkAddress(ctx, c); err != nil {
		return &PageError{Kind: PageInvalidRequest, ClientID: c.ID, Err: err}
	}
	a.Client = c
	return nil
}

// checkRequest reads the rest. Its errors go to the client.
func (p *Provider) checkRequest(ctx context.Context, a *Authorization, repeated bool) (err error) {
	form := a.Form
	switch {
	case repeated: // RFC 6749, section 3.1
		return fail("invalid_request", "a parameter is given more than once")
	case len(form.Encode()) > maxRequest:
		return fail("invalid_request", "the request is too long")
	case !a.pushed && (p.RequirePushed || a.Client.RequirePushedAuthorizationRequests): // RFC 9126, sections 5 and 6
		return fail("invalid_request", "authorization requests must be pushed")
	case !a.signed && a.Client.RequireSignedRequestObject: // RFC 9101, section 10.5
		return fail("invalid_request", "the client must send a signed request object")
	case form.Has("registration"):
		return fail("registration_not_supported", "the registration parameter is not supported")
	}
	if err := checkResponse(a); err != nil {
		return err
	}
	if a.Scopes, err = parseScopes(form.Get("scope")); err != nil {
		return err
	}
	if len(a.Scopes) == 0 {
		return fail("invalid_scope", "the scope parameter is missing")
	}
	if a.prompt, err = parsePrompt(form.Get("prompt")); err != nil {
		return err
	}
	if a.maxAge, err = parseMaxAge(form.Get("max_age")); err != nil {
		return err
	}
	if a.Client.DefaultMaxAge != nil && !form.Has("max_age") { // OpenID Connect Registration 1.0, section 2
		a.maxAge = *a.Client.DefaultMaxAge
	}
	if a.claims, err = parseClaims(form.Get("claims"), func(name string) bool { return p.claims[name] }); err != nil {
		return err
	}
	if a.resources, err = p.parseResources(a.Client, form["resource"]); err != nil {
		return err
	}
	if a.hint, err = p.hintSubject(a.Client, form.Get("id_token_hint")); err != nil {
		return err
	}
	if a.wants("code") {
		if err := checkPKCE(a.Client, form); err != nil {
			return err
		}
	}
	return p.parse(ctx, a)
}

// wants reports whether the response type has this part.
func (a *Authorization) wants(part string) bool { return slices.Contains(a.types, part) }

// hasResponseType reports whether one of the registered response types has these
// parts, in any order (RFC 6749, section 3.1.1).
func hasResponseType(registered, parts []string) bool {
	return slices.ContainsFunc(registered, func(text string) bool {
		have := strings.Fields(text)
		slices.Sort(have)
		return slices.Equal(have, parts)
	})
}

// checkResponse judges response type and mode by what there is and by what the
// client registered.
func checkResponse(a *Authorization) error {
	c := a.Client
	switch {
	case len(a.types) == 0:
		return fail("invalid_request", "response_type is missing")
	case !hasResponseType(responseTypesSupported, a.types):
		return fail("unsupported_response_type", "the response type is not supported")
	case !hasResponseType(c.ResponseTypes, a.types):
		return fail("unauthorized_client", "the client may not use this response type")
	case len(c.ResponseModes) > 0 && !slices.Contains(c.ResponseModes, string(a.mode)):
		return fail("unsupported_response_mode", "the response mode is not supported for this client")
	case a.wants("code") && !c.HasGrantType("authorization_code"):
		return fail("unauthorized_client", "the client may not use the authorization code grant")
	case (a.wants("token") || a.wants("id_token")) && !c.HasGrantType("implicit"): // RFC 7591, section 2.1
		return fail("unauthorized_client", "the client may not use the implicit grant")
	case a.wants("id_token") && c.IDTokenSignedResponseAlg == keys.None: // OpenID Connect Core 1.0, section 2
		return fail("unauthorized_client", "ID tokens of this client are not signed, and must not come through a browser")
	case a.wants("id_token") && a.Form.Get("nonce") == "": // OpenID Connect Core 1.0, sections 3.2.2.1 and 3.3.2.11
		return fail("invalid_request", "nonce is missing, which this response type needs")
	case a.wants("id_token") && !slices.Contains(strings.Fields(a.Form.Get("scope")), "openid"):
		return fail("invalid_scope", "this response type needs the openid scope")
	}
	return nil
}

// parse lets fosite judge the request: response type and mode above all.
func (p *Provider) parse(ctx context.Context, a *Authorization) error {
	form := url.Values{}
	for name, values := range a.Form {
		form[name] = values
	}
	delete(form, "response_mode") // parseResponse and checkResponse have judged it
	if a.state == "" {
		form.Set("state", "-") // fosite knows no request without one
	}
	requester, err := p.fosite.NewAuthorizeRequest(ctx, &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/"}, Header: http.Header{}, Form: form, PostForm: url.Values{},
	})
	if err != nil {
		return err
	}
	a.requester = requester
	return nil
}

// issue writes grant, code, access token and session in one commit and answers
// the client.
func (p *Provider) issue(ctx context.Context, a *Authorization, v Visitor, who person, remember *oidc.ConsentRecord) (*Response, error) {
	s := &session{authorization: a, visitor: v, consent: remember, person: who, scopes: who.decision.Granted}
	responder, err := p.fosite.NewAuthorizeResponse(ctx, a.requester, s)
	if errors.Is(err, oidc.ErrUsed) {
		return p.answerError(a, fail("invalid_request", "the pushed request has been used before").because(err)), nil
	}
	if err != nil {
		return nil, err
	}
	parameters := url.Values{"iss": {p.issuerOf(a.Client)}} // RFC 9207
	for name, values := range responder.GetParameters() {
		parameters[name] = values
	}
	if a.state != "" {
		parameters.Set("state", a.state)
	}
	return newResponse(a.mode, a.RedirectURI, parameters), nil
}

// authorizeHandler issues all that the authorisation endpoint can: code (RFC
// 6749, section 4.1.2), access token (section 4.2.2) and ID token (OpenID Connect
// Core 1.0, sections 3.2.2.5 and 3.3.2.5), in every combination.
type authorizeHandler struct{ *Provider }

// HandleAuthorizeEndpointRequest implements fosite.AuthorizeEndpointHandler.
func (h authorizeHandler) HandleAuthorizeEndpointRequest(ctx context.Context, ar fosite.AuthorizeRequester, resp fosite.AuthorizeResponder) error {
	ar.SetDefaultResponseMode(ar.GetResponseMode()) // ours is in authorization.mode
	s := sessionOf(ar)
	a, now := s.authorization, h.Now()
	lifespans := h.lifespans(a.Client)
	s.grant = oidc.Grant{
		ID: oidc.NewID(), ClientID: a.Client.ID, Subject: s.visitor.Session.Subject, SessionID: s.visitor.Session.ID,
		Scopes: s.scopes, Claims: a.claims.names, Resources: a.resources, Withheld: s.person.withheld, AuthTime: s.visitor.Session.AuthTime, AMR: s.visitor.Session.AMR,
		ACR: a.acr(), CreatedAt: now, ExpiresAt: now.Add(lifespans.Code),
	}
	write := store.Authorization{Session: s.visitor.Change, Consent: s.consent, Once: a.spend()}
	var code, access string
	if a.wants("code") {
		code = oidc.NewSecret(codePrefix)
		write.Code = oidc.Code{
			Hash: oidc.HashOf(code), GrantID: s.grant.ID, RedirectURI: a.RedirectURI, Nonce: a.Form.Get("nonce"),
			CodeChallenge: a.Form.Get("code_challenge"), ExpiresAt: now.Add(lifespans.Code),
		}
		resp.AddParameter("code", code)
		ar.SetResponseTypeHandled("code")
	}
	if a.wants("token") {
		var err error
		if s.audience, err = h.audience(a.Client, s, nil); err != nil {
			return err
		}
		secret, token, err := h.newAccess(a.Client, s, now)
		if err != nil {
			return err
		}
		access, write.Access, s.grant.ExpiresAt = secret, &token, later(s.grant.ExpiresAt, token.ExpiresAt)
		resp.AddParameter("access_token", secret)
		resp.AddParameter("token_type", "Bearer")
		resp.AddParameter("expires_in", strconv.FormatInt(int64(lifespans.Access/time.Second), 10))
		resp.AddParameter("scope", strings.Join(s.scopes, " "))
		ar.SetResponseTypeHandled("token")
	}
	if a.wants("id_token") {
		idToken, err := h.idToken(a.Client, s, idTokenParts{nonce: a.Form.Get("nonce"), access: access, code: code}, now)
		if err != nil {
			return err
		}
		resp.AddParameter("id_token", idToken)
		ar.SetResponseTypeHandled("id_token")
	}
	write.Grant = s.grant
	if err := h.Store.SaveAuthorization(ctx, write); err != nil {
		return err
	}
	h.auditGrant(ctx, oidc.EventCodeIssued, s.grant, s.scopes, slog.String("response_type", strings.Join(a.types, " ")))
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
