package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
)

func TestAPersonSignsInOnceForAllApplications(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get(authorizeURL("app", "login_hint", "ada@example.org"))
	wantStatus(t, page, http.StatusOK)
	wantText(t, page, `value="ada@example.org"`)
	wantText(t, page, "The application")
	wantCode(t, b.fill(page, "ada", "right-ada"), "id-ada")

	again := b.get(authorizeURL("app"))
	wantCode(t, again, "id-ada")
	if n := h.directory.binds.Load(); n != 1 {
		t.Errorf("%d binds for two sign-ins with one session, want 1", n)
	}
	if logs := h.logs.String(); strings.Contains(logs, "right-ada") || !strings.Contains(logs, "event=sign_in ") {
		t.Errorf("the log holds a password or lacks the audit line:\n%s", logs)
	}
}

func TestConsentIsAskedOnAPageOfItsOwnAfterASignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	sent := b.signIn("asker", "ada", "right-ada")
	wantStatus(t, sent, http.StatusSeeOther)
	if !strings.HasPrefix(sent.location(), "/consent?request=") {
		t.Fatalf("sent to %q, want the consent page, so that a reload posts no password", sent.location())
	}
	page := b.get(sent.location())
	wantStatus(t, page, http.StatusOK)
	wantText(t, page, `name="allow"`)
	wantStatus(t, b.get(sent.location()), http.StatusOK) // a reload

	allowed := b.post("/consent", url.Values{"request": {page.request(t)}, "allow": {"1"}})
	wantCode(t, allowed, "id-ada")
	if n := h.directory.binds.Load(); n != 1 {
		t.Errorf("%d binds, want 1", n)
	}
}

func TestDenyingConsentTellsTheApplication(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get(b.signIn("asker", "ada", "right-ada").location())
	denied := b.post("/consent", url.Values{"request": {page.request(t)}, "deny": {"1"}})
	wantStatus(t, denied, http.StatusSeeOther)
	if denied.location() != "https://app.example.com/cb?error=access_denied" || h.provider.lastDeny.Load() != "id-ada" {
		t.Errorf("sent to %q on behalf of %v", denied.location(), h.provider.lastDeny.Load())
	}
	for _, form := range []url.Values{{}, {"allow": {"1"}, "deny": {"1"}}} {
		form.Set("request", page.request(t))
		wantStatus(t, b.post("/consent", form), http.StatusBadRequest)
	}
}

func TestConsentHoldsForWhoSawItAndWhatTheySaw(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get(b.signIn("asker", "ada", "right-ada").location())
	seal := page.request(t)

	// Somebody else signs in with the same browser before the form is sent.
	b.cookies[sessionCookie] = ""
	wantCode(t, b.signIn("app", "ben", "right-ben"), "id-ben")
	asked := b.post("/consent", url.Values{"request": {seal}, "allow": {"1"}})
	wantStatus(t, asked, http.StatusOK)
	wantText(t, asked, `name="allow"`)

	// Signed out meanwhile: back to the sign-in page.
	delete(b.cookies, sessionCookie)
	asked = b.post("/consent", url.Values{"request": {seal}, "allow": {"1"}})
	wantStatus(t, asked, http.StatusOK)
	wantText(t, asked, `name="password"`)

	// The address that goes on is no approval, and the sign-in form isn't one either.
	wantStatus(t, b.post("/consent", url.Values{"request": {asked.request(t)}, "allow": {"1"}}), http.StatusBadRequest)
}

func TestEveryRefusalIsSaidAsPlainlyAsIsSafe(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Throttle.AccountFailures = 100 })
	b := h.browser()
	strip := func(v view) string { return hiddenField.ReplaceAllString(v.body, "") }
	h.directory.answer("twins", &oidc.SignInError{Reason: oidc.ReasonAmbiguous})
	wrong := strip(b.signIn("app", "ada", "wrong"))
	for name, body := range map[string]string{
		"an unknown name":        strings.ReplaceAll(strip(b.signIn("app", "zoe", "wrong")), `"zoe"`, `"ada"`),
		"a name of two":          strings.ReplaceAll(strip(b.signIn("app", "twins", "wrong")), `"twins"`, `"ada"`),
		"an empty password":      strip(b.signIn("app", "ada", "")),
		"a name that is endless": strings.ReplaceAll(strip(b.signIn("app", strings.Repeat("z", 300), "wrong")), strings.Repeat("z", 300), "ada"),
	} {
		if body != wrong {
			t.Errorf("%s looks different from a wrong password:\n%s\n---\n%s", name, body, wrong)
		}
	}
	seen := map[string]oidc.SignInReason{wrong: oidc.ReasonWrongPassword}
	for _, reason := range []oidc.SignInReason{
		oidc.ReasonPasswordExpired, oidc.ReasonMustChange, oidc.ReasonDisabled, oidc.ReasonAccountExpired, oidc.ReasonOutsideHours,
	} {
		h.directory.answer("ada", &oidc.SignInError{Reason: reason, Err: errors.New("result code 49")})
		v := b.signIn("app", "ada", "right-ada")
		wantStatus(t, v, http.StatusUnprocessableEntity)
		if other, ok := seen[strip(v)]; ok {
			t.Errorf("%s and %s look the same", reason, other)
		}
		seen[strip(v)] = reason
		if !strings.Contains(h.logs.String(), "reason="+string(reason)) {
			t.Errorf("the audit log lacks %s", reason)
		}
	}
	// A directory says locked whatever the password, so the page must not: it would
	// tell a stranger that there is such an account. The audit log does.
	h.directory.answer("ada", &oidc.SignInError{Reason: oidc.ReasonLocked, Err: errors.New("result code 49")})
	if locked := strip(b.signIn("app", "ada", "wrong")); locked != wrong || !strings.Contains(locked, "locked") || !strings.Contains(h.logs.String(), "reason=locked") {
		t.Errorf("a locked account looks different from a wrong password:\n%s", locked)
	}
	if _, signedIn := b.cookies[sessionCookie]; signedIn {
		t.Error("a refused sign-in left a session")
	}
	if logs := h.logs.String(); strings.Contains(logs, "zoe") || strings.Contains(logs, "twins") {
		t.Error("a typed name is in the log; it may be a password in the wrong field")
	}
}

func TestAnAccountThatMayNotBeUsedIsRefusedEvenIfTheDirectoryTakesThePassword(t *testing.T) {
	t.Parallel()
	for state, want := range map[oidc.AccountState]oidc.SignInReason{
		oidc.StateDisabled: oidc.ReasonDisabled, oidc.StateExpired: oidc.ReasonAccountExpired, 99: oidc.ReasonDisabled,
	} {
		var refused *oidc.SignInError
		if err := usable(&oidc.User{State: state}); !errors.As(err, &refused) || refused.Reason != want {
			t.Errorf("%s: %v, want %s", state, err, want)
		}
	}
}

func TestADirectoryThatCannotTellLosesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	h.directory.answer("", fmt.Errorf("looking up: %w: connection refused by 10.9.8.7", oidc.ErrUnavailable))
	page := b.signIn("app", "ada", "right-ada")
	for range 10 { // an outage is nobody's failure
		wantStatus(t, page, http.StatusServiceUnavailable)
		if page.header.Get("Retry-After") == "" || strings.Contains(page.body, "10.9.8.7") {
			t.Fatalf("no Retry-After, or the page tells too much:\n%s", page.body)
		}
		page = b.fill(page, "ada", "right-ada")
	}
	h.directory.answer("", nil)
	wantCode(t, b.fill(page, "ada", "right-ada"), "id-ada")

	// The same for somebody with a session, whom the provider cannot look up.
	down := fmt.Errorf("look up the signed-in person: %w", oidc.ErrUnavailable)
	h.provider.fail.Store(&down)
	for _, path := range []string{authorizeURL("app"), authorizeURL("asker")} {
		v := b.get(path)
		wantStatus(t, v, http.StatusServiceUnavailable)
		if v.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	h.provider.fail.Store(nil)
	wantCode(t, b.get(authorizeURL("app")), "id-ada")
}

func TestAnOutageInTheMiddleOfAConsentKeepsTheRequest(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	consent := b.get(b.signIn("asker", "ada", "right-ada").location())
	down := fmt.Errorf("store: %w", oidc.ErrUnavailable)
	h.provider.fail.Store(&down)
	sent := b.post("/consent", url.Values{"request": {consent.request(t)}, "allow": {"1"}})
	wantStatus(t, sent, http.StatusSeeOther)
	wantStatus(t, b.get(sent.location()), http.StatusServiceUnavailable)
	h.provider.fail.Store(nil)
	again := b.get(sent.location()) // "load this page again"
	wantStatus(t, again, http.StatusOK)
	wantCode(t, b.post("/consent", url.Values{"request": {again.request(t)}, "allow": {"1"}}), "id-ada")
}

func TestAnOutageRightAfterTheSignInAsksForItAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get(authorizeURL("app"))
	down := fmt.Errorf("store: %w", oidc.ErrUnavailable)
	h.provider.fail.Store(&down)
	refused := b.fill(page, "ada", "right-ada")
	wantStatus(t, refused, http.StatusServiceUnavailable)
	if _, signedIn := b.cookies[sessionCookie]; signedIn {
		t.Error("a session cookie for a session that was not saved")
	}
	h.provider.fail.Store(nil)
	wantCode(t, b.fill(refused, "ada", "right-ada"), "id-ada")
}

func TestAFormOfAnotherBrowserIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	attacker, victim := h.browser(), h.browser()
	page := attacker.get(authorizeURL("app"))
	victim.get(authorizeURL("app"))
	v := victim.fill(page, "ada", "right-ada")
	wantStatus(t, v, http.StatusBadRequest)
	if _, signedIn := victim.cookies[sessionCookie]; signedIn || h.directory.binds.Load() != 0 {
		t.Error("the form of another browser signed somebody in, or asked the directory")
	}
	page = attacker.get(attacker.signIn("asker", "ada", "right-ada").location())
	wantStatus(t, victim.post("/consent", url.Values{"request": {page.request(t)}, "allow": {"1"}}), http.StatusBadRequest)
	for _, request := range []string{"", "x", strings.Repeat("A", 60<<10), page.request(t) + "A"} {
		wantStatus(t, victim.post("/signin", url.Values{"request": {request}, "username": {"ada"}, "password": {"right-ada"}}), http.StatusBadRequest)
	}
}

func TestAFormSentByAnotherSiteIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get(authorizeURL("app"))
	form := url.Values{"username": {"ada"}, "password": {"right-ada"}, "request": {page.request(t)}}
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example.com"}, {"Origin", "null"}} {
		r := httptest.NewRequest(http.MethodPost, "/signin", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", formType)
		r.Header.Set(header[0], header[1])
		wantStatus(t, b.do(r, true), http.StatusForbidden)
	}
	if h.directory.binds.Load() != 0 {
		t.Error("the directory was asked")
	}
}

func TestABrowserWithoutCookiesIsToldSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get(authorizeURL("app"))
	clear(b.cookies)
	v := b.fill(page, "ada", "right-ada")
	wantStatus(t, v, http.StatusBadRequest)
	wantText(t, v, "Cookies are needed")
	if h.directory.binds.Load() != 0 {
		t.Error("the directory was asked")
	}
}

func TestAPageThatWasOpenForTooLongStartsAnew(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get(authorizeURL("app"))
	h.clock.Advance(maxPendingAge + time.Minute)
	old := b.fill(page, "ada", "right-ada")
	wantStatus(t, old, http.StatusOK)
	wantText(t, old, "open for too long")
	if h.directory.binds.Load() != 0 {
		t.Error("the password of a page that was too old was used")
	}
	wantCode(t, b.fill(old, "ada", "right-ada"), "id-ada")
	if at := h.provider.resumed.Load(); !h.clock.Now().Equal(at.(time.Time)) {
		t.Errorf("the request starts at %v, want now", at)
	}
}

func TestARequestByPostFromAnotherSiteFindsTheSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	const app = "https://app.example.com"
	sent := b.postFrom(app, "/oauth2/authorize", authorizeForm("app"))
	wantStatus(t, sent, http.StatusSeeOther)
	if strings.Contains(sent.location(), "some-state") || len(b.cookies) != 0 {
		t.Errorf("the address shows what was posted, or cookies were replaced: %s", sent.location())
	}
	page := b.get(sent.location())
	wantStatus(t, page, http.StatusOK)
	wantCode(t, b.fill(page, "ada", "right-ada"), "id-ada")

	session, browserID := b.cookies[sessionCookie], b.cookies["__Host-gatehouse_browser"]
	wantCode(t, b.get(b.postFrom(app, "/oauth2/authorize", authorizeForm("app")).location()), "id-ada")
	if b.cookies[sessionCookie] != session || b.cookies["__Host-gatehouse_browser"] != browserID {
		t.Error("a request by POST from another site replaced cookies")
	}

	// What doesn't fit into an address is answered all the same.
	large := b.postFrom(app, "/oauth2/authorize", authorizeForm("app", "claims", strings.Repeat("c", 10<<10)))
	wantStatus(t, large, http.StatusOK)
	wantText(t, large, `name="password"`)
	// A POST that brings cookies needs no detour.
	wantCode(t, b.post("/oauth2/authorize", authorizeForm("app")), "id-ada")
}

func TestTheProvidersRefusalIsSentToTheApplicationAndThePersonStaysSignedIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	if v := b.get(authorizeURL("app", "scope", "bad")); v.location() != "https://app.example.com/cb?error=invalid_scope" {
		t.Errorf("sent to %q", v.location())
	}
	h.provider.denied.Store(true)
	if v := b.signIn("app", "ada", "right-ada"); v.location() != "https://app.example.com/cb?error=access_denied" {
		t.Errorf("sent to %q", v.location())
	}
	h.provider.denied.Store(false)
	wantCode(t, b.get(authorizeURL("app")), "id-ada")
}

func TestPromptLoginAsksSomebodyWhoIsSignedIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	before := b.cookies[sessionCookie]
	h.clock.Advance(time.Minute)
	page := b.get(authorizeURL("app", "prompt", "login"))
	wantStatus(t, page, http.StatusOK)
	wantCode(t, b.fill(page, "ada", "right-ada"), "id-ada")
	if _, err := h.store.Session(t.Context(), oidc.HashOf(before)); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("the session from before is still there: %v", err)
	}
}

func TestAddressesOfTheFlowWithoutARequestShowAPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	for _, path := range []string{"/signin", "/consent", "/signin?request=x", "/signin?posted=x", "/consent?request=" + strings.Repeat("A", 9000)} {
		v := b.get(path)
		wantStatus(t, v, http.StatusBadRequest)
		wantText(t, v, "Open your application again")
	}
}
