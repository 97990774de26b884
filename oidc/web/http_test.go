package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
)

func (b *browser) method(method, path string, header ...string) view {
	b.t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r, true)
}

func TestEveryAddressKnowsItsMethods(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	all := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "NONSENSE"}
	for path, allowed := range map[string]string{
		"/oauth2/authorize": "GET HEAD POST", "/signin": "GET HEAD POST", "/consent": "GET HEAD POST", "/signout": "GET HEAD POST",
		"/oauth2/token": "POST", "/oauth2/introspect": "POST", "/oauth2/revoke": "POST", "/oauth2/userinfo": "GET HEAD POST",
		"/oauth2/jwks": "GET HEAD", "/.well-known/openid-configuration": "GET HEAD", "/.well-known/oauth-authorization-server": "GET HEAD",
		"/healthz": "GET HEAD", "/readyz": "GET HEAD", "/static/gatehouse.css": "GET HEAD",
	} {
		for _, method := range all {
			v := h.browser().method(method, path)
			if strings.Contains(" "+allowed+" ", " "+method+" ") {
				if v.status == http.StatusMethodNotAllowed || v.status == http.StatusNotFound {
					t.Errorf("%s %s: %d", method, path, v.status)
				}
				continue
			}
			if v.status != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d, want 405", method, path, v.status)
			}
			for _, want := range strings.Fields(allowed) {
				if !strings.Contains(v.header.Get("Allow"), want) {
					t.Errorf("%s %s: Allow is %q, want %s", method, path, v.header.Get("Allow"), allowed)
				}
			}
		}
		v := h.browser().method(http.MethodOptions, path)
		if v.status != http.StatusNoContent || v.header.Get("Allow") == "" {
			t.Errorf("OPTIONS %s: %d, Allow %q", path, v.status, v.header.Get("Allow"))
		}
	}
}

func TestHeadNeverGivesACode(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	v := b.method(http.MethodHead, authorizeURL("app"))
	if v.status != http.StatusOK || v.location() != "" || v.body != "" {
		t.Errorf("%d %q %q", v.status, v.location(), v.body)
	}
	if v := h.browser().method(http.MethodHead, "/oauth2/jwks"); v.status != http.StatusOK {
		t.Errorf("HEAD of the keys: %d", v.status)
	}
}

func TestWhatIsUnknownIsAPageForPeopleAndJSONForPrograms(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for path, accept := range map[string]string{
		"/": "", "/nothing": "text/html,application/json;q=0.9", "/oauth2/authorize/x": "application/json", "/oauth2/nothing": "text/html",
		"/.well-known/nothing": "", "/nothing/": "application/json", "/static/../signin": "", "//": "",
	} {
		v := h.browser().get(path, "Accept", accept)
		wantStatus(t, v, http.StatusNotFound)
		program := strings.HasPrefix(path, "/oauth2/") || strings.HasPrefix(path, "/.well-known/") || accept == "application/json"
		if isJSON := strings.HasPrefix(v.header.Get("Content-Type"), "application/json"); isJSON != program && path != "/static/../signin" {
			t.Errorf("%s for %q: %s", path, accept, v.header.Get("Content-Type"))
		}
		if !program {
			continue
		}
		var answer map[string]string
		if err := json.Unmarshal([]byte(v.body), &answer); err != nil || answer["error"] != "not_found" || answer["request_id"] == "" {
			t.Errorf("%s: %s", path, v.body)
		}
	}
	v := h.browser().method(http.MethodGet, "/oauth2/token")
	if v.status != http.StatusMethodNotAllowed || !strings.Contains(v.body, `"error":"invalid_request"`) {
		t.Errorf("GET of the token endpoint: %d %s", v.status, v.body)
	}
}

func TestRequestsThatMustNotBeRedirectedGetAPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for path, text := range map[string]string{
		authorizeURL("stranger"): "client_id names no application",
		authorizeURL("app", "redirect_uri", "https://evil.example.com/"): "redirect_uri is not registered",
	} {
		v := h.browser().get(path)
		wantStatus(t, v, http.StatusBadRequest)
		wantText(t, v, text)
		wantText(t, v, v.header.Get("X-Request-Id"))
		if v.location() != "" {
			t.Errorf("%s redirects to %q", path, v.location())
		}
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	for _, v := range []view{
		b.get(authorizeURL("app")), b.get("/signout"), b.get("/nothing"), b.get("/oauth2/jwks"), b.get("/healthz"), b.get("/signin?request=x"),
		b.get("/oauth2/authorize?a=%zz"), b.signIn("asker", "ada", "right-ada"), b.get(authorizeURL("asker")), b.get(authorizeURL("app")),
	} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
			"Strict-Transport-Security": "max-age=31536000",
		} {
			if got := v.header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		policy := v.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("the policy lacks %s: %s", want, policy)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "script") || v.header.Get("Cross-Origin-Opener-Policy") == "" {
			t.Errorf("headers %v", v.header)
		}
	}
}

func TestThePolicyOfAPageNamesWhereItsFormEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for redirect, want := range map[string]string{
		"https://app.example.com/cb?x=1":        "form-action 'self' https:;",
		"http://127.0.0.1:49152/cb":             "form-action 'self' https: http://127.0.0.1:*;",
		"http://[::1]:49152/cb":                 "form-action 'self' https: http:;",
		"com.example.app:/cb":                   "form-action 'self' https: com.example.app:;",
		"http://app.example.com;script-src*/x":  "form-action 'self' https: http:;",
		"https://app.example.com;script-src*/x": "form-action 'self' https:;",
	} {
		v := h.browser().get(authorizeURL("asker", "redirect_uri", redirect))
		policy := v.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, want) || !strings.Contains(policy, "img-src 'self' data: https://cdn.example.net;") {
			t.Errorf("%s: %s", redirect, policy)
		}
	}
}

func TestPagesSpeakThePersonsLanguage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, c := range []struct{ accept, locales, want string }{
		{"de-AT,de;q=0.9,en;q=0.5", "", `lang="de"`}, {"de", "fr en", `lang="fr"`}, {"fr-CA", "", `lang="fr"`}, {"xx", "yy", `lang="en"`}, {"", "", `lang="en"`},
	} {
		b := h.browser()
		page := b.get(authorizeURL("app", "ui_locales", c.locales), "Accept-Language", c.accept)
		wantText(t, page, c.want)
		wantText(t, b.get("/signout?ui_locales="+url.QueryEscape(c.locales), "Accept-Language", c.accept), c.want)
		wantText(t, b.get("/nothing?ui_locales="+url.QueryEscape(c.locales), "Accept-Language", c.accept), c.want)
		if c.locales == "fr en" { // kept in the sealed request
			wantText(t, b.fill(page, "ada", "wrong"), c.want)
		}
	}
}

func TestEachRequestHasOneLogLineAndAnId(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.TrustedProxies = prefixes(t, "10.0.0.0/8") })
	b := h.browser()
	own := b.get("/signout?secret=hunter2", "X-Request-Id", "from-a-stranger").header.Get("X-Request-Id")
	if own == "from-a-stranger" || own == "" {
		t.Errorf("the id is %q", own)
	}
	line := ""
	for l := range strings.Lines(h.logs.String()) {
		if strings.Contains(l, "msg=request ") && strings.Contains(l, own) {
			line += l
		}
	}
	for _, want := range []string{"method=GET", "route=/signout", "status=200", "duration=", "bytes=", "remote=192.0.2.7"} {
		if !strings.Contains(line, want) {
			t.Errorf("the log line lacks %s: %s", want, line)
		}
	}
	if strings.Count(line, "\n") != 1 || strings.Contains(h.logs.String(), "hunter2") {
		t.Errorf("not one line, or it holds the query:\n%s", h.logs.String())
	}
	b.addr = "10.1.2.3:99"
	for id, kept := range map[string]bool{"abc-DEF_1.2": true, "a b": false, "x\n": false, strings.Repeat("a", 65): false, "é": false} {
		r := httptest.NewRequest(http.MethodGet, "/healthz", nil)
		r.Header["X-Request-Id"] = []string{id}
		if got := b.do(r, true).header.Get("X-Request-Id"); (got == id) != kept {
			t.Errorf("the proxy's id %q became %q", id, got)
		}
	}
}

func TestAPanicFailsOneRequestAndTellsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	v := h.browser().get("/oauth2/userinfo?panic=1")
	wantStatus(t, v, http.StatusInternalServerError)
	if !strings.Contains(v.body, "server_error") || strings.Contains(h.logs.String(), "a secret of the request") ||
		!strings.Contains(h.logs.String(), "stack=") {
		t.Errorf("%s\n%s", v.body, h.logs.String())
	}
}

func TestAProviderThatNamesNoStepFailsTheRequest(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.provider.fail.Store(new(error)) // neither error nor step
	wantStatus(t, h.browser().get(authorizeURL("app")), http.StatusInternalServerError)
}

func TestHealthAndReadiness(t *testing.T) {
	t.Parallel()
	var fault error
	asked := 0
	h := newHouse(t, func(o *Options) {
		o.Ready = func(ctx context.Context) error {
			asked++
			return errors.Join(fault, ctx.Err())
		}
	})
	b := h.browser()
	wantStatus(t, b.get("/healthz"), http.StatusOK)
	r := httptest.NewRequest(http.MethodGet, "/readyz", nil)
	gone, hangUp := contextThatEnds(r)
	hangUp()
	wantStatus(t, b.do(r.WithContext(gone), false), http.StatusOK)
	fault = errors.New("the database at 10.0.0.9 is gone")
	for range 100 { // a stranger's flood costs the directory nothing
		wantStatus(t, b.get("/readyz"), http.StatusOK)
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	h.clock.Advance(time.Second)
	v := b.get("/readyz")
	wantStatus(t, v, http.StatusServiceUnavailable)
	if strings.Contains(v.body, "10.0.0.9") || !strings.Contains(h.logs.String(), "10.0.0.9") {
		t.Error("why it isn't ready belongs into the log and nowhere else")
	}
	wantStatus(t, b.get("/healthz"), http.StatusOK)
}

func TestAServerIsNotBuiltFromWrongOptions(t *testing.T) {
	t.Parallel()
	good := newHouse(t).Options
	for name, spoil := range map[string]func(*Options){
		"http issuer":         func(o *Options) { o.Issuer = "http://sso.example.org" },
		"issuer with a path":  func(o *Options) { o.Issuer = "https://sso.example.org/x" },
		"issuer with a query": func(o *Options) { o.Issuer = "https://sso.example.org?x" },
		"issuer with a name":  func(o *Options) { o.Issuer = "https://me@sso.example.org" },
		"no issuer":           func(o *Options) { o.Issuer = "" },
		"no provider":         func(o *Options) { o.Provider = nil },
		"no endpoint":         func(o *Options) { o.Endpoints.Token = nil },
		"a short secret":      func(o *Options) { o.Derive = func(string, int) []byte { return nil } },
		"a negative limit":    func(o *Options) { o.SessionIdle = -1 },
		"a negative throttle": func(o *Options) { o.Throttle.AccountFailures = -1 },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestStaticFilesMayBeKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get("/signout")
	_, rest, found := strings.Cut(page.body, `rel="stylesheet" href="`)
	address, _, _ := strings.Cut(rest, `"`)
	v := b.get(address)
	if !found || v.status != http.StatusOK || !strings.Contains(v.header.Get("Cache-Control"), "immutable") || !strings.HasPrefix(v.header.Get("Content-Type"), "text/css") {
		t.Errorf("%s: %d %v", address, v.status, v.header)
	}
	wantStatus(t, b.get("/static/nothing.css"), http.StatusNotFound)
}

func TestWhoHangsUpIsNoError(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	gone := context.Canceled
	wrapped := error(&oidc.SignInError{Reason: "x", Err: gone})
	if f := asFault(wrapped); f.status != http.StatusServiceUnavailable {
		t.Errorf("status %d", f.status)
	}
	b := h.browser()
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	r := httptest.NewRequest(http.MethodGet, authorizeURL("app"), nil)
	ctx, hangUp := contextThatEnds(r)
	hangUp()
	b.do(r.WithContext(ctx), true)
	if strings.Contains(h.logs.String(), "level=ERROR") {
		t.Errorf("a browser that hung up is logged as an error:\n%s", h.logs.String())
	}
}
