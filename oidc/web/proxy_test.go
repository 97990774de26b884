package web

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"
)

func prefixes(t testing.TB, texts ...string) (out []netip.Prefix) {
	t.Helper()
	for _, s := range texts {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestTheClientIsTheRightmostAddressThatIsNoProxyOfOurs(t *testing.T) {
	t.Parallel()
	trusted := prefixes(t, "10.0.0.0/8", "fd00::/8")
	for _, c := range []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "192.0.2.1:1", nil, "192.0.2.1"},
		{"a stranger's header is not believed", "192.0.2.1:1", []string{"203.0.113.9"}, "192.0.2.1"},
		{"one proxy", "10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		{"two proxies", "10.0.0.1:1", []string{"203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"two header lines", "10.0.0.1:1", []string{"203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		{"what stands further left is a stranger's word", "10.0.0.1:1", []string{"10.0.0.3, 1.2.3.4, 203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		{"a made-up local address", "10.0.0.1:1", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		{"only proxies", "10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"an empty header", "10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"nonsense", "10.0.0.1:1", []string{"203.0.113.9, <script>"}, "10.0.0.1"},
		{"nonsense behind a proxy", "10.0.0.1:1", []string{"unknown, 10.0.0.2"}, "10.0.0.2"},
		{"with a port", "10.0.0.1:1", []string{"203.0.113.9:8080"}, "203.0.113.9"},
		{"IPv6", "[fd00::1]:1", []string{"2001:db8::5"}, "2001:db8::5"},
		{"IPv6 with a port", "[fd00::1]:1", []string{"[2001:db8::5]:99"}, "2001:db8::5"},
		{"IPv4 mapped into IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{"a Unix socket", "@", []string{"203.0.113.9"}, "unknown"},
		{"more hops than anybody has", "10.0.0.1:1", []string{"203.0.113.9" + strings.Repeat(",10.0.0.2", 10000)}, "10.0.0.2"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"] = c.forwarded
		if got := name(resolveRemote(r, trusted).client); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestFaultsOfAProxyAreNamed(t *testing.T) {
	t.Parallel()
	trusted := prefixes(t, "10.0.0.0/8")
	for _, c := range []struct {
		name, issuer, peer, host string
		header                   map[string]string
		tls                      bool
		want                     []string
	}{
		{"all is well behind a proxy", testIssuer, "10.0.0.1:1", "sso.example.org", map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}, false, nil},
		{"all is well with own TLS", testIssuer, "192.0.2.1:1", "sso.example.org:443", nil, true, nil},
		{"all is well on loopback", "http://localhost:8080", "127.0.0.1:1", "localhost:8080", nil, false, nil},
		{"the proxy forgets the scheme", testIssuer, "10.0.0.1:1", "sso.example.org", map[string]string{"X-Forwarded-For": "192.0.2.1"}, false, []string{"10.0.0.1 sends no X-Forwarded-Proto"}},
		{"the proxy says the wrong scheme", testIssuer, "10.0.0.1:1", "sso.example.org", map[string]string{"X-Forwarded-Proto": "http"}, false, []string{"X-Forwarded-Proto: http"}},
		{"a proxy that nobody trusts", testIssuer, "172.16.0.1:1", "sso.example.org", map[string]string{"X-Forwarded-Proto": "https"}, false, []string{"172.16.0.1, which is not in trusted_proxies"}},
		{"plain http", testIssuer, "172.16.0.1:1", "sso.example.org", nil, false, []string{"172.16.0.1 by plain http"}},
		{"another host", testIssuer, "10.0.0.1:1", "127.0.0.1:8080", map[string]string{"X-Forwarded-Proto": "https"}, false, []string{"host 127.0.0.1:8080"}},
		{"the host in a header of its own", testIssuer, "10.0.0.1:1", "127.0.0.1:8080", map[string]string{"X-Forwarded-Proto": "https", "X-Forwarded-Host": "sso.example.org"}, false, nil},
		{"both", testIssuer, "10.0.0.1:1", "evil\x01", nil, false, []string{"X-Forwarded-Proto", "host evil?,"}},
	} {
		issuer, err := url.Parse(c.issuer)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Host = c.peer, c.host
		if c.tls {
			r.TLS = &tls.ConnectionState{}
		}
		for k, v := range c.header {
			r.Header.Set(k, v)
		}
		got := CheckForwarding(issuer, trusted, r)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v", c.name, got)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i].Message, want) || got[i].Hint == "" {
				t.Errorf("%s: %v, want %q", c.name, got[i], want)
			}
		}
	}
}

func TestAFaultOfAProxyIsLoggedOnceAMinute(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.TrustedProxies = prefixes(t, "10.0.0.0/8") })
	b := h.browser()
	b.addr = "10.0.0.1:1"
	count := func() int { return strings.Count(h.logs.String(), "X-Forwarded-Proto") / 2 } // message and hint
	for range 100 {
		b.get("/signout")
		b.get("/healthz")
	}
	if n := count(); n != 1 {
		t.Errorf("%d warnings for 100 requests, want 1:\n%s", n, h.logs.String())
	}
	h.clock.Advance(time.Minute)
	b.get("/signout")
	if n := count(); n != 2 {
		t.Errorf("%d warnings after a minute, want 2", n)
	}
}

func TestTheThrottleCannotBeFooledByAHeader(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) {
		o.TrustedProxies = prefixes(t, "10.0.0.0/8")
		o.Throttle.NetworkFailures = 5
		o.Throttle.AccountFailures = 1000
	})
	guess := func(peer, forwarded string) int {
		b := h.browser()
		b.addr = peer
		page := b.get(authorizeURL("app"))
		form := url.Values{"username": {"ada"}, "password": {"wrong"}, "request": {page.request(t)}}
		r := httptest.NewRequest(http.MethodPost, "/signin", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", formType)
		r.Header.Set("X-Forwarded-For", forwarded)
		return b.do(r, true).status
	}
	last := 0
	for i := range 6 {
		last = guess("192.0.2.66:1", netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String())
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("a stranger with an invented header got %d, want 429", last)
	}
	for i := range 6 {
		last = guess("10.0.0.1:1", netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String()+", 203.0.113.5")
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("a stranger behind our proxy with an invented header got %d, want 429", last)
	}
	if status := guess("10.0.0.1:1", "203.0.113.6"); status != http.StatusUnprocessableEntity {
		t.Errorf("somebody else behind our proxy got %d, want 422", status)
	}
}

func FuzzResolveRemote(f *testing.F) {
	trusted := prefixes(f, "10.0.0.0/8")
	f.Add("1.2.3.4, 10.0.0.1")
	f.Add("[::1]:80,,")
	f.Add(",")
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header["X-Forwarded-For"] = []string{header}
		if from := resolveRemote(r, trusted); !from.client.IsValid() || from.client.Zone() != "" {
			t.Errorf("%q: %v", header, from)
		}
		if s := shorten(header); len(s) > 80 {
			t.Errorf("%q is %d long", s, len(s))
		}
	})
}
