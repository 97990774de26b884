package provider_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

// withholdHouse has the client app, which people may keep picture, phone and website
// from, and alice, who has all of them.
func withholdHouse(t *testing.T) *house {
	h := newHouse(t)
	h.addClient("app", func(c *oidc.Client) {
		c.Consent, c.WithholdableClaims = oidc.ConsentRemembered, []string{"picture", "phone_number", "website", "address"}
	})
	h.people.Change("uuid-alice", func(u *oidc.User) {
		u.Attributes["labeleduri"] = []string{"https://alice.example.org/"}
	})
	return h
}

// consented runs a request whose person sees the consent page and keeps claims back.
func (h *house) consented(form url.Values, withheld ...string) (provider.ConsentStep, answer) {
	h.t.Helper()
	step := h.next(form, h.signedIn("uuid-alice", 0))
	if step.Consent == nil {
		h.t.Fatalf("nobody is asked: %+v", step)
	}
	v := h.signedIn("uuid-alice", 0)
	v.Approved, v.Withheld = step.Consent.Scopes, withheld
	return *step.Consent, h.post(h.provider.Token(), exchange(h.answer(h.next(form, v)).Get("code")))
}

func TestAPersonKeepsClaimsFromAnApplication(t *testing.T) { // row C7
	t.Parallel()
	h := withholdHouse(t)
	form := request("scope", "openid profile phone email offline_access", "claims", `{"id_token":{"phone_number":null,"email":null}}`)
	step, got := h.consented(form, "phone_number", "website", "email", "address")
	if !slices.Equal(step.Withholdable, []string{"picture", "phone_number", "website"}) || len(step.Withheld) != 0 {
		t.Errorf("asked: %+v", step)
	}
	check := func(what string, tokens answer) {
		t.Helper()
		info := h.userinfo(tokens.text("access_token"))
		if info.Body["phone_number"] != nil || info.Body["phone_number_verified"] != nil || info.Body["website"] != nil {
			t.Errorf("%s: userinfo has what was kept back: %v", what, info.Body)
		}
		if info.text("name") != "Alice Archer" || info.text("email") != "alice@example.org" {
			t.Errorf("%s: userinfo lacks what was not: %v", what, info.Body)
		}
	}
	check("at once", got)
	if id := h.idToken(got); id["phone_number"] != nil || id["email"] != "alice@example.org" {
		t.Errorf("ID token: %v", id)
	}
	check("refreshed", h.post(h.provider.Token(), refresh(got.text("refresh_token"))))
	check("remembered", h.post(h.provider.Token(), exchange(h.code(form))))

	made, err := h.provider.MakeToken(t.Context(), order(func(o *provider.TokenOrder) { o.Scopes = []string{"openid", "profile", "email", "phone"} }))
	if err != nil {
		t.Fatal(err)
	}
	check("made for another program", answer{Body: map[string]any{"access_token": made.AccessToken}})

	record, err := h.store.Consent(context.Background(), "uuid-alice", "app")
	if err != nil || !slices.Equal(record.Withheld, []string{"phone_number", "website"}) {
		t.Errorf("kept of it: %+v %v", record, err)
	}
	// Another client knows nothing of it.
	h.addClient("other", nil)
	other := h.post(h.provider.Token(), exchange(h.code(request("client_id", "other", "scope", "openid profile phone"))), "other", "secret-of-other")
	if info := h.userinfo(other.text("access_token")); info.text("phone_number") == "" {
		t.Errorf("another client: %v", info.Body)
	}
}

func TestAChoiceLastsUntilThePersonMakesAnother(t *testing.T) { // row C7
	t.Parallel()
	h := withholdHouse(t)
	form := request("scope", "openid profile phone")
	h.consented(form, "phone_number", "picture")
	step, _ := h.consented(request("scope", "openid phone", "prompt", "consent"), "phone_number")
	if !slices.Equal(step.Withholdable, []string{"phone_number"}) {
		t.Errorf("a choice without its scope: %v", step.Withholdable)
	}
	record, err := h.store.Consent(context.Background(), "uuid-alice", "app")
	if err != nil || !slices.Contains(record.Withheld, "picture") || !slices.Contains(record.Withheld, "phone_number") {
		t.Errorf("a page that did not speak of it changed it: %+v %v", record, err)
	}
	step, got := h.consented(request("scope", "openid profile phone", "prompt", "consent"), "picture")
	if !slices.Contains(step.Withheld, "phone_number") {
		t.Errorf("the page does not show what was chosen: %v", step.Withheld)
	}
	if info := h.userinfo(got.text("access_token")); info.text("phone_number") == "" {
		t.Errorf("given after all: %v", info.Body)
	}
	// The operator allows it no more: the person is asked, not passed over.
	h.clients["app"].WithholdableClaims = []string{"website"}
	step, got = h.consented(form)
	if !slices.Equal(step.Withholdable, []string{"website"}) {
		t.Errorf("%+v", step)
	}
	if again := h.next(form, h.signedIn("uuid-alice", 0)); again.Consent != nil || got.Status != http.StatusOK {
		t.Errorf("asked for ever: %+v", again)
	}
}

func TestNothingIsKeptBackWhereNobodyIsAsked(t *testing.T) { // row C7
	t.Parallel()
	h := withholdHouse(t)
	h.clients["app"].Consent = oidc.ConsentNone
	got := h.tokens("scope", "openid phone")
	if info := h.userinfo(got.text("access_token")); info.text("phone_number") == "" {
		t.Errorf("%v", info.Body)
	}
	h.clients["app"].Consent = oidc.ConsentExplicit
	_, got = h.consented(request("scope", "openid phone"), "phone_number")
	if info := h.userinfo(got.text("access_token")); info.Body["phone_number"] != nil {
		t.Errorf("asked every time: %v", info.Body)
	}
	if step := h.next(request("scope", "openid phone"), h.signedIn("uuid-alice", 0)); step.Consent == nil || len(step.Consent.Withheld) != 0 {
		t.Errorf("%+v", step)
	}
}

func TestAPhotoThatIsKeptBackIsNotServedAnyMore(t *testing.T) { // row C7
	t.Parallel()
	h := newHouse(t, withPhotos(photos{"uuid-alice": "\xff\xd8\xff\xe0 a photo"}))
	h.addClient("app", func(c *oidc.Client) { c.Consent, c.WithholdableClaims = oidc.ConsentRemembered, []string{"picture"} })
	_, got := h.consented(request())
	address := h.userinfo(got.text("access_token")).text("picture")
	if w := h.get(address); address == "" || w.Code != http.StatusOK {
		t.Fatalf("%q %d", address, w.Code)
	}
	_, got = h.consented(request("prompt", "consent"), "picture")
	if info := h.userinfo(got.text("access_token")); info.Body["picture"] != nil {
		t.Errorf("%v", info.Body)
	}
	if w := h.get(address); w.Code != http.StatusNotFound {
		t.Errorf("the address from before still answers %d", w.Code)
	}
}
