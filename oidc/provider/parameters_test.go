package provider_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// OpenID Connect Core 1.0, section 3.1.2.1: parameters that are understood, and ask for
// what there is one of only.
func TestHowAndInWhichLanguageIsAskedChangesNoAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, changes := range map[string][]string{
		"every display that there is":       {"display", "popup"},
		"a display of the future":           {"display", "hologram"},
		"claims_locales (5.2)":              {"claims_locales", "fr-CA de"},
		"claims_locales of nowhere":         {"claims_locales", "xx-*, \x01"},
		"ui_locales of nowhere":             {"ui_locales", "tlh"},
		"what nobody knows (RFC 6749, 3.1)": {"x-y", "z"},
	} {
		got := h.post(h.provider.Token(), exchange(h.code(request(changes...))))
		if got.Status != http.StatusOK {
			t.Errorf("%s: %d %v", name, got.Status, got.Body)
			continue
		}
		if info := h.userinfo(got.text("access_token")); info.text("name") != "Alice Archer" || info.Body["name#fr-CA"] != nil {
			t.Errorf("%s: %v", name, info.Body)
		}
	}
	a, _, err := h.begin(request("ui_locales", "de fr"))
	if err != nil || a.UILocales != "de fr" {
		t.Errorf("the pages don't hear of ui_locales: %v", err)
	}
}

// Initiating User Registration via OpenID Connect 1.0, section 4.1: a server that can't
// refuses, and doesn't list it.
func TestNobodyIsRegisteredHere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, prompt := range []string{"create", "login create", "create none"} {
		got := h.answer(h.next(request("prompt", prompt), h.signedIn("uuid-alice", 0)))
		if got.Get("error") != "invalid_request" || got.Get("state") != "st" || got.Get("code") != "" {
			t.Errorf("%s: %v", prompt, got)
		}
	}
	document := h.send(h.provider.Discovery(), httptest.NewRequest(http.MethodGet, "/", nil))
	if prompts, _ := document.Body["prompt_values_supported"].([]any); len(prompts) != 4 || slices.Contains(prompts, any("create")) {
		t.Errorf("%v", prompts)
	}
}
