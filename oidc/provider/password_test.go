package provider_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
)

// passwordHouse has the client "old", which takes passwords itself; answer, if it is
// not nil, is what the sign-in says instead of the directory.
func passwordHouse(t *testing.T, log *bytes.Buffer, answer *error) *house {
	t.Helper()
	var h *house
	h = newHouse(t, func(o *provider.Options) {
		o.Passwords = func(ctx context.Context, _ netip.Addr, name, password string) (*oidc.User, error) {
			if answer != nil && *answer != nil {
				return nil, *answer
			}
			return h.people.Authenticate(ctx, name, password)
		}
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	})
	h.addClient("old", func(c *oidc.Client) { c.GrantTypes = []string{"password", "refresh_token"} })
	return h
}

// byPassword is the request of the client "old" for alice, with changes.
func (h *house) byPassword(changes ...string) answer {
	h.t.Helper()
	form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"secret"}, "scope": {"openid profile offline_access"}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return h.post(h.provider.Token(), form, "old", "secret-of-old")
}

func TestAClientThatMayGetsTokensForAPassword(t *testing.T) { // RFC 6749, section 4.3
	t.Parallel()
	var log bytes.Buffer
	h := passwordHouse(t, &log, nil)
	got := h.byPassword()
	claims := h.idToken(got)
	if claims["sub"] != "uuid-alice" || claims["auth_time"] != float64(h.clock.Now().Unix()) || claims["sid"] != nil ||
		!slices.Equal(claims["amr"].([]any), []any{"pwd"}) { // RFC 8176, section 2
		t.Errorf("%v", claims)
	}
	if info := h.userinfo(got.text("access_token")); info.text("name") != "Alice Archer" {
		t.Errorf("%v", info.Body)
	}
	if h.people.Binds() != 1 {
		t.Errorf("%d binds for one password (promise 5)", h.people.Binds())
	}
	next := h.post(h.provider.Token(), refresh(got.text("refresh_token")), "old", "secret-of-old")
	if next.Status != http.StatusOK || h.people.Binds() != 1 {
		t.Errorf("%d %v", next.Status, next.Body)
	}
	// Promise 1.
	h.people.Remove("uuid-alice")
	if info := h.userinfo(next.text("access_token")); info.Status != http.StatusUnauthorized {
		t.Errorf("%v", info.Body)
	}
	for _, line := range []string{"event=sign_in client_id=old subject=uuid-alice", "event=token_issued client_id=old"} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("no audit line %s:\n%s", line, log.String())
		}
	}
}

func TestThePasswordGrantIsForThoseThatTheOperatorHasNamed(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := passwordHouse(t, &log, nil)
	form := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"secret"}, "scope": {"openid"}}
	if got := h.post(h.provider.Token(), form); got.text("error") != "unauthorized_client" {
		t.Errorf("a client that was not named: %v", got.Body)
	}
	h.addClient("phone", func(c *oidc.Client) {
		c.GrantTypes, c.TokenEndpointAuthMethod, c.SecretHash = []string{"password"}, "none", ""
	})
	form.Set("client_id", "phone")
	if got := h.postBare(h.provider.Token(), form); got.text("error") != "unauthorized_client" {
		t.Errorf("a public client: %v", got.Body)
	}
	form.Del("client_id")
	if got := h.post(h.provider.Token(), form, "old", "wrong"); got.text("error") != "invalid_client" {
		t.Errorf("a wrong secret: %v", got.Body)
	}
	if n := h.people.Binds(); n != 0 {
		t.Errorf("%d passwords were tried", n)
	}
	without := newHouse(t) // a server that has no sign-in page
	without.addClient("old", func(c *oidc.Client) { c.GrantTypes = []string{"password"} })
	if got := without.byPassword(); got.text("error") != "unsupported_grant_type" {
		t.Errorf("%v", got.Body)
	}
}

func TestWhatIsWrongWithARequestCostsNoPasswordTry(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := passwordHouse(t, &log, nil)
	for name, c := range map[string]struct{ parameter, value, error string }{
		"an empty password (RFC 4513, 5.1.2)": {"password", "", "invalid_request"},
		"no user name":                        {"username", "", "invalid_request"},
		"no scope":                            {"scope", "", "invalid_scope"},
		"a scope that is none":                {"scope", `a"b`, "invalid_scope"},
		"a resource of somebody else":         {"resource", "https://other.example.org", "invalid_target"},
	} {
		if got := h.byPassword(c.parameter, c.value); got.text("error") != c.error || got.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", name, got.Status, got.Body)
		}
	}
	if n := h.people.Binds(); n != 0 {
		t.Errorf("%d passwords were tried", n)
	}
}

func TestAPasswordThatIsNotTakenIsToldInOneSentence(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var says error
	h := passwordHouse(t, &log, &says)
	seen := map[string]bool{}
	for _, reason := range []oidc.SignInReason{
		oidc.ReasonUnknownUser, oidc.ReasonAmbiguous, oidc.ReasonWrongPassword, oidc.ReasonPasswordExpired, oidc.ReasonMustChange,
		oidc.ReasonLocked, oidc.ReasonDisabled, oidc.ReasonAccountExpired, oidc.ReasonOutsideHours, oidc.ReasonThrottled,
	} {
		says = &oidc.SignInError{Reason: reason, Subject: "uuid-alice", MayChange: reason == oidc.ReasonMustChange, Err: errors.New("result code 49")}
		got := h.byPassword()
		if got.text("error") != "invalid_grant" || got.Status != http.StatusBadRequest {
			t.Errorf("%s: %d %v", reason, got.Status, got.Body)
		}
		seen[got.text("error_description")] = true
		if !strings.Contains(log.String(), "reason="+string(reason)+` cause="result code 49"`) {
			t.Errorf("no audit line has the cause %s", reason)
		}
	}
	if len(seen) != 1 {
		t.Errorf("a guesser can tell accounts apart: %v", seen)
	}
	says = &oidc.ThrottledError{By: "account", Wait: 90*time.Second + time.Millisecond}
	if got := h.byPassword(); got.text("error") != "invalid_grant" || got.Status != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "91" {
		t.Errorf("%d %v %v", got.Status, got.Header, got.Body)
	}
	says = errors.Join(oidc.ErrUnavailable, errors.New("connection refused"))
	if got := h.byPassword(); got.Status != http.StatusServiceUnavailable || got.text("error") != "temporarily_unavailable" {
		t.Errorf("%d %v", got.Status, got.Body)
	}
	if strings.Contains(log.String(), "secret") {
		t.Error("the log holds the password")
	}
}

func TestWhoMayNotUseTheClientGetsNothingForARightPassword(t *testing.T) { // rows S3, S5
	t.Parallel()
	var log bytes.Buffer
	h := passwordHouse(t, &log, nil)
	if got := h.byPassword("username", "bob"); got.text("error") != "invalid_scope" {
		t.Errorf("profile is for staff: %v", got.Body)
	}
	h.clients["old"].AllowedGroups = []oidc.DN{staff}
	if got := h.byPassword("username", "bob", "scope", "openid"); got.text("error") != "invalid_grant" {
		t.Errorf("the client is for staff: %v", got.Body)
	}
	if !strings.Contains(log.String(), "event=access_refused client_id=old subject=uuid-bob") {
		t.Errorf("no audit line:\n%s", log.String())
	}
	h.clients["old"].OnMissingScope, h.clients["old"].AllowedGroups = oidc.MissingNarrow, nil
	if got := h.byPassword("username", "bob"); got.text("scope") != "openid offline_access" {
		t.Errorf("a client that narrows: %v", got.Body)
	}
}
