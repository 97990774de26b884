package provider_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/store"
)

// startPush runs a Push until the test ends.
func startPush(t *testing.T, h *house) *provider.Push {
	t.Helper()
	q := h.provider.NewPush(h.store)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return q
}

// session gives a person a session and returns its hash.
func (h *house) session(subject string) oidc.Hash {
	h.t.Helper()
	hash := oidc.HashOf(oidc.NewSecret(""))
	err := h.store.SaveSession(h.t.Context(), oidc.SessionChange{Hash: hash, Session: oidc.Session{
		ID: oidc.NewID(), Subject: subject, AuthTime: h.clock.Now(), LastSeenAt: h.clock.Now(), ExpiresAt: h.clock.Now().Add(time.Hour),
	}})
	if err != nil {
		h.t.Fatal(err)
	}
	return hash
}

func (h *house) hasSession(hash oidc.Hash) bool {
	_, err := h.store.Session(h.t.Context(), hash)
	if err != nil && !errors.Is(err, oidc.ErrNotFound) {
		h.t.Fatal(err)
	}
	return err == nil
}

// held returns how many grants of a person at a client hold. It asks the store, so
// that nothing but a push can have ended one.
func (h *house) held(subject, client string) int {
	h.t.Helper()
	grants, err := h.store.Grants(h.t.Context(), store.GrantFilter{Subject: subject, ClientID: client, Active: true}, h.clock.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return len(grants)
}

func (h *house) eventually(what string, holds func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("it never happened that %s", what)
		}
	}
}

// stays makes sure that something holds for longer than a push takes.
func (h *house) stays(what string, holds func() bool) {
	h.t.Helper()
	for until := time.Now().Add(800 * time.Millisecond); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if !holds() {
			h.t.Fatalf("it did not stay so that %s", what)
		}
	}
}

func TestWhatTheDirectoryTakesAwayEndsAtOnce(t *testing.T) {
	t.Parallel()
	const subject = "uuid-alice"
	leave := func(u *oidc.User) { u.Groups = nil }
	for name, c := range map[string]struct {
		change  func(h *house, q *provider.Push)
		club    int  // grants at the client that wants a group
		app     int  // and at the one that doesn't
		session bool // the session goes on
	}{
		"disabled": {func(h *house, q *provider.Push) {
			h.people.Change(subject, func(u *oidc.User) { u.State = oidc.StateDisabled })
			q.Person(subject)
		}, 0, 0, false},
		"expired": {func(h *house, q *provider.Push) {
			h.people.Change(subject, func(u *oidc.User) { u.State = oidc.StateExpired })
			q.Anyone(nil)
		}, 0, 0, false},
		"deleted":                {func(h *house, q *provider.Push) { h.people.Remove(subject); q.Person(subject) }, 0, 0, false},
		"deleted, not by name":   {func(h *house, q *provider.Push) { h.people.Remove(subject); q.Anyone(nil) }, 0, 0, false},
		"out of the group":       {func(h *house, q *provider.Push) { h.people.Change(subject, leave); q.Anyone([]string{subject}) }, 0, 1, true},
		"out of it, not by name": {func(h *house, q *provider.Push) { h.people.Change(subject, leave); q.Anyone(nil) }, 0, 1, true},
		"nothing of importance": {func(h *house, q *provider.Push) {
			h.people.Change(subject, func(u *oidc.User) { u.DN = "uid=x" })
			q.Person(subject)
			q.Anyone(nil)
		}, 1, 1, true},
		"can't tell": {func(h *house, q *provider.Push) {
			h.people.Remove(subject)
			h.people.SetDown(true)
			q.Person(subject)
			q.Anyone(nil)
		}, 1, 1, true},
		"somebody else": {func(h *house, q *provider.Push) {
			h.people.Remove("uuid-bob")
			q.Person("uuid-bob")
			q.Person("unknown")
		}, 1, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.addClient("club", func(c *oidc.Client) { c.AllowedGroups = []oidc.DN{staff} })
			app := h.tokens()
			club := h.post(h.provider.Token(), exchange(h.code(request("client_id", "club"))), "club", "secret-of-club")
			if club.Status != http.StatusOK {
				t.Fatalf("no tokens: %v", club.Body)
			}
			session := h.session(subject)
			q := startPush(t, h)
			begin := time.Now()
			c.change(h, q)
			as := func() bool {
				return h.held(subject, "club") == c.club && h.held(subject, "app") == c.app && h.hasSession(session) == c.session
			}
			h.eventually("it is as it should be", as)
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
			h.stays("it is as it should be", as)
			h.people.SetDown(false)
			if c.app == 0 {
				if got := h.introspect(app.text("access_token")); got.Body["active"] != false {
					t.Errorf("the access token is still good: %v", got.Body)
				}
				if got := h.post(h.provider.Token(), refresh(app.text("refresh_token"))); got.text("error") != "invalid_grant" {
					t.Errorf("the refresh token is still good: %v", got.Body)
				}
			}
		})
	}
}

// TestALossThatPassesEndsNothing: while a directory follows up on a rename its
// answers are wrong for a moment.
func TestALossThatPassesEndsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) { c.AllowedGroups = []oidc.DN{staff} })
	h.tokens()
	session := h.session("uuid-alice")
	q := startPush(t, h)
	var looks atomic.Int32
	h.people.BeforeAnswer(func() {
		if looks.Add(1) == 2 {
			h.people.Add(alice(), "secret")
		}
	})
	h.people.Remove("uuid-alice")
	q.Person("uuid-alice")
	h.eventually("it was looked at twice", func() bool { return looks.Load() == 2 })
	h.stays("nothing has ended", func() bool { return h.held("uuid-alice", "app") == 1 && h.hasSession(session) })
}

func TestTheAuditLogTellsWhatAPushEnded(t *testing.T) {
	t.Parallel()
	var log syncBuffer
	h := newHouse(t, func(o *provider.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	h.tokens()
	h.session("uuid-alice")
	q := startPush(t, h)
	h.people.Remove("uuid-alice")
	q.Person("uuid-alice")
	h.eventually("the end is told", func() bool {
		text := log.String()
		return strings.Contains(text, "event=revoked") && strings.Contains(text, "event=sign_out") && strings.Contains(text, "not in the directory")
	})
	if strings.Contains(log.String(), "Archer") {
		t.Errorf("the log has a name: %s", log.String())
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// TestMoreChangesThanCanWaitAreNotLost has the directory change faster than people
// can be looked at.
func TestMoreChangesThanCanWaitAreNotLost(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.tokens()
	h.people.Remove("uuid-alice")
	q := h.provider.NewPush(h.store)
	for i := range 30_000 {
		q.Person(fmt.Sprint("somebody ", i))
	}
	q.Person("uuid-alice") // for whom there is no room
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		q.Run(ctx)
	}()
	h.eventually("alice's grant has ended", func() bool { return h.held("uuid-alice", "app") == 0 })
	stop()
	<-done
}
