package oidc

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
)

// Event names what an audit line tells of.
type Event string

// The events of the audit log.
const (
	EventSignIn        Event = "sign_in"
	EventSignInRefused Event = "sign_in_refused"
	EventSignOut       Event = "sign_out"
	EventPassword      Event = "password_changed"
	EventPasswordKept  Event = "password_change_refused"
	EventAccessRefused Event = "access_refused"
	EventConsent       Event = "consent"
	EventConsentDenied Event = "consent_denied"
	EventCodeIssued    Event = "code_issued"
	EventDeviceIssued  Event = "device_code_issued"
	EventDeviceAllowed Event = "device_allowed"
	EventUserCode      Event = "user_code_refused"
	EventTokenIssued   Event = "token_issued"
	EventTokenChecked  Event = "token_checked" // for another program, see local_socket
	EventTokenRefused  Event = "token_refused"
	EventRevoked       Event = "revoked"
	EventReuse         Event = "reuse_detected"
	EventChange        Event = "change" // by an operator's command

	EventRegistered          Event = "client_registered"
	EventRegistrationChanged Event = "client_registration_changed"
	EventRegistrationEnded   Event = "client_registration_ended"
	EventRegistrationRefused Event = "client_registration_refused"
	EventKeyRotated          Event = "key_rotated" // by time
	EventKeyRetired          Event = "key_retired" // likewise
)

type (
	requestIDKey struct{}
	remoteKey    struct{}
)

// WithRequestID returns a context that carries the id of one HTTP request.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id put there by WithRequestID, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// WithRemote returns a context that carries the address that one HTTP request came
// from, as far as proxies can be believed.
func WithRemote(ctx context.Context, from netip.Addr) context.Context {
	return context.WithValue(ctx, remoteKey{}, from)
}

// Remote returns the address put there by WithRemote, or the zero Addr.
func Remote(ctx context.Context) netip.Addr {
	from, _ := ctx.Value(remoteKey{}).(netip.Addr)
	return from
}

// RefusalAttrs says for the audit log who was refused at a sign-in, why, and what
// caused it. The typed name is not in it: people type passwords into its field.
func RefusalAttrs(err error) []slog.Attr {
	var attrs []slog.Attr
	var refused *SignInError
	var waiting *ThrottledError
	throttledBy := errors.As(err, &waiting)
	cause := err
	switch {
	case errors.As(err, &refused):
		if refused.Subject != "" {
			attrs = append(attrs, slog.String("subject", refused.Subject))
		}
		attrs = append(attrs, slog.String("reason", string(refused.Reason)))
		cause = refused.Err
	case throttledBy:
		attrs = append(attrs, slog.String("reason", string(ReasonThrottled)))
	default:
		attrs = append(attrs, slog.String("reason", "unavailable"))
	}
	switch {
	case throttledBy:
		attrs = append(attrs, slog.String("throttled_by", waiting.By))
	case cause != nil:
		attrs = append(attrs, slog.String("cause", cause.Error()))
	}
	return attrs
}

// Audit writes one line of the audit log. Attributes name clients, directory
// ids, reasons and scopes; never a name, a group, a secret or a claim.
func Audit(ctx context.Context, log *slog.Logger, event Event, attrs ...slog.Attr) {
	line := make([]slog.Attr, 0, len(attrs)+2)
	line = append(line, slog.String("event", string(event)))
	if id := RequestID(ctx); id != "" {
		line = append(line, slog.String("request_id", id))
	}
	log.LogAttrs(ctx, slog.LevelInfo, "audit", append(line, attrs...)...)
}
