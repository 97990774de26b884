package demoapp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

var (
	errDiscovery   = errors.New("asking the provider what it is")
	errNonce       = errors.New("the nonce of the ID token is not the one of this sign-in")
	errNoIDToken   = errors.New("the answer holds no ID token")
	errSubject     = errors.New("userinfo is about somebody else than the ID token")
	errNoRefresh   = errors.New("there is no refresh token")
	errNotSignedIn = errors.New("nobody is signed in")
)

// signIn begins a sign-in: state ties the answer to this browser, nonce the ID
// token to this sign-in, PKCE the code to this application.
func (a *app) signIn(w http.ResponseWriter, r *http.Request) {
	p, err := a.discover(a.context(r))
	if err != nil {
		a.fail(w, r, http.StatusBadGateway, err)
		return
	}
	s := a.session(r)
	if s == nil {
		var id string
		id, s = a.sessions.begin()
		http.SetCookie(w, a.newCookie(id, 0))
	}
	state, sent := rand.Text(), pending{nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), begun: a.opts.Now()}
	s.expect(state, sent)
	more := []oauth2.AuthCodeOption{oidc.Nonce(sent.nonce), oauth2.S256ChallengeOption(sent.verifier)}
	if r.URL.Query().Get("prompt") == "login" { // so that somebody else may come
		more = append(more, oauth2.SetAuthURLParam("prompt", "login"))
	}
	http.Redirect(w, r, a.config(p).AuthCodeURL(state, more...), http.StatusSeeOther)
}

// callback takes the answer of the provider.
func (a *app) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s := a.session(r)
	var sent pending
	known := false
	if s != nil {
		sent, known = s.take(q.Get("state"), a.opts.Now())
	}
	switch {
	case !known:
		a.show(w, http.StatusBadRequest, view{Notice: &notice{
			Bad: true, Title: "This sign-in was not begun here",
			Text: "The answer belongs to no sign-in of this browser. It may have been used already, be too old, or come from somewhere else.", Retry: true,
		}})
		return
	case q.Get("iss") != "" && q.Get("iss") != a.opts.Issuer: // RFC 9207, section 2.4
		a.show(w, http.StatusBadRequest, view{Notice: &notice{
			Bad: true, Title: "The answer comes from another provider", Text: "It names an issuer that this application did not ask.", Retry: true,
		}})
		return
	case q.Get("error") != "":
		a.refuse(w, r, http.StatusForbidden, explain(a.opts.Title, q.Get("error"), q.Get("error_description")))
		return
	}
	id, err := a.exchange(a.context(r), q, sent)
	if err != nil {
		a.fail(w, r, http.StatusBadGateway, err)
		return
	}
	s.mu.Lock()
	s.identity, s.refusal = id, nil
	s.mu.Unlock()
	if c, err := r.Cookie(a.cookie); err == nil {
		http.SetCookie(w, a.newCookie(a.sessions.renew(c.Value), 0))
	}
	a.toHome(w, r)
}

// exchange makes a code into tokens, and looks up who has signed in.
func (a *app) exchange(ctx context.Context, q url.Values, sent pending) (*identity, error) {
	p, err := a.discover(ctx)
	if err != nil {
		return nil, err
	}
	tokens, err := a.config(p).Exchange(ctx, q.Get("code"), oauth2.VerifierOption(sent.verifier))
	if err != nil {
		return nil, fmt.Errorf("exchanging the code: %w", err)
	}
	id := &identity{readAt: a.opts.Now()}
	if err := a.takeTokens(ctx, p, id, tokens, sent.nonce); err != nil {
		return nil, err
	}
	if id.idToken.values == nil {
		return nil, errNoIDToken
	}
	if err := a.readUserInfo(ctx, p, id); err != nil {
		return nil, err
	}
	id.seen() // nothing is a change at first
	return id, nil
}

// takeTokens checks an answer of the token endpoint and keeps it. An ID token is
// there after an exchange, and may be after a refresh, then without a nonce to
// expect (OpenID Connect Core 1.0, section 12.2).
func (a *app) takeTokens(ctx context.Context, p *oidc.Provider, id *identity, tokens *oauth2.Token, nonce string) error {
	if raw, ok := tokens.Extra("id_token").(string); ok && raw != "" {
		verified, err := p.Verifier(&oidc.Config{ClientID: a.opts.ClientID, Now: a.opts.Now}).Verify(ctx, raw)
		if err != nil {
			return fmt.Errorf("checking the ID token: %w", err)
		}
		if nonce != "" && subtle.ConstantTimeCompare([]byte(nonce), []byte(verified.Nonce)) != 1 {
			return errNonce
		}
		if verified.AccessTokenHash != "" {
			if err := verified.VerifyAccessToken(tokens.AccessToken); err != nil {
				return fmt.Errorf("checking the access token: %w", err)
			}
		}
		if id.subject != "" && id.subject != verified.Subject {
			return errSubject
		}
		claims := map[string]any{}
		if err := verified.Claims(&claims); err != nil {
			return fmt.Errorf("reading the ID token: %w", err)
		}
		id.subject = verified.Subject
		id.idToken.set(claims)
	}
	id.tokens = tokens
	if scope, ok := tokens.Extra("scope").(string); ok {
		id.granted = strings.Fields(scope)
	} else if id.granted == nil { // all that was asked for (RFC 6749, section 5.1)
		id.granted = a.opts.Scopes
	}
	return nil
}

func (a *app) readUserInfo(ctx context.Context, p *oidc.Provider, id *identity) error {
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(id.tokens))
	if err != nil {
		return fmt.Errorf("reading userinfo: %w", err)
	}
	if info.Subject != id.subject { // OpenID Connect Core 1.0, section 5.3.2
		return errSubject
	}
	claims := map[string]any{}
	if err := info.Claims(&claims); err != nil {
		return fmt.Errorf("reading userinfo: %w", err)
	}
	id.userInfo.set(claims)
	id.readAt = a.opts.Now()
	return nil
}

// refresh gets new tokens for the refresh token, and reads userinfo with them.
func (a *app) refresh(w http.ResponseWriter, r *http.Request) {
	a.act(w, r, "New tokens are here.", func(ctx context.Context, p *oidc.Provider, id *identity) error {
		if id.tokens.RefreshToken == "" {
			return errNoRefresh
		}
		tokens, err := a.config(p).TokenSource(ctx, &oauth2.Token{RefreshToken: id.tokens.RefreshToken}).Token()
		if err != nil {
			return fmt.Errorf("refreshing: %w", err)
		}
		if err := a.takeTokens(ctx, p, id, tokens, ""); err != nil {
			return err
		}
		id.refreshed++
		return a.readUserInfo(ctx, p, id)
	})
}

// reload reads userinfo again, with the access token there is.
func (a *app) reload(w http.ResponseWriter, r *http.Request) {
	a.act(w, r, "Userinfo has been read again.", a.readUserInfo)
}

// act does something with the identity of the session, and shows the page anew.
func (a *app) act(w http.ResponseWriter, r *http.Request, done string, do func(context.Context, *oidc.Provider, *identity) error) {
	s := a.session(r)
	if s == nil {
		a.toHome(w, r)
		return
	}
	ctx := a.context(r)
	p, err := a.discover(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && s.identity == nil:
		err = errNotSignedIn
	case err == nil:
		err = do(ctx, p, s.identity)
	}
	s.notice = &notice{Title: done, Text: "What has changed since the page was shown last is marked.", Quiet: true}
	if err != nil {
		s.notice = explainError(a.opts.Title, err)
		a.opts.Log.Info("the demonstration application was refused", "client", a.opts.ClientID, "error", err)
	}
	a.toHome(w, r)
}

// fail shows an error that ended a sign-in.
func (a *app) fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	a.opts.Log.InfoContext(r.Context(), "a sign-in to the demonstration application failed", "client", a.opts.ClientID, "error", err)
	a.refuse(w, r, status, explainError(a.opts.Title, err))
}

// refuse ends a sign-in with a page that says why.
func (a *app) refuse(w http.ResponseWriter, r *http.Request, status int, n *notice) {
	s := a.session(r)
	if s == nil {
		a.show(w, status, view{Notice: n})
		return
	}
	s.mu.Lock()
	s.status, s.refusal = status, n
	s.mu.Unlock()
	http.Redirect(w, r, a.path+"/refused", http.StatusSeeOther)
}
