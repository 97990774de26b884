package oidc

import (
	"context"
	"log/slog"
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

type requestIDKey struct{}

// WithRequestID returns a context that carries the id of one HTTP request.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id put there by WithRequestID, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
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
