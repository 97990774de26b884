package ldapstore

import "context"

// reading accompanies one look-up down to the connections that it uses.
type reading struct {
	sent func() // is called when the first request is about to leave
}

type readingKey struct{}

func withReading(ctx context.Context, r *reading) context.Context {
	return context.WithValue(ctx, readingKey{}, r)
}

// sending notes that a request is about to leave on a connection.
func sending(ctx context.Context) {
	if r, ok := ctx.Value(readingKey{}).(*reading); ok && r.sent != nil {
		r.sent()
		r.sent = nil
	}
}
