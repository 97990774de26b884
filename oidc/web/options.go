package web

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/templates"
)

// Provider judges authorisation requests. *provider.Provider is one.
type Provider interface {
	Begin(r *http.Request) (*provider.Authorization, *provider.Response, error)
	Resume(ctx context.Context, form url.Values, requestedAt time.Time) (*provider.Authorization, *provider.Response, error)
	Next(ctx context.Context, a *provider.Authorization, v provider.Visitor) (provider.Step, error)
	Deny(ctx context.Context, a *provider.Authorization, subject string) *provider.Response
	Device(ctx context.Context, userCode, uiLocales string) (*provider.Authorization, error)
	DenyDevice(ctx context.Context, a *provider.Authorization, subject string) error
}

// Endpoints are the addresses that applications call themselves. All are needed
// unless it says otherwise.
type Endpoints struct {
	Token, PushedAuthorization, DeviceAuthorization, UserInfo, Introspection, Revocation, JWKS, Discovery http.Handler

	// HasIssuer says whether a client has an issuer of its own, which answers beneath
	// /oauth2/openid/ and the client's id; nil: none has.
	HasIssuer func(clientID string) bool
	// InitiateLogin says where an application begins a sign-in; nil: nobody can begin one
	// here.
	InitiateLogin func(clientID string, query url.Values) (provider.Initiation, error)

	// WebFinger answers /.well-known/webfinger; nil: nobody is told the issuer.
	WebFinger http.Handler

	// Registration answers /oauth2/register, ManageRegistration what is below it; nil if
	// clients can't register themselves.
	Registration, ManageRegistration http.Handler

	// Picture answers below /picture/; nil if there are no photos.
	Picture http.Handler
}

// Sessions keeps browser sessions. *store.Store is one; its comments say what is
// atomic.
type Sessions interface {
	Session(ctx context.Context, h oidc.Hash) (oidc.Session, error)
	SaveSession(ctx context.Context, change oidc.SessionChange) error
	TouchSession(ctx context.Context, h oidc.Hash, lastSeen time.Time) error
	EndSession(ctx context.Context, h oidc.Hash) error
}

// Authenticator tries a name and a password. Every oidc.Directory is one.
type Authenticator interface {
	Authenticate(ctx context.Context, name, password string) (*oidc.User, error)
}

// Options are all that a Server depends on.
type Options struct {
	Issuer    string // an origin: https, or http on a loopback host; no path
	Provider  Provider
	Endpoints Endpoints
	Directory Authenticator
	Sessions  Sessions
	Pages     *templates.Set
	Static    http.Handler // answers everything below /static/

	// Derive returns n secret bytes for a purpose, the same on all nodes and after
	// a restart.
	Derive func(purpose string, n int) []byte
	// Ready reports whether requests can be answered; nil means always.
	Ready func(ctx context.Context) error
	Log   *slog.Logger
	Now   func() time.Time

	// TrustedProxies are the addresses whose X-Forwarded-… and X-Request-Id
	// headers are believed.
	TrustedProxies []netip.Prefix

	SessionIdle     time.Duration // without a request for so long a session ends; 0 means 1 h
	SessionAbsolute time.Duration // a session never lasts longer; 0 means 12 h
	// SessionRemember is how long a session lasts if the person asks to be
	// remembered, whatever the idle limit; 0 means that nobody is asked.
	SessionRemember time.Duration

	Throttle ThrottleSettings
	// RegistrationRate is how often an hour one network may register or change a
	// client without an initial access token; 0 means 20.
	RegistrationRate int
}

// check completes o with its defaults and returns the parsed issuer.
func (o *Options) check() (*url.URL, error) {
	issuer, err := url.Parse(o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("web: issuer: %w", err)
	}
	switch {
	case o.Provider == nil, o.Directory == nil, o.Sessions == nil, o.Pages == nil, o.Static == nil, o.Derive == nil,
		o.Log == nil, o.Now == nil:
		return nil, errors.New("web: a dependency is missing")
	case o.Endpoints.Token == nil, o.Endpoints.UserInfo == nil, o.Endpoints.Introspection == nil,
		o.Endpoints.Revocation == nil, o.Endpoints.JWKS == nil, o.Endpoints.Discovery == nil, o.Endpoints.PushedAuthorization == nil, o.Endpoints.DeviceAuthorization == nil:
		return nil, errors.New("web: an endpoint is missing")
	case issuer.Host == "" || strings.TrimSuffix(issuer.Path, "/") != "" || issuer.RawQuery != "" || issuer.Fragment != "" || issuer.User != nil:
		return nil, errors.New("web: issuer: must be scheme and host only, as in https://sso.example.org")
	case issuer.Scheme != "https" && (issuer.Scheme != "http" || !loopbackHost(issuer.Hostname())):
		return nil, errors.New("web: issuer: must be https; http is for loopback hosts only")
	case len(o.Derive("web check", sha256.Size)) != sha256.Size:
		return nil, errors.New("web: the server secret gives too few bytes")
	case o.SessionIdle < 0 || o.SessionAbsolute < 0 || o.SessionRemember < 0:
		return nil, errors.New("web: a session cannot last less than no time")
	case o.RegistrationRate < 0:
		return nil, errors.New("web: the rate of registrations is less than none")
	}
	o.SessionIdle = orDefault(o.SessionIdle, time.Hour)
	o.SessionAbsolute = orDefault(o.SessionAbsolute, 12*time.Hour)
	if o.RegistrationRate == 0 {
		o.RegistrationRate = 20
	}
	if o.Ready == nil {
		o.Ready = func(context.Context) error { return nil }
	}
	return issuer, nil
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func loopbackHost(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
