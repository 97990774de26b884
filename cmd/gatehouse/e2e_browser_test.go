package main

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"gatehouse/ldapstore/ldaptest"
)

// tab is a real browser in front of the real server.
type tab struct {
	t   *testing.T
	ctx context.Context
	axe string
}

// newTab starts a browser without any cookie, which ends with the test.
func newTab(t *testing.T) *tab {
	t.Helper()
	program, axe := browserTools(t)
	options := append(chromedp.DefaultExecAllocatorOptions[:], //nolint:gocritic // a copy is meant
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(stop)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	ctx, closeBrowser := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		closeBrowser()
		end()
		chromedp.FromContext(ctx).Allocator.Wait() // the process is gone before its folder is
	})
	b := &tab{t: t, ctx: ctx, axe: axe}
	b.do(chromedp.Navigate("about:blank"))
	return b
}

// browserTools finds Chromium and axe-core, or skips the test, or fails it where
// all programs are wanted.
func browserTools(t *testing.T) (program, axe string) {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err == nil {
		var source []byte
		source, err = os.ReadFile(filepath.Join("..", "..", ".cache", "axe.min.js"))
		axe = string(source)
	}
	if err != nil && os.Getenv("GATEHOUSE_TEST_REQUIRE") == "all" {
		t.Fatalf("%v; `make test-tools` fetches it", err)
	} else if err != nil {
		t.Skipf("%v; `make test-tools` fetches it", err)
	}
	return program, axe
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		where, _ := chromedp.Run(b.ctx, chromedp.Location())
		text, _ := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
		b.t.Fatalf("%v\nat %s:\n%s", err, where, text)
	}
}

func (b *tab) text(id string) string {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("#"+id)))
	if err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(text)
}

// click presses a button or link and waits until the next page shows an element.
func (b *tab) click(id, next string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS("#"+id)), chromedp.WaitVisible(chromedp.CSS(next)))
}

// signIn fills in the page and waits for what comes next.
func (b *tab) signIn(uid, password, next string) {
	b.t.Helper()
	b.do(
		chromedp.Clear(chromedp.CSS("#username")), // a second try has the name still
		chromedp.SendKeys(chromedp.CSS("#username"), uid),
		chromedp.SendKeys(chromedp.CSS("#password"), password),
	)
	b.click("login", next)
}

// accessible lets axe look at the page, by the rules of WCAG 2.2 AA.
func (b *tab) accessible(lang string) {
	b.t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](b.axe+"\n;true")); err != nil {
		b.t.Fatal(err)
	}
	const run = `axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}})
		.then(r => JSON.stringify([document.documentElement.lang, ...r.violations.map(v => v.id + ': ' + v.help + ' ' + v.nodes.map(n => n.html).join(' '))]))`
	result, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](run, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	var found []string
	if err := json.Unmarshal([]byte(result), &found); err != nil {
		b.t.Fatal(err)
	}
	if found[0] != lang {
		b.t.Errorf("the page is in %q, not in %q", found[0], lang)
	}
	for _, violation := range found[1:] {
		where, _ := chromedp.Run(b.ctx, chromedp.Location())
		b.t.Errorf("axe at %s: %s", where, violation)
	}
}

// twoApplications starts a site with the demonstration's application twice: the
// wiki asks for consent every time, the cloud never.
func twoApplications(t *testing.T) (s *site, wiki, cloud string) {
	t.Helper()
	urls := map[string]string{}
	servers := map[string]*httptest.Server{}
	files := map[string]string{}
	for id, consent := range map[string]string{"wiki": "explicit", "cloud": "none"} {
		servers[id] = httptest.NewUnstartedServer(nil)
		urls[id] = "http://" + servers[id].Listener.Addr().String()
		text := strings.Replace(clientYAML(id, "scopes:\n  everyone: [openid, profile, email, groups]\n"), appRedirect, urls[id]+"/callback", 1)
		files["clients.d/"+id+".yaml"] = strings.Replace(text, "consent: none", "consent: "+consent, 1)
	}
	s = startSite(t, files)
	for id, server := range servers {
		server.Config.Handler = newDemoApp(demoAppOptions{
			Title: "The " + id, Issuer: s.URL, ClientID: id, ClientSecret: appSecret, BaseURL: urls[id],
		})
		server.Start()
		t.Cleanup(server.Close)
	}
	return s, urls["wiki"], urls["cloud"]
}

func TestAPersonSignsInWithABrowser(t *testing.T) {
	t.Parallel()
	s, wiki, cloud := twoApplications(t)
	b := newTab(t)

	b.do(chromedp.Navigate(wiki))
	b.click("login", "#username")
	b.accessible("en")
	b.signIn("alice", "not her password", "#problem")
	b.accessible("en")
	b.signIn("alice", ldaptest.Password("alice"), "#allow")
	b.accessible("en")
	b.click("deny", "#error")
	if got := b.text("error"); got != "access_denied" {
		t.Errorf("the application is told %q", got)
	}
	b.click("retry", "#allow") // signed in already: no password
	b.click("allow", "#name")
	if got := b.text("name"); got != "Alice Adams" {
		t.Errorf("the wiki knows %q", got)
	}

	b.do(chromedp.Navigate(cloud))
	b.click("login", "#name")
	if got := b.text("name"); got != "Alice Adams" {
		t.Errorf("the cloud knows %q", got)
	}
	if got := b.text("groups"); !strings.Contains(got, "developers") {
		t.Errorf("the cloud knows groups %q", got)
	}

	b.do(chromedp.Navigate(s.URL + "/oauth2/authorize?client_id=nobody&response_type=code&scope=openid"))
	b.accessible("en")
	b.do(chromedp.Navigate(s.URL + "/signout"))
	b.accessible("en")
	b.click("signout", "#main")
	b.accessible("en")
	b.do(chromedp.Navigate(cloud + "/signin"))
	b.do(chromedp.WaitVisible(chromedp.CSS("#password"))) // signed out: asked again
}

func TestSignInWorksWithoutScriptsAndInGerman(t *testing.T) {
	t.Parallel()
	_, wiki, _ := twoApplications(t)
	b := newTab(t)
	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
			return err
		}
		_, err := chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"Accept-Language": "de-DE,de;q=0.9,en;q=0.5"},
		})
		return err
	}))
	b.do(chromedp.Navigate(wiki))
	b.click("login", "#username")
	b.accessible("de")

	b.do(chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	}))
	b.do(chromedp.Navigate(wiki))
	b.click("login", "#username")
	b.signIn("carol", "falsch", "#problem")
	b.signIn("carol", ldaptest.Password("carol"), "#allow")
	b.click("allow", "#name")
	if got := b.text("name"); got != "Cärôl Müßiggänger" {
		t.Errorf("the wiki knows %q", got)
	}
}
