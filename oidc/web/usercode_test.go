package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
)

// television asks for a code and returns it with the device code.
func (b *browser) television() (userCode, deviceCode string) {
	b.t.Helper()
	answer := b.machine("/oauth2/device_authorization", url.Values{"client_id": {"tv"}, "scope": {"openid profile"}})
	wantStatus(b.t, answer, http.StatusOK)
	var codes struct {
		User   string `json:"user_code"`
		Device string `json:"device_code"`
	}
	if err := json.Unmarshal([]byte(answer.body), &codes); err != nil {
		b.t.Fatal(err)
	}
	return codes.User, codes.Device
}

// machine posts as an application does.
func (b *browser) machine(path string, form url.Values) view {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	return b.do(r, false)
}

func (b *browser) polls(deviceCode string) string {
	b.t.Helper()
	v := b.machine("/oauth2/token", url.Values{"client_id": {"tv"}, "device_code": {deviceCode}, "grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}})
	var answer struct{ Error string }
	if err := json.Unmarshal([]byte(v.body), &answer); err != nil {
		b.t.Fatal(err)
	}
	return answer.Error
}

// types goes to the page and enters a code.
func (b *browser) types(code string) view {
	b.t.Helper()
	return b.post("/device", url.Values{"request": {b.get("/device").request(b.t)}, "user_code": {code}})
}

func TestAPersonSignsInOnAnotherDevice(t *testing.T) { // RFC 8628, section 3.3
	t.Parallel()
	h, people := newWholeHouse(t)
	b := h.browser()
	code, device := b.television()
	filled := b.get("/device?ui_locales=de&user_code=" + strings.ToLower(code))
	wantStatus(t, filled, http.StatusOK)
	wantText(t, filled, `value="`+code+`"`)
	wantText(t, filled, "Auf einem anderen Gerät anmelden")
	if got := b.polls(device); got != "authorization_pending" {
		t.Errorf("after the link was opened: %s", got) // section 3.3.1: a link alone allows nothing
	}
	signIn := b.post("/device", url.Values{"request": {filled.request(t)}, "user_code": {" " + strings.ToLower(code)}})
	wantStatus(t, signIn, http.StatusOK)
	wantText(t, signIn, "Bei The television anmelden")
	sent := b.fill(signIn, "ada", "right-ada")
	wantStatus(t, sent, http.StatusSeeOther)
	page := b.get(sent.location())
	for _, text := range []string{"Auf einem anderen Gerät bei <bdi>The television</bdi> anmelden?", code, "Link auf diese Seite geschickt", "Ada A.", "Ihren Namen"} {
		wantText(t, page, text) // section 5.4: what it is, which device, and who might have sent one here
	}
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self';") {
		t.Errorf("the form may lead elsewhere: %s", policy)
	}
	done := b.post("/consent", url.Values{"request": {page.request(t)}, "allow": {"1"}})
	wantStatus(t, done, http.StatusOK)
	wantText(t, done, "Ihr Gerät wird angemeldet")
	if got := b.polls(device); got != "" {
		t.Errorf("the device got %s", got)
	}
	if people.Binds() != 1 {
		t.Errorf("%d binds", people.Binds())
	}
	wantStatus(t, b.post("/consent", url.Values{"request": {page.request(t)}, "allow": {"1"}}), http.StatusGone) // Back, and once more
	wantStatus(t, b.types(code), http.StatusUnprocessableEntity)
	// Who is signed in already types the code only, and can say no.
	code, device = b.television()
	page = b.types(code)
	wantText(t, page, "Sign in to <bdi>The television</bdi> on another device?")
	denied := b.post("/consent", url.Values{"request": {page.request(t)}, "deny": {"1"}})
	wantStatus(t, denied, http.StatusOK)
	wantText(t, denied, "The device is not signed in")
	if got := b.polls(device); got != "access_denied" {
		t.Errorf("the device got %q", got)
	}
	for _, line := range []string{"event=device_code_issued ", "event=device_allowed ", "event=consent_denied "} {
		if !strings.Contains(h.logs.String(), line) {
			t.Errorf("no audit line %s", line)
		}
	}
	if strings.Contains(h.logs.String(), code) || strings.Contains(h.logs.String(), device) {
		t.Error("a code is in the log")
	}
}

func TestWhoMayNotUseTheApplicationOfADeviceReadsSo(t *testing.T) {
	t.Parallel()
	h, people := newWholeHouse(t)
	b := h.browser()
	code, device := b.television()
	page := b.types(code)
	people.Change("uuid-ada", func(u *oidc.User) { u.State = oidc.StateExpired })
	wantStatus(t, b.fill(page, "ada", "right-ada"), http.StatusUnprocessableEntity) // refused at the sign-in
	people.Change("uuid-ada", func(u *oidc.User) { u.State = oidc.StateActive })
	answer := b.machine("/oauth2/device_authorization", url.Values{"client_id": {"tv"}, "scope": {"openid groups"}})
	var codes struct {
		User string `json:"user_code"`
	}
	if err := json.Unmarshal([]byte(answer.body), &codes); err != nil {
		t.Fatal(err)
	}
	refused := b.fill(b.types(codes.User), "ada", "right-ada")
	wantStatus(t, refused, http.StatusForbidden)
	wantText(t, refused, "isn’t allowed to use this application")
	if b.cookies[sessionCookie] == "" {
		t.Error("a right password has signed nobody in")
	}
	if got := b.polls(device); got != "authorization_pending" {
		t.Errorf("the other device got %s", got)
	}
}

func TestADirectoryThatIsDownLosesNoDevice(t *testing.T) { // promise 3
	t.Parallel()
	h, people := newWholeHouse(t)
	b := h.browser()
	b.redeem("app", b.fill(b.get(wholeURL("app")), "ada", "right-ada"))
	code, device := b.television()
	people.SetDown(true)
	sent := b.types(code)
	wantStatus(t, sent, http.StatusSeeOther)
	wantStatus(t, b.get(sent.location()), http.StatusServiceUnavailable)
	people.SetDown(false)
	page := b.get(sent.location())
	wantText(t, page, code)
	wantText(t, b.post("/consent", url.Values{"request": {page.request(t)}, "allow": {"1"}}), "Your device is being signed in")
	if got := b.polls(device); got != "" {
		t.Errorf("the device got %s", got)
	}
	// One that has expired while its person was asked.
	code, _ = b.television()
	page = b.types(code)
	h.clock.Advance(11 * time.Minute)
	gone := b.post("/consent", url.Values{"request": {page.request(t)}, "allow": {"1"}})
	wantStatus(t, gone, http.StatusGone)
	wantText(t, gone, "This code no longer works")
}

func TestGuessingUserCodesIsThrottledByNetwork(t *testing.T) { // RFC 8628, section 5.1
	t.Parallel()
	h, _ := newWholeHouse(t)
	b := h.browser()
	code, _ := b.television()
	request := b.get("/device").request(t)
	guess := func(b *browser, code string) view {
		return b.post("/device", url.Values{"request": {request}, "user_code": {code}})
	}
	for i := range wrongCodes {
		wrong := guess(b, fmt.Sprintf("BCDF-GH%c%c", "BCDFG"[i/5], "HJKLM"[i%5]))
		wantStatus(t, wrong, http.StatusUnprocessableEntity)
		wantText(t, wrong, "No device is waiting with this code")
	}
	late := guess(b, code)
	wantStatus(t, late, http.StatusTooManyRequests)
	if late.header.Get("Retry-After") == "" {
		t.Error("nothing says how long to wait")
	}
	b.addr = "192.0.2.8:1"
	wantStatus(t, guess(b, code), http.StatusOK) // a neighbour
	b.addr = "192.0.2.7:4711"
	h.clock.Advance(16 * time.Minute)
	wantStatus(t, guess(b, "BCDF-GHBB"), http.StatusUnprocessableEntity)
	wantCode := b.get(wholeURL("app"))
	wantStatus(t, wantCode, http.StatusOK)
	if strings.Contains(h.logs.String(), "BCDF") {
		t.Error("the log holds what was typed")
	}
}

func TestOneNetworkStartsOnlySoManyDevices(t *testing.T) {
	t.Parallel()
	h, _ := newWholeHouse(t)
	b := h.browser()
	for range deviceStarts {
		b.television()
	}
	form := url.Values{"client_id": {"tv"}, "scope": {"openid"}}
	late := b.machine("/oauth2/device_authorization", form)
	wantStatus(t, late, http.StatusTooManyRequests)
	wantText(t, late, `"error":"temporarily_unavailable"`)
	if late.header.Get("Retry-After") == "" {
		t.Error("nothing says how long to wait")
	}
	form.Set("client_secret", "something")
	if proof := b.machine("/oauth2/device_authorization", form); proof.status != http.StatusUnauthorized {
		t.Errorf("who brings a proof is heard, and nothing is kept if it is wrong: %d", proof.status)
	}
	b.addr = "192.0.2.8:1"
	b.television() // a neighbour
	b.addr = "192.0.2.7:4711"
	h.clock.Advance(16 * time.Minute)
	b.television()
}

func TestADevicesFormCannotBeSentFromElsewhere(t *testing.T) {
	t.Parallel()
	h, _ := newWholeHouse(t)
	b := h.browser()
	code, _ := b.television()
	request := b.get("/device").request(t)
	for name, form := range map[string]url.Values{
		"without what only this browser has": {"user_code": {code}},
		"with the seal of another purpose":   {"user_code": {code}, "request": {b.get(wholeURL("app")).request(t)}},
		"with the seal of another browser":   {"user_code": {code}, "request": {h.browser().get("/device").request(t)}},
	} {
		if v := b.post("/device", form); v.status != http.StatusBadRequest {
			t.Errorf("%s: %d", name, v.status)
		}
	}
	wantStatus(t, b.postFrom("https://evil.example.com", "/device", url.Values{"user_code": {code}, "request": {request}}), http.StatusForbidden)
	// A user code beside an application's request leads to no device.
	v := b.get(b.postFrom("https://app.example.com", "/oauth2/authorize", wholeForm("app", "user_code", code)).location())
	wantText(t, v, "Sign in to <bdi>The application")
}
