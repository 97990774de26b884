package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/ory/fosite"

	"gatehouse/oidc"
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
// while its person signed in. The client may have changed since.
func (p *Provider) Resume(ctx context.Context, form url.Values, requestedAt time.Time) (*Authorization, *Response, error) {
	a, response, err := p.authorization(ctx, form, requestedAt)
	if a != nil {
		a.resumed = true
	}
	return a, response, err
}

func (p *Provider) authorization(ctx context.Context, raw url.Values, requestedAt time.Time) (*Authorization, *Response, error) {
	form, repeated := keepKnown(raw)
	a := &Authorization{
		Form: form, RequestedAt: requestedAt, state: form.Get("state"), RedirectURI: form.Get("redirect_uri"),
		LoginHint: form.Get("login_hint"), UILocales: form.Get("ui_locales"),
	}
	if err := p.checkAddressee(a); err != nil {
		return nil, nil, err
	}
	err := p.checkRequest(ctx, a, repeated)
	if err == nil {
		return a, nil, nil
	}
	e := asError(err)
	p.logRefused(ctx, a, e)
	return nil, p.answerError(a.RedirectURI, a.state, e), nil
}

// checkAddressee finds the client and its redirect URI. Until both are known
// nothing may be sent there (RFC 6749, sections 3.1.2.4 and 4.1.2.1).
func (p *Provider) checkAddressee(a *Authorization) error {
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
	case form.Has("request"):
		return fail("request_not_supported", "request objects are not supported")
	case form.Has("request_uri"):
		return fail("request_uri_not_supported", "request_uri is not supported")
	case form.Has("registration"):
		return fail("registration_not_supported", "the registration parameter is not supported")
	case !a.Client.HasGrantType("authorization_code"):
		return fail("unauthorized_client", "the client may not use the authorization code grant")
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
	if a.claims, err = parseClaims(form.Get("claims"), func(name string) bool { return p.claims[name] }); err != nil {
		return err
	}
	if a.hint, err = p.hintSubject(form.Get("id_token_hint")); err != nil {
		return err
	}
	if err := checkPKCE(a.Client, form); err != nil {
		return err
	}
	return p.parse(ctx, a)
}

// parse lets fosite judge the request: response type and mode above all.
func (p *Provider) parse(ctx context.Context, a *Authorization) error {
	form := url.Values{}
	for name, values := range a.Form {
		form[name] = values
	}
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

// issue writes grant, code and session in one commit and answers the client.
func (p *Provider) issue(ctx context.Context, a *Authorization, v Visitor, granted []string, remember *oidc.ConsentRecord) (*Response, error) {
	s := &session{authorization: a, visitor: v, granted: granted, consent: remember}
	responder, err := p.fosite.NewAuthorizeResponse(ctx, a.requester, s)
	if err != nil {
		return nil, err
	}
	parameters := url.Values{"iss": {p.Issuer}} // RFC 9207
	for name, values := range responder.GetParameters() {
		parameters[name] = values
	}
	if a.state != "" {
		parameters.Set("state", a.state)
	}
	return &Response{Location: withParameters(a.RedirectURI, parameters)}, nil
}

// HandleAuthorizeEndpointRequest issues an authorisation code (RFC 6749, section
// 4.1.2). It implements fosite.AuthorizeEndpointHandler.
func (h codeHandler) HandleAuthorizeEndpointRequest(ctx context.Context, ar fosite.AuthorizeRequester, resp fosite.AuthorizeResponder) error {
	if !ar.GetResponseTypes().ExactOne("code") {
		return nil
	}
	ar.SetDefaultResponseMode(fosite.ResponseModeQuery)
	s := sessionOf(ar)
	a, now := s.authorization, h.Now()
	secret := oidc.NewSecret(codePrefix)
	expires := now.Add(h.lifespans(a.Client).Code)
	grant := oidc.Grant{
		ID: oidc.NewID(), ClientID: a.Client.ID, Subject: s.visitor.Session.Subject, SessionID: s.visitor.Session.ID,
		Scopes: s.granted, Claims: a.claims.names, AuthTime: s.visitor.Session.AuthTime, AMR: s.visitor.Session.AMR,
		CreatedAt: now, ExpiresAt: expires,
	}
	code := oidc.Code{
		Hash: oidc.HashOf(secret), GrantID: grant.ID, RedirectURI: a.RedirectURI, Nonce: a.Form.Get("nonce"),
		CodeChallenge: a.Form.Get("code_challenge"), ExpiresAt: expires,
	}
	if err := h.Store.SaveAuthorization(ctx, storeAuthorization(grant, code, s)); err != nil {
		return err
	}
	resp.AddParameter("code", secret)
	ar.SetResponseTypeHandled("code")
	h.auditGrant(ctx, oidc.EventCodeIssued, grant, grant.Scopes)
	return nil
}
