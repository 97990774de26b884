package ldapstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/demodir"
	"gatehouse/oidc"
)

// heldOffice is the embedded directory with one connection to it. Its answers can
// be held back once they are decided: the entry is sent, the end is not.
type heldOffice struct {
	*demodir.Server
	d      *ldapstore.Directory
	people atomic.Int64 // searches for a person
	id     string       // of amelie
}

func startHeld(t *testing.T) *heldOffice {
	h := &heldOffice{}
	s, o := office(t, demodir.Options{Observe: func(op demodir.Operation) {
		if op.Kind == demodir.Search && strings.Contains(op.Filter, "entryUUID=") {
			h.people.Add(1)
		}
	}})
	o.PoolSize = 1
	h.Server, h.d = s, open(t, o)
	h.id = mustUser(t, h.d, "amelie").ID
	return h
}

// hold sends a look-up whose answer is decided and comes late.
func (h *heldOffice) hold(t *testing.T, answer func(*oidc.User, error)) {
	t.Helper()
	var held atomic.Bool
	h.Faults.Set(demodir.Search, demodir.Fault{Trouble: demodir.Delay, Wait: 300 * time.Millisecond, AfterEntries: 1, Times: 1, When: func(demodir.Operation) bool {
		held.Store(true)
		return true
	}})
	go func() { answer(h.d.User(t.Context(), h.id)) }()
	eventually(t, "the look-up is under way", held.Load)
}

func TestConcurrentLookUpsOfOnePersonShareOneThatWaits(t *testing.T) {
	t.Parallel()
	h := startHeld(t)
	var wg sync.WaitGroup
	wg.Add(1)
	h.hold(t, func(_ *oidc.User, err error) {
		defer wg.Done()
		if err != nil {
			t.Error(err)
		}
	})
	before := h.people.Load() // the held one is among them
	for range 50 {
		wg.Go(func() {
			u, err := h.d.User(t.Context(), h.id)
			if err != nil || u.Username != "amelie" || len(u.Groups) == 0 {
				t.Errorf("got %+v, %v", u, err)
				return
			}
			u.Username = "mine to change"
		})
	}
	eventually(t, "the others wait for one of them", func() bool { return ldapstore.Followers(h.d) == 49 })
	wg.Wait()
	if n := h.people.Load() - before; n != 1 {
		t.Errorf("fifty look-ups that waited together made %d searches for the person, want 1", n)
	}
}

// TestALookUpUnderWayIsNeverJoined deletes a person while an answer that has
// them is on its way: whoever asks after the deletion hears of it.
func TestALookUpUnderWayIsNeverJoined(t *testing.T) {
	t.Parallel()
	h := startHeld(t)
	dn := mustUser(t, h.d, "amelie").DN
	var wg sync.WaitGroup
	wg.Add(1)
	h.hold(t, func(*oidc.User, error) { wg.Done() })
	if err := h.Delete(dn); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		wg.Go(func() {
			if u, err := h.d.User(t.Context(), h.id); !errors.Is(err, oidc.ErrNotFound) {
				t.Errorf("after the deletion: %v, %v", u, err)
			}
		})
	}
	wg.Wait()
}

func TestWhoeverWaitsIsNotLetDownByOneWhoLeaves(t *testing.T) {
	t.Parallel()
	h := startHeld(t)
	var wg sync.WaitGroup
	wg.Add(1)
	h.hold(t, func(*oidc.User, error) { wg.Done() })
	leader, leave := context.WithCancel(t.Context())
	wg.Go(func() {
		if _, err := h.d.User(leader, h.id); !isUnavailable(err) {
			t.Errorf("the one who left got %v", err)
		}
	})
	eventually(t, "somebody waits for a connection", func() bool { return ldapstore.Flights(h.d) == 1 })
	for range 10 {
		wg.Go(func() {
			if _, err := h.d.User(t.Context(), h.id); err != nil {
				t.Errorf("a follower got %v", err)
			}
		})
	}
	eventually(t, "others wait with them", func() bool { return ldapstore.Followers(h.d) == 10 })
	leave()
	wg.Wait()
	if n := ldapstore.Flights(h.d); n != 0 {
		t.Errorf("%d look-ups are left over", n)
	}
}
