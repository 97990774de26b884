package web

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/store"
	"gatehouse/static"
	"gatehouse/templates"
)

// clock is a clock that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// fakeDirectory knows people by name; the password of each is "right-" and the name.
// "second-ada" is another name of ada.
type fakeDirectory struct {
	mu      sync.Mutex
	fail    error             // answers every question with it
	state   map[string]error  // by name, what the directory says instead
	chosen  map[string]string // by name, the password that was chosen
	expired bool              // passwords let in by grace only
	keep    error             // what ChangePassword answers
	binds   atomic.Int64
	gate    chan struct{} // if set, each bind waits for it
}

var fakePeople = []string{"ada", "ben", "cleo"}

func (d *fakeDirectory) answer(name string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name == "" {
		d.fail = err
		return
	}
	d.state[name] = err
}

// ChangePassword ends what state says of the person.
func (d *fakeDirectory) ChangePassword(ctx context.Context, subject, oldPassword, newPassword string) error {
	if err := oidc.GuardBind(ctx, subject); err != nil {
		return &oidc.SignInError{Reason: oidc.ReasonThrottled, Subject: subject, Err: err}
	}
	d.binds.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	name := strings.TrimPrefix(subject, "id-")
	switch {
	case d.keep != nil:
		return d.keep
	case d.password(name) != oldPassword:
		return &oidc.SignInError{Reason: oidc.ReasonWrongPassword, Subject: subject}
	}
	if d.chosen == nil {
		d.chosen = map[string]string{}
	}
	d.chosen[name], d.expired = newPassword, false
	delete(d.state, name)
	return nil
}

func (d *fakeDirectory) password(name string) string {
	if chosen, ok := d.chosen[name]; ok {
		return chosen
	}
	return "right-" + name
}

func (d *fakeDirectory) Authenticate(ctx context.Context, name, password string) (*oidc.User, error) {
	name = strings.TrimPrefix(name, "second-")
	if id := "id-" + name; slices.Contains(fakePeople, name) {
		if err := oidc.GuardBind(ctx, id); err != nil {
			return nil, &oidc.SignInError{Reason: oidc.ReasonThrottled, Subject: id, Err: err}
		}
	}
	d.binds.Add(1)
	if d.gate != nil {
		<-d.gate
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", oidc.ErrUnavailable, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.fail != nil:
		return nil, d.fail
	case d.state[name] != nil:
		return nil, d.state[name]
	case !slices.Contains(fakePeople, name):
		return nil, &oidc.SignInError{Reason: oidc.ReasonUnknownUser}
	case password != d.password(name):
		return nil, &oidc.SignInError{Reason: oidc.ReasonWrongPassword, Subject: "id-" + name}
	}
	return &oidc.User{ID: "id-" + name, Username: name, PasswordExpired: d.expired, Attributes: map[string][]string{"displayname": {"Person " + name}}}, nil
}

// fakeProvider has two clients: "app" asks for no consent, "asker" always does.
type fakeProvider struct {
	store    *store.Store
	now      func() time.Time
	fail     atomic.Pointer[error] // Next's answer
	gone     atomic.Bool           // the session's person is gone
	denied   atomic.Bool           // access_denied, with nothing written
	lastDeny atomic.Value
	resumed  atomic.Value // time.Time of the last Resume
}

func (p *fakeProvider) Begin(r *http.Request) (*provider.Authorization, *provider.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, nil, &provider.PageError{Kind: provider.PageInvalidRequest, Err: err}
	}
	return p.read(r.Form, p.now())
}

func (p *fakeProvider) Resume(_ context.Context, form url.Values, at time.Time) (*provider.Authorization, *provider.Response, error) {
	p.resumed.Store(at)
	return p.read(form, at)
}

func (p *fakeProvider) read(form url.Values, at time.Time) (*provider.Authorization, *provider.Response, error) {
	c := &oidc.Client{
		ID: form.Get("client_id"), Name: "The application", LogoURI: "https://cdn.example.net/logo.png", ClientURI: "https://home.example.com/",
	}
	switch c.ID {
	case "app":
		c.Consent = oidc.ConsentNone
	case "asker":
		c.Consent = oidc.ConsentExplicit
	default:
		return nil, nil, &provider.PageError{Kind: provider.PageUnknownClient, Err: fmt.Errorf("no client %q", c.ID)}
	}
	redirect := form.Get("redirect_uri")
	if redirect == "https://evil.example.com/" {
		return nil, nil, &provider.PageError{Kind: provider.PageRedirectMismatch, ClientID: c.ID, Err: fmt.Errorf("not %q", redirect)}
	}
	if form.Get("scope") == "bad" {
		return nil, &provider.Response{Location: redirect + "?error=invalid_scope"}, nil
	}
	return &provider.Authorization{
		Client: c, Form: form, RequestedAt: at, Scopes: strings.Fields(form.Get("scope")), LoginHint: form.Get("login_hint"),
		UILocales: form.Get("ui_locales"), RedirectURI: redirect,
	}, nil, nil
}

func (p *fakeProvider) Next(ctx context.Context, a *provider.Authorization, v provider.Visitor) (provider.Step, error) {
	if e := p.fail.Load(); e != nil {
		return provider.Step{}, *e
	}
	if v.Session == nil {
		return provider.Step{SignIn: &provider.SignInStep{LoginHint: a.LoginHint}}, nil
	}
	if p.gone.Load() {
		return provider.Step{SignIn: &provider.SignInStep{EndSession: true}}, nil
	}
	if a.Form.Get("prompt") == "login" && v.Change == nil && v.Session.AuthTime.Before(a.RequestedAt.Truncate(time.Second)) {
		return provider.Step{SignIn: &provider.SignInStep{Again: true}}, nil
	}
	if p.denied.Load() {
		return provider.Step{Response: &provider.Response{Location: a.RedirectURI + "?error=access_denied"}}, nil
	}
	if a.Client.Consent == oidc.ConsentExplicit && !slices.Equal(v.Approved, a.Scopes) {
		user := v.User
		if user == nil {
			user = &oidc.User{ID: v.Session.Subject, Username: "looked-up"}
		}
		return provider.Step{Consent: &provider.ConsentStep{User: user, Scopes: a.Scopes}}, nil
	}
	secret := oidc.NewSecret("code_")
	grant := oidc.Grant{
		ID: oidc.NewID(), ClientID: a.Client.ID, Subject: v.Session.Subject, Scopes: a.Scopes, AuthTime: v.Session.AuthTime,
		CreatedAt: p.now(), ExpiresAt: p.now().Add(time.Minute),
	}
	code := oidc.Code{Hash: oidc.HashOf(secret), GrantID: grant.ID, RedirectURI: a.RedirectURI, ExpiresAt: grant.ExpiresAt}
	if err := p.store.SaveAuthorization(ctx, store.Authorization{Grant: grant, Code: code, Session: v.Change}); err != nil {
		return provider.Step{}, err
	}
	return provider.Step{Response: &provider.Response{Location: a.RedirectURI + "?code=" + secret + "&sub=" + v.Session.Subject}}, nil
}

func (p *fakeProvider) Deny(_ context.Context, a *provider.Authorization, subject string) *provider.Response {
	p.lastDeny.Store(subject)
	return &provider.Response{Location: a.RedirectURI + "?error=access_denied"}
}

// Device knows one device, which shows WDJB-MJHT.
func (p *fakeProvider) Device(_ context.Context, userCode, _ string) (*provider.Authorization, error) {
	if userCode != "WDJB-MJHT" {
		return nil, oidc.ErrNotFound
	}
	a, _, err := p.read(authorizeForm("app"), p.now())
	if a != nil {
		a.UserCode = userCode
	}
	return a, err
}

func (p *fakeProvider) DenyDevice(context.Context, *provider.Authorization, string) error { return nil }

// logBook is a log that tests read.
type logBook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// house is a whole Server with what it stands on.
type house struct {
	*Server
	t         *testing.T
	clock     *clock
	directory *fakeDirectory
	provider  *fakeProvider
	store     *store.Store
	logs      *logBook
}

const testIssuer = "https://sso.example.org"

func newHouse(t *testing.T, change ...func(*Options)) *house {
	t.Helper()
	h := &house{t: t, clock: newClock(), logs: &logBook{}, directory: &fakeDirectory{state: map[string]error{}}}
	log := slog.New(slog.NewTextHandler(h.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "test.db"), store.Options{Log: log, Now: h.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	h.store = db
	h.provider = &fakeProvider{store: db, now: h.clock.Now}
	assets, err := static.Load("")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := templates.Load("", templates.WithAssets(assets.URL))
	if err != nil {
		t.Fatal(err)
	}
	says := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("panic") != "" {
				panic("a secret of the request")
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, "too large", http.StatusRequestEntityTooLarge)
				return
			}
			fmt.Fprintf(w, "%s %s %d", what, r.Method, len(body))
		})
	}
	o := Options{
		Issuer: testIssuer, Provider: h.provider, Directory: h.directory, Sessions: db, Pages: pages, Static: assets,
		Endpoints: Endpoints{
			Token: says("token"), PushedAuthorization: says("par"), DeviceAuthorization: says("device authorization"), UserInfo: says("userinfo"), Introspection: says("introspection"), Revocation: says("revocation"),
			JWKS: says("jwks"), Discovery: says("discovery"),
		},
		Derive: func(purpose string, n int) []byte {
			mac := hmac.New(sha256.New, []byte("the server secret of tests"))
			mac.Write([]byte(purpose))
			return mac.Sum(nil)[:n]
		},
		Log: log, Now: h.clock.Now,
	}
	for _, f := range change {
		f(&o)
	}
	if h.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	return h
}
