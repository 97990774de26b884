package provider

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/ory/fosite"

	"gatehouse/oidc"
)

// Error is a protocol error: a code registered by an RFC, a description in plain
// ASCII that says nothing a stranger could use and echoes nothing that was sent,
// and the cause for the log.
type Error struct {
	Code        string
	Description string
	Status      int           // HTTP status at endpoints that clients call
	RetryAfter  time.Duration // how long to wait before the next try, 0 for no word about it
	Err         error
}

// Error returns code and cause, for the log.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Code + ": " + e.Err.Error()
	}
	return e.Code + ": " + e.Description
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func fail(code, description string) *Error {
	return &Error{Code: code, Description: description, Status: statusOf(code)}
}

func (e *Error) because(err error) *Error {
	e.Err = err
	return e
}

func statusOf(code string) int {
	switch code {
	case "invalid_client", "invalid_token":
		return http.StatusUnauthorized
	case "insufficient_scope":
		return http.StatusForbidden
	case "temporarily_unavailable":
		return http.StatusServiceUnavailable
	case "server_error":
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// asError turns whatever went wrong into a protocol error. What fosite says is
// reduced to its code, since its hints repeat what was sent.
func asError(err error) *Error {
	var ours *Error
	if errors.As(err, &ours) {
		return ours
	}
	if errors.Is(err, oidc.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fail("temporarily_unavailable", "the server cannot answer right now, try again").because(err)
	}
	var theirs *fosite.RFC6749Error
	if errors.As(err, &theirs) {
		if description, ok := fositeDescriptions[theirs.ErrorField]; ok {
			return fail(theirs.ErrorField, description).because(errors.New(theirs.GetDescription()))
		}
	}
	return fail("server_error", "the server met an unexpected condition").because(err)
}

// fositeDescriptions are the errors that fosite's own parsing can return, in our
// words.
var fositeDescriptions = map[string]string{
	"invalid_request":            "a parameter is missing, malformed or given twice",
	"invalid_client":             "client authentication failed",
	"invalid_grant":              "the grant is not valid",
	"invalid_scope":              "a requested scope is not valid",
	"unauthorized_client":        "the client may not use this method",
	"unsupported_grant_type":     "the grant type is not supported",
	"unsupported_response_type":  "the response type is not supported for this client",
	"unsupported_response_mode":  "the response mode is not supported for this client",
	"request_not_supported":      "request objects are not supported",
	"request_uri_not_supported":  "request_uri is not supported",
	"registration_not_supported": "the registration parameter is not supported",
}

// writeError answers a client's own request (RFC 6749, section 5.2).
func (p *Provider) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	level := slog.LevelInfo
	if e.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	p.Log.LogAttrs(r.Context(), level, "request refused", slog.String("request_id", oidc.RequestID(r.Context())),
		slog.String("path", r.URL.Path), slog.String("error", e.Code), slog.String("cause", e.Error()))
	h := w.Header()
	switch e.Status {
	case http.StatusUnauthorized:
		if e.Code == "invalid_client" { // RFC 6749, section 5.2
			h.Set("WWW-Authenticate", `Basic realm="gatehouse"`)
		} else { // RFC 6750, section 3
			h.Set("WWW-Authenticate", `Bearer realm="gatehouse", error="`+e.Code+`", error_description="`+e.Description+`"`)
		}
	case http.StatusForbidden:
		h.Set("WWW-Authenticate", `Bearer realm="gatehouse", error="`+e.Code+`"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((e.RetryAfter+time.Second-1)/time.Second), 10))
	}
	writeJSON(w, e.Status, map[string]string{"error": e.Code, "error_description": e.Description})
}

// writeJSON answers with JSON that nobody may keep (RFC 6749, section 5.1).
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	write(w, status, "application/json", body)
}

func write(w http.ResponseWriter, status int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(body) //nolint:gosec // G705: JSON or a JWT by its type, never HTML; the client has gone if this fails
}
