package ldapstore_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/ldapstore/demodir"
	"gatehouse/oidc"
)

func passwordOf(t testing.TB, name string) string {
	t.Helper()
	for _, a := range demodir.Accounts() {
		if a.Username == name {
			return a.Password
		}
	}
	t.Fatalf("nobody is called %s", name)
	return ""
}

// TestReferralsAreNotFollowed has a directory send its reader to another one, for
// everything that can be asked. The other one never hears of it: it would be given
// a password.
func TestReferralsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var heard atomic.Int64
	other, _ := office(t, demodir.Options{Observe: func(demodir.Operation) { heard.Add(1) }})
	s, o := office(t, demodir.Options{})
	o.Timeout = time.Second
	for _, fault := range []demodir.Fault{
		{Trouble: demodir.Refer, To: other.URL},
		{Trouble: demodir.Refer, To: other.URL + "/" + other.BaseDN + "??sub"},
		{Trouble: demodir.Reference, To: other.URL + "/" + other.BaseDN + "??sub"},
		{Trouble: demodir.Reference, To: other.URL, AfterEntries: 1},
	} {
		for _, kind := range []demodir.Kind{demodir.Bind, demodir.Search} {
			if fault.Trouble == demodir.Reference && kind != demodir.Search {
				continue
			}
			s.Faults.Clear()
			d := open(t, o)
			id := mustUser(t, d, "amelie").ID
			s.Faults.Set(kind, fault)
			_, err := d.Authenticate(t.Context(), "amelie", passwordOf(t, "amelie"))
			if !isUnavailable(err) {
				t.Errorf("%s, trouble %d: a sign-in got %v", kind, fault.Trouble, err)
			}
			_, err = d.Authenticate(t.Context(), "nobody", "x")
			if kind == demodir.Search && !isUnavailable(err) || err == nil {
				t.Errorf("%s, trouble %d: a sign-in of nobody got %v", kind, fault.Trouble, err)
			}
			if _, err = d.User(t.Context(), id); kind == demodir.Search && !isUnavailable(err) {
				t.Errorf("%s, trouble %d: a look-up got %v", kind, fault.Trouble, err)
			}
			if _, err := d.User(t.Context(), "00000000-0000-4000-8000-000000000000"); kind == demodir.Search && (!isUnavailable(err) || errors.Is(err, oidc.ErrNotFound)) {
				t.Errorf("%s, trouble %d: a look-up of nobody got %v", kind, fault.Trouble, err)
			}
		}
	}
	if n := heard.Load(); n != 0 {
		t.Errorf("the other directory heard of %d operations", n)
	}
}

// TestBindsUnderLoadGoToOneServerOnce counts the binds that arrive at two servers
// which break one thing after the other, while people sign in.
func TestBindsUnderLoadGoToOneServerOnce(t *testing.T) {
	t.Parallel()
	var binds atomic.Int64
	var person atomic.Pointer[string]
	count := func(op demodir.Operation) {
		if dn := person.Load(); dn != nil && op.Kind == demodir.Bind && op.DN == *dn {
			binds.Add(1)
		}
	}
	first, o := office(t, demodir.Options{Observe: count, ServicePassword: "the same everywhere"})
	second, _ := office(t, demodir.Options{Observe: count, ServicePassword: "the same everywhere"})
	o.URL, o.Timeout, o.PoolSize = []string{first.URL, second.URL}, time.Second, 4
	d := open(t, o)
	dn := mustUser(t, d, "amelie").DN
	person.Store(&dn)
	stop := make(chan struct{})
	var breaking, signing sync.WaitGroup
	breaking.Go(func() {
		troubles := []demodir.Fault{
			{Trouble: demodir.Hang},
			{Trouble: demodir.Disconnect},
			{Trouble: demodir.Reset},
			{Trouble: demodir.Garbage},
			{Trouble: demodir.Refuse, Code: 51},
			{Trouble: demodir.Refuse, Code: 52},
			{Trouble: demodir.StopReading},
		}
		for i := 0; ; i++ {
			for _, s := range []*demodir.Server{first, second} {
				s.Faults.Clear()
				fault := troubles[i%len(troubles)]
				fault.Times = 1 + i%5
				s.Faults.Set([]demodir.Kind{demodir.Bind, demodir.Search, demodir.Connect}[i%3], fault)
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}
	})
	var tries atomic.Int64
	for range 12 {
		signing.Go(func() {
			for range 40 {
				tries.Add(1)
				_, _ = d.Authenticate(t.Context(), "amelie", "wrong")
			}
		})
	}
	signing.Wait()
	close(stop)
	breaking.Wait()
	if binds.Load() > tries.Load() || binds.Load() == 0 {
		t.Errorf("%d tries were %d binds", tries.Load(), binds.Load())
	}
	t.Logf("%d tries, %d binds", tries.Load(), binds.Load())
}
