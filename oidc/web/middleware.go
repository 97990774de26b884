package web

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
)

// remoteKey is where observe leaves the remote in echo's context.
const remoteKey = "remote"

// errPanic marks a handler that panicked.
var errPanic = errors.New("panic")

// observe gives a request its id, catches panics, has errors answered, and writes
// the one log line of the request.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := s.now()
		from := resolveRemote(c.Request(), s.TrustedProxies)
		id := requestID(c.Request(), from.trusted)
		r := c.Request().WithContext(oidc.WithRemote(oidc.WithRequestID(c.Request().Context(), id), from.client))
		c.SetRequest(r)
		c.Set(remoteKey, from)
		s.securityHeaders(c.Response().Header())
		c.Response().Header().Set("X-Request-Id", id)
		if c.Path() != "/healthz" && c.Path() != "/readyz" {
			s.watch.look(r)
		}
		err := s.guard(next, c)
		if errors.Is(err, http.ErrAbortHandler) {
			panic(http.ErrAbortHandler) // net/http's own way to break off an answer
		}
		if err != nil {
			s.handleError(err, c)
		}
		s.logRequest(c, from, s.now().Sub(start), err)
		return nil
	}
}

// guard turns a panic into an error: one request fails, not the server.
func (s *Server) guard(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		switch p := recover(); {
		case p == nil:
		case p == http.ErrAbortHandler: //nolint:errorlint // a panic's value is compared, not an error chain
			err = http.ErrAbortHandler
		default:
			// The value is left out: it can hold what was sent.
			s.log.LogAttrs(c.Request().Context(), slog.LevelError, "a handler panicked",
				slog.String("request_id", oidc.RequestID(c.Request().Context())), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("%w: %T", errPanic, p)
		}
	}()
	return next(c)
}

func (s *Server) logRequest(c echo.Context, from remote, took time.Duration, err error) {
	r, w := c.Request(), c.Response()
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs,
		slog.String("request_id", oidc.RequestID(r.Context())), slog.String("method", shorten(r.Method)), slog.String("route", c.Path()),
		slog.Int("status", w.Status), slog.Duration("duration", took), slog.Int64("bytes", w.Size), slog.String("remote", name(from.client)))
	if c.Path() == "" { // nothing of ours: the path shows a proxy that cuts or adds a prefix
		attrs = append(attrs, slog.String("path", shorten(r.URL.Path)))
	}
	level := slog.LevelInfo
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
		if w.Status >= http.StatusInternalServerError && r.Context().Err() == nil { // else it is who asked that has gone
			level = slog.LevelError
		}
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

// requestID returns the id that our own proxy gave the request, or a new one.
func requestID(r *http.Request, trusted bool) string {
	if id := r.Header.Get("X-Request-Id"); trusted && id != "" && len(id) <= 64 &&
		strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == "" {
		return id
	}
	return oidc.NewID()
}

// securityHeaders sets what every answer carries; pages widen the policy for what
// they show, and flow answers drop the opener policy.
func (s *Server) securityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentPolicy(nil, nil))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// Not no-referrer: with it browsers send "Origin: null" with our own forms,
	// and the check of Origin would refuse them (Fetch standard, section 3.2).
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", "no-store")
	if s.cookies.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// contentPolicy allows our own styles and images, forms to ourselves, and what is
// named: origins of images, and where a form's answer may redirect to.
func contentPolicy(images, forms []string) string {
	list := func(more []string) string {
		if len(more) == 0 {
			return ""
		}
		return " " + strings.Join(more, " ")
	}
	return "default-src 'none'; style-src 'self'; img-src 'self' data:" + list(images) + "; form-action 'self'" + list(forms) +
		"; base-uri 'none'; frame-ancestors 'none'"
}
