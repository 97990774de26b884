package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

// Server answers every address. It is safe for concurrent use.
type Server struct {
	Options
	log         *slog.Logger
	now         func() time.Time
	issuer      *url.URL
	cookies     cookies
	sealer      *sealer
	throttle    *throttle
	pace        *pace // of registrations
	pushPace    *pace // of requests pushed by who proves nothing
	devicePace  *pace
	crossOrigin *http.CrossOriginProtection
	watch       *forwardWatch
	readiness   readiness
	changer     oidc.PasswordChanger // nil where the directory changes no passwords
	proofs      *proofs
	echo        *echo.Echo
}

// New builds a Server, or says which part of Options is missing or wrong.
func New(o Options) (*Server, error) {
	issuer, err := o.check()
	if err != nil {
		return nil, err
	}
	limiter, err := newThrottle(o.Throttle, o.Derive("throttle", 32), o.Now)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Options: o, log: o.Log, now: o.Now, issuer: issuer,
		cookies:     cookies{secure: issuer.Scheme == "https"},
		sealer:      &sealer{key: o.Derive("pending", 32), now: o.Now},
		throttle:    limiter,
		pushPace:    newPace(strangersPush, time.Minute, o.Derive("throttle", 32), o.Now),
		pace:        newPace(o.RegistrationRate, time.Hour, o.Derive("throttle", 32), o.Now),
		devicePace:  newPace(deviceStarts, 15*time.Minute, o.Derive("throttle", 32), o.Now),
		crossOrigin: http.NewCrossOriginProtection(),
		watch:       &forwardWatch{issuer: issuer, proxies: o.TrustedProxies, log: o.Log, now: o.Now, last: make(map[string]time.Time)},
	}
	s.changer, _ = o.Directory.(oidc.PasswordChanger)
	s.proofs = &proofs{now: o.Now, kept: make(map[oidc.Hash]proof)}
	// Behind a proxy that doesn't pass the Host header on, our own Origin looks
	// like another's when an older browser sends no Sec-Fetch-Site.
	if err := s.crossOrigin.AddTrustedOrigin(issuer.Scheme + "://" + issuer.Host); err != nil {
		return nil, err
	}
	s.echo = s.routes()
	return s, nil
}

// Handler returns the handler of all addresses.
func (s *Server) Handler() http.Handler { return s.echo }

// HTTPServer returns a server with time-outs and limits set, so that slow or
// endless senders hold nothing for long. The caller listens and shuts it down.
func (s *Server) HTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

func (s *Server) routes() *echo.Echo {
	e := echo.New()
	e.HTTPErrorHandler = s.handleError
	e.Use(s.observe, limit)

	e.GET("/signin", s.resume)
	e.POST("/signin", s.signIn)
	e.GET("/consent", s.resume)
	e.POST("/consent", s.consent)
	e.GET("/password", s.resume)
	e.POST("/password", s.password)
	for _, path := range []string{"/signin", "/consent", "/password"} {
		e.HEAD(path, nothing) // GET can issue a code here, and HEAD must not
	}
	readable(e, provider.PathDevice, s.userCodePage)
	e.POST(provider.PathDevice, s.userCode)
	readable(e, provider.PathDeviceQR, s.deviceQR)
	readable(e, "/signout", s.signOutPage)
	e.POST("/signout", s.signOut)

	s.protocol(e, "/oauth2")
	readable(e, "/.well-known/openid-configuration", asGet(s.Endpoints.Discovery))
	preflights(e, "/.well-known/openid-configuration", "OPTIONS, GET, HEAD", s.Endpoints.Discovery)
	readable(e, "/.well-known/oauth-authorization-server", asGet(s.Endpoints.Discovery)) // RFC 8414, section 3
	s.clientIssuers(e)
	if s.Endpoints.InitiateLogin != nil {
		readable(e, provider.PathLogin+"/:client", s.initiate)
	}
	if s.Endpoints.WebFinger != nil {
		readable(e, provider.PathWebFinger, asGet(s.Endpoints.WebFinger))
		preflights(e, provider.PathWebFinger, "OPTIONS, GET, HEAD", s.Endpoints.WebFinger)
	}

	ends := s.Endpoints
	if ends.Registration != nil {
		e.POST(provider.PathRegister, s.registration(ends.Registration))
		readable(e, provider.PathRegister+"/:id", asGet(ends.ManageRegistration))
		e.PUT(provider.PathRegister+"/:id", s.registration(ends.ManageRegistration))
		e.DELETE(provider.PathRegister+"/:id", echo.WrapHandler(ends.ManageRegistration))
	}
	if ends.Picture != nil {
		readable(e, provider.PathPicture+"*", asGet(ends.Picture))
	}
	readable(e, "/static/*", echo.WrapHandler(s.Static))
	readable(e, "/healthz", s.healthz)
	readable(e, "/readyz", s.readyz)
	return e
}

// protocol registers what the addresses of an issuer answer, beneath base.
func (s *Server) protocol(e *echo.Echo, base string, m ...echo.MiddlewareFunc) {
	ends := s.Endpoints
	e.GET(base+"/authorize", s.authorize, m...)
	e.POST(base+"/authorize", s.authorize, m...)
	e.HEAD(base+"/authorize", nothing, m...) // GET can issue a code here, and HEAD must not
	e.POST(base+"/token", echo.WrapHandler(ends.Token), m...)
	e.POST(base+"/par", s.push(ends.PushedAuthorization), m...)
	e.POST(base+"/device_authorization", s.startDevice(ends.DeviceAuthorization), m...)
	e.POST(base+"/introspect", echo.WrapHandler(ends.Introspection), m...)
	e.POST(base+"/revoke", echo.WrapHandler(ends.Revocation), m...)
	e.POST(base+"/userinfo", echo.WrapHandler(ends.UserInfo), m...)
	readable(e, base+"/userinfo", asGet(ends.UserInfo), m...)
	readable(e, base+"/jwks", asGet(ends.JWKS), m...)
	preflights(e, base+"/token", "OPTIONS, POST", ends.Token, m...)
	preflights(e, base+"/par", "OPTIONS, POST", ends.PushedAuthorization, m...)
	preflights(e, base+"/device_authorization", "OPTIONS, POST", ends.DeviceAuthorization, m...)
	preflights(e, base+"/revoke", "OPTIONS, POST", ends.Revocation, m...)
	preflights(e, base+"/userinfo", "OPTIONS, GET, HEAD, POST", ends.UserInfo, m...)
	preflights(e, base+"/jwks", "OPTIONS, GET, HEAD", ends.JWKS, m...)
}

// clientIssuers registers the addresses of the clients' own issuers. Discovery is
// found the way of OpenID Connect Discovery 1.0, section 4, and that of RFC 8414,
// section 3.1, which puts the issuer's path behind the well-known one.
func (s *Server) clientIssuers(e *echo.Echo) {
	if s.Endpoints.HasIssuer == nil {
		return
	}
	const base = "/oauth2/openid/:client"
	s.protocol(e, base, s.atClient)
	readable(e, base+"/public_key.jwk", asGet(s.Endpoints.JWKS), s.atClient)
	preflights(e, base+"/public_key.jwk", "OPTIONS, GET, HEAD", s.Endpoints.JWKS, s.atClient)
	for _, document := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		for _, path := range []string{base + document, document + base} {
			readable(e, path, asGet(s.Endpoints.Discovery), s.atClient)
			preflights(e, path, "OPTIONS, GET, HEAD", s.Endpoints.Discovery, s.atClient)
		}
	}
}

// atClient notes whose issuer a request is addressed to.
func (s *Server) atClient(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		id := c.Param("client")
		if !s.Endpoints.HasIssuer(id) {
			return echo.ErrNotFound
		}
		c.SetRequest(c.Request().WithContext(provider.At(c.Request().Context(), id)))
		return next(c)
	}
}

// readable registers a handler for GET and HEAD; net/http leaves the body of an
// answer to HEAD out.
func readable(e *echo.Echo, path string, h echo.HandlerFunc, m ...echo.MiddlewareFunc) {
	e.GET(path, h, m...)
	e.HEAD(path, h, m...)
}

// preflights hands the questions of browsers before a script's request to whoever
// answers the request; any other OPTIONS is told the methods (RFC 9110, section 9.3.7).
func preflights(e *echo.Echo, path, allow string, h http.Handler, m ...echo.MiddlewareFunc) {
	e.OPTIONS(path, func(c echo.Context) error {
		c.Response().Header().Set("Allow", allow)
		if c.Request().Header.Get("Access-Control-Request-Method") == "" {
			return c.NoContent(http.StatusNoContent)
		}
		h.ServeHTTP(c.Response(), c.Request())
		return nil
	}, m...)
}

// asGet shows HEAD to a handler as GET, so that it needs to know one method only.
func asGet(h http.Handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Method == http.MethodHead {
			r = r.Clone(r.Context())
			r.Method = http.MethodGet
		}
		h.ServeHTTP(c.Response(), r)
		return nil
	}
}

// nothing answers HEAD where GET would act.
func nothing(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	return c.NoContent(http.StatusOK)
}

// healthz says that the process runs.
func (s *Server) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]string{"status": "ok"})
}

// readyz says whether requests can be answered. Why not is in the log: the answer
// is for anybody.
func (s *Server) readyz(c echo.Context) error {
	if err := s.readiness.look(c.Request().Context(), s.Ready, s.now); err != nil {
		s.log.LogAttrs(c.Request().Context(), slog.LevelWarn, "not ready", slog.String("error", err.Error()))
		c.Response().Header().Set("Retry-After", "5")
		return c.JSON(http.StatusServiceUnavailable, s.status(c.Request(), "unavailable"))
	}
	return c.JSON(http.StatusOK, s.status(c.Request(), "ready"))
}

// status is the body of readyz. The doctor learns more.
func (s *Server) status(r *http.Request, text string) map[string]any {
	body := map[string]any{"status": text}
	if s.fromDoctor(r) {
		body["seen"] = s.seen(r)
	}
	return body
}

// readiness remembers for a second what Ready said: asking costs the directory a
// search, and anybody may ask.
type readiness struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// look asks again if the last answer is old. One asker's hanging up must not be
// told to the others as an outage, so its context does not reach Ready.
func (r *readiness) look(ctx context.Context, ready func(context.Context) error, now func() time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now().Sub(r.at); age >= 0 && age < time.Second {
		return r.err
	}
	asking, cancel := detached(ctx)
	defer cancel()
	r.err = ready(asking)
	r.at = now()
	return r.err
}
