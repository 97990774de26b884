package outbound_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/oidc/outbound"
)

// names resolves what a test says, and the second time what it says then.
type names struct {
	asked atomic.Int32
	all   map[string][][]string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	answers := n.all[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	i := min(int(n.asked.Add(1))-1, len(answers)-1)
	var found []netip.Addr
	for _, text := range answers[i] {
		found = append(found, netip.MustParseAddr(text))
	}
	return found, nil
}

// serve starts a TLS server for example.com on loopback, and returns options that
// trust it and lead example.com to it.
func serve(t *testing.T, h http.HandlerFunc) (base string, o outbound.Options) {
	t.Helper()
	server := httptest.NewTLSServer(h)
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "https://example.com:" + u.Port(), outbound.Options{
		CAFile: ca, Timeout: 3 * time.Second, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Resolver: &names{all: map[string][][]string{"example.com": {{"127.0.0.1"}}}},
	}
}

func client(t *testing.T, o outbound.Options) *outbound.Client {
	t.Helper()
	c, err := outbound.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatIsAllowedIsFetched(t *testing.T) {
	t.Parallel()
	base, o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/keys", http.StatusFound)
		case "/keys":
			_, _ = w.Write([]byte("the keys"))
		}
	})
	c := client(t, o)
	for _, path := range []string{"/keys", "/moved", "/keys#fragment"} {
		body, err := c.Get(t.Context(), base+path, 8)
		if err != nil || string(body) != "the keys" {
			t.Errorf("%s: %q %v", path, body, err)
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("plain")) }))
	t.Cleanup(plain.Close)
	if body, err := c.Get(t.Context(), plain.URL, 8); err != nil || string(body) != "plain" {
		t.Errorf("http into a network that is named: %q %v", body, err)
	}
}

func TestNothingPrivateIsReached(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	_, o := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	o.Allow = nil
	resolver := &names{all: map[string][][]string{
		"loopback.example": {{"127.0.0.1"}}, "six.example": {{"::1"}}, "mapped.example": {{"::ffff:127.0.0.1"}},
		"mixed.example": {{"192.0.2.1", "10.0.0.1"}}, "mixed2.example": {{"93.184.216.34", "127.0.0.1"}}, "private.example": {{"192.168.1.1"}},
		"metadata.example": {{"169.254.169.254"}}, "unspecified.example": {{"0.0.0.0"}}, "nat64.example": {{"64:ff9b::7f00:1"}},
		"sixtofour.example": {{"2002:7f00:1::"}}, "local.example": {{"fe80::1"}}, "unique.example": {{"fd00::1"}}, "site.example": {{"fec0::1"}},
		"multicast.example": {{"224.0.0.1"}}, "shared.example": {{"100.64.0.1"}}, "compatible.example": {{"::7f00:1"}}, "teredo.example": {{"2001:0:7f00:1::"}},
		"2130706433": {{"127.0.0.1"}}, "0177.0.0.1": {{"127.0.0.1"}}, "127.1": {{"127.0.0.1"}}, "0x7f000001": {{"127.0.0.1"}}, "localhost": {{"127.0.0.1"}},
	}}
	o.Resolver = resolver
	c := client(t, o)
	addresses := []string{
		"https://127.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://10.0.0.1/", "https://172.16.0.1/",
		"https://192.168.0.1/", "https://169.254.169.254/latest/meta-data", "https://0.0.0.0/", "https://[::]/", "https://[fe80::1%25eth0]/", "https://255.255.255.255/",
		"https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://240.0.0.1/", "https://198.18.0.1/", "https://[ff02::1]/",
		"http://93.184.216.34/", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1/", "https:127.0.0.1", "https:///x", "https://user@example.com/",
		"//example.com/", "", "https://%zz/", "unix:///run/x.sock", "https://example.com@127.0.0.1/",
	}
	for host := range resolver.all {
		addresses = append(addresses, "https://"+host+"/")
	}
	for _, address := range addresses {
		if _, err := c.Get(t.Context(), address, 100); !errors.Is(err, outbound.ErrRefused) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if reached.Load() != 0 {
		t.Error("the server was reached")
	}
}

// DNS rebinding: a name that is public when it is looked at and private when it is
// used. It is resolved once a connection, and what is dialled is what was judged.
func TestANameThatChangesItsMindLeadsNowhere(t *testing.T) {
	t.Parallel()
	base, o := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") })
	o.Allow, o.Timeout = nil, 300*time.Millisecond
	resolver := &names{all: map[string][][]string{"example.com": {{"192.88.99.1"}, {"127.0.0.1"}}}}
	o.Resolver = resolver
	c := client(t, o)
	for range 2 {
		if _, err := c.Get(t.Context(), base, 100); !errors.Is(err, outbound.ErrRefused) {
			t.Error(err)
		}
	}
	if resolver.asked.Load() != 2 {
		t.Errorf("resolved %d times for two requests", resolver.asked.Load())
	}
}

func TestRedirectsStayAtHome(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]string{
		"another host":    "https://other.example.com/",
		"another port":    "https://example.com:1/",
		"down to http":    "http://example.com/",
		"private":         "https://127.0.0.1/",
		"a file":          "file:///etc/passwd",
		"with a user":     "https://admin@example.com/",
		"round and round": "",
	} {
		var calls atomic.Int32
		base, o := serve(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			http.Redirect(w, r, to+"?next", http.StatusFound)
		})
		if _, err := client(t, o).Get(t.Context(), base, 100); err == nil {
			t.Errorf("%s: followed", name)
		}
		if calls.Load() > 5 {
			t.Errorf("%s: %d requests", name, calls.Load())
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"an endless body": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"one byte too many": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1001)) },
		"a slow body": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"no answer at all": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"endless headers":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<17)) },
		"an error":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"no content":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, o := serve(t, h)
			o.Timeout = 500 * time.Millisecond
			begun := time.Now()
			if body, err := client(t, o).Get(t.Context(), base, 1000); err == nil || errors.Is(err, outbound.ErrRefused) {
				t.Errorf("%d bytes, %v", len(body), err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

func TestASlowHostLeavesTheRestToOthers(t *testing.T) {
	t.Parallel()
	slow, o := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
		}
	})
	quick := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(quick.Close)
	c := client(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var all sync.WaitGroup
	var refused atomic.Int32
	for range 100 {
		all.Go(func() {
			if _, err := c.Get(ctx, slow+"/slow", 1); err != nil && strings.Contains(err.Error(), "under way") {
				if refused.Add(1) == 96 {
					if _, err := c.Get(ctx, quick.URL, 1); err != nil {
						t.Errorf("another host: %v", err)
					}
					cancel()
				}
			}
		})
	}
	all.Wait()
	if n := refused.Load(); n != 96 {
		t.Errorf("%d of 100 were refused, want all but 4", n)
	}
	if _, err := c.Get(t.Context(), slow+"/", 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestOnlyTrustedCertificatesDo(t *testing.T) {
	t.Parallel()
	base, o := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the server was reached") })
	o.CAFile = ""
	if _, err := client(t, o).Get(t.Context(), base, 100); err == nil {
		t.Error("an unknown authority")
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, empty + "missing"} {
		if _, err := outbound.New(outbound.Options{CAFile: file}); err == nil || !strings.Contains(err.Error(), "outbound.ca_file") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func FuzzGetRefusesWithoutAsking(f *testing.F) {
	c, err := outbound.New(outbound.Options{Timeout: time.Second, Resolver: &names{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("https://127.0.0.1:8080/x?y#z")
	f.Fuzz(func(t *testing.T, address string) {
		if u, err := url.Parse(address); err == nil {
			if a, err := netip.ParseAddr(u.Hostname()); err == nil && a.IsGlobalUnicast() && !a.IsPrivate() {
				t.Skip("a test asks nobody on the Internet")
			}
		}
		if _, err := c.Get(t.Context(), address, 1); err == nil {
			t.Fatalf("%q was answered", address)
		}
	})
}
