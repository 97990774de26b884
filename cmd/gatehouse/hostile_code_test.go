package main

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// Code injection, mix-up and downgrade.
func TestACodeIsWorthNothingToAnybodyElse(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{
		"clients.d/other.yaml": clientYAML("other", "scopes: {everyone: [openid, email]}\n"),
		"clients.d/lax.yaml":   clientYAML("lax", "require_pkce: false\nscopes: {everyone: [openid]}\n"),
		"clients.d/phone.yaml": "client_id: phone\ntoken_endpoint_auth_method: none\nredirect_uris: [\"org.example.app:/cb\", http://127.0.0.1/cb]\nconsent: none\nscopes: {everyone: [openid]}\n",
	})
	app := s.application("openid")
	alice := s.signedIn("alice")
	alice.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	code := func(address string) url.Values {
		t.Helper()
		g := alice.get(address)
		if gained(g) != "a code" {
			t.Fatalf("%d %v", g.Status, g.Location)
		}
		if g.Location.Query().Get("iss") != s.URL {
			t.Errorf("a code without its issuer: %v", g.Location)
		}
		return url.Values{
			"grant_type": {"authorization_code"}, "code": {g.Location.Query().Get("code")}, "redirect_uri": {appRedirect}, "code_verifier": {app.verifier},
		}
	}
	exchange := func(form url.Values, client, secret string) string {
		t.Helper()
		g := newPerson(t).post(s.URL+"/oauth2/token", form, client, secret)
		if g.Status == http.StatusOK {
			return "tokens"
		}
		return strings.Split(g.Body, `"`)[3]
	}
	changed := func(form url.Values, pairs ...string) url.Values {
		out := url.Values{}
		for name, values := range form {
			out[name] = slices.Clone(values)
		}
		for i := 0; i < len(pairs); i += 2 {
			out.Set(pairs[i], pairs[i+1])
			if pairs[i+1] == "" {
				out.Del(pairs[i])
			}
		}
		return out
	}

	form := code(app.address())
	for name, got := range map[string]string{
		"another client":            exchange(form, "other", appSecret),
		"a public client":           exchange(changed(form, "client_id", "phone"), "phone", ""),
		"a wrong secret":            exchange(form, "app", appSecret+"x"),
		"no secret":                 exchange(form, "app", ""),
		"two clients in a request":  exchange(changed(form, "client_id", "other"), "app", appSecret),
		"two secrets in a request":  exchange(changed(form, "client_secret", appSecret), "app", appSecret),
		"another redirect_uri":      exchange(changed(form, "redirect_uri", "https://app.example.org/cb2"), "app", appSecret),
		"no redirect_uri":           exchange(changed(form, "redirect_uri", ""), "app", appSecret),
		"another verifier":          exchange(changed(form, "code_verifier", oauth2.GenerateVerifier()), "app", appSecret),
		"no verifier":               exchange(changed(form, "code_verifier", ""), "app", appSecret),
		"the challenge as verifier": exchange(changed(form, "code_verifier", oauth2.S256ChallengeFromVerifier(app.verifier)), "app", appSecret),
		"the code as refresh token": exchange(url.Values{"grant_type": {"refresh_token"}, "refresh_token": form["code"]}, "app", appSecret),
		"another grant type":        exchange(changed(form, "grant_type", "authorization_code refresh_token"), "app", appSecret),
		"its hash":                  exchange(changed(form, "code", strings.ToUpper(form.Get("code"))), "app", appSecret),
	} {
		if got == "tokens" {
			t.Errorf("%s got tokens", name)
		}
	}
	if got := exchange(form, "app", appSecret); got != "tokens" {
		t.Errorf("strangers' tries cost the application its code: %s", got)
	}
	if got := exchange(form, "app", appSecret); got != "invalid_grant" {
		t.Errorf("twice: %s", got)
	}

	// RFC 9700, section 2.1.1: a challenge that somebody strips from the request.
	plain := s.application("openid")
	plain.config.ClientID = "lax"
	if got := exchange(code(plain.config.AuthCodeURL("x")), "lax", appSecret); got != "invalid_grant" {
		t.Errorf("a verifier without its challenge: %s", got)
	}
	for name, options := range map[string][]oauth2.AuthCodeOption{
		"no challenge": nil,
		"plain":        {oauth2.SetAuthURLParam("code_challenge", app.verifier), oauth2.SetAuthURLParam("code_challenge_method", "plain")},
		"no method":    {oauth2.SetAuthURLParam("code_challenge", app.verifier)},
		"lower case":   {oauth2.SetAuthURLParam("code_challenge", oauth2.S256ChallengeFromVerifier(app.verifier)), oauth2.SetAuthURLParam("code_challenge_method", "s256")},
		"empty":        {oauth2.SetAuthURLParam("code_challenge", ""), oauth2.SetAuthURLParam("code_challenge_method", "S256")},
	} {
		for _, client := range []string{"app", "phone"} {
			config := app.config
			config.ClientID = client
			if client == "phone" {
				config.RedirectURL = "org.example.app:/cb"
			}
			g := alice.get(config.AuthCodeURL("the state", options...))
			if gained(g) != "" || g.Location == nil || g.Location.Query().Get("error") != "invalid_request" || g.Location.Query().Get("iss") != s.URL {
				t.Errorf("%s of %s: %d %v", name, client, g.Status, g.Location)
			}
		}
	}
}

func TestNoTrickWithTheRedirectURILeadsElsewhere(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{
		"clients.d/phone.yaml": "client_id: phone\ntoken_endpoint_auth_method: none\nredirect_uris: [http://127.0.0.1/cb, \"http://[::1]:80/cb\"]\nconsent: none\nscopes: {everyone: [openid]}\n",
	})
	alice := s.signedIn("alice")
	alice.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	app := s.application("openid")
	for _, uri := range []string{
		"https://app.example.org/cb/", "https://app.example.org/cb?", "https://app.example.org/cb#", "https://app.example.org/cb/..;/x",
		"https://app.example.org:443/cb", "https://APP.example.org/cb", "HTTPS://app.example.org/cb", "https://app.example.org./cb", "https://app.example.org/%63b",
		"https://app.example.org/cb%2f..", "https://app.example.org\\@evil.example/cb", "https://app.example.org@evil.example/cb", "https://evil.example/https://app.example.org/cb",
		"https://app.example.org.evil.example/cb", "https://app.example.orgevil.example/cb", "//app.example.org/cb", "/cb", "cb", "javascript:alert(1)//https://app.example.org/cb",
		"data:text/html,x", " https://app.example.org/cb", "https://app.example.org/cb ", "https://app.example.org/cb\r\nX: y", "https://app.example.org/cb\t", "https://app.example.org/c\u0062\u200b",
		"http://app.example.org/cb", "https://app.example.org/cb&code=x", "https://аpp.example.org/cb", "", "https://127.0.0.1/cb", "http://localhost/cb", s.URL + "/signin",
	} {
		config := app.config
		config.RedirectURL = uri
		g := alice.get(config.AuthCodeURL("s", oauth2.S256ChallengeOption(app.verifier)))
		if g.Location != nil || g.Status != http.StatusBadRequest {
			t.Errorf("%q: %d, sent to %v", uri, g.Status, g.Location)
		}
		g = alice.get(config.AuthCodeURL("s", oauth2.SetAuthURLParam("response_type", "nonsense"))) // nor by an error
		if g.Location != nil {
			t.Errorf("%q with a fault: sent to %v", uri, g.Location)
		}
	}
	for _, uri := range []string{ // RFC 8252, section 7.3 frees the port and nothing else
		"http://127.0.0.1:1@evil.example/cb", "http://127.0.0.1.evil.example:1/cb", "http://127.0.0.1:80/cb/../x", "http://127.0.0.2:5000/cb", "http://127.1:5000/cb", "http://2130706433/cb",
		"http://[::1]:80@evil.example/cb", "http://[::1%25evil]:80/cb", "http://0.0.0.0:80/cb", "http://127.0.0.1:5000/cb?x", "http://127.0.0.1:5000\\@evil.example/cb", "http://127.0.0.1:5000/CB",
		"https://127.0.0.1:5000/cb", "http://[::ffff:127.0.0.1]:5000/cb", "http://127.0.0.1:-1/cb", "http://127.0.0.1: 80/cb", "http://127.0.0.1:５/cb", "http://localhost:5000/cb",
	} {
		config := app.config
		config.ClientID, config.RedirectURL = "phone", uri
		if g := alice.get(config.AuthCodeURL("s", oauth2.S256ChallengeOption(app.verifier))); g.Location != nil || g.Status != http.StatusBadRequest {
			t.Errorf("phone, %q: %d, sent to %v", uri, g.Status, g.Location)
		}
	}
	// Two values: what is checked is what is used, and the answer is an error.
	twice := app.address() + "&redirect_uri=" + url.QueryEscape("https://evil.example/cb")
	if g := alice.get(twice); gained(g) != "" || g.Location == nil || g.Location.Host != "app.example.org" {
		t.Errorf("two redirect URIs: %d %v", g.Status, g.Location)
	}
	if g := alice.get(strings.Replace(twice, "redirect_uri=", "REDIRECT_URI=", 1)); g.Location != nil && g.Location.Host != "app.example.org" {
		t.Errorf("%v", g.Location)
	}
}

func TestNoAddressOfOursSendsABrowserElsewhere(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	alice := s.signedIn("alice")
	jar := alice.client.Jar
	for _, target := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "/%2f%2fevil.example", "javascript:alert(1)", "http://evil.example:80"} {
		for _, path := range []string{
			"/signin?request=", "/signin?posted=", "/consent?request=", "/signin?continue=", "/signin?next=", "/signout?post_logout_redirect_uri=", "/signout?client_id=app&post_logout_redirect_uri=",
			"/oauth2/authorize?redirect_uri=", "/oauth2/authorize?client_id=app&redirect_uri=", "/oauth2/authorize?request_uri=", "/?",
		} {
			p := stranger(t)
			p.client.Jar = jar
			if g := p.get(s.URL + path + url.QueryEscape(target)); g.Location != nil && g.Location.Host != strings.TrimPrefix(s.URL, "http://") {
				t.Errorf("%s%s leads to %v", path, target, g.Location)
			}
			p.client.Jar, _ = cookiejar.New(nil)
			if g := p.get(s.URL + path + url.QueryEscape(target)); g.Location != nil && g.Location.Host != strings.TrimPrefix(s.URL, "http://") {
				t.Errorf("%s%s leads a stranger to %v", path, target, g.Location)
			}
		}
		// A router that mends paths by a redirect can be made to name another host.
		for _, path := range []string{target, "//evil.example/..", "//evil.example/%2e%2e", "/oauth2/authorize/" + target, "/static/" + target} {
			if !strings.HasPrefix(path, "/") {
				path = "/" + path
			}
			status, header, _ := s.wire("GET " + strings.ReplaceAll(path, " ", "%20") + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if header.Get("Location") != "" || status < 400 {
				t.Errorf("%s: %d, %q", path, status, header.Get("Location"))
			}
		}
	}
}

// Whoever makes the link chooses how the answer travels. A code must not be led
// where the application does not look for it: unused, it could be picked up there.
func TestNoLinkLeavesACodeWhereNobodyTakesIt(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	alice := s.signedIn("alice")
	alice.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, changes := range [][]string{
		{"response_mode", "fragment"},
		{"response_mode", "fragment", "response_type", "code code"},
		{"response_mode", "query", "response_type", "code token"},
		{"response_type", "code id_token"},
		{"response_type", "id_token"},
		{"response_type", "token"},
		{"response_mode", "web_message"},
		{"response_mode", "jwt"},
		{"response_mode", "query.jwt"},
		{"response_mode", "FRAGMENT"},
		{"response_type", "none"},
		{"response_type", "CODE"},
	} {
		address := app.address()
		for i := 0; i < len(changes); i += 2 {
			address = with(t, address, changes[i], changes[i+1])
		}
		if g := alice.get(address); gained(g) != "" || g.answer().Get("error") == "" {
			t.Errorf("%v: %d %v", changes, g.Status, g.Location)
		}
	}
	posted := alice.get(with(t, app.address(), "response_mode", "form_post"))
	if found := foreign(posted.Body); posted.answer().Get("code") == "" || len(found) != 1 || posted.Header.Get("X-Frame-Options") != "DENY" || posted.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v %v %s", found, posted.Header, posted.Body)
	}
}
