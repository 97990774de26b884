package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
	"gatehouse/templates"
)

// pace bounds how often one network may do something, in memory, by the counts that
// sign-ins have, too.
type pace struct {
	settings ThrottleSettings
	key      []byte
	now      func() time.Time

	mu       sync.Mutex
	networks *counters[networkCount]
}

func newPace(most int, within time.Duration, key []byte, now func() time.Time) *pace {
	s := ThrottleSettings{NetworkFailures: most, Window: within}
	return &pace{settings: s, key: key, now: now, networks: newCounters(throttleEntries, throttleShared, within,
		func(n *networkCount, now time.Time) bool { return n.over(s, now) })}
}

// take counts one time, or returns how long to wait.
func (p *pace) take(from netip.Addr) time.Duration {
	mac := hmac.New(sha256.New, p.key)
	mac.Write([]byte("pace\x00" + networkOf(from)))
	key := countKey(mac.Sum(nil)[:len(countKey{})])
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	n := p.networks.get(key, now)
	if wait := n.wait(p.settings, now); wait > 0 {
		return wait
	}
	n.fail(p.settings, now)
	return 0
}

// paced holds to a pace what h does for those whom nothing vouches for. Who is too
// quick is told of too many of what; err is for the log, and refused, if it isn't nil,
// for the audit log.
func (s *Server) paced(h http.Handler, p *pace, vouched func(*http.Request) bool, what string, err error, refused func(context.Context, remote)) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		from, _ := c.Get(remoteKey).(remote)
		if !vouched(r) {
			if wait := p.take(from.client); wait > 0 {
				if refused != nil {
					refused(r.Context(), from)
				}
				return &fault{
					status: http.StatusTooManyRequests, kind: templates.ErrorThrottled, detail: "too many " + what + " from this network, try again later",
					after: wait, err: err,
				}
			}
		}
		h.ServeHTTP(c.Response(), r)
		return nil
	}
}

// registration holds registrations that nobody vouched for, and all changes, to their
// pace: each may have this server fetch something. An initial access token has a
// number of uses instead.
func (s *Server) registration(h http.Handler) echo.HandlerFunc {
	vouched := func(r *http.Request) bool { return r.Method == http.MethodPost && r.Header.Get("Authorization") != "" }
	return s.paced(h, s.pace, vouched, "registrations", errors.New("too many registrations from one network"), func(ctx context.Context, from remote) {
		oidc.Audit(ctx, s.log, oidc.EventRegistrationRefused, slog.String("reason", "too many from this network"), slog.String("remote", name(from.client)))
	})
}

// strangersPush is how many requests a minute one network may push without any proof
// of who asks.
const strangersPush = 300

// push holds what strangers can have kept to a pace: the id of a public client (RFC
// 6749, section 2.1) is known to everybody, and with it alone anybody can push
// requests, each of which is a row in the database for a while.
func (s *Server) push(h http.Handler) echo.HandlerFunc {
	return s.paced(h, s.pushPace, bringsProof, "requests", errors.New("too many requests were pushed for public clients from one network"), nil)
}

// bringsProof reports whether a request has what a client proves with who it is; if
// that is wrong, nothing is kept.
func bringsProof(r *http.Request) bool {
	if _, password, ok := r.BasicAuth(); ok && password != "" {
		return true
	}
	if !isForm(r) || r.ParseForm() != nil {
		return false
	}
	return r.PostForm.Get("client_secret") != "" || r.PostForm.Get("client_assertion") != ""
}
