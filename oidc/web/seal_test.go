package web

import (
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func testSealer(c *clock) *sealer {
	return &sealer{key: []byte("a key of thirty-two bytes, exact"), now: c.Now}
}

func TestWhatIsSealedComesBackWhole(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := testSealer(c)
	in := pending{
		form:        url.Values{"state": {"a=b&c d+é%"}, "scope": {"openid"}, "repeated": {"1", "2"}},
		requestedAt: c.Now().Add(-time.Minute + 123456789), sessionID: "sid", scopes: []string{"openid", "profile"}, choices: []string{"picture"}, userCode: "WDJB-MJHT",
		password: passwordStep{subject: "id", username: "ä", proof: "p", changeURL: "https://x", expired: true, remember: true},
	}
	out, expired, err := s.open(purposeConsent, "browser", s.seal(purposeConsent, "browser", in))
	if err != nil || expired {
		t.Fatal(err, expired)
	}
	if !reflect.DeepEqual(out.form, in.form) || !out.requestedAt.Equal(in.requestedAt) || out.sessionID != in.sessionID ||
		!slices.Equal(out.scopes, in.scopes) || out.password != in.password || out.userCode != in.userCode || !out.sealedAt.Equal(c.Now()) {
		t.Errorf("%+v came back as %+v", in, out)
	}
}

func TestASealHoldsForOnePurposeOneBrowserAndOneHour(t *testing.T) {
	t.Parallel()
	c := newClock()
	s := testSealer(c)
	sealed := s.seal(purposeSignIn, "browser", pending{form: url.Values{"state": {"s"}}})
	if again := s.seal(purposeSignIn, "browser", pending{form: url.Values{"state": {"s"}}}); again == sealed {
		t.Error("the same content looks the same twice")
	}
	other := &sealer{key: []byte("another key of thirty-two bytes."), now: c.Now}
	for what, open := range map[string]func() (pending, bool, error){
		"another purpose": func() (pending, bool, error) { return s.open(purposeConsent, "browser", sealed) },
		"another browser": func() (pending, bool, error) { return s.open(purposeSignIn, "browser2", sealed) },
		"no browser":      func() (pending, bool, error) { return s.open(purposeSignIn, "", sealed) },
		"another key":     func() (pending, bool, error) { return other.open(purposeSignIn, "browser", sealed) },
		"cut":             func() (pending, bool, error) { return s.open(purposeSignIn, "browser", sealed[:len(sealed)-1]) },
		"longer":          func() (pending, bool, error) { return s.open(purposeSignIn, "browser", sealed+"AAAA") },
		"a line break":    func() (pending, bool, error) { return s.open(purposeSignIn, "browser", sealed+"\n") },
		"nothing":         func() (pending, bool, error) { return s.open(purposeSignIn, "browser", "") },
		"too long": func() (pending, bool, error) {
			return s.open(purposeSignIn, "browser", strings.Repeat("A", maxSealed+1))
		},
	} {
		if _, _, err := open(); !errors.Is(err, errSealed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range len(sealed) {
		changed := []byte(sealed)
		changed[i] ^= 1
		if _, _, err := s.open(purposeSignIn, "browser", string(changed)); err == nil {
			t.Fatalf("character %d may be changed", i)
		}
	}
	c.Advance(maxPendingAge)
	if _, expired, err := s.open(purposeSignIn, "browser", sealed); err != nil || expired {
		t.Error("too old at the limit")
	}
	c.Advance(time.Second)
	if p, expired, err := s.open(purposeSignIn, "browser", sealed); err != nil || !expired || p.form.Get("state") != "s" {
		t.Error("not too old past the limit, or of no use for starting anew")
	}
	c.Advance(-3 * time.Hour)
	if _, expired, _ := s.open(purposeSignIn, "browser", sealed); !expired {
		t.Error("a seal from the future holds")
	}
}

func TestTheLargestRequestOfTheProviderFitsIntoAForm(t *testing.T) {
	t.Parallel()
	s := testSealer(newClock())
	form := url.Values{"claims": {strings.Repeat("x", 8<<10)}, "state": {strings.Repeat("é", 2<<10)}}
	scopes := make([]string, 100)
	for i := range scopes {
		scopes[i] = strings.Repeat("s", 60)
	}
	sealed := s.seal(purposeConsent, "b", pending{form: form, scopes: scopes})
	if _, _, err := s.open(purposeConsent, "b", sealed); err != nil || len(sealed) > maxSealed {
		t.Errorf("%d characters: %v", len(sealed), err)
	}
}

func FuzzOpeningASeal(f *testing.F) {
	s := testSealer(newClock())
	f.Add(s.seal(purposeSignIn, "browser", pending{form: url.Values{"state": {"s"}}}))
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		p, _, err := s.open(purposeSignIn, "browser", text)
		if err == nil && p.form == nil {
			t.Error("neither content nor error")
		}
	})
}

func FuzzReadingAPendingRequest(f *testing.F) {
	f.Add(pending{form: url.Values{"state": {"s"}}, sessionID: "x", scopes: []string{"a", "b"}, choices: []string{"c"}}.encode())
	f.Add([]byte{pendingVersion, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePending(b)
		if err != nil {
			return
		}
		again, err := decodePending(p.encode())
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("%+v, then %+v: %v", p, again, err)
		}
	})
}
