//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// application is the relying party and the browsers of its people.
type application struct {
	issuer    string
	users     int
	next      atomic.Int64 // the next person to sign in
	transport http.RoundTripper
	verifier  *oidc.IDTokenVerifier
	endpoints struct {
		Issuer        string `json:"issuer"`
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		UserInfo      string `json:"userinfo_endpoint"`
		Introspection string `json:"introspection_endpoint"`
		JWKS          string `json:"jwks_uri"`
	}
}

// tokens are the answer of the token endpoint.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Type    string `json:"token_type"`
	Expires int    `json:"expires_in"`
}

func newApplication(ctx context.Context, f *files, users int) (*application, error) {
	a := &application{issuer: f.issuer, users: users, transport: &http.Transport{
		MaxIdleConnsPerHost: 64, DisableCompression: true, IdleConnTimeout: time.Minute,
	}}
	if err := a.get(ctx, a.discoveryURL(), "", &a.endpoints); err != nil {
		return nil, err
	}
	keys := oidc.NewRemoteKeySet(ctx, a.endpoints.JWKS)
	a.verifier = oidc.NewVerifier(f.issuer, keys, &oidc.Config{ClientID: clientID, SupportedSigningAlgs: []string{oidc.ES256}})
	return a, nil
}

func (a *application) discoveryURL() string { return a.issuer + "/.well-known/openid-configuration" }

// browser is a fresh one, without cookies, that shows redirects instead of
// following them.
func (a *application) browser() (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: a.transport, Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, nil
}

// signIn is one authorisation code flow with PKCE (RFC 6749, section 4.1; RFC
// 7636). A person of -1 is one who must not be asked for a password again.
func (a *application) signIn(ctx context.Context, browser *http.Client, person int) (tokens, error) {
	state, nonce, verifier := random(), random(), random()+random()
	q := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {redirectURI}, "scope": {scope},
		"state": {state}, "nonce": {nonce}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	got, err := a.send(ctx, browser, http.MethodGet, a.endpoints.Authorization+"?"+q.Encode(), nil)
	if err != nil {
		return tokens{}, err
	}
	if person >= 0 {
		if got, err = a.fillIn(ctx, browser, got, person); err != nil {
			return tokens{}, err
		}
	}
	code, err := a.redirected(got, state)
	if err != nil {
		return tokens{}, err
	}
	t, err := a.token(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
	if err != nil {
		return t, err
	}
	id, err := a.verifier.Verify(ctx, t.ID)
	switch {
	case err != nil:
		return t, err
	case id.Nonce != nonce:
		return t, errors.New("the ID token has another nonce")
	case t.Refresh == "":
		return t, errors.New("no refresh token")
	}
	return t, nil
}

var (
	formAction    = regexp.MustCompile(`<form[^>]*\saction="([^"]*)"`)
	hiddenRequest = regexp.MustCompile(`name="request"[^>]*\svalue="([^"]*)"`)
)

// fillIn answers the sign-in page as a person would.
func (a *application) fillIn(ctx context.Context, browser *http.Client, page answer, person int) (answer, error) {
	action, request := formAction.FindSubmatch(page.body), hiddenRequest.FindSubmatch(page.body)
	if page.status != http.StatusOK || action == nil || request == nil {
		return answer{}, fmt.Errorf("no sign-in page: %d: %.200s", page.status, page.body)
	}
	to, err := page.url.Parse(html.UnescapeString(string(action[1])))
	if err != nil {
		return answer{}, err
	}
	return a.send(ctx, browser, http.MethodPost, to.String(), url.Values{
		"request": {html.UnescapeString(string(request[1]))}, "username": {username(person)}, "password": {password(person)},
	})
}

// redirected takes the code out of the answer, and looks at the rest of it.
func (a *application) redirected(got answer, state string) (string, error) {
	if got.location == nil {
		return "", fmt.Errorf("no redirect to the application: %d: %.200s", got.status, got.body)
	}
	to := got.location
	q := to.Query()
	switch {
	case !strings.HasPrefix(to.String(), redirectURI+"?"):
		return "", fmt.Errorf("redirected to %s", to)
	case q.Get("code") == "":
		return "", fmt.Errorf("no code: %s: %s", q.Get("error"), q.Get("error_description"))
	case q.Get("state") != state:
		return "", errors.New("another state came back")
	case q.Get("iss") != a.issuer:
		return "", errors.New("no iss in the answer (RFC 9207)")
	}
	return q.Get("code"), nil
}

// token asks the token endpoint as the client.
func (a *application) token(ctx context.Context, form url.Values) (tokens, error) {
	var t tokens
	if err := a.post(ctx, a.endpoints.Token, form, &t); err != nil {
		return t, err
	}
	if t.Access == "" || !strings.EqualFold(t.Type, "Bearer") || t.Expires <= 0 {
		return t, errors.New("an answer of the token endpoint without a usable token")
	}
	return t, nil
}

// post sends a form with the client's credentials and reads JSON.
func (a *application) post(ctx context.Context, to string, form url.Values, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, clientSecret)
	return a.json(r, into)
}

// get reads JSON, with an access token if there is one.
func (a *application) get(ctx context.Context, from, access string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	if access != "" {
		r.Header.Set("Authorization", "Bearer "+access)
	}
	return a.json(r, into)
}

func (a *application) json(r *http.Request, into any) error {
	resp, err := a.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %.200s", r.Method, r.URL.Path, resp.Status, body)
	}
	return json.Unmarshal(body, into)
}

// answer is what a browser gets.
type answer struct {
	status   int
	url      *url.URL // that was asked for
	location *url.URL // to go to next, or nil
	body     []byte
}

// send is a browser's request; a form, if there is one, comes from a page of ours.
func (a *application) send(ctx context.Context, browser *http.Client, method, to string, form url.Values) (answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", a.issuer)
	}
	resp, err := browser.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	got := answer{status: resp.StatusCode, url: r.URL}
	if got.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return answer{}, err
	}
	if to, err := resp.Location(); err == nil {
		got.location = to
	} else if !errors.Is(err, http.ErrNoLocation) {
		return answer{}, err
	}
	return got, nil
}
