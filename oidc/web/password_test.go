package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
)

// mustChange is what a directory says of who has to replace a password.
func mustChange(name string) error {
	return &oidc.SignInError{Reason: oidc.ReasonMustChange, Subject: "id-" + name, MayChange: true, ChangeURL: "https://password.example.org/"}
}

// choose fills the page for a new password in.
func (b *browser) choose(page view, pairs ...string) view {
	b.t.Helper()
	form := url.Values{"request": {page.request(b.t)}, "change": {"1"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.post("/password", form)
}

const asksOld = `name="password"`

func TestWhoMustChangeTheirPasswordDoesSoOnThePageAndGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.answer("ada", mustChange("ada"))
	b := h.browser()
	page := b.signIn("app", "ada", "right-ada")
	wantStatus(t, page, http.StatusOK)
	wantText(t, page, `name="new_password"`)
	if strings.Contains(page.body, asksOld) || strings.Contains(page.body, "right-ada") {
		t.Error("the page asks for the password that was just shown, or holds it")
	}
	if _, signedIn := b.cookies[sessionCookie]; signedIn {
		t.Error("signed in with a password that must be changed")
	}
	wantCode(t, b.choose(page, "new_password", "a better one", "new_password_again", "a better one"), "id-ada")
	if n := h.directory.binds.Load(); n != 3 {
		t.Errorf("%d binds, want three: the old password, the change, the new password", n)
	}
	wantCode(t, b.get(authorizeURL("app")), "id-ada")
	wantCode(t, h.browser().signIn("app", "ada", "a better one"), "id-ada")
	logs := h.logs.String()
	for _, line := range []string{"event=sign_in_refused", "reason=must_change", "event=password_changed"} {
		if !strings.Contains(logs, line) {
			t.Errorf("the log lacks %q", line)
		}
	}
	if strings.Contains(logs, "right-ada") || strings.Contains(logs, "better") {
		t.Errorf("the log holds a password:\n%s", logs)
	}
	if n := len(h.proofs.kept); n != 0 {
		t.Errorf("%d passwords are kept when all is done", n)
	}
}

func TestConsentFollowsANewPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.answer("ada", mustChange("ada"))
	b := h.browser()
	sent := b.choose(b.signIn("asker", "ada", "right-ada"), "new_password", "a better one", "new_password_again", "a better one")
	wantStatus(t, sent, http.StatusSeeOther)
	wantText(t, b.get(sent.location()), `name="allow"`)
}

func TestWhatCannotBeANewPasswordIsSaidWithoutTheDirectory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.answer("ada", mustChange("ada"))
	b := h.browser()
	page := b.signIn("app", "ada", "right-ada")
	long := strings.Repeat("x", 1025)
	for want, pair := range map[string][2]string{
		"isn’t the same in both fields":     {"one", "two"},
		"A field was left empty":            {"", ""},
		"That is the password you have now": {"right-ada", "right-ada"},
		"too long for a password":           {long, long},
	} {
		again := b.choose(page, "new_password", pair[0], "new_password_again", pair[1])
		wantStatus(t, again, http.StatusUnprocessableEntity)
		wantText(t, again, want)
		if strings.Contains(again.body, long) || strings.Contains(again.body, `"one"`) {
			t.Error("the page gives a password back")
		}
		page = again
	}
	if n := h.directory.binds.Load(); n != 1 {
		t.Errorf("%d binds, want the one of the sign-in", n)
	}
	wantCode(t, b.choose(page, "new_password", "a better one", "new_password_again", "a better one"), "id-ada")
}

func TestTheOldPasswordIsAskedForAgainWhenItIsNoLongerKnown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.answer("ada", mustChange("ada"))
	b := h.browser()
	page := b.signIn("app", "ada", "right-ada")
	h.clock.Advance(6 * time.Minute)
	page = b.choose(page, "new_password", "a better one", "new_password_again", "a better one")
	wantStatus(t, page, http.StatusUnprocessableEntity)
	wantText(t, page, asksOld)
	wantText(t, page, "enter your current password too")
	page = b.choose(page, "password", "", "new_password", "a better one", "new_password_again", "a better one")
	wantText(t, page, "A field was left empty")
	page = b.choose(page, "password", "wrong", "new_password", "a better one", "new_password_again", "a better one")
	wantStatus(t, page, http.StatusUnprocessableEntity)
	wantText(t, page, "current password isn’t right")
	wantCode(t, b.choose(page, "password", "right-ada", "new_password", "a better one", "new_password_again", "a better one"), "id-ada")
}

func TestAPolicysWordsReachThePersonAndNotTheLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.answer("ada", mustChange("ada"))
	b := h.browser()
	page := b.signIn("app", "ada", "right-ada")
	for reason, want := range map[oidc.PasswordReason]string{
		oidc.PasswordTooShort: "too short", oidc.PasswordInHistory: "used that password before", oidc.PasswordTooYoung: "only recently",
		oidc.PasswordQuality: "easy to guess", oidc.PasswordForbidden: "aren’t allowed", oidc.PasswordPolicy: "organisation’s rules",
		oidc.PasswordImpossible: "can’t be changed here",
	} {
		h.directory.keep = &oidc.PasswordError{Reason: reason, Text: "<i>At least \u202eten\x07 characters</i>", Err: errors.New("result code 19")}
		page = b.choose(page, "new_password", "a better one", "new_password_again", "a better one")
		wantStatus(t, page, http.StatusUnprocessableEntity)
		wantText(t, page, want)
		wantText(t, page, "&lt;i&gt;At least ten characters&lt;/i&gt;")
		wantText(t, page, `href="https://password.example.org/"`)
		if logs := h.logs.String(); !strings.Contains(logs, "event=password_change_refused") || !strings.Contains(logs, "reason="+string(reason)) || strings.Contains(logs, "At least") {
			t.Errorf("%s: the log:\n%s", reason, logs)
		}
	}
	// Nobody is throttled for choosing badly.
	h.directory.keep = nil
	wantCode(t, b.choose(page, "new_password", "a better one", "new_password_again", "a better one"), "id-ada")
}

func TestAChangeThatMayHaveHappenedIsSaidSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.answer("ada", mustChange("ada"))
	b := h.browser()
	page := b.signIn("app", "ada", "right-ada")
	h.directory.keep = fmt.Errorf("frozen: %w", oidc.ErrUnavailable)
	page = b.choose(page, "new_password", "a better one", "new_password_again", "a better one")
	wantStatus(t, page, http.StatusServiceUnavailable)
	wantText(t, page, `name="new_password"`)
	h.directory.keep = &oidc.PasswordError{Reason: oidc.PasswordUncertain, Err: oidc.ErrUnavailable}
	page = b.choose(page, "new_password", "a better one", "new_password_again", "a better one")
	wantStatus(t, page, http.StatusServiceUnavailable)
	wantText(t, page, "Try the new one first")
	wantText(t, page, `value="ada"`)
	// It was changed, but the directory went away before the new password was tried.
	h.directory.keep = nil
	page = b.fill(page, "ada", "right-ada")
	h.directory.answer("ada", mustChange("ada"))
	gone := &onceChanged{fakeDirectory: h.directory}
	h.changer = gone
	page = b.choose(page, "new_password", "a better one", "new_password_again", "a better one")
	wantStatus(t, page, http.StatusOK)
	wantText(t, page, "Please sign in with the new one")
	h.directory.answer("", nil)
	wantCode(t, b.fill(page, "ada", "a better one"), "id-ada")
}

// onceChanged goes away as soon as a password was changed.
type onceChanged struct{ *fakeDirectory }

func (d *onceChanged) ChangePassword(ctx context.Context, subject, oldPassword, newPassword string) error {
	err := d.fakeDirectory.ChangePassword(ctx, subject, oldPassword, newPassword)
	d.answer("", oidc.ErrUnavailable)
	return err
}

func TestGuessesAtTheOldPasswordAreThrottledOnThePageToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.answer("ada", mustChange("ada"))
	b := h.browser()
	page := b.signIn("app", "ada", "right-ada")
	h.clock.Advance(6 * time.Minute)
	page = b.choose(page, "new_password", "x", "new_password_again", "x")
	h.directory.binds.Store(0)
	for range 10 {
		page = b.choose(page, "password", "wrong", "new_password", "x", "new_password_again", "x")
	}
	wantStatus(t, page, http.StatusTooManyRequests)
	wantText(t, page, "too many tries")
	if n := h.directory.binds.Load(); n != 3 || page.header.Get("Retry-After") == "" {
		t.Errorf("%d binds, want 3; %v", n, page.header)
	}
}

func TestAPageForANewPasswordIsOfOneBrowserAndOneHour(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.answer("ada", mustChange("ada"))
	b := h.browser()
	page := b.signIn("app", "ada", "right-ada")
	other := h.browser()
	other.get(authorizeURL("app"))
	pair := []string{"new_password", "a better one", "new_password_again", "a better one"}
	stolen := other.choose(page, pair...)
	wantStatus(t, stolen, http.StatusBadRequest)
	form := url.Values{"request": {page.request(t)}, "new_password": {"a better one"}, "new_password_again": {"a better one"}}
	wantStatus(t, b.postFrom("https://evil.example.com", "/password", form), http.StatusForbidden)
	// A form of another page is none of this one.
	signIn := h.browser()
	wantStatus(t, signIn.choose(signIn.get(authorizeURL("app")), pair...), http.StatusBadRequest)
	h.clock.Advance(61 * time.Minute)
	late := b.choose(page, append(pair, "password", "right-ada")...)
	wantStatus(t, late, http.StatusOK)
	wantText(t, late, `name="username"`)
	if n := h.directory.binds.Load(); n != 1 {
		t.Errorf("%d binds, want the one of the sign-in", n)
	}
	wantStatus(t, b.get("/password"), http.StatusBadRequest)
}

func TestWhoIsLetInByGraceMayChangeTheirPasswordOrNot(t *testing.T) {
	t.Parallel()
	for _, later := range []bool{true, false} {
		h := newHouse(t)
		h.directory.expired = true
		b := h.browser()
		page := b.signIn("app", "ada", "right-ada")
		wantStatus(t, page, http.StatusOK)
		wantText(t, page, `name="later"`)
		if _, signedIn := b.cookies[sessionCookie]; !signedIn {
			t.Error("the sign-in by grace was not kept")
		}
		if later {
			wantCode(t, b.choose(page, "later", "1"), "id-ada")
			if n := h.directory.binds.Load(); n != 1 || len(h.proofs.kept) != 0 {
				t.Errorf("%d binds for a person who changes nothing, %d passwords kept", n, len(h.proofs.kept))
			}
			continue
		}
		wantCode(t, b.choose(page, "new_password", "a better one", "new_password_again", "a better one"), "id-ada")
		wantCode(t, h.browser().signIn("app", "ada", "a better one"), "id-ada")
	}
}

func TestAGracePageOfAnotherSessionChangesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.expired = true
	b := h.browser()
	page := b.signIn("app", "ada", "right-ada")
	delete(b.cookies, sessionCookie)
	asked := b.choose(page, "new_password", "a better one", "new_password_again", "a better one")
	wantStatus(t, asked, http.StatusOK)
	wantText(t, asked, `name="username"`)
	if n := h.directory.binds.Load(); n != 1 {
		t.Errorf("%d binds, want 1", n)
	}
}

func TestALinkStandsWhereThePageCannotHelp(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, refused := range []*oidc.SignInError{
		{Reason: oidc.ReasonPasswordExpired, Subject: "id-ada", ChangeURL: "https://password.example.org/"},
		{Reason: oidc.ReasonMustChange, Subject: "id-ada", ChangeURL: "https://password.example.org/"},
	} {
		h.directory.answer("ada", refused)
		v := h.browser().signIn("app", "ada", "right-ada")
		wantStatus(t, v, http.StatusUnprocessableEntity)
		wantText(t, v, `href="https://password.example.org/"`)
		wantText(t, v, `name="username"`)
	}
}

func TestKeptPasswordsAreOfOnePersonAndFew(t *testing.T) {
	t.Parallel()
	c := newClock()
	p := &proofs{now: c.Now, kept: map[oidc.Hash]proof{}}
	handle := p.keep("id-ada", "secret")
	if p.password(handle, "id-ada") != "secret" || p.password(handle, "id-ben") != "" || p.password("", "id-ada") != "" {
		t.Error("a password is known to the wrong people")
	}
	for _, kept := range p.kept {
		if bytes.Contains(kept.sealed, []byte("secret")) || len(kept.sealed) == 0 {
			t.Error("whoever reads the memory reads the password")
		}
	}
	for range 2000 {
		p.keep("id-ben", "another")
	}
	if len(p.kept) > mostProof || p.keep("id-ben", "one more") != "" {
		t.Errorf("%d passwords are kept", len(p.kept))
	}
	if p.password(handle, "id-ada") != "secret" {
		t.Error("a crowd pushed a password out")
	}
	c.Advance(proofLife)
	if p.password(handle, "id-ada") != "" {
		t.Error("a password is kept for too long")
	}
}
