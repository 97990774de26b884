package provider_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
)

// An application that asks for claims one by one must not get past the consent
// page what the page doesn't name.
func TestConsentCoversClaimsThatAreAskedForByName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) { c.Consent = oidc.ConsentRemembered })
	const claims = `{"id_token":{"phone_number":null},"userinfo":{"email":null,"groups":null,"address":null}}`
	ask := func(approved []string, changes ...string) (shown []string, code string) {
		v := h.signedIn("uuid-alice", time.Minute)
		v.Approved = approved
		got := h.next(request(append([]string{"scope", "openid"}, changes...)...), v)
		if got.Consent != nil {
			return got.Consent.Scopes, ""
		}
		return nil, h.answer(got).Get("code")
	}
	if _, code := ask([]string{"openid"}); code == "" {
		t.Fatal("openid alone was not granted")
	}
	shown, code := ask(nil, "claims", claims)
	slices.Sort(shown)
	if code != "" || !slices.Equal(shown, []string{"email", "groups", "openid", "phone"}) {
		t.Fatalf("the page names %v; code %q", shown, code)
	}
	if _, code := ask([]string{"openid"}, "claims", claims); code != "" {
		t.Error("an approval of openid gave mail address, phone and groups")
	}
	if got := h.answer(h.next(request("scope", "openid", "claims", claims, "prompt", "none"), h.signedIn("uuid-alice", time.Minute))); got.Get("error") != "consent_required" {
		t.Errorf("silently: %v", got)
	}
	_, code = ask(shown, "claims", claims)
	tokens := h.post(h.provider.Token(), exchange(code))
	if tokens.text("scope") != "openid" {
		t.Errorf("the token has scopes that were not asked for: %v", tokens.Body)
	}
	if info := h.userinfo(tokens.text("access_token")); info.text("email") != "alice@example.org" || info.Body["name"] != nil {
		t.Errorf("%v", info.Body)
	}
	if _, code := ask(nil, "claims", claims); code == "" {
		t.Error("the consent was not remembered")
	}
}

func TestAClaimThatThePersonGetsLaterIsNoPartOfAnOldGrant(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.people.Change("uuid-alice", func(u *oidc.User) { u.Groups = nil })
	tokens := h.tokens("scope", "openid", "claims", `{"userinfo":{"email":null}}`)
	h.people.Change("uuid-alice", func(u *oidc.User) { u.Groups = alice().Groups })
	if info := h.userinfo(tokens.text("access_token")); info.Body["email"] != nil {
		t.Errorf("nobody was asked for it: %v", info.Body)
	}
}

// The application shows error_description to people, and anybody can make a link
// with any scope in it.
func TestARefusalNamesNoScopeThatSomebodyInvented(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for scope, want := range map[string]string{
		"openid email call-0800-EVIL-now":  "these scopes: email; 1 more",
		"openid call-0800-EVIL-now <EVIL>": "no map of this client",
		"openid roles phone":               "these scopes: roles phone",
	} {
		got := h.answer(h.next(request("scope", scope), h.signedIn("uuid-bob", 0)))
		if got.Get("error") != "access_denied" || !strings.Contains(got.Get("error_description"), want) || strings.Contains(got.Get("error_description"), "EVIL") {
			t.Errorf("%s: %v", scope, got)
		}
	}
}

func TestAskingForWhatWasLostDoesNotEndTheRest(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) {
		c.Scopes.Everyone = []string{"openid", "profile"}
		c.Scopes.Groups[0].Scopes = []string{"email", "groups"}
	})
	first := h.tokens()
	h.people.Change("uuid-alice", func(u *oidc.User) { u.Groups = nil })
	if got := h.post(h.provider.Token(), refresh(first.text("refresh_token"), "scope", "email")); got.text("error") != "invalid_scope" {
		t.Errorf("%v", got)
	}
	got := h.post(h.provider.Token(), refresh(first.text("refresh_token")))
	if got.Status != http.StatusOK || got.text("scope") != "openid profile offline_access" {
		t.Errorf("the grant holds, and yet: %v", got)
	}
}

func TestAFloodOfScopesCostsLittle(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.addClient("machine", func(c *oidc.Client) { c.GrantTypes = []string{"client_credentials"} })
	var scopes strings.Builder
	for a := range 26 {
		for b := range 26 {
			for c := range 26 {
				scopes.WriteString(string([]byte{'a' + byte(a), 'a' + byte(b), 'a' + byte(c), ' '}))
			}
		}
	}
	// The work shows in the scopes that are looked at, which a busy machine does not
	// change: the limit stops the reading, so what follows it is never judged.
	scopes.WriteString(`"malformed`)
	got := h.post(h.provider.Token(), map[string][]string{"grant_type": {"client_credentials"}, "scope": {scopes.String()}}, "machine", "secret-of-machine")
	if got.text("error") != "invalid_scope" || !strings.Contains(got.text("error_description"), "too many") {
		t.Errorf("%v", got)
	}
}
