package ldapstore

import (
	"context"
	"time"
)

// reading accompanies one look-up down to the connections that it uses.
type reading struct {
	sent func() // is called when the first request is about to leave

	source    *source   // what told of changes when it began; nil for nothing
	begun     time.Time // before the first request left
	elsewhere bool      // a part of the answer did not come from where the stream does
}

type readingKey struct{}

func withReading(ctx context.Context, r *reading) context.Context {
	return context.WithValue(ctx, readingKey{}, r)
}

// sending notes that a request is about to leave on a connection to a server.
func sending(ctx context.Context, s *server, c *conn) {
	r, ok := ctx.Value(readingKey{}).(*reading)
	if !ok {
		return
	}
	if r.sent != nil {
		r.sent()
		r.sent = nil
	}
	if r.source != nil && (r.source.server != s || r.source.peer != c.peer) {
		r.elsewhere = true
	}
}
