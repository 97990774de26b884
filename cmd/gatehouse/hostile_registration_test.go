package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"gatehouse/config"
)

// What strangers write of themselves is shown as text and as plain links, on every
// page that shows an application.
func TestNothingThatARegistrantWritesActsOnAPage(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil, openRegistration, func(c *config.Config) { c.Registration.OpenLimit = 1000 })
	names := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `{{.Request}}{{template "x"}}`, `</title><svg onload=alert(1)>`,
		`&lt;b&gt;&#x3c;script&#x3e;`, "`${alert(1)}`", `javascript:alert(1)`, `<!--`, `]]>`, strings.Repeat("W", 200), `\"\u003cscript>`, `https://sso.example.org/signin`,
	}
	tails := []string{`'onclick=alert(1)`, `?x=javascript:alert(1)`, `;alert(1)`, `/%22%3E%3Cscript%3Ealert(1)%3C/script%3E`}
	for i, name := range names {
		tail := tails[i%len(tails)]
		metadata, err := json.Marshal(map[string]any{
			"redirect_uris": []string{appRedirect}, "client_name": name, "client_uri": "https://app.example.org/" + tail, "policy_uri": "https://app.example.org/p" + tail,
			"tos_uri": "https://app.example.org/t" + tail, "logo_uri": "https://app.example.org/l" + tail, "initiate_login_uri": "https://app.example.org/i" + tail,
			"contacts": []string{name[:min(len(name), 50)]}, "software_id": name, "software_version": name,
		})
		if err != nil {
			t.Fatal(err)
		}
		c := s.register(string(metadata))
		if c.Status != http.StatusCreated {
			t.Errorf("%s: %d %v", name, c.Status, c.Body)
			continue
		}
		id := c.text("client_id")
		alice := newPerson(t)
		signIn := alice.get(s.authorizeAddress(id, "openid"))
		harmless(t, s, signIn)
		harmless(t, s, signIn.submit("username", fmt.Sprint("nobody", i), "password", "wrong"))
		consent := alice.get(s.authorizeAddress(id, "openid")).signIn("alice")
		if !strings.Contains(consent.Body, `name="allow"`) {
			t.Errorf("no consent page but %d %s", consent.Status, consent.Body)
		}
		harmless(t, s, consent)
		harmless(t, s, alice.get(s.URL+"/login/"+id))
		harmless(t, s, alice.get(strings.Replace(s.authorizeAddress(id, "openid"), url.QueryEscape(appRedirect), url.QueryEscape("https://other.example.org/"), 1)))
	}
}

// harmless looks for what acts: scripts, handlers, frames, addresses that are no plain
// web addresses, and pictures from elsewhere.
func harmless(t *testing.T, s *site, g page) {
	t.Helper()
	if g.Location != nil {
		return
	}
	root, err := html.Parse(strings.NewReader(g.Body))
	if err != nil {
		t.Fatal(err)
	}
	if policy := g.Header.Get("Content-Security-Policy"); strings.Contains(policy, "app.example.org") || !strings.HasPrefix(policy, "default-src 'none'") {
		t.Errorf("%s: the policy is %s", g.URL.Path, policy)
	}
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("%s: a comment %q", g.URL.Path, n.Data)
		}
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "iframe", "object", "embed", "base":
			t.Errorf("%s: an element %s", g.URL.Path, n.Data)
		}
		for _, a := range n.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			switch {
			case strings.HasPrefix(strings.ToLower(a.Key), "on"), a.Key == "style", a.Key == "srcdoc":
				t.Errorf("%s: <%s %s=%q>", g.URL.Path, n.Data, a.Key, a.Val)
			case a.Key == "src" && !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "data:image/"):
				t.Errorf("%s: a picture from %q", g.URL.Path, a.Val)
			case (a.Key == "href" || a.Key == "action") && !strings.HasPrefix(value, "/") && !strings.HasPrefix(value, "https://app.example.org/") && !strings.HasPrefix(value, "#"):
				t.Errorf("%s: a link to %q", g.URL.Path, a.Val)
			}
		}
	}
}
