package demoapp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// TVOptions say which device this is and who its provider is.
type TVOptions struct {
	Title    string
	Issuer   string
	ClientID string // a public client with the device code grant
	BaseURL  string // where its screen is shown, with its path

	HTTPClient *http.Client // for talking to the provider; default: one with a timeout of 10 s
	Log        *slog.Logger // default: nowhere
}

// tv is a device without a browser (RFC 8628), and its one screen as a page: whoever
// opens that sees the same.
type tv struct {
	opts TVOptions
	path string
	page *template.Template
	ctx  context.Context // ends with the demonstration, and all polling with it
	csp  string

	mu      sync.Mutex
	codes   *oauth2.DeviceAuthResponse // nil unless it waits for somebody
	stop    context.CancelFunc         // ends the polling for codes
	name    string                     // of who is signed in
	problem string                     // why the last try failed
}

// NewTV returns the device. It serves the path of BaseURL and all below it, and asks
// the provider until ctx ends.
func NewTV(ctx context.Context, opts TVOptions) http.Handler {
	if opts.HTTPClient == nil {
		opts.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	t := &tv{opts: opts, ctx: oidc.ClientContext(ctx, opts.HTTPClient), stop: func() {}}
	if u, err := url.Parse(opts.BaseURL); err == nil {
		t.path = u.Path
	}
	if u, err := url.Parse(opts.Issuer); err == nil {
		t.csp = "default-src 'none'; style-src 'self'; img-src " + u.Scheme + "://" + u.Host + "; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
	}
	t.page = template.Must(template.New("tv.html").ParseFS(files, "tv.html"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+t.path+"/{$}", t.show)
	mux.HandleFunc("GET "+t.path+"/demoapp.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		http.ServeFileFS(w, r, files, "demoapp.css")
	})
	mux.HandleFunc("POST "+t.path+"/start", t.start)
	mux.HandleFunc("POST "+t.path+"/stop", t.signOut)
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

// show is what the screen shows.
func (t *tv) show(w http.ResponseWriter, _ *http.Request) {
	t.mu.Lock()
	view := map[string]any{
		"Title": t.opts.Title, "Path": t.path, "Issuer": t.opts.Issuer, "Name": t.name, "Problem": t.problem, "Waiting": t.codes != nil,
	}
	if t.codes != nil {
		view["UserCode"], view["Address"] = t.codes.UserCode, t.codes.VerificationURI
		view["Picture"] = t.codes.VerificationURI + "/qr.svg?user_code=" + url.QueryEscape(t.codes.UserCode)
	}
	t.mu.Unlock()
	var b bytes.Buffer
	if err := t.page.Execute(&b, view); err != nil {
		t.opts.Log.Error("cannot show the screen", slog.String("error", err.Error()))
		http.Error(w, "cannot show the screen", http.StatusInternalServerError)
		return
	}
	if view["Waiting"] == true {
		w.Header().Set("Refresh", "2") // a real one would paint its screen anew by itself
	}
	w.Header().Set("Content-Security-Policy", t.csp)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // the browser has gone if this fails
}

// start asks for new codes and waits, in the background, for somebody to allow them.
func (t *tv) start(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer http.Redirect(w, r, t.path+"/", http.StatusSeeOther)
	t.stop()
	t.codes, t.name, t.problem = nil, "", ""
	ctx, stop := context.WithCancel(t.ctx)
	t.stop = stop
	provider, err := oidc.NewProvider(ctx, t.opts.Issuer)
	if err != nil {
		t.problem = "The provider can't be reached."
		return
	}
	config := &oauth2.Config{ClientID: t.opts.ClientID, Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile"}}
	codes, err := config.DeviceAuth(ctx)
	if err != nil {
		t.problem = explainError(t.opts.Title, err).Text
		return
	}
	t.codes = codes
	go t.wait(ctx, provider, config, codes)
}

// wait polls until somebody has answered, or the code has expired.
func (t *tv) wait(ctx context.Context, provider *oidc.Provider, config *oauth2.Config, codes *oauth2.DeviceAuthResponse) {
	name, err := t.learn(ctx, provider, config, codes)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.codes != codes {
		return // a new code is on the screen
	}
	t.codes, t.name = nil, name
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		t.problem = "The code has expired."
	case err != nil:
		t.problem = explainError(t.opts.Title, err).Title
	}
}

// learn returns the name of who has allowed the device.
func (t *tv) learn(ctx context.Context, provider *oidc.Provider, config *oauth2.Config, codes *oauth2.DeviceAuthResponse) (string, error) {
	token, err := config.DeviceAccessToken(ctx, codes)
	if err != nil {
		return "", err
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: t.opts.ClientID}).Verify(ctx, raw)
	if err != nil {
		return "", fmt.Errorf("the ID token: %w", err)
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return "", err
	}
	var claims struct {
		Name string `json:"name"`
	}
	if err := info.Claims(&claims); err != nil || info.Subject != id.Subject {
		return "", errors.Join(errors.New("userinfo is of somebody else"), err)
	}
	if claims.Name == "" {
		return id.Subject, nil
	}
	return claims.Name, nil
}

// signOut forgets who is signed in.
func (t *tv) signOut(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
	t.codes, t.name, t.problem = nil, "", ""
	http.Redirect(w, r, t.path+"/", http.StatusSeeOther)
}
