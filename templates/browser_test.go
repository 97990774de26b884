package templates_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"gatehouse/static"
	"gatehouse/templates"
)

// contentSecurityPolicy is what the pages have to work under, and the address
// where the browser says that they don't.
const contentSecurityPolicy = "default-src 'none'; style-src 'self'; img-src 'self' https: data:; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; report-uri /csp-report"

// picture is a logo that needs no network.
const picture = "data:image/svg+xml;base64," +
	"PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHZpZXdCb3g9IjAgMCA0MCA0MCI+PGcgZmlsbD0ibm9uZSIgc3Ryb2tlPSIjMDA3NGM4IiBzdHJva2Utd2lkdGg9IjQi" +
	"PjxjaXJjbGUgY3g9IjIwIiBjeT0iMjAiIHI9IjciLz48Y2lyY2xlIGN4PSI3IiBjeT0iMjAiIHI9IjQiLz48Y2lyY2xlIGN4PSIzMyIgY3k9IjIwIiByPSI0Ii8+PC9nPjwvc3ZnPg=="

func cloud() templates.ClientInfo {
	return templates.ClientInfo{
		ID: "cloud", Name: "Nextcloud", URI: "https://cloud.example.org", LogoURI: picture,
		PolicyURI: "https://cloud.example.org/privacy", TosURI: "https://cloud.example.org/terms",
	}
}

// shown are the pages to look at, by name.
func shown() map[string]func(s *templates.Set, w *bytes.Buffer, lang string) error {
	type page = func(s *templates.Set, w *bytes.Buffer, lang string) error
	wiki := templates.ClientInfo{ID: "wiki", Name: "Wiki of the Office"}
	return map[string]page{
		"signin": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.SignIn(w, lang, templates.SignIn{Client: cloud(), RememberOffered: true, Request: "sealed"})
		},
		"signin-wrong": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.SignIn(w, lang, templates.SignIn{
				Client: cloud(), Username: "ada", Problem: templates.ProblemWrong, RememberOffered: true, Remember: true,
			})
		},
		"signin-again": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.SignIn(w, lang, templates.SignIn{Client: wiki, Username: "ada", Again: true})
		},
		"signin-plain": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.SignIn(w, lang, templates.SignIn{})
		},
		"signin-expired": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.SignIn(w, lang, templates.SignIn{
				Client: cloud(), Username: "ada", Problem: templates.ProblemExpired, ChangeURL: "https://password.example.org/",
			})
		},
		"signin-new-password": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.SignIn(w, lang, templates.SignIn{Client: cloud(), Username: "ada", Problem: templates.ProblemNewPassword})
		},
		"password": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Password(w, lang, templates.Password{Client: cloud(), Username: "ada", Request: "sealed"})
		},
		"password-later": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Password(w, lang, templates.Password{
				Client: wiki, Username: "ada", Expired: true, Later: true, AskOld: true, Problem: templates.PasswordProblemTooShort,
				Detail: "Password fails quality checking policy", ChangeURL: "https://password.example.org/",
			})
		},
		"consent": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Consent(w, lang, templates.Consent{
				Client: cloud(), Person: "Ada Lovelace", ReturnTo: "cloud.example.org",
				Scopes: []string{"openid", "profile", "email", "groups", "offline_access", "quota"}, New: []string{"groups", "quota"},
			})
		},
		"consent-all": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Consent(w, lang, templates.Consent{
				Client: wiki, Person: "Ada Lovelace",
				Scopes: []string{"openid", "profile", "email", "address", "phone", "groups", "roles", "offline_access", "quota"},
			})
		},
		"device": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Device(w, lang, templates.Device{Request: "sealed"})
		},
		"device-wrong": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Device(w, lang, templates.Device{UserCode: "WDJB-MJHT", Problem: templates.DeviceProblemWrong})
		},
		"device-consent": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Consent(w, lang, templates.Consent{
				Client: templates.ClientInfo{ID: "tv", Name: "Television of the Office"}, Person: "Ada Lovelace", UserCode: "WDJB-MJHT",
				Scopes: []string{"openid", "profile", "offline_access"},
			})
		},
		"device-allowed": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.DeviceDone(w, lang, templates.DeviceDone{Outcome: templates.DeviceAllowed})
		},
		"device-refused": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.DeviceDone(w, lang, templates.DeviceDone{Client: cloud(), Outcome: templates.DeviceRefused})
		},
		"error-redirect": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Error(w, lang, templates.Error{Kind: templates.ErrorRedirectMismatch, RequestID: "r7Qm2ZxT9sKd", Detail: "client cloud"})
		},
		"error-refused": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Error(w, lang, templates.Error{Kind: templates.ErrorRefused, Client: cloud(), RequestID: "r7Qm2ZxT9sKd"})
		},
		"error-directory": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Error(w, lang, templates.Error{Kind: templates.ErrorDirectoryUnavailable, RequestID: "r7Qm2ZxT9sKd"})
		},
		"signedout": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.SignedOut(w, lang, templates.SignedOut{Client: cloud()})
		},
		"leave": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Leave(w, lang, templates.Leave{Client: cloud(), Host: "app.example.org", Address: "https://app.example.org/login"})
		},
		"signout": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.SignOut(w, lang, templates.SignOut{Client: cloud(), Person: "Ada Lovelace", Cancel: "/"})
		},
		"hostile": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			client := cloud()
			client.Name = strings.Repeat("<b>W\u202eW", 500)
			client.LogoURI = "javascript:alert(1)"
			return s.Consent(w, lang, templates.Consent{
				Client: client, Person: strings.Repeat("X", 9000), ReturnTo: strings.Repeat("a.", 900), Scopes: []string{strings.Repeat("s", 900)},
			})
		},
		"hostile-password": func(s *templates.Set, w *bytes.Buffer, lang string) error {
			return s.Password(w, lang, templates.Password{
				Username: strings.Repeat("u", 9000), Problem: templates.PasswordProblemPolicy, Detail: strings.Repeat("<b>\u202e\x00W", 900),
				ChangeURL: "javascript:alert(1)",
			})
		},
	}
}

// pageServer serves shown pages at /NAME?lang=LANG under the policy.
func pageServer(t *testing.T, overrideDir string) *httptest.Server {
	t.Helper()
	assets, err := static.Load("")
	if err != nil {
		t.Fatal(err)
	}
	set, err := templates.Load(overrideDir, templates.WithAssets(assets.URL))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(static.Prefix, assets)
	mux.HandleFunc("POST /csp-report", func(_ http.ResponseWriter, r *http.Request) {
		var report bytes.Buffer
		_, _ = report.ReadFrom(r.Body)
		t.Errorf("the browser refused part of a page: %s", report.String())
	})
	for name, render := range shown() {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			var b bytes.Buffer
			if err := render(set, &b, r.FormValue("lang")); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.Header().Set("Content-Security-Policy", contentSecurityPolicy)
			_, _ = w.Write(b.Bytes())
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// missing skips a test that lacks a program, or fails it where all are wanted.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("GATEHOUSE_TEST_REQUIRE") == "all" {
		t.Fatalf("%s is missing; `make test-tools` fetches it", what)
	}
	t.Skipf("%s is missing; `make test-tools` fetches it", what)
}

// browser starts a headless browser that ends with the test, and returns a
// context for chromedp.
func browser(t *testing.T) context.Context {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			program = found
			break
		}
	}
	if program == "" {
		missing(t, "chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], //nolint:gocritic // a copy is meant
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
	)
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(stop)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	ctx, closeBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		closeBrowser()
		end()
		chromedp.FromContext(ctx).Allocator.Wait() // the process is gone before its folder is
	})
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("starting %s: %v", program, err)
	}
	return ctx
}

// axe returns the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	file := os.Getenv("GATEHOUSE_AXE")
	if file == "" {
		file = filepath.Join("..", ".cache", "axe.min.js")
	}
	source, err := os.ReadFile(file)
	if err != nil {
		missing(t, "axe-core")
	}
	return string(source)
}

// media makes the page believe in preferences of the person.
func media(pairs ...string) chromedp.Action[chromedp.Void] {
	var features []*emulation.MediaFeature
	for i := 0; i+1 < len(pairs); i += 2 {
		features = append(features, &emulation.MediaFeature{Name: pairs[i], Value: pairs[i+1]})
	}
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	})
}

const runAxe = `axe.run(document, {runOnly: {type: 'tag', values:
  ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}}).then(r => JSON.stringify({
  passed: r.passes.map(p => p.id),
  violations: r.violations.map(v => v.id + ': ' + v.help + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join(' | '))}))`

// TestPagesInABrowser looks at every page in light and dark, on a phone of 320
// pixels and on a desk, in English; and in the other languages, whose words are
// longer, on the phone. With GATEHOUSE_SHOTS set to a folder it keeps pictures.
func TestPagesInABrowser(t *testing.T) {
	t.Parallel()
	source := axe(t)
	ctx := browser(t)
	server := pageServer(t, folder(t, map[string]string{"words/ar.json": `{"dir": "rtl"}`}))
	for name := range shown() {
		for _, lang := range []string{"en", "de", "fr", "ar"} {
			for _, scheme := range []string{"light", "dark"} {
				for _, width := range []int64{320, 1280} {
					rare := lang != "en" && (scheme == "dark") == (width == 320)
					if rare || testing.Short() && (lang != "de" || width != 320) {
						continue
					}
					t.Run(fmt.Sprintf("%s-%s-%s-%d", name, lang, scheme, width), func(t *testing.T) {
						look(ctx, t, server.URL+"/"+name+"?lang="+lang, scheme, width, source)
					})
				}
			}
		}
	}
}

// TestPagesBearForcedColours looks at pages as people see them who set their own
// colours: everything that matters must have an edge.
func TestPagesBearForcedColours(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	server := pageServer(t, "")
	for _, name := range []string{"signin-wrong", "consent"} {
		t.Run(name+"-forced", func(t *testing.T) {
			err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 860), media("forced-colors", "active"), chromedp.Navigate(server.URL+"/"+name))
			if err != nil {
				t.Fatal(err)
			}
			if edge := evaluate[string](ctx, t, `getComputedStyle(document.querySelector('.button-main')).borderTopWidth`); edge != "2px" {
				t.Errorf("the main button has an edge of %s", edge)
			}
			keep(ctx, t)
		})
	}
}

// TestTheFormWorksWithoutScript fills the sign-in form in with the keyboard
// alone, in a browser that runs no script.
func TestTheFormWorksWithoutScript(t *testing.T) {
	t.Parallel()
	ctx := browser(t)
	set := load(t, "")
	assets, err := static.Load("")
	if err != nil {
		t.Fatal(err)
	}
	forms := make(chan url.Values, 1)
	mux := http.NewServeMux()
	mux.Handle(static.Prefix, assets)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", contentSecurityPolicy)
		if err := set.SignIn(w, "en", templates.SignIn{Client: cloud(), RememberOffered: true, Request: "sealed"}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /signin", func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		forms <- r.PostForm
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)

	noScript := chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
	err = chromedp.Do(ctx, noScript, chromedp.Navigate(server.URL),
		chromedp.KeyEvent("ada"), chromedp.KeyEvent("\t"), chromedp.KeyEvent("secret"), chromedp.KeyEvent("\t"), chromedp.KeyEvent(" "),
		chromedp.KeyEvent("\t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("signin-focus", func(t *testing.T) { keep(ctx, t) })
	if err := chromedp.Do(ctx, chromedp.KeyEvent("\r")); err != nil {
		t.Fatal(err)
	}
	select {
	case form := <-forms:
		want := url.Values{"username": {"ada"}, "password": {"secret"}, "remember": {"1"}, "request": {"sealed"}, "login": {"1"}}
		if !maps.EqualFunc(form, want, slices.Equal[[]string]) {
			t.Errorf("the form holds %v, want %v", form, want)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no form arrived")
	}
}

func look(ctx context.Context, t *testing.T, address, scheme string, width int64, source string) {
	t.Helper()
	height := int64(860)
	err := chromedp.Do(ctx,
		chromedp.EmulateViewport(width, height),
		media("prefers-color-scheme", scheme, "prefers-reduced-motion", "reduce"),
		chromedp.Navigate(address))
	if err != nil {
		t.Fatal(err)
	}
	if wide := evaluate[int64](ctx, t, `document.documentElement.scrollWidth`); wide > width {
		t.Errorf("the page is %d pixels wide on a screen of %d", wide, width)
	}
	if styled := evaluate[int](ctx, t, `document.styleSheets.length`); styled != 1 {
		t.Errorf("%d style sheets, want 1", styled)
	}
	keep(ctx, t)
	// axe doesn't measure contrast before a drawing, so it goes.
	evaluate[int](ctx, t, `document.styleSheets[0].insertRule('body::before { content: none !important }', document.styleSheets[0].cssRules.length)`)
	evaluate[bool](ctx, t, source+"\n;true")
	result, err := chromedp.Run(ctx, chromedp.Evaluate[string](runAxe, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	var found struct{ Passed, Violations []string }
	if err := json.Unmarshal([]byte(result), &found); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(found.Passed, "color-contrast") {
		t.Errorf("axe didn't measure contrast, only %v", found.Passed)
	}
	for _, violation := range found.Violations {
		t.Errorf("axe: %s", violation)
	}
}

func evaluate[T any](ctx context.Context, t *testing.T, script string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// keep writes a picture of the page into the folder GATEHOUSE_SHOTS, if set.
func keep(ctx context.Context, t *testing.T) {
	t.Helper()
	folder := os.Getenv("GATEHOUSE_SHOTS")
	if folder == "" {
		return
	}
	shot, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	_, name, _ := strings.Cut(t.Name(), "/")
	if err := os.WriteFile(filepath.Join(folder, name+".png"), shot, 0o600); err != nil {
		t.Fatal(err)
	}
}
