package provider_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

const grantDevice = "urn:ietf:params:oauth:grant-type:device_code"

// deviceHouse has the client "tv", a device without a secret.
func deviceHouse(t *testing.T) *house {
	h := newHouse(t)
	h.addClient("tv", func(c *oidc.Client) {
		c.TokenEndpointAuthMethod, c.SecretHash, c.RedirectURIs = "none", "", nil
		c.GrantTypes = []string{grantDevice, "refresh_token"}
	})
	return h
}

// device starts the television and returns what it was told.
func (h *house) device(changes ...string) answer {
	h.t.Helper()
	form := url.Values{"client_id": {"tv"}, "scope": {"openid profile offline_access"}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return h.postBare(h.provider.DeviceAuthorization(), form)
}

// poll asks as the television does.
func (h *house) poll(started answer, changes ...string) answer {
	h.t.Helper()
	form := url.Values{"grant_type": {grantDevice}, "client_id": {"tv"}, "device_code": {started.text("device_code")}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return h.postBare(h.provider.Token(), form)
}

// typed is a person who types the code in; approved scopes are nil before they were asked.
func (h *house) typed(started answer, v provider.Visitor) provider.Step {
	h.t.Helper()
	a, err := h.provider.Device(context.Background(), started.text("user_code"), "")
	if err != nil {
		h.t.Fatal(err)
	}
	step, err := h.provider.Next(context.Background(), a, v)
	if err != nil {
		h.t.Fatal(err)
	}
	return step
}

// allow has alice type the code in and say yes.
func (h *house) allow(started answer) {
	h.t.Helper()
	alice := h.signedIn("uuid-alice", time.Minute)
	alice.Approved = []string{"openid", "profile", "offline_access"}
	if step := h.typed(started, alice); step.Device == nil || step.Device.Outcome != provider.DeviceAllowed {
		h.t.Fatalf("%+v", step)
	}
}

func TestADeviceGetsItsTokensOnceAPersonHasAllowedIt(t *testing.T) { // RFC 8628, sections 3.1 to 3.5
	t.Parallel()
	h := deviceHouse(t)
	started := h.device()
	code := started.text("user_code")
	if started.Status != http.StatusOK || started.Header.Get("Cache-Control") != "no-store" || started.text("device_code") == "" ||
		provider.NormalUserCode(code) != code || started.text("verification_uri") != issuer+"/device" || started.Body["expires_in"] != 600.0 ||
		started.text("verification_uri_complete") != issuer+"/device?user_code="+code || started.Body["interval"] != 5.0 {
		t.Fatalf("%d %v", started.Status, started.Body)
	}
	if got := h.poll(started); got.text("error") != "authorization_pending" || got.Status != http.StatusBadRequest {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	if step := h.typed(started, provider.Visitor{}); step.SignIn == nil {
		t.Fatalf("nobody is signed in: %+v", step)
	}
	// Section 5.4: the client asks for no consent, and still the person is asked.
	alice := h.signedIn("uuid-alice", time.Minute)
	step := h.typed(started, alice)
	if step.Consent == nil || step.Consent.User.ID != "uuid-alice" {
		t.Fatalf("%+v", step)
	}
	alice.Approved = step.Consent.Scopes
	if step = h.typed(started, alice); step.Device == nil || step.Device.Outcome != provider.DeviceAllowed {
		t.Fatalf("%+v", step)
	}
	got := h.poll(started)
	claims := h.idToken(got)
	if claims["sub"] != "uuid-alice" || claims["aud"] != "tv" || claims["sid"] != nil || claims["auth_time"] != float64(alice.Session.AuthTime.Unix()) {
		t.Errorf("%v", claims)
	}
	if info := h.userinfo(got.text("access_token")); info.text("name") != "Alice Archer" {
		t.Errorf("%v", info.Body)
	}
	next := h.postBare(h.provider.Token(), refresh(got.text("refresh_token"), "client_id", "tv"))
	if next.Status != http.StatusOK {
		t.Errorf("%d %v", next.Status, next.Body)
	}
	// Used twice: as with an authorization code, all that it gave dies (RFC 6749, section 4.1.2).
	if again := h.poll(started); again.text("error") != "invalid_grant" {
		t.Errorf("%d %v", again.Status, again.Body)
	}
	if info := h.userinfo(next.text("access_token")); info.Status != http.StatusUnauthorized {
		t.Errorf("a token outlived the second use of its code: %v", info.Body)
	}
}

func TestADeviceThatAsksTooOftenMustWaitLonger(t *testing.T) { // RFC 8628, section 3.5
	t.Parallel()
	h := deviceHouse(t)
	started := h.device()
	for i, want := range []struct {
		after time.Duration
		error string
	}{
		{0, "authorization_pending"},
		{5 * time.Second, "authorization_pending"},
		{2 * time.Second, "slow_down"},
		{5 * time.Second, "slow_down"}, // it has not understood: 15 s now
		{15 * time.Second, "authorization_pending"},
	} {
		h.clock.Advance(want.after)
		if got := h.poll(started); got.text("error") != want.error {
			t.Errorf("poll %d: %v, want %s", i, got.Body, want.error)
		}
	}
	h.allow(started)
	if got := h.poll(started); got.Status != http.StatusOK {
		t.Errorf("what was allowed is not withheld: %v", got.Body)
	}
}

func TestADeviceIsToldWhyItGetsNothing(t *testing.T) { // RFC 8628, section 3.5
	t.Parallel()
	for name, c := range map[string]struct {
		do    func(h *house, started answer)
		error string
	}{
		"the person says no": {func(h *house, started answer) {
			a, err := h.provider.Device(context.Background(), started.text("user_code"), "")
			if err == nil {
				err = h.provider.DenyDevice(context.Background(), a, "uuid-alice")
			}
			if err != nil {
				h.t.Fatal(err)
			}
		}, "access_denied"},
		"the person may not use the application": {func(h *house, started answer) {
			if step := h.typed(started, h.signedIn("uuid-bob", 0)); step.Device == nil || step.Device.Outcome != provider.DeviceRefused {
				h.t.Fatalf("%+v", step)
			}
		}, "access_denied"},
		"its time is over":                            {func(h *house, _ answer) { h.clock.Advance(10 * time.Minute) }, "expired_token"},
		"its time is over after it was allowed":       {func(h *house, s answer) { h.allow(s); h.clock.Advance(10 * time.Minute) }, "expired_token"},
		"the person is gone since (promise 1)":        {func(h *house, s answer) { h.allow(s); h.people.Remove("uuid-alice") }, "invalid_grant"},
		"the person was disabled since (promise 1)":   {func(h *house, s answer) { h.allow(s); h.disable("uuid-alice") }, "invalid_grant"},
		"the client lost the grant type":              {func(h *house, _ answer) { h.clients["tv"].GrantTypes = []string{"refresh_token"} }, "unauthorized_client"},
		"nobody has typed the code in, and never did": {func(*house, answer) {}, "authorization_pending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := deviceHouse(t)
			started := h.device()
			c.do(h, started)
			got := h.poll(started)
			if got.text("error") != c.error || got.Status != http.StatusBadRequest {
				t.Errorf("%d %v, want %s", got.Status, got.Body, c.error)
			}
			if c.error == "authorization_pending" {
				return
			}
			_, err := h.provider.Device(context.Background(), started.text("user_code"), "")
			if !errors.Is(err, oidc.ErrNotFound) {
				t.Errorf("the user code still works: %v", err)
			}
		})
	}
}

func (h *house) disable(id string) {
	h.people.Change(id, func(u *oidc.User) { u.State = oidc.StateDisabled })
}

func TestADirectoryThatIsDownCostsADeviceNothing(t *testing.T) { // promise 3
	t.Parallel()
	h := deviceHouse(t)
	started := h.device()
	h.people.SetDown(true)
	a, err := h.provider.Device(context.Background(), started.text("user_code"), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.provider.Next(context.Background(), a, h.signedIn("uuid-alice", 0)); !isUnavailable(err) {
		t.Fatalf("got %v", err)
	}
	h.people.SetDown(false)
	h.allow(started)
	h.people.SetDown(true)
	for range 3 {
		if got := h.poll(started); got.Status != http.StatusServiceUnavailable || got.Header.Get("Retry-After") == "" {
			t.Fatalf("%d %v", got.Status, got.Body)
		}
	}
	h.people.SetDown(false)
	if got := h.poll(started); got.Status != http.StatusOK {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
}

func TestOfAHundredPollsAtOnceOneGetsTheTokens(t *testing.T) {
	t.Parallel()
	h := deviceHouse(t)
	started := h.device()
	h.allow(started)
	var mu sync.Mutex
	got := 0
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			if a := h.poll(started); a.Status == http.StatusOK {
				mu.Lock()
				got++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if got != 1 {
		t.Errorf("%d got tokens", got)
	}
}

func TestADeviceCodeIsWorthNothingElsewhere(t *testing.T) {
	t.Parallel()
	h := deviceHouse(t)
	h.addClient("radio", func(c *oidc.Client) { *c = *h.clients["tv"]; c.ID = "radio" })
	h.addClient("both", func(c *oidc.Client) { c.GrantTypes = append(c.GrantTypes, grantDevice); c.RequirePKCE = false })
	started := h.device()
	h.allow(started)
	if got := h.poll(started, "client_id", "radio"); got.text("error") != "invalid_grant" {
		t.Errorf("another device's code: %v", got.Body)
	}
	if got := h.poll(started, "device_code", "ghd_unknown"); got.text("error") != "invalid_grant" {
		t.Errorf("%v", got.Body)
	}
	if got := h.poll(started, "device_code", started.text("user_code")); got.text("error") != "invalid_grant" {
		t.Errorf("the user code as a device code: %v", got.Body)
	}
	if got := h.poll(started, "device_code", ""); got.text("error") != "invalid_request" {
		t.Errorf("%v", got.Body)
	}
	form := url.Values{"scope": {"openid"}}
	if got := h.post(h.provider.DeviceAuthorization(), form); got.text("error") != "unauthorized_client" {
		t.Errorf("a client without the grant type: %v", got.Body)
	}
	if got := h.post(h.provider.DeviceAuthorization(), form, "both", "wrong"); got.text("error") != "invalid_client" {
		t.Errorf("a wrong secret: %v", got.Body)
	}
	if got := h.device("scope", ""); got.text("error") != "invalid_scope" {
		t.Errorf("no scope: %v", got.Body)
	}
	// Its code is no authorization code, also where both grants are allowed.
	mixed := h.post(h.provider.DeviceAuthorization(), form, "both", "secret-of-both")
	alice := h.signedIn("uuid-alice", 0)
	alice.Approved = []string{"openid"}
	if step := h.typed(mixed, alice); step.Device == nil {
		t.Fatalf("%+v", step)
	}
	bare := exchange(mixed.text("device_code"), "redirect_uri", "", "code_verifier", "")
	if got := h.post(h.provider.Token(), bare, "both", "secret-of-both"); got.text("error") != "invalid_grant" {
		t.Errorf("a device code was taken for an authorization code: %v", got.Body)
	}
}

func TestTwoPeopleWhoAllowOneDeviceAtOnceAreNotBothItsOwner(t *testing.T) {
	t.Parallel()
	h := deviceHouse(t)
	h.people.Change("uuid-bob", func(u *oidc.User) { u.Groups = alice().Groups })
	started := h.device()
	first, err := h.provider.Device(context.Background(), started.text("user_code"), "")
	if err != nil {
		t.Fatal(err)
	}
	h.allow(started)
	bob := h.signedIn("uuid-bob", 0)
	bob.Approved = []string{"openid", "profile", "offline_access"}
	if step, err := h.provider.Next(context.Background(), first, bob); err != nil || step.Device == nil || step.Device.Outcome != provider.DeviceGone {
		t.Fatalf("%+v %v", step, err)
	}
	if claims := h.idToken(h.poll(started)); claims["sub"] != "uuid-alice" {
		t.Errorf("%v", claims)
	}
}

func TestTheDatabaseDoesNotHoldTheCodesOfDevices(t *testing.T) {
	t.Parallel()
	h := deviceHouse(t)
	started := h.device()
	sum := oidc.HashOf(started.text("user_code"))
	bare := oidc.HashOf(strings.ReplaceAll(started.text("user_code"), "-", ""))
	files, err := filepath.Glob(filepath.Join(h.dir, "gatehouse.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v %v", files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for what, text := range map[string][]byte{
			"device code": []byte(started.text("device_code")), "user code": []byte(started.text("user_code")),
			// Eight letters are soon tried: their hash must have a key.
			"plain hash of the user code": sum[:], "plain hash of its letters": bare[:],
		} {
			if bytes.Contains(data, text) {
				t.Errorf("%s holds the %s", filepath.Base(name), what)
			}
		}
	}
}

func TestADeviceOfAClientWithItsOwnIssuerStaysThere(t *testing.T) { // rows D2, L11
	t.Parallel()
	h := newHouseWithIssuers(t)
	h.clients["one"].GrantTypes = []string{grantDevice}
	h.clients["one"].Audience = []string{"https://api.example.org", "https://other.example.org"}
	form := url.Values{"scope": {"openid"}, "resource": {"https://api.example.org"}}
	if got := h.post(h.provider.DeviceAuthorization(), form, "one", "secret-of-one"); got.text("error") != "invalid_client" {
		t.Errorf("at the server's own address: %v", got.Body)
	}
	started := h.post(at("one", h.provider.DeviceAuthorization()), form, "one", "secret-of-one")
	if started.text("verification_uri") != issuer+"/device" { // one page for all, so that people know it
		t.Fatalf("%v", started.Body)
	}
	alice := h.signedIn("uuid-alice", 0)
	alice.Approved = []string{"openid"}
	if step := h.typed(started, alice); step.Device == nil {
		t.Fatalf("%+v", step)
	}
	poll := url.Values{"grant_type": {grantDevice}, "device_code": {started.text("device_code")}}
	if got := h.post(h.provider.Token(), poll, "one", "secret-of-one"); got.text("error") != "invalid_client" {
		t.Errorf("at the server's own address: %v", got.Body)
	}
	got := h.post(at("one", h.provider.Token()), poll, "one", "secret-of-one")
	if got.Status != http.StatusOK {
		t.Fatalf("%d %v", got.Status, got.Body)
	}
	seen := h.post(at("one", h.provider.Introspection()), url.Values{"token": {got.text("access_token")}}, "one", "secret-of-one")
	audience, _ := seen.Body["aud"].([]any)
	if seen.text("iss") != issuerOf("one") || !slices.Contains(audience, any("https://api.example.org")) || slices.Contains(audience, any("https://other.example.org")) {
		t.Errorf("%v", seen.Body)
	}
	form.Set("resource", "https://evil.example.org")
	if got := h.post(at("one", h.provider.DeviceAuthorization()), form, "one", "secret-of-one"); got.text("error") != "invalid_target" {
		t.Errorf("%v", got.Body)
	}
	for id, listed := range map[string]bool{"one": true, "two": false} {
		_, document := h.document(id, h.provider.Discovery())
		if bytes.Contains(document, []byte(issuerOf(id)+"/device_authorization")) != listed {
			t.Errorf("%s: %s", id, document)
		}
	}
}

func TestUserCodesAreReadAsPeopleTypeThem(t *testing.T) { // RFC 8628, section 6.1
	t.Parallel()
	for typed, want := range map[string]string{
		"WDJB-MJHT": "WDJB-MJHT", "wdjbmjht": "WDJB-MJHT", " wdjb mjht\r\n": "WDJB-MJHT", "w.d.j.b—m.j.h.t": "WDJB-MJHT",
		"WDJB-MJH": "", "WDJB-MJHTT": "", "": "", "AEIO-U013": "", strings.Repeat("-", 65) + "WDJBMJHT": "",
	} {
		if got := provider.NormalUserCode(typed); got != want {
			t.Errorf("%q is read as %q, want %q", typed, got, want)
		}
	}
	h := deviceHouse(t)
	seen := map[string]bool{}
	for range 200 {
		code := h.device().text("user_code")
		if provider.NormalUserCode(strings.ToLower(code)) != code || seen[code] {
			t.Fatalf("%q", code)
		}
		seen[code] = true
	}
}

func FuzzNormalUserCode(f *testing.F) {
	f.Add("WDJB-MJHT")
	f.Add("wdjb mjht")
	f.Fuzz(func(t *testing.T, typed string) {
		code := provider.NormalUserCode(typed)
		if code != "" && (len(code) != 9 || provider.NormalUserCode(code) != code || strings.Trim(code, "BCDFGHJKLMNPQRSTVWXZ-") != "") {
			t.Errorf("%q is read as %q", typed, code)
		}
	})
}
