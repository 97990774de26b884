package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// Row A7: who fails in somebody's name keeps strangers out, not that person.
func TestNobodyIsKeptOutOfTheirOwnBrowserByAStranger(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := h.browser()
	wantCode(t, own.signIn("app", "ada", "right-ada"), "id-ada")
	delete(own.cookies, "__Host-gatehouse_session")
	for range 10 {
		h.browser().signIn("app", "ada", "wrong")
	}
	wantStatus(t, h.browser().signIn("app", "ada", "right-ada"), http.StatusTooManyRequests)
	// The last of the four tries is theirs, by each of their names.
	wantStatus(t, own.signIn("app", "ada", "a typing error"), http.StatusUnprocessableEntity)
	if n := h.directory.binds.Load(); n != 1+3+1 {
		t.Errorf("%d binds, want 5", n)
	}
	wantStatus(t, own.signIn("app", "ada", "right-ada"), http.StatusTooManyRequests) // four failures are all there are

	h.clock.Advance(15 * time.Minute)
	wantCode(t, own.signIn("app", "second-ada", "right-ada"), "id-ada")
	delete(own.cookies, "__Host-gatehouse_session")
	for range 10 {
		h.browser().signIn("app", "ada", "wrong")
	}
	wantCode(t, own.signIn("app", "second-ada", "right-ada"), "id-ada")
	// A sign-in there gives those who guess elsewhere nothing.
	wantStatus(t, h.browser().signIn("app", "ada", "wrong"), http.StatusTooManyRequests)
}

func TestABrowserIsKnownForItsOwnPeopleOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := h.browser()
	wantCode(t, own.signIn("app", "ada", "right-ada"), "id-ada")
	delete(own.cookies, "__Host-gatehouse_session")
	h.directory.binds.Store(0)
	for range 10 {
		own.signIn("app", "ben", "wrong")
	}
	if n := h.directory.binds.Load(); n != 3 {
		t.Errorf("%d binds for another's name, want a stranger's 3", n)
	}
	h.directory.binds.Store(0)
	h.clock.Advance(deviceLife)
	for range 10 {
		own.signIn("app", "ada", "wrong")
	}
	if n := h.directory.binds.Load(); n != 3 {
		t.Errorf("%d binds with a cookie of long ago, want 3", n)
	}
}

func TestTheCookieOfABrowserCanNotBeMadeOrRead(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := h.browser()
	wantCode(t, own.signIn("app", "ada", "right-ada"), "id-ada")
	value := own.cookies["__Host-gatehouse_device"]
	read := func(value string) device {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: "__Host-gatehouse_device", Value: value})
		return h.device(r)
	}
	if d := read(value); len(d) != 1 {
		t.Fatalf("the browser's own cookie: %v", d)
	}
	changed := []byte(value)
	changed[len(changed)/2] ^= 1
	for _, value := range []string{"", "x", string(changed), value + "AA", value[:len(value)-4]} {
		if d := read(value); d != nil {
			t.Errorf("%q is taken for %v", value, d)
		}
	}
}

func TestABrowserKnowsTheLatestFew(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	var d device
	for i := range byte(6) {
		d = d.with(deviceSignIn{name: countKey{i}, person: countKey{100 + i}, at: now})
	}
	d = d.with(deviceSignIn{name: countKey{3}, person: countKey{103}, at: now})
	var names []byte
	for _, e := range decodeDevice(d.encode(), now) {
		names = append(names, e.name[0])
	}
	if !slices.Equal(names, []byte{3, 5, 4, 2}) {
		t.Errorf("known: %v", names)
	}
	if d.kindFor(countKey{105}) != acquaintance || d.kindFor(countKey{0}) != stranger {
		t.Error("the wrong ones are known")
	}
}

func FuzzDecodeDevice(f *testing.F) {
	now := time.Unix(1_700_000_000, 0)
	f.Add(device{{name: countKey{1}, person: countKey{2}, at: now}}.encode())
	f.Add([]byte("short"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := decodeDevice(b, now)
		if again := decodeDevice(d.encode(), now); !slices.Equal(d, again) {
			t.Errorf("%v is read again as %v", d, again)
		}
	})
}
