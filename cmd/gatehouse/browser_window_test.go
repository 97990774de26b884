package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	history "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// chromium is one running browser, shared by several windows.
type chromium struct {
	ctx context.Context
	axe string
}

// startChromium starts a headless browser that ends with the test. Preferences
// are what a person would set in it.
func startChromium(t *testing.T, preferences string) *chromium {
	t.Helper()
	program, axe := browserTools(t)
	profile := t.TempDir()
	if err := os.Mkdir(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(preferences), 0o600); err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], //nolint:gocritic // a copy is meant
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(profile),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, stop := context.WithTimeout(context.Background(), 4*time.Minute)
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
	return &chromium{ctx: ctx, axe: axe}
}

// window is a tab that notes what it sends, and what a page's policy stopped. It
// is steered by what a person has, mouse and keys, and looks at pages by asking
// them: waiting for events of a page loses sight of it when another takes its place.
type window struct {
	t       *testing.T
	ctx     context.Context
	axe     string
	mu      sync.Mutex
	posted  []string // addresses without query
	stopped []string
}

// window opens a tab that shares no cookie with another. A policy that stops
// anything fails the test.
func (c *chromium) window(t *testing.T) *window {
	t.Helper()
	b := c.open(t, chromedp.WithNewBrowserContext())
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, what := range b.stopped {
			t.Errorf("the browser refused part of a page: %s", what)
		}
	})
	return b
}

func (c *chromium) open(t *testing.T, options ...chromedp.ContextOption) *window {
	t.Helper()
	ctx, closeTab := chromedp.NewContext(c.ctx, options...)
	t.Cleanup(closeTab)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, command(audits.Enable, cdp.Empty{}), command(network.Enable, network.EnableParams{})); err != nil {
		t.Fatal(err)
	}
	b := &window{t: t, ctx: ctx, axe: c.axe}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		t.Fatal(err)
	}
	return b
}

// note keeps what matters of an event.
func (b *window) note(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Request.Method == http.MethodPost {
			address, _, _ := strings.Cut(e.Request.URL, "?")
			b.posted = append(b.posted, address)
		}
	case *audits.EventIssueAdded:
		if d := e.Issue.Details.ContentSecurityPolicyIssueDetails; d != nil {
			b.stopped = append(b.stopped, d.ViolatedDirective+": "+d.BlockedURL)
		}
	}
}

// sent returns how often a form was sent to an address.
func (b *window) sent(address string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, a := range b.posted {
		if a == address {
			n++
		}
	}
	return n
}

// command makes an action of a command of the protocol.
func command[P, R any](what cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, what, params)
		return err
	})
}

// patience is how long a step may take on a busy machine.
const patience = 30 * time.Second

// within does something within patience.
func within[T any](b *window, action chromedp.Action[T]) (T, error) {
	ctx, stop := context.WithTimeout(b.ctx, patience)
	defer stop()
	return chromedp.Run(ctx, action)
}

// do does steps, or fails the test and tells where.
func (b *window) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	for _, step := range steps {
		if _, err := within(b, step); err != nil {
			b.fail(err.Error())
		}
	}
}

// fail ends the test and tells what the window shows.
func (b *window) fail(what string) {
	b.t.Helper()
	shown, err := within(b, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	b.t.Fatalf("%s\nat %s %v", what, shown, err)
}

// read returns the value of an expression on the page.
func read[T any](b *window, expression string) T {
	b.t.Helper()
	value, err := within(b, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// await waits until an expression is true, on whatever page there is by then.
func (b *window) await(expression string) {
	b.t.Helper()
	is := false
	for deadline := time.Now().Add(patience); !is; {
		ctx, stop := context.WithTimeout(b.ctx, 2*time.Second) // a page that goes away meanwhile never answers
		is, _ = chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		stop()
		if time.Now().After(deadline) {
			b.fail("still not so: " + expression)
		}
		if !is {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// arrive waits for another page than the one that depart marked, which is
// complete and shows an element.
func (b *window) arrive(element string) {
	b.t.Helper()
	b.await(`document.readyState == 'complete' && !document.documentElement.dataset.departed && (document.querySelector('` + element + `')?.checkVisibility() ?? false)`)
}

func (b *window) depart() {
	b.t.Helper()
	read[string](b, `document.documentElement.dataset.departed = 'yes'`)
}

// goTo opens an address and waits until the page shows an element.
func (b *window) goTo(address, element string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
	b.arrive(element)
}

// reload loads the page again.
func (b *window) reload(element string) {
	b.t.Helper()
	b.depart()
	b.do(command(history.Reload, history.ReloadParams{}))
	b.arrive(element)
}

// click presses the mouse on an element, and waits for what comes next.
func (b *window) click(id, next string) {
	b.t.Helper()
	x, y := b.middle(id)
	b.depart()
	b.do(chromedp.MouseClickXY(x, y))
	b.arrive(next)
}

// tap is click with a finger.
func (b *window) tap(id, next string) {
	b.t.Helper()
	x, y := b.middle(id)
	b.depart()
	b.do(chromedp.TapXY(x, y))
	b.arrive(next)
}

// middle scrolls to an element and returns where it is.
func (b *window) middle(id string) (x, y float64) {
	b.t.Helper()
	at := read[[]float64](b, `(e => {
		e.scrollIntoView({block: 'center', behavior: 'instant'});
		const r = e.getBoundingClientRect();
		return [r.left + r.width / 2, r.top + r.height / 2];
	})(document.getElementById('`+id+`'))`)
	return at[0], at[1]
}

// fill types over what stands in a field.
func (b *window) fill(id, text string) {
	b.t.Helper()
	x, y := b.middle(id)
	b.do(chromedp.MouseClickXY(x, y, chromedp.ClickCount(3)), chromedp.KeyEvent(text)) // three clicks mark all
}

// signIn fills the page in, and waits for what comes next.
func (b *window) signIn(uid, password, next string) {
	b.t.Helper()
	b.fill("username", uid)
	b.fill("password", password)
	b.click("login", next)
}

// text is what an element shows.
func (b *window) text(id string) string {
	b.t.Helper()
	return read[string](b, `document.getElementById('`+id+`').innerText.trim()`)
}

// back presses the button that goes back, and reports whether there was a page of
// a server to go back to. A page that the browser has kept has no load event, so
// it is the history that is watched.
func (b *window) back() bool {
	b.t.Helper()
	var before history.GetNavigationHistoryResult
	eventually(b.t, "the browser tells its history", func() bool { // for an instant between two pages it doesn't
		entries, err := within(b, chromedp.NavigationEntries())
		before = entries
		return err == nil
	})
	if before.CurrentIndex == 0 || before.Entries[before.CurrentIndex-1].URL == "about:blank" {
		return false
	}
	b.do(command(history.NavigateToHistoryEntry, history.NavigateToHistoryEntryParams{EntryID: before.Entries[before.CurrentIndex-1].ID}))
	eventually(b.t, "the browser has gone back", func() bool {
		entries, err := within(b, chromedp.NavigationEntries())
		return err == nil && entries.CurrentIndex == before.CurrentIndex-1
	})
	b.await(`document.readyState == 'complete' && document.getElementById('main') != null`)
	return true
}

// prefer makes the browser ask for languages.
func (b *window) prefer(languages string) {
	b.t.Helper()
	b.do(command(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": languages}}))
}

// tells fails the test unless the page holds each of the texts.
func (b *window) tells(texts ...string) {
	b.t.Helper()
	shown := read[string](b, `document.title + "\n" + document.body.innerText`)
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			b.t.Errorf("the page does not say %q:\n%s", text, shown)
		}
	}
}

// lang is the language that the page says it is in.
func (b *window) lang() string {
	b.t.Helper()
	return read[string](b, `document.documentElement.lang`)
}

// show sets the size of the window and the colours that the person likes.
func (b *window) show(width, height int64, scheme string, options ...chromedp.EmulateViewportOption) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height, options...), command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		},
	}))
}

const judge = `axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}})
	.then(r => JSON.stringify({contrast: r.passes.some(p => p.id == 'color-contrast'), violations:
		r.violations.map(v => v.id + ': ' + v.help + ': ' + v.nodes.map(n => n.html + ' ' + n.failureSummary).join(' | '))}))`

// examine lets axe look at the page: in light on a desk, in dark on a phone.
func (b *window) examine(what string) {
	b.t.Helper()
	// axe doesn't measure contrast before a drawing, so it goes.
	read[int](b, `document.styleSheets[0].insertRule('body::before { content: none !important }', document.styleSheets[0].cssRules.length)`)
	read[bool](b, b.axe+"\n;true")
	for _, look := range []struct {
		scheme string
		width  int64
	}{{"light", 1280}, {"dark", 320}} {
		b.show(look.width, 800, look.scheme)
		if wide := read[int64](b, `document.documentElement.scrollWidth`); wide > look.width {
			b.t.Errorf("%s is %d pixels wide on a screen of %d", what, wide, look.width)
		}
		result, err := within(b, chromedp.Evaluate[string](judge, chromedp.EvalAwaitPromise))
		if err != nil {
			b.t.Fatal(err)
		}
		var found struct {
			Contrast   bool
			Violations []string
		}
		if err := json.Unmarshal([]byte(result), &found); err != nil {
			b.t.Fatal(err)
		}
		if !found.Contrast {
			b.t.Errorf("axe measured no contrast on %s", what)
		}
		for _, violation := range found.Violations {
			b.t.Errorf("axe at %s, %s: %s", what, look.scheme, violation)
		}
	}
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
