package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/templates"
)

// fault is an error together with what a person may see of it. Its Error text
// goes to the log only.
type fault struct {
	status    int
	kind      templates.ErrorKind
	detail    string               // shown; our own words, never what was sent
	client    templates.ClientInfo // shown, where known
	uiLocales string               // of the request, where known
	after     time.Duration        // Retry-After, 0 for none
	err       error
}

// Error returns the cause, for the log.
func (f *fault) Error() string {
	if f.err == nil {
		return string(f.kind)
	}
	return f.err.Error()
}

// Unwrap returns the cause.
func (f *fault) Unwrap() error { return f.err }

// asFault decides what an error means to whoever sent the request.
func asFault(err error) *fault {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	var page *provider.PageError
	if errors.As(err, &page) {
		return pageFault(page)
	}
	var large *http.MaxBytesError
	var he *echo.HTTPError
	switch {
	case errors.As(err, &large):
		return &fault{status: http.StatusRequestEntityTooLarge, kind: templates.ErrorTooLarge, err: err}
	case errors.As(err, &he):
		return echoFault(he)
	case errors.Is(err, oidc.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable(err)
	}
	return &fault{status: http.StatusInternalServerError, kind: templates.ErrorInternal, err: err}
}

// unavailable is the answer "can't tell": nothing is lost, trying again helps.
func unavailable(err error) *fault {
	return &fault{
		status: http.StatusServiceUnavailable, kind: templates.ErrorDirectoryUnavailable,
		after: 5 * time.Second, err: err,
	}
}

// pageFault is a request that must not be answered by a redirect.
func pageFault(e *provider.PageError) *fault {
	f := &fault{status: http.StatusBadRequest, client: templates.ClientInfo{ID: e.ClientID}, err: e}
	switch e.Kind {
	case provider.PageUnknownClient:
		f.kind, f.detail = templates.ErrorUnknownClient, "client_id names no application that is registered here"
	case provider.PageRedirectMismatch:
		f.kind, f.detail = templates.ErrorRedirectMismatch, "redirect_uri is not registered for this application"
	case provider.PageInvalidRequest:
		f.kind, f.detail = templates.ErrorInvalidRequest, "client_id or redirect_uri is missing or malformed"
	default:
		f.kind = templates.ErrorInvalidRequest
	}
	return f
}

func echoFault(e *echo.HTTPError) *fault {
	f := &fault{status: e.Code, kind: templates.ErrorInternal, err: e}
	switch {
	case e.Code == http.StatusNotFound:
		f.kind = templates.ErrorNotFound
	case e.Code == http.StatusMethodNotAllowed:
		f.kind = templates.ErrorMethod
	case e.Code == http.StatusRequestEntityTooLarge:
		f.kind = templates.ErrorTooLarge
	case e.Code >= 400 && e.Code < 500:
		f.kind = templates.ErrorInvalidRequest
	}
	return f
}

// handleError is the one place where an error becomes a page, or JSON for
// applications. It is called once a request, after which the error is logged.
func (s *Server) handleError(err error, c echo.Context) {
	if c.Response().Committed {
		return // the answer has begun: all that is left is the log
	}
	f := asFault(err)
	if f.after > 0 {
		c.Response().Header().Set("Retry-After", seconds(f.after))
	}
	var failed error
	if wantsJSON(c.Request()) {
		failed = c.JSON(f.status, map[string]string{
			"error": errorCode(f), "error_description": errorDescription(f), "request_id": oidc.RequestID(c.Request().Context()),
		})
	} else {
		failed = s.errorPage(c, f)
	}
	if failed != nil {
		s.log.LogAttrs(c.Request().Context(), slog.LevelError, "cannot show an error", slog.String("error", failed.Error()))
		if !c.Response().Committed {
			_ = c.String(http.StatusInternalServerError, "Internal error\n") // the connection is gone if this fails
		}
	}
}

// wantsJSON reports whether a program is asking rather than a person.
func wantsJSON(r *http.Request) bool {
	path := r.URL.Path
	if strings.HasPrefix(path, "/oauth2/") && path != "/oauth2/authorize" || strings.HasPrefix(path, "/.well-known/") ||
		path == "/healthz" || path == "/readyz" {
		return true
	}
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// errorCode returns the code of RFC 6749, section 5.2, that fits best.
func errorCode(f *fault) string {
	switch {
	case f.status == http.StatusNotFound:
		return "not_found"
	case f.status == http.StatusServiceUnavailable, f.status == http.StatusTooManyRequests:
		return "temporarily_unavailable"
	case f.status >= http.StatusInternalServerError:
		return "server_error"
	}
	return "invalid_request"
}

func errorDescription(f *fault) string {
	if f.detail != "" {
		return f.detail
	}
	return strings.ToLower(http.StatusText(f.status))
}

// seconds returns d for Retry-After, rounded up.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
