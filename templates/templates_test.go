package templates_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/templates"
)

func load(t testing.TB, overrideDir string) *templates.Set {
	t.Helper()
	set, err := templates.Load(overrideDir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func signIn(t *testing.T, set *templates.Set, lang string, p templates.SignIn) string {
	t.Helper()
	var b bytes.Buffer
	if err := set.SignIn(&b, lang, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func consent(t *testing.T, set *templates.Set, lang string, p templates.Consent) string {
	t.Helper()
	var b bytes.Buffer
	if err := set.Consent(&b, lang, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// has fails unless every part is in the page; lacks is the opposite.
func has(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			t.Errorf("the page has no %q:\n%s", part, page)
		}
	}
}

func lacks(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(page, part) {
			t.Errorf("the page has %q:\n%s", part, page)
		}
	}
}

// tag returns the one tag that has this id.
func tag(t *testing.T, page, id string) string {
	t.Helper()
	found := regexp.MustCompile(`<[a-z]+[^>]* id="`+id+`"[^>]*>`).FindAllString(page, -1)
	if len(found) != 1 {
		t.Fatalf("%d tags with the id %s:\n%s", len(found), id, page)
	}
	return found[0]
}

func TestTheSignInPageHasItsStableNames(t *testing.T) {
	t.Parallel()
	page := signIn(t, load(t, ""), "en", templates.SignIn{
		Client: cloud(), Username: "ada", RememberOffered: true, Remember: true, Request: "sealed", Action: "/signin",
	})
	has(t, tag(t, page, "signin"), `method="post"`, `action="/signin"`)
	has(t, page, `<input type="hidden" name="request" value="sealed">`)
	has(t, tag(t, page, "username"), `name="username"`, `value="ada"`, `autocomplete="username"`, `autocapitalize="none"`, `spellcheck="false"`)
	has(t, tag(t, page, "password"), `name="password"`, `type="password"`, `autocomplete="current-password"`, ` autofocus`)
	has(t, tag(t, page, "remember"), `name="remember"`, `type="checkbox"`, `value="1"`, ` checked`)
	has(t, tag(t, page, "login"), `<button`, `name="login"`, `type="submit"`)
	has(t, tag(t, page, "policy"), `href="https://cloud.example.org/privacy"`)
	has(t, tag(t, page, "terms"), `href="https://cloud.example.org/terms"`)
	has(t, page, "<title>Sign in to Nextcloud – Gatehouse</title>", `src="data:image/svg&#43;xml;base64,PHN2`, `<html lang="en" dir="ltr">`)
	lacks(t, page, `id="problem"`, `aria-describedby`, `aria-invalid`)
}

func TestTheSignInPageOffersToRememberOnlyWhereItMay(t *testing.T) {
	t.Parallel()
	page := signIn(t, load(t, ""), "en", templates.SignIn{Remember: true})
	lacks(t, page, `id="remember"`)
	has(t, tag(t, page, "username"), ` autofocus`)
	has(t, tag(t, page, "signin"), `action="/signin"`)
}

func TestEachProblemIsToldInEachLanguageAndTiedToTheFields(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	seen := map[string]templates.Problem{}
	for _, lang := range set.Languages() {
		for _, problem := range templates.Problems() {
			page := signIn(t, set, lang, templates.SignIn{Problem: problem})
			role := "alert"
			if problem == templates.ProblemNewPassword {
				role = "status" // good news
				lacks(t, page, "<title>Problem")
			}
			has(t, tag(t, page, "problem"), `role="`+role+`"`)
			has(t, tag(t, page, "username"), `aria-describedby="problem"`)
			has(t, tag(t, page, "password"), `aria-describedby="problem"`)
			said := regexp.MustCompile(`(?s)role="` + role + `">.*?</div>`).FindString(page)
			if other, ok := seen[lang+said]; ok {
				t.Errorf("%s: %s says the same as %s", lang, problem, other)
			}
			seen[lang+said] = problem
			if got := strings.Contains(page, "aria-invalid"); got != (problem == templates.ProblemWrong) {
				t.Errorf("%s: fields are marked invalid: %v", problem, got)
			}
		}
	}
}

func password(t *testing.T, set *templates.Set, lang string, p templates.Password) string {
	t.Helper()
	var b bytes.Buffer
	if err := set.Password(&b, lang, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestThePasswordPageHasItsStableNames(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	page := password(t, set, "en", templates.Password{Client: cloud(), Username: "ada", Expired: true, Later: true, AskOld: true, Request: "sealed"})
	has(t, tag(t, page, "password-form"), `method="post"`, `action="/password"`)
	has(t, page, `<input type="hidden" name="request" value="sealed">`, `<input type="text" autocomplete="username" value="ada" readonly hidden>`)
	has(t, tag(t, page, "password"), `name="password"`, `type="password"`, `autocomplete="current-password"`, ` autofocus`)
	for _, id := range []string{"new_password", "new_password_again"} {
		has(t, tag(t, page, id), `name="`+id+`"`, `type="password"`, `autocomplete="new-password"`, ` required`)
		lacks(t, tag(t, page, id), "autofocus", "aria-")
	}
	has(t, tag(t, page, "change"), `name="change"`, `value="1"`, `type="submit"`)
	has(t, tag(t, page, "later"), `name="later"`, `value="1"`, `formnovalidate`)
	page = password(t, set, "en", templates.Password{})
	lacks(t, page, `id="password"`, `id="later"`, `id="person"`, `id="problem"`, "actions-pair")
	has(t, tag(t, page, "new_password"), ` autofocus`)
}

func TestEachProblemOfAPasswordIsToldInEachLanguage(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for _, lang := range set.Languages() {
		seen := map[string]templates.PasswordProblem{}
		for _, problem := range append(templates.PasswordProblems(), "<new>") {
			page := password(t, set, lang, templates.Password{
				AskOld: true, Problem: problem, Detail: "Too\x00 <b>short\u202e", ChangeURL: "https://password.example.org/?a=1",
			})
			has(t, tag(t, page, "problem"), `role="alert"`)
			has(t, tag(t, page, "new_password"), `aria-describedby="problem"`)
			has(t, tag(t, page, "change_url"), `href="https://password.example.org/?a=1"`)
			has(t, page, "<bdi>Too &lt;b&gt;short</bdi>")
			said := regexp.MustCompile(`(?s)role="alert">.*?</p>`).FindString(page)
			if other, ok := seen[said]; ok {
				t.Errorf("%s: %s says the same as %s", lang, problem, other)
			}
			seen[said] = problem
			if got := strings.Contains(tag(t, page, "password"), "aria-invalid"); got != (problem == templates.PasswordProblemOldWrong) {
				t.Errorf("%s: the current password is marked invalid: %v", problem, got)
			}
			if again := tag(t, page, "new_password_again"); problem == templates.PasswordProblemMismatch != strings.Contains(again, "aria-invalid") &&
				(problem == templates.PasswordProblemMismatch || problem == templates.PasswordProblemOldWrong) {
				t.Errorf("%s: %s", problem, again)
			}
		}
	}
	page := password(t, set, "de", templates.Password{Problem: templates.PasswordProblemThrottled, RetryIn: 5 * time.Minute, ChangeURL: "javascript:alert(1)"})
	has(t, page, "warten Sie 5 Minuten")
	lacks(t, page, "javascript", "change_url")
}

func TestAnUnknownProblemOrErrorIsStillAPage(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	page := signIn(t, set, "xx", templates.SignIn{Problem: "<new>"})
	has(t, page, "That didn’t work. Please try again.", `lang="en"`)
	var b bytes.Buffer
	if err := set.Error(&b, "de-AT", templates.Error{Kind: "new"}); err != nil {
		t.Fatal(err)
	}
	has(t, b.String(), "Etwas ist schiefgegangen", `lang="de"`)
}

func TestTheTimeToWaitIsToldInWholeMinutes(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for _, c := range []struct {
		lang string
		wait time.Duration
		want string
	}{
		{"en", 0, "wait a little"},
		{"en", time.Second, "wait a minute"},
		{"en", 61 * time.Second, "wait 2 minutes"},
		{"de", 5 * time.Minute, "warten Sie 5 Minuten"},
		{"fr", time.Minute, "Patientez une minute"},
	} {
		page := signIn(t, set, c.lang, templates.SignIn{Problem: templates.ProblemThrottled, RetryIn: c.wait})
		has(t, page, c.want)
	}
}

func TestTheConsentPageSaysScopesInPlainWords(t *testing.T) {
	t.Parallel()
	page := consent(t, load(t, ""), "en", templates.Consent{
		Client: cloud(), Person: "Ada Lovelace", ReturnTo: "cloud.example.org", Request: "sealed",
		Scopes: []string{"openid", "profile", "email", "address", "phone", "groups", "roles", "offline_access", "quota", "other", "email.more"},
		New:    []string{"groups"},
	})
	has(t, tag(t, page, "consent"), `method="post"`, `action="/consent"`)
	has(t, tag(t, page, "allow"), `name="allow"`, `value="1"`)
	has(t, tag(t, page, "deny"), `name="deny"`, `value="1"`)
	has(t, page, `name="request" value="sealed"`, "Give <bdi>Nextcloud</bdi> access?", "Signed in as <bdi>Ada Lovelace</bdi>",
		"<bdi>cloud.example.org</bdi>", "See your name and profile", "See your postal address", "See your roles", "Stay connected",
		"Use “<bdi>quota</bdi>”", "Use “<bdi>other</bdi>”", "Use “<bdi>email.more</bdi>”")
	if n := strings.Count(page, `class="badge"`); n != 1 {
		t.Errorf("%d scopes are marked as new, want 1", n)
	}
	if n := strings.Count(page, `class="scope"`); n != 11 {
		t.Errorf("%d scopes are listed, want 11", n)
	}
	has(t, tag(t, page, "policy"), `https://cloud.example.org/privacy`)
	has(t, tag(t, page, "terms"), `https://cloud.example.org/terms`)
}

func TestTheConsentPageOffersToKeepClaimsBack(t *testing.T) { // row C7
	t.Parallel()
	set := load(t, "")
	for lang, want := range map[string]string{"en": "Your picture", "de": "Ihr Bild", "fr": "Votre photo"} {
		page := consent(t, set, lang, templates.Consent{
			Client: cloud(), Scopes: []string{"profile"}, Withholdable: []string{"picture", "website"}, Withheld: []string{"website"},
		})
		has(t, page, want)
		has(t, tag(t, page, "withhold_picture"), `type="checkbox"`, `name="withhold_picture"`, `value="1"`)
		lacks(t, tag(t, page, "withhold_picture"), "checked")
		has(t, tag(t, page, "withhold_website"), "checked")
		lacks(t, page, "withhold_address")
	}
	lacks(t, consent(t, set, "en", templates.Consent{Client: cloud(), Scopes: []string{"profile"}}), "withhold")
}

func TestNothingIsMarkedNewWhenAllIs(t *testing.T) {
	t.Parallel()
	scopes := []string{"openid", "email"}
	page := consent(t, load(t, ""), "en", templates.Consent{Client: cloud(), Scopes: scopes, New: scopes})
	lacks(t, page, `class="badge"`)
}

func TestErrorPagesNameTheReferenceAndTheWayBack(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for _, lang := range set.Languages() {
		titles := map[string]bool{}
		for _, kind := range templates.ErrorKinds() {
			var b bytes.Buffer
			err := set.Error(&b, lang, templates.Error{Kind: kind, Client: cloud(), RequestID: "abc", Detail: "a detail"})
			if err != nil {
				t.Fatal(err)
			}
			page := b.String()
			has(t, page, `id="reference">abc<`, "a detail")
			has(t, tag(t, page, "back"), `href="https://cloud.example.org"`)
			titles[regexp.MustCompile(`<title>.*</title>`).FindString(page)] = true
		}
		if len(titles) != len(templates.ErrorKinds()) {
			t.Errorf("%s: %d titles for %d kinds of error", lang, len(titles), len(templates.ErrorKinds()))
		}
	}
}

func TestSigningOutAsksAndTells(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	var b bytes.Buffer
	if err := set.SignOut(&b, "fr", templates.SignOut{Client: cloud(), Request: "sealed", Cancel: "/"}); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	has(t, tag(t, page, "signout-form"), `action="/signout"`, `method="post"`)
	has(t, tag(t, page, "signout"), `name="signout"`)
	has(t, tag(t, page, "stay"), `href="/"`)
	has(t, page, `name="request" value="sealed"`)
	b.Reset()
	if err := set.SignedOut(&b, "en", templates.SignedOut{}); err != nil {
		t.Fatal(err)
	}
	has(t, b.String(), "You are signed out")
	lacks(t, b.String(), `id="back"`, `id="policy"`)
}

func TestNoPageNeedsScriptOrInlineStyle(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for name, render := range shown() {
		var b bytes.Buffer
		if err := render(set, &b, "en"); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		lacks(t, page, "<script", "<style", " style=", "javascript:", "ZgotmplZ")
		if found := regexp.MustCompile(` on[a-z]+="`).FindString(page); found != "" {
			t.Errorf("%s has the handler %s", name, found)
		}
		for what, want := range map[string]int{"<h1": 1, "<main": 1, "<header": 1, "<footer": 1, "<title>": 1} {
			if got := strings.Count(page, what); got != want {
				t.Errorf("%s has %s %d times", name, what, got)
			}
		}
		ids := regexp.MustCompile(` id="([^"]*)"`).FindAllString(page, -1)
		slices.Sort(ids)
		if len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("%s has an id twice: %v", name, ids)
		}
	}
}

// failing is a connection that is gone.
type failing struct{}

var errGone = errors.New("gone")

func (failing) Write([]byte) (int, error) { return 0, errGone }

func TestAWriterThatFailsIsReported(t *testing.T) {
	t.Parallel()
	if err := load(t, "").SignIn(failing{}, "en", templates.SignIn{}); !errors.Is(err, errGone) {
		t.Errorf("got %v, want %v", err, errGone)
	}
}

func TestPagesMayBeRenderedByManyAtOnce(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	want := signIn(t, set, "en", templates.SignIn{Client: cloud()})
	done := make(chan string)
	for range 8 {
		go func() {
			var b bytes.Buffer
			for range 50 {
				b.Reset()
				_ = set.Consent(io.Discard, "de", templates.Consent{Client: cloud(), Scopes: []string{"openid"}})
				_ = set.SignIn(&b, "en", templates.SignIn{Client: cloud()})
			}
			done <- b.String()
		}()
	}
	for range 8 {
		if got := <-done; got != want {
			t.Errorf("a page came out differently:\n%s", got)
		}
	}
}

func BenchmarkSignIn(b *testing.B) {
	set := load(b, "")
	page := templates.SignIn{Client: cloud(), RememberOffered: true, Request: strings.Repeat("x", 400)}
	b.ReportAllocs()
	for b.Loop() {
		if err := set.SignIn(io.Discard, "de", page); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		load(b, "")
	}
}
