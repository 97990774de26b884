package ldapstore_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/demodir"
	"gatehouse/oidc"
)

// office starts the embedded directory, whose faults can be switched on.
func office(t *testing.T, o demodir.Options) (*demodir.Server, ldapstore.Options) {
	t.Helper()
	s, err := demodir.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, ldapstore.Options{
		URL: []string{s.URL}, BaseDN: s.BaseDN, BindDN: s.ServiceDN,
		BindPassword: func() (string, error) { return s.ServicePassword, nil },
	}
}

func TestTheOfficeSignsInAsItsListSays(t *testing.T) {
	t.Parallel()
	_, o := office(t, demodir.Options{})
	d := open(t, o)
	refused := map[string]oidc.SignInReason{
		"bjorn": oidc.ReasonWrongPassword, "elena": oidc.ReasonPasswordExpired, "pieter": oidc.ReasonMustChange,
	}
	for _, a := range demodir.Accounts() {
		u, err := d.Authenticate(t.Context(), a.Username, a.Password)
		if want, ok := refused[a.Username]; ok {
			wantReason(t, err, want)
			continue
		}
		if err != nil || u.Username != a.Username || len(u.Groups) == 0 {
			t.Errorf("%s: %+v, %v", a.Username, u, err)
			continue
		}
		if again, err := d.User(t.Context(), u.ID); err != nil || !reflect.DeepEqual(again.Groups, u.Groups) {
			t.Errorf("%s by id: %+v, %v", a.Username, again, err)
		}
	}
}

// TestNoFaultIsTakenForAnAnswer makes each search of a look-up go wrong in each
// way: what comes back is the whole truth or "can't tell", never a shorter list
// of groups and never "gone".
func TestNoFaultIsTakenForAnAnswer(t *testing.T) {
	t.Parallel()
	faults := []demodir.Fault{
		{Trouble: demodir.Hang},
		{Trouble: demodir.Disconnect},
		{Trouble: demodir.Disconnect, AfterEntries: 1},
		{Trouble: demodir.Reset},
		{Trouble: demodir.Reset, AfterEntries: 1},
		{Trouble: demodir.Garbage},
		{Trouble: demodir.Garbage, AfterEntries: 1},
		{Trouble: demodir.Partial},
		{Trouble: demodir.Partial, AfterEntries: 1},
		{Trouble: demodir.Delay, Wait: 50 * time.Millisecond},
	}
	for _, code := range []int64{1, 2, 3, 4, 7, 8, 10, 11, 12, 32, 34, 48, 49, 50, 51, 52, 53, 54, 80, 118, 4096} {
		faults = append(faults, demodir.Fault{Trouble: demodir.Refuse, Code: code})
	}
	for _, name := range []string{"amelie", "tomasz"} {
		s, o := office(t, demodir.Options{})
		o.Timeout = time.Second
		d := open(t, o)
		whole := mustUser(t, d, name)
		n := 0
		if _, err := d.User(searches(t.Context(), &n), whole.ID); err != nil || n < 3 {
			t.Fatalf("%d searches, %v", n, err)
		}
		for at := range n {
			for _, fault := range faults {
				what := fmt.Sprintf("%s, search %d of %d, fault %d, code %d, after %d", name, at+1, n, fault.Trouble, fault.Code, fault.AfterEntries)
				// The reader makes no searches of its own in between, as its
				// connections are fresh.
				var count atomic.Int64
				fault.When = func(demodir.Operation) bool { return count.Add(1) == int64(at+1) }
				s.Faults.Set(demodir.Search, fault)
				u, err := d.User(t.Context(), whole.ID)
				s.Faults.Clear()
				switch {
				case err == nil && !reflect.DeepEqual(u, whole):
					t.Errorf("%s: got %+v, which is not all", what, u)
				case err != nil && !isUnavailable(err) || errors.Is(err, oidc.ErrNotFound):
					t.Errorf("%s: got %v", what, err)
				case err != nil && (fault.Trouble == demodir.Disconnect || fault.Trouble == demodir.Reset || fault.Trouble == demodir.Garbage || fault.Trouble == demodir.Hang):
					t.Errorf("%s: a read was not repeated: %v", what, err)
				}
			}
		}
	}
}

func TestAPersonsBindIsSentOnceWhateverHappensToIt(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var binds []string
	s, o := office(t, demodir.Options{Observe: func(op demodir.Operation) {
		if op.Kind == demodir.Bind {
			mu.Lock()
			defer mu.Unlock()
			binds = append(binds, op.DN)
		}
	}})
	o.URL = append(o.URL, o.URL...)
	o.Timeout = time.Second
	d := open(t, o)
	amelie := mustUser(t, d, "amelie")
	account := demodir.Accounts()[slices.IndexFunc(demodir.Accounts(), func(a demodir.Account) bool { return a.Username == "amelie" })]
	person := func(op demodir.Operation) bool { return op.DN == amelie.DN }
	for _, fault := range []demodir.Fault{
		{Trouble: demodir.Hang},
		{Trouble: demodir.StopReading},
		{Trouble: demodir.Disconnect},
		{Trouble: demodir.Reset},
		{Trouble: demodir.Garbage},
		{Trouble: demodir.Refuse, Code: 1},
		{Trouble: demodir.Refuse, Code: 51},
		{Trouble: demodir.Refuse, Code: 52},
		{Trouble: demodir.Refuse, Code: 80},
	} {
		for range 2 { // on a fresh connection and on a kept one
			fault.When = person
			s.Faults.Set(demodir.Bind, fault)
			mu.Lock()
			binds = nil
			mu.Unlock()
			_, err := d.Authenticate(t.Context(), "amelie", account.Password)
			wantUnavailable(t, err)
			s.Faults.Clear()
			mu.Lock()
			n := 0
			for _, dn := range binds {
				if dn == amelie.DN {
					n++
				}
			}
			mu.Unlock()
			if n != 1 {
				t.Errorf("fault %d, code %d: %d binds", fault.Trouble, fault.Code, n)
			}
			if _, err := d.Authenticate(t.Context(), "amelie", account.Password); err != nil {
				t.Errorf("after fault %d: %v", fault.Trouble, err)
			}
		}
	}
	mu.Lock()
	binds = nil
	mu.Unlock()
	if _, err := d.Authenticate(t.Context(), "amelie", ""); err == nil || len(binds) != 0 {
		t.Errorf("an empty password: %v, binds %q", err, binds)
	}
}
