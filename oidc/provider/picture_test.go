package provider_test

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

type photos map[string]string

func (p photos) Photo(_ context.Context, id string) ([]byte, error) {
	if photo, ok := p[id]; ok {
		return []byte(photo), nil
	}
	return nil, oidc.ErrNotFound
}

func withPhotos(p photos) func(*provider.Options) {
	return func(o *provider.Options) {
		o.Photos = p
		o.Derive = func(purpose string, n int) []byte {
			return []byte(strings.Repeat(hex.EncodeToString([]byte(purpose)), n))[:n]
		}
	}
}

func (h *house) get(address string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, strings.TrimPrefix(address, issuer), nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.provider.Picture().ServeHTTP(w, r)
	return w
}

func TestThePictureClaimIsAnAddressThatNamesNobody(t *testing.T) { // row C1
	t.Parallel()
	jpeg := "\xff\xd8\xff\xe0 a photo"
	h := newHouse(t, withPhotos(photos{"uuid-alice": jpeg, "uuid-bob": "<svg onload=alert(1)>"}))
	h.addClient("other", nil)
	address := h.userinfo(h.tokens().text("access_token")).text("picture")
	if !strings.HasPrefix(address, issuer+"/picture/") || strings.Contains(address, "alice") {
		t.Fatalf("%q", address)
	}
	if again := h.userinfo(h.tokens().text("access_token")).text("picture"); again != address {
		t.Error("the address changes, so that no browser can keep the photo")
	}
	got := h.get(address)
	if got.Code != http.StatusOK || got.Body.String() != jpeg || got.Header().Get("Content-Type") != "image/jpeg" ||
		got.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.Header().Get("Cache-Control"), "private") {
		t.Errorf("%d %v", got.Code, got.Header())
	}
	if again := h.get(address, "If-None-Match", got.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("%d", again.Code)
	}
	other := h.post(h.provider.Token(), exchange(h.code(request("client_id", "other"))), "other", "secret-of-other")
	if theirs := h.userinfo(other.text("access_token")).text("picture"); theirs == address {
		t.Error("two applications can tell by the address whom they have in common")
	}
	for name, bad := range map[string]string{
		"cut short": address[:len(address)-1], "changed": address[:len(address)-2] + "AA", "nothing": issuer + "/picture/", "no base64": issuer + "/picture/~~~",
		"long": issuer + "/picture/" + strings.Repeat("A", 5000),
	} {
		if got := h.get(bad); got.Code != http.StatusNotFound {
			t.Errorf("%s: %d", name, got.Code)
		}
	}
	if info := h.userinfo(h.tokens("scope", "openid").text("access_token")); info.Body["picture"] != nil {
		t.Errorf("a picture without profile: %v", info.Body)
	}
	h.people.SetDown(true)
	if got := h.get(address); got.Code != http.StatusServiceUnavailable {
		t.Errorf("can't tell: %d", got.Code)
	}
	h.people.SetDown(false)
	h.people.Change("uuid-alice", func(u *oidc.User) { u.Groups = nil }) // profile is for staff
	if got := h.get(address); got.Code != http.StatusNotFound {
		t.Errorf("row S9: %d", got.Code)
	}
	h.people.Remove("uuid-alice")
	if got := h.get(address); got.Code != http.StatusNotFound {
		t.Errorf("gone: %d", got.Code)
	}
	h.people.Change("uuid-bob", func(u *oidc.User) { u.Groups = alice().Groups })
	code := h.answer(h.next(request(), h.signedIn("uuid-bob", 0))).Get("code")
	bob := h.userinfo(h.post(h.provider.Token(), exchange(code)).text("access_token")).text("picture")
	if got := h.get(bob); got.Code != http.StatusNotFound {
		t.Errorf("a script was served as a picture: %d %s", got.Code, got.Body)
	}
}

func FuzzPicture(f *testing.F) {
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, token string) {
		o := provider.Options{}
		withPhotos(photos{})(&o)
		if provider.OpensPicture(o.Derive, token) {
			t.Fatalf("%q opened", token)
		}
	})
}
