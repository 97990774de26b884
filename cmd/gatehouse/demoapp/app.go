// Package demoapp is a small web application for the demonstration. It signs
// people in with OpenID Connect as any application would (code flow with PKCE,
// state and nonce) and shows what it learnt: claims, scopes and groups.
//
// It owns its pages and its sessions, which are in memory and bounded. What it
// knows of the provider it learns by discovery at the first request, so the
// provider may start after it.
//
// Always true: it believes no answer that was not asked for by the same browser,
// no ID token whose signature, issuer, audience, expiry or nonce is wrong, and no
// userinfo of another subject; and nothing from outside reaches a page unescaped.
package demoapp

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

//go:embed page.html tv.html demoapp.css
var files embed.FS

// Options say which application this is and who its provider is.
type Options struct {
	Title string // "Wiki"
	Intro string // one sentence about it
	// Scopes are asked for at sign-in; default openid, profile, email, groups and
	// offline_access.
	Scopes []string
	// Others are applications to try next.
	Others []Link
	// People are accounts to try, shown with their passwords to everybody who is
	// not signed in.
	People []Person

	Issuer       string
	ClientID     string
	ClientSecret string
	BaseURL      string // where this application is, with its path: http://127.0.0.1:8081/wiki

	HTTPClient *http.Client     // for talking to the provider; default: one with a timeout of 10 s
	Now        func() time.Time // default time.Now
	Log        *slog.Logger     // default: nowhere
}

// Link is another application.
type Link struct{ Name, URL string }

// Person is an account of the demonstration.
type Person struct {
	Username, Password, Name string
	Shows                    string // what there is to see with it
}

// app is the application as a handler.
type app struct {
	opts     Options
	path     string // of BaseURL, without the slash at its end
	cookie   string
	secure   bool
	page     *template.Template
	sessions *sessions

	mu       sync.Mutex
	provider *oidc.Provider // nil until discovery has succeeded
}

// New returns the application. It serves the path of BaseURL and all below it.
func New(opts Options) http.Handler {
	if opts.Scopes == nil {
		opts.Scopes = []string{oidc.ScopeOpenID, "profile", "email", "groups", oidc.ScopeOfflineAccess}
	}
	if opts.HTTPClient == nil {
		opts.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.BaseURL = strings.TrimSuffix(opts.BaseURL, "/")
	a := &app{opts: opts, sessions: newSessions(opts.Now), cookie: cookieName(opts.ClientID)}
	if u, err := url.Parse(opts.BaseURL); err == nil {
		a.path, a.secure = u.Path, u.Scheme == "https"
	}
	a.page = template.Must(template.New("page.html").ParseFS(files, "page.html"))

	mux := http.NewServeMux()
	mux.HandleFunc("GET "+a.path+"/{$}", a.home)
	if a.path != "" {
		mux.Handle("GET "+a.path, http.RedirectHandler(a.path+"/", http.StatusSeeOther))
	}
	mux.HandleFunc("GET "+a.path+"/demoapp.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		http.ServeFileFS(w, r, files, "demoapp.css")
	})
	mux.HandleFunc("GET "+a.path+"/signin", a.signIn)
	mux.HandleFunc("GET "+a.path+"/callback", a.callback)
	mux.HandleFunc("POST "+a.path+"/refresh", a.refresh)
	mux.HandleFunc("POST "+a.path+"/userinfo", a.reload)
	mux.HandleFunc("GET "+a.path+"/refused", a.refused)
	mux.HandleFunc("POST "+a.path+"/signout", a.signOut)
	mux.HandleFunc("GET "+a.path+"/signedout", func(w http.ResponseWriter, _ *http.Request) {
		a.show(w, http.StatusOK, view{SignedOut: true})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		a.show(w, http.StatusNotFound, view{Notice: &notice{Bad: true, Title: "There is nothing here", Text: "This application has no such page."}})
	})
	return secured(http.NewCrossOriginProtection().Handler(mux))
}

// cookieName makes a name of the client id: cookies don't tell ports apart, so two
// applications on one host must not share one.
func cookieName(clientID string) string {
	safe := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}
	return "demo_" + strings.Map(safe, clientID)
}

// secured sets the headers of every answer. There is no script at all.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		next.ServeHTTP(w, r)
	})
}

// discover returns what the provider says of itself, asking it at the first call
// that it answers.
func (a *app) discover(ctx context.Context) (*oidc.Provider, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.provider != nil {
		return a.provider, nil
	}
	p, err := oidc.NewProvider(ctx, a.opts.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDiscovery, err)
	}
	a.provider = p
	return p, nil
}

// context returns a request's context that go-oidc and oauth2 find the HTTP client in.
func (a *app) context(r *http.Request) context.Context {
	return oidc.ClientContext(r.Context(), a.opts.HTTPClient)
}

func (a *app) config(p *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: a.opts.ClientID, ClientSecret: a.opts.ClientSecret, Endpoint: p.Endpoint(),
		RedirectURL: a.opts.BaseURL + "/callback", Scopes: a.opts.Scopes,
	}
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	s := a.session(r)
	if s == nil {
		a.show(w, http.StatusOK, view{})
		return
	}
	s.mu.Lock()
	v := view{Notice: s.notice, Identity: s.identity.view(a.opts.Scopes)}
	s.notice = nil
	if s.identity != nil {
		s.identity.seen()
	}
	s.mu.Unlock()
	a.show(w, http.StatusOK, v)
}

// signOut ends the session with this application only.
func (a *app) signOut(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(a.cookie); err == nil {
		a.sessions.end(c.Value)
	}
	http.SetCookie(w, a.newCookie("", -1))
	http.Redirect(w, r, a.path+"/signedout", http.StatusSeeOther)
}

// refused shows why the last sign-in failed. It has an address of its own: the
// answer of the provider counts once, and this page may be loaded again.
func (a *app) refused(w http.ResponseWriter, r *http.Request) {
	if s := a.session(r); s != nil {
		s.mu.Lock()
		status, n := s.status, s.refusal
		s.mu.Unlock()
		if n != nil {
			a.show(w, status, view{Notice: n})
			return
		}
	}
	a.toHome(w, r)
}

func (a *app) session(r *http.Request) *session {
	c, err := r.Cookie(a.cookie)
	if err != nil {
		return nil
	}
	return a.sessions.get(c.Value)
}

func (a *app) newCookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever the application is reached over https; on loopback it is not
		Name: a.cookie, Value: value, Path: a.path + "/", MaxAge: maxAge, HttpOnly: true, Secure: a.secure, SameSite: http.SameSiteLaxMode,
	}
}

// toHome ends an action: what it has to say is shown on the page that follows, so
// that reloading it repeats nothing.
func (a *app) toHome(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, a.path+"/", http.StatusSeeOther)
}
