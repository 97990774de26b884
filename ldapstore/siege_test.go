package ldapstore_test

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
)

// TestNoPeerHoldsACallUp plays servers that do everything wrong, a thousand calls to
// each at once, also while it is tried to follow its changes. It
// counts goroutines and descriptors, so no other test runs beside it.
func TestNoPeerHoldsACallUp(t *testing.T) {
	goroutines, descriptors := runtime.NumGoroutine(), openFiles(t)
	const most = 3 * time.Second
	t.Run("one that doesn't read a long password", func(t *testing.T) {
		besiege(t, siege{calls: 9, most: most, password: strings.Repeat("secret", 1<<18)}, allPeers(t))
	})
	sieges := []siege{{goodUntil: fromTheStart}, {goodUntil: afterTLS}, {goodUntil: afterBind}, {goodUntil: afterBind, watch: true}}
	for _, s := range sieges {
		name := string(s.goodUntil)
		if s.watch {
			name += ", and watched"
		}
		s.most, s.password, s.calls = most, "secret", 1000
		t.Run(name, func(t *testing.T) {
			if testing.Short() { // a few calls, and all peers at once
				s.calls = 30
				besiege(t, s, allPeers(t))
				return
			}
			besiege(t, s, quietPeers(t.Context()))
			besiege(t, s, loudPeers())
		})
	}
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	eventually(t, "all descriptors are closed", func() bool { return openFiles(t) <= descriptors })
}

// openFiles counts descriptors, as far as the system tells.
func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}

// stage is up to when a peer behaves.
type stage string

const (
	fromTheStart stage = "broken from the start"
	afterTLS     stage = "broken once TLS is there"
	afterBind    stage = "broken once the account is let in"
)

// siege is how much is asked of each kind of peer.
type siege struct {
	calls     int
	most      time.Duration // that a call may take
	password  string        // of the service account
	goodUntil stage
	watch     bool // changes are followed, or that is tried
}

// besiege makes the calls to each kind of peer over each kind of connection.
func besiege(t *testing.T, s siege, peers map[string]func(net.Conn)) {
	t.Helper()
	late := ldaptest.Lateness()
	var mu sync.Mutex
	slowest, which := time.Duration(0), ""
	authority := ldaptest.NewAuthority(t, "peers")
	pair := authority.Issue(ldaptest.Certificate{Addresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	var wg sync.WaitGroup
	for name, behave := range peers {
		var open []*ldapstore.Directory
		for _, o := range []ldapstore.Options{{URL: []string{"ldap://"}}, {URL: []string{"ldap://"}, StartTLS: true}, {URL: []string{"ldaps://"}}} {
			m := manners{until: s.goodUntil, startTLS: o.StartTLS, tls: o.StartTLS || o.URL[0] == "ldaps://", config: config}
			o.URL[0] += misbehave(t, m, behave)
			o.BaseDN, o.BindDN, o.CAFile = ldaptest.BaseDN, "cn=x", authority.File
			o.BindPassword = func() (string, error) { return s.password, nil }
			if s.watch {
				o.Kind = "openldap"
			}
			d, err := ldapstore.New(o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(d.Close)
			if s.watch {
				d.Watch(nil)
			}
			open = append(open, d)
		}
		for n := range s.calls {
			wg.Go(func() {
				begin := time.Now()
				err := call(t.Context(), open[n%3], n/3)
				took := time.Since(begin)
				if !isUnavailable(err) {
					t.Errorf("%s: got error %v", name, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if took > slowest {
					slowest, which = took, name
				}
			})
		}
	}
	wg.Wait()
	stalled := late()
	t.Logf("the slowest call took %v (%s); nothing here could run for %v of the time", slowest, which, stalled)
	if slowest-stalled > s.most {
		t.Errorf("somebody waited for %v", slowest)
	}
}

// call makes one of the calls that there are.
func call(ctx context.Context, d *ldapstore.Directory, n int) error {
	var err error
	switch n % 3 {
	case 0:
		_, err = d.User(ctx, "00000000-0000-4000-8000-000000000000")
	case 1:
		_, err = d.Authenticate(ctx, "x", "y")
	default:
		err = d.Ping(ctx)
	}
	return err
}

// quietPeers lists what a server can do wrong once it is connected to, and loudPeers
// what keeps the machine busy besides.
func quietPeers(ctx context.Context) map[string]func(net.Conn) {
	return map[string]func(net.Conn){
		"silent":           swallow,
		"not reading":      func(net.Conn) { <-ctx.Done() },
		"stalled in TLS":   func(c net.Conn) { say(c, "\x16\x03\x03\x3f\xff\x02\x00"); swallow(c) },
		"a byte at a time": func(c net.Conn) { drip(ctx, c, bindDone) },
		"closing":          func(net.Conn) {},
		"not LDAP":         func(c net.Conn) { say(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); swallow(c) },
	}
}

func loudPeers() map[string]func(net.Conn) {
	return map[string]func(net.Conn){
		"two gigabytes": func(c net.Conn) {
			say(c, "\x30\x84\x7f\xff\xff\xff\x02\x01\x01\x04\x84\x7f\xff\xff\xf0")
			flood(c, "x")
		},
		"never-ending":   func(c net.Conn) { flood(c, "\x30\x05\x02\x01\x07\x05\x00") },
		"endless length": func(c net.Conn) { say(c, "\x30\x80\x02\x01\x01"); flood(c, "\x00") },
	}
}

func allPeers(t *testing.T) map[string]func(net.Conn) {
	all := quietPeers(t.Context())
	maps.Copy(all, loudPeers())
	return all
}

func say(c net.Conn, text string) { _, _ = io.WriteString(c, text) }

func swallow(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// drip sends a byte a second.
func drip(ctx context.Context, c net.Conn, text string) {
	for _, b := range []byte(text) {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// What a server answers if all is well, but for the number (RFC 4511, sections 4.2.2
// and 4.12).
const (
	bindDone     = "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
	startTLSDone = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
)

func flood(c net.Conn, text string) {
	block := strings.Repeat(text, 64<<10/len(text))
	for {
		if _, err := io.WriteString(c, block); err != nil {
			return
		}
	}
}

// manners are what a peer still does as it should.
type manners struct {
	until         stage
	tls, startTLS bool
	config        *tls.Config
}

// keep behaves, and returns what to misbehave on.
func (m manners) keep(c net.Conn) (net.Conn, error) {
	if m.until == "" || m.until == fromTheStart {
		return c, nil
	}
	if m.startTLS {
		if err := reply(c, startTLSDone); err != nil {
			return c, err
		}
	}
	if m.tls {
		secure := tls.Server(c, m.config)
		if err := secure.Handshake(); err != nil {
			return c, err
		}
		c = secure
	}
	if m.until == afterTLS {
		return c, nil
	}
	return c, reply(c, bindDone)
}

// reply reads one short request and answers it.
func reply(c net.Conn, answer string) error {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c, head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c, int64(head[1])-3); err != nil {
		return err
	}
	text := []byte(answer)
	text[4] = head[4]
	_, err := c.Write(text)
	return err
}

// misbehave listens, keeps to manners and lets behave deal with what follows.
func misbehave(t testing.TB, m manners, behave func(net.Conn)) string {
	l := listen(t)
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { _ = raw.Close() })
			go func() {
				defer stop()
				defer func() { _ = raw.Close() }()
				if c, err := m.keep(raw); err == nil {
					behave(c)
				}
			}()
		}
	}()
	return l.Addr().String()
}
