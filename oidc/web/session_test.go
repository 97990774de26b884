package web

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
)

func TestASecretKnownBeforeTheSignInIsWorthNothingAfterIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	planted := oidc.NewSecret("")
	b := h.browser()
	b.cookies[sessionCookie] = planted
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	if b.cookies[sessionCookie] == planted {
		t.Fatal("the planted secret became the session's")
	}
	first := b.cookies[sessionCookie]

	// Signing in as somebody else ends the session that was there.
	h.clock.Advance(2 * time.Second)
	wantCode(t, b.fill(b.get(authorizeURL("app", "prompt", "login")), "ben", "right-ben"), "id-ben")
	thief := h.browser()
	for _, secret := range []string{planted, first, "short", strings.Repeat("!", 43)} {
		thief.cookies[sessionCookie] = secret
		v := thief.get(authorizeURL("app"))
		wantStatus(t, v, http.StatusOK)
		wantText(t, v, `name="password"`)
	}
}

func TestTheStoreHoldsTheHashOfTheSessionOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	h.clock.Advance(300 * time.Millisecond)
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	s, err := h.store.Session(t.Context(), oidc.HashOf(b.cookies[sessionCookie]))
	if err != nil {
		t.Fatal(err)
	}
	if s.Subject != "id-ada" || s.AuthTime.Nanosecond() != 0 || strings.Join(s.AMR, " ") != "pwd" || s.ID == "" || s.ID == b.cookies[sessionCookie] {
		t.Errorf("session %+v", s)
	}
}

func TestASessionEndsAtItsIdleAndAtItsAbsoluteLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.SessionIdle, o.SessionAbsolute = time.Hour, 3*time.Hour })
	b := h.browser()
	signedIn := func() bool { return b.get(authorizeURL("app")).status == http.StatusSeeOther }
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	for range 3 { // in use, it lives on
		h.clock.Advance(50 * time.Minute)
		if !signedIn() {
			t.Fatal("a session in use ended")
		}
	}
	h.clock.Advance(31 * time.Minute)
	if signedIn() {
		t.Error("a session outlived the absolute limit")
	}
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	h.clock.Advance(time.Hour)
	if signedIn() {
		t.Error("a session outlived the idle limit")
	}
}

func TestASessionInUseIsWrittenSeldom(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.SessionIdle = time.Hour })
	b := h.browser()
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	seen := func() time.Time {
		s, err := h.store.Session(t.Context(), oidc.HashOf(b.cookies[sessionCookie]))
		if err != nil {
			t.Fatal(err)
		}
		return s.LastSeenAt
	}
	start := seen()
	h.clock.Advance(5 * time.Minute)
	wantCode(t, b.get(authorizeURL("app")), "id-ada")
	if !seen().Equal(start) {
		t.Error("written within a tenth of the idle limit")
	}
	h.clock.Advance(2 * time.Minute)
	wantCode(t, b.get(authorizeURL("app")), "id-ada")
	if !seen().Equal(h.clock.Now().Truncate(time.Millisecond)) && seen().Before(start.Add(7*time.Minute)) {
		t.Errorf("last seen at %v, want %v", seen(), h.clock.Now())
	}
}

func TestBeingRememberedIsASetting(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		remember time.Duration
		ticked   string
		maxAge   int
	}{
		{"not offered, not to be had", 0, "1", 0},
		{"offered and not ticked: until the browser closes", 30 * 24 * time.Hour, "", 0},
		{"offered and ticked: the setting's time", 30 * 24 * time.Hour, "1", 30 * 24 * 3600},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, func(o *Options) { o.SessionRemember = c.remember })
			b := h.browser()
			page := b.get(authorizeURL("app"))
			if offered := strings.Contains(page.body, `name="remember"`); offered != (c.remember > 0) {
				t.Errorf("the box is offered: %v", offered)
			}
			v := b.fill(page, "ada", "right-ada", "remember", c.ticked)
			wantCode(t, v, "id-ada")
			got := cookieOf(t, v, sessionCookie)
			if got.MaxAge != c.maxAge {
				t.Errorf("Max-Age %d, want %d", got.MaxAge, c.maxAge)
			}
			h.clock.Advance(20 * 24 * time.Hour)
			if kept := b.get(authorizeURL("app")).status == http.StatusSeeOther; kept != (c.maxAge > 0) {
				t.Errorf("still signed in after 20 days: %v", kept)
			}
		})
	}
}

func cookieOf(t *testing.T, v view, name string) *http.Cookie {
	t.Helper()
	for _, c := range (&http.Response{Header: v.header}).Cookies() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no cookie %s in %v", name, v.header["Set-Cookie"])
	return nil
}

func TestCookiesCarryEveryProtectionThatTheIssuerAllows(t *testing.T) {
	t.Parallel()
	for issuer, c := range map[string]struct {
		prefix string
		secure bool
	}{
		"https://sso.example.org":       {"__Host-gatehouse_", true},
		"http://localhost:8080":         {"gatehouse_", false},
		"http://127.0.0.1:8080":         {"gatehouse_", false},
		"https://sso.example.org:8443/": {"__Host-gatehouse_", true},
	} {
		h := newHouse(t, func(o *Options) { o.Issuer = issuer })
		b := h.browser()
		page := b.get(authorizeURL("app"))
		for _, cookie := range []*http.Cookie{
			cookieOf(t, page, c.prefix+"browser"), cookieOf(t, b.fill(page, "ada", "right-ada"), c.prefix+"session"),
		} {
			if cookie.Secure != c.secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || cookie.Domain != "" {
				t.Errorf("%s: %s", issuer, cookie.Raw)
			}
		}
		if hsts := page.header.Get("Strict-Transport-Security"); (hsts != "") != c.secure {
			t.Errorf("%s: Strict-Transport-Security %q", issuer, hsts)
		}
	}
}

func TestASessionWhosePersonIsGoneEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	secret := b.cookies[sessionCookie]
	h.provider.gone.Store(true)
	wantStatus(t, b.get(authorizeURL("app")), http.StatusOK)
	if _, kept := b.cookies[sessionCookie]; kept {
		t.Error("the browser keeps the cookie")
	}
	if _, err := h.store.Session(t.Context(), oidc.HashOf(secret)); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("the store keeps the session: %v", err)
	}
}

func TestSigningOutAsksAndThenEndsTheSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	out := b.get("/signout")
	wantStatus(t, out, http.StatusOK)
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	secret := b.cookies[sessionCookie]

	page := b.get("/signout")
	wantStatus(t, page, http.StatusOK)
	wantText(t, page, `name="signout"`)
	if page.body == out.body {
		t.Error("who is signed in is not asked")
	}
	// Another site can neither post the form nor use a form of its own browser.
	r := httptest.NewRequest(http.MethodPost, "/signout", strings.NewReader(url.Values{"request": {page.request(t)}}.Encode()))
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	wantStatus(t, b.do(r, true), http.StatusForbidden)
	wantStatus(t, b.post("/signout", url.Values{"request": {"x"}}), http.StatusBadRequest)
	wantStatus(t, b.post("/signout", url.Values{"request": {b.get(authorizeURL("asker")).request(t)}}), http.StatusBadRequest)

	h.clock.Advance(30 * time.Minute)
	done := b.post("/signout", url.Values{"request": {page.request(t)}, "signout": {"1"}})
	wantStatus(t, done, http.StatusSeeOther)
	if cookie := cookieOf(t, done, sessionCookie); cookie.MaxAge >= 0 || !cookie.Secure {
		t.Errorf("the cookie is not removed: %s", cookie.Raw)
	}
	if after := b.get(done.location()); after.body != out.body {
		t.Error("the signed-out page is not shown")
	}
	if _, err := h.store.Session(t.Context(), oidc.HashOf(secret)); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("the store keeps the session: %v", err)
	}
	if !strings.Contains(h.logs.String(), "event=sign_out") {
		t.Error("the audit log lacks the sign-out")
	}
	wantStatus(t, b.post("/signout", url.Values{"request": {page.request(t)}, "signout": {"1"}}), http.StatusSeeOther) // twice is once
}
