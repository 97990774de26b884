package ldapstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

func isUnavailable(err error) bool { return errors.Is(err, oidc.ErrUnavailable) }

func TestAServerThatStandsStillIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	id := mustUser(t, d, "alice").ID
	s.Pause()
	var wg sync.WaitGroup
	late := ldaptest.Lateness()
	begin := time.Now()
	for range 40 { // more than the pool has
		wg.Go(func() {
			if _, err := d.User(t.Context(), id); !isUnavailable(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(begin) - late(); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	s.Resume()
	for range 40 {
		if _, err := d.User(t.Context(), id); err != nil {
			t.Fatalf("after the server went on: %v", err)
		}
	}
}

func TestARestartOfTheServerFailsNoRead(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	id := mustUser(t, d, "alice").ID
	for range 5 {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { _, _ = d.User(t.Context(), id) })
		}
		wg.Wait() // the pool is full now
		s.Restart()
		for range 8 {
			wg.Go(func() {
				if _, err := d.User(t.Context(), id); err != nil {
					t.Errorf("after a restart: %v", err)
				}
			})
		}
		wg.Wait()
		if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
			t.Errorf("after a restart: %v", err)
		}
	}
	s.Stop()
	begin := time.Now()
	_, err := d.User(t.Context(), id)
	wantUnavailable(t, err)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("a refused connection took %v", took)
	}
}

// relay passes connections on to a server, until it is told to swallow what goes
// through the present ones, as a firewall does that has forgotten them.
type relay struct {
	url   string
	epoch atomic.Int64
	total atomic.Int64

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// kill ends all present connections.
func (r *relay) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

func (r *relay) add(c net.Conn, present bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if present {
		r.conns[c] = true
	} else {
		delete(r.conns, c)
	}
}

func startRelay(t testing.TB, target string) *relay {
	t.Helper()
	l := listen(t)
	r := &relay{url: "ldap://" + l.Addr().String(), conns: map[net.Conn]bool{}}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(target, "ldap://"))
			if err != nil {
				_ = in.Close()
				continue
			}
			r.total.Add(1)
			r.add(in, true)
			epoch := r.epoch.Load()
			pass := func(to, from net.Conn) {
				defer func() { _ = to.Close() }()
				b := make([]byte, 32<<10)
				for {
					n, err := from.Read(b)
					if err != nil {
						return
					}
					if r.epoch.Load() == epoch {
						_, _ = to.Write(b[:n])
					}
				}
			}
			go pass(in, out)
			go func() {
				pass(out, in)
				r.add(in, false)
			}()
		}
	}()
	return r
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestConnectionsThatAFirewallForgotFailNoRead(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	r := startRelay(t, s.URL)
	o := options(s)
	o.URL = []string{r.url}
	d := open(t, o)
	id := mustUser(t, d, "alice").ID
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { _, _ = d.User(t.Context(), id) })
	}
	wg.Wait()
	r.epoch.Add(1)
	for range 8 {
		wg.Go(func() {
			if u, err := d.User(t.Context(), id); err != nil || u.Username != "alice" {
				t.Errorf("got %v, %v", u, err)
			}
		})
	}
	wg.Wait()
}

// TestAllConnectionsKilledAtOnceFailNoRead kills those that are in use as well,
// fresh ones too, again and again.
func TestAllConnectionsKilledAtOnceFailNoRead(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	r := startRelay(t, s.URL)
	o := options(s)
	o.URL = []string{r.url}
	d := open(t, o)
	id := mustUser(t, d, "alice").ID
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var reads [24]atomic.Int64 // by reader, of whom there are more than the pool has connections
	for i := range reads {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := d.User(t.Context(), id); err != nil {
					t.Errorf("reader %d, after %d reads: %v", i, reads[i].Load(), err)
				}
				reads[i].Add(1)
			}
		})
	}
	// A read is tried twice. So that no read meets two of the blows, the next one comes
	// when each reader has begun and ended a read since the last.
	readOn := func() {
		t.Helper()
		for i := range reads {
			before := reads[i].Load()
			eventually(t, "reads go on", func() bool { return reads[i].Load() >= before+2 })
		}
	}
	for range 10 {
		readOn()
		r.kill()
	}
	for range 2 {
		readOn()
		r.epoch.Add(1) // black holes
	}
	readOn()
	close(stop)
	wg.Wait()
}

func TestTheConnectionsOfAPoolAreBounded(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	r := startRelay(t, s.URL)
	o := options(s)
	o.URL, o.PoolSize = []string{r.url}, 3
	d := open(t, o)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := d.UserByName(t.Context(), "alice"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.total.Load(); n > 3 {
		t.Errorf("there were %d connections, want 3 at most", n)
	}
}

func TestAnotherServerTakesOverAndTheFirstIsFoundAgain(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.Start(t), ldaptest.Start(t)
	o := options(first)
	o.URL = []string{first.URL, second.URL}
	second.SetPassword(second.ServiceDN, first.ServicePassword)
	d := open(t, o)
	at := func() string {
		var url string
		_, err := d.UserByName(ldapstore.WithTrace(t.Context(), func(s ldapstore.Step) {
			if s.What == ldapstore.StepSearch {
				url = s.Server
			}
		}), "alice")
		if err != nil {
			t.Errorf("no answer: %v", err)
		}
		return url
	}
	if got := at(); got != first.URL {
		t.Errorf("the first answer came from %s", got)
	}
	first.Pause()
	begin := time.Now()
	if got := at(); got != second.URL {
		t.Errorf("while the first stands still the answer came from %q", got)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("to take over took %v", took)
	}
	begin = time.Now()
	if at(); time.Since(begin) > time.Second {
		t.Errorf("the next call waited %v for a server known to be down", time.Since(begin))
	}
	if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
		t.Errorf("sign-in while the first stands still: %v", err)
	}
	first.Resume()
	eventually(t, "the first server is used again", func() bool { return at() == first.URL })
	first.Stop()
	if got := at(); got != second.URL {
		t.Errorf("while the first is away the answer came from %q", got)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.URL = []string{"ldap://127.0.0.1:1", s.URL} // the first has a watcher
	d := open(t, o)
	mustUser(t, d, "alice")
	d.Close()
	_, err := d.UserByName(t.Context(), "alice")
	wantUnavailable(t, err)
	d.Close()
}
