package ldapstore_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
)

// TestAChangedServicePasswordFailsNoSignIn changes the password of the service
// account, in the directory first or in the file first, while people sign in: few
// before, many in between, when there are too few connections for all of them.
func TestAChangedServicePasswordFailsNoSignIn(t *testing.T) {
	t.Parallel()
	for _, directoryFirst := range []bool{true, false} {
		s := ldaptest.Start(t)
		var password atomic.Value
		password.Store(s.ServicePassword)
		o := options(s)
		o.BindPassword = func() (string, error) { return password.Load().(string), nil }
		d := open(t, o)
		var done atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		people := func(n int) {
			for range n {
				wg.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
							t.Errorf("the directory first: %v: after %d sign-ins: %v", directoryFirst, done.Load(), err)
							return
						}
						done.Add(1)
					}
				})
			}
		}
		goesOn := func() {
			before := done.Load()
			eventually(t, "people sign in", func() bool { return done.Load() > before+40 })
		}
		inDirectory := func() { s.SetPassword(s.ServiceDN, "changed") }
		inFile := func() { password.Store("changed") }
		first, then := inDirectory, inFile
		if !directoryFirst {
			first, then = inFile, inDirectory
		}
		people(2)
		goesOn()
		first()
		people(20)
		goesOn()
		then()
		goesOn()
		ldapstore.DropConnections(d)
		goesOn()
		close(stop)
		wg.Wait()
		if n := len(s.Values(s.ServiceDN, "pwdFailureTime")); n > 22 {
			t.Errorf("the old password was tried %d times", n)
		}
	}
}
