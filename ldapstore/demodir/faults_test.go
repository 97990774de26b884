package demodir_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/ldapstore/demodir"
)

var everything = search(base, ldap.ScopeWholeSubtree, "(objectClass=*)", "1.1")

// network reports whether an error is one of the connection and no answer of LDAP.
func network(err error) bool {
	return err != nil && (ldap.IsErrorWithCode(err, ldap.ErrorNetwork) || !errors.As(err, new(*ldap.Error)))
}

func TestFaultsComeWhenTheyAreSwitchedOnAndGoWhenTheyAreSwitchedOff(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault demodir.Fault
		want  func(entries int, err error) bool
	}{
		"busy":    {demodir.Fault{Trouble: demodir.Refuse, Code: 51}, func(n int, err error) bool { return ldap.IsErrorWithCode(err, 51) }},
		"partial": {demodir.Fault{Trouble: demodir.Partial, AfterEntries: 3}, func(n int, err error) bool { return n == 3 && ldap.IsErrorWithCode(err, 4) }},
		"unavailable at the end": {
			demodir.Fault{Trouble: demodir.Refuse, Code: 52, AfterEntries: 1000}, func(n int, err error) bool { return n == 28 && ldap.IsErrorWithCode(err, 52) },
		},
		"disconnect":          {demodir.Fault{Trouble: demodir.Disconnect}, func(n int, err error) bool { return n == 0 && network(err) }},
		"disconnect half way": {demodir.Fault{Trouble: demodir.Disconnect, AfterEntries: 5}, func(n int, err error) bool { return network(err) }},
		"reset":               {demodir.Fault{Trouble: demodir.Reset}, func(n int, err error) bool { return network(err) }},
		"garbage":             {demodir.Fault{Trouble: demodir.Garbage, AfterEntries: 1}, func(n int, err error) bool { return network(err) }},
		"a short delay":       {demodir.Fault{Trouble: demodir.Delay, Wait: time.Millisecond}, func(n int, err error) bool { return n == 28 && err == nil }},
		"another base":        {demodir.Fault{Trouble: demodir.Disconnect, When: func(o demodir.Operation) bool { return o.DN != base }}, func(n int, err error) bool { return n == 28 && err == nil }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t, demodir.Options{})
			c := reader(t, s)
			test.fault.Times = 1
			s.Faults.Set(demodir.Search, test.fault)
			r, err := c.Search(everything)
			n := 0
			if r != nil {
				n = len(r.Entries)
			}
			if !test.want(n, err) {
				t.Errorf("%d entries and %v", n, err)
			}
			s.Faults.Clear()
			if r, err := reader(t, s).Search(everything); err != nil || len(r.Entries) != 28 {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestAnOperationThatHangsDoesNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	c := reader(t, s)
	s.Faults.Set(demodir.Search, demodir.Fault{Trouble: demodir.Hang, Times: 1, When: func(o demodir.Operation) bool { return o.Filter == "(uid=kenji)" }})
	hanging := c.SearchAsync(t.Context(), search(base, ldap.ScopeWholeSubtree, "(uid=kenji)"), 1)
	if r, err := c.Search(everything); err != nil || len(r.Entries) != 28 {
		t.Errorf("another search on the connection: %v", err)
	}
	must(t, c.Close())
	for hanging.Next() {
		t.Error("an entry came after all")
	}
}

func TestAConnectionCanHangFromItsBeginning(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	for _, trouble := range []demodir.Trouble{demodir.Hang, demodir.StopReading} {
		s.Faults.Set(demodir.Connect, demodir.Fault{Trouble: trouble, Times: 1})
		silent(t, s, nil)
	}
	s.Faults.Set(demodir.Bind, demodir.Fault{Trouble: demodir.StopReading, Times: 1})
	bind := []byte("\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00")
	silent(t, s, bind)
	// Nothing of it was for good.
	reader(t, s)
}

// silent connects, sends bytes, and sees that nothing comes back and that the
// connection stays open.
func silent(t *testing.T, s *demodir.Server, send []byte) {
	t.Helper()
	raw := connect(t, s)
	if _, err := raw.Write(send); err != nil {
		t.Fatal(err)
	}
	must(t, raw.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	n, err := raw.Read(make([]byte, 1))
	var timeout net.Error
	if n != 0 || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%d bytes and %v came back", n, err)
	}
}

func connect(t *testing.T, s *demodir.Server) net.Conn {
	t.Helper()
	raw, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

func TestOperationsAreObserved(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	s := start(t, demodir.Options{Observe: func(o demodir.Operation) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(o.Conn, " ", o.Kind, " ", o.DN, " ", o.Filter))
	}})
	c := reader(t, s)
	filter := `(&(|(uid=a*b*c)(!(cn=\2a))(sn=*)(uid>=1)(uid<=2)(uid~=3))(cn:dn:2.5.13.2:=x)(mail=*@x))`
	if _, err := c.Search(search(people, ldap.ScopeWholeSubtree, filter)); err != nil {
		t.Error(err)
	}
	must(t, c.Unbind())
	want := fmt.Sprint([]string{"1 connect  ", "1 bind " + s.ServiceDN + " ", "1 search " + people + " " + filter, "1 unbind  "})
	deadline := time.Now().Add(10 * time.Second)
	for {
		mu.Lock()
		got := fmt.Sprint(seen)
		mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("saw %s, not %s", got, want)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAnAbandonedSearchHasNoAnswer(t *testing.T) {
	t.Parallel()
	abandoned := make(chan struct{})
	s := start(t, demodir.Options{Observe: func(o demodir.Operation) {
		if o.Kind == demodir.Abandon {
			close(abandoned)
		}
	}})
	s.Faults.Set(demodir.Search, demodir.Fault{Trouble: demodir.Hang, Times: 1})
	raw := connect(t, s)
	// A search of the root DSE, hanging; an abandon of it; the same search again.
	searching := []byte("\x30\x25\x02\x01\x07\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00")
	if _, err := raw.Write(append(append([]byte{}, searching...), "\x30\x06\x02\x01\x08\x50\x01\x07"...)); err != nil {
		t.Fatal(err)
	}
	<-abandoned
	searching[4] = 9
	if _, err := raw.Write(searching); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 64)
	must(t, raw.SetReadDeadline(time.Now().Add(10*time.Second)))
	if n, err := raw.Read(answer); err != nil || n < 6 || answer[4] != 9 && answer[5] != 9 && answer[6] != 9 {
		t.Errorf("%v: % x", err, answer[:n])
	}
}

func TestCloseDoesNotWaitForThoseWhoHang(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := demodir.Start(ctx, demodir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Faults.Set(demodir.Search, demodir.Fault{Trouble: demodir.Hang})
	s.Faults.Set(demodir.Bind, demodir.Fault{Trouble: demodir.Hang, When: func(o demodir.Operation) bool { return o.DN == "" }})
	c := reader(t, s)
	failed := make(chan error, 2)
	go func() { _, err := c.Search(everything); failed <- err }()
	binding := dial(t, s)
	go func() { failed <- binding.UnauthenticatedBind("") }()
	connect(t, s)
	cancel()
	for range 2 {
		if err := <-failed; !network(err) {
			t.Errorf("a hanging operation ended with %v", err)
		}
	}
	s.Close()
	s.Close()
}
