package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
)

func newFormRequest(t *testing.T, method, address, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	return r
}

// Whatever an application names by an address, nobody gets the server to ask its own
// machine or network (SSRF; OpenID Connect Core 1.0, section 6.2; RFC 9101, section
// 10.4). Names that turn private later are the outbound package's tests.
func TestNoAddressThatAClientNamesLeadsInside(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), nil, func(c *config.Config) { c.Outbound.Allow = nil })
	ports := map[string]uint16{}
	for scheme, web := range map[string]*rpWeb{"http": op.web, "https": op.tls} {
		ports[scheme] = web.Listener.Addr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port()
		web.serve("/request.jwt", "x")
	}
	p := newParty(t, op, "code", "")
	refused := 0
	for i, host := range []string{
		"127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "127.000.000.001", "0.0.0.0", "0",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1%25lo]",
		"10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fd00:ec2::254]", "[fe80::1]", "[fc00::1]", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.0.8",
		"①②⑦.⓪.⓪.①", "127。0。0。1", "user@127.0.0.1", "127.0.0.1:80@evil.example", "evil.example#@127.0.0.1", "127.0.0.1\\@evil.example",
	} {
		for _, scheme := range []string{"http", "https"} {
			at := fmt.Sprintf("%s://%s:%d", scheme, host, ports[scheme])
			id := fmt.Sprintf("inside-%d-%s", i, scheme)
			text := clientYAML(id, certScopes+"require_pkce: false\nrequest_uris: [\""+strings.ReplaceAll(at, `\`, `\\`)+"/request.jwt\"]\n")
			signs := "client_id: " + id + "-signs\ngrant_types: [client_credentials]\ntoken_endpoint_auth_method: private_key_jwt\njwks_uri: \"" +
				strings.ReplaceAll(at, `\`, `\\`) + "/jwks\"\nscopes: {everyone: [email]}\n"
			for name, text := range map[string]string{id: text, id + "-signs": signs} {
				file := filepath.Join(op.Dir, "clients.d", name+".yaml")
				if _, problems := clients.Parse(file, []byte(text)); len(problems) > 0 {
					refused++ // and so never asked
				} else if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if _, err := op.house.clients.Reload(); err != nil {
		t.Fatal(err)
	}
	written, err := filepath.Glob(filepath.Join(op.Dir, "clients.d", "inside-*.yaml"))
	if err != nil || len(written) < 40 || refused == 0 {
		t.Fatalf("%d client files, %d refused: %v", len(written), refused, err)
	}
	begin := time.Now()
	for _, file := range written {
		id := strings.TrimSuffix(filepath.Base(file), ".yaml")
		q := p.as(id)
		c, err := op.house.clients.Client(id)
		if err != nil {
			t.Fatal(err)
		}
		if c.JWKSURI != "" {
			form := q.assertion(func(claims map[string]any) string { return q.signed(keys.RS256, claims) }, op.URL)
			form.Set("grant_type", "client_credentials")
			if g := p.browser.post(op.URL+"/oauth2/token", form); g.Status != http.StatusServiceUnavailable && g.Status != http.StatusUnauthorized || strings.Contains(g.Body, "127.") {
				t.Errorf("%s: %d %s", c.JWKSURI, g.Status, g.Body)
			}
			continue
		}
		g := q.visit(url.Values{"client_id": {id}, "request_uri": c.RequestURIs, "redirect_uri": {appRedirect}, "response_type": {"code"}, "scope": {"openid"}})
		if g.answer().Get("error") != "invalid_request_uri" {
			t.Errorf("%s: %d %v", c.RequestURIs, g.Status, g.Location)
		}
	}
	if len(op.web.asked)+len(op.tls.asked) != 0 {
		t.Errorf("the server asked %v and %v", op.web.asked, op.tls.asked)
	}
	if took := time.Since(begin); took > 90*time.Second {
		t.Errorf("it took %v", took)
	}
}
