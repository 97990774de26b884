package web

import (
	"context"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// chromium starts a headless browser that ends with the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("GATEHOUSE_TEST_REQUIRE") == "all" {
			t.Fatal("chromium is missing; `make test-tools` fetches it")
		}
		t.Skip("chromium is missing; `make test-tools` fetches it")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("blink-settings", "scriptEnabled=false"),
	)
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
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

// startForm is an application's page whose button posts a request to us.
const startForm = `<!DOCTYPE html><title>app</title><form method="post" action="{{.Action}}">
{{range $name, $values := .Form}}<input type="hidden" name="{{$name}}" value="{{index $values 0}}">{{end}}
<button id="start">go</button></form>`

// TestABrowserSendsCookiesAndFormsAsWeBelieve shows with a real browser, without
// JavaScript, what the fake one of the other tests takes for granted: which
// cookies follow a POST from another site, that our own forms have an Origin, and
// that the policy lets a form end at the application, or at another host that
// the application sends the browser on to.
func TestABrowserSendsCookiesAndFormsAsWeBelieve(t *testing.T) {
	t.Parallel()
	ctx := chromium(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// Another site than the application's, which is at 127.0.0.1.
	issuer := fmt.Sprintf("http://localhost:%d", l.Addr().(*net.TCPAddr).Port)
	h := newHouse(t, func(o *Options) { o.Issuer = issuer })
	posts := make(chan http.Header, 100)
	srv := &httptest.Server{Listener: l, Config: &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path != "/oauth2/authorize" {
			posts <- r.Header.Clone()
		}
		h.Handler().ServeHTTP(w, r)
	})}}
	srv.Start()
	t.Cleanup(srv.Close)

	mux := http.NewServeMux()
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><title>back</title><p id="answer">%s</p>`, template.HTMLEscapeString(r.URL.RawQuery))
	}))
	t.Cleanup(front.Close)
	page := template.Must(template.New("start").Parse(startForm))
	mux.HandleFunc("GET /start/{client}", func(w http.ResponseWriter, r *http.Request) {
		form := authorizeForm(r.PathValue("client"), "redirect_uri", app.URL+"/cb")
		if err := page.Execute(w, map[string]any{"Action": issuer + "/oauth2/authorize", "Form": form}); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("GET /cb", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, front.URL+"/?"+r.URL.RawQuery, http.StatusFound)
	})

	answer := func(actions ...chromedp.Action[chromedp.Void]) string {
		t.Helper()
		if err := chromedp.Do(ctx, actions...); err != nil {
			t.Fatal(err)
		}
		text, err := chromedp.Run(ctx, chromedp.Text("#answer"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	first := answer(
		chromedp.Navigate(app.URL+"/start/asker"), chromedp.Click("#start"),
		chromedp.SendKeys("#username", "ada"), chromedp.SendKeys("#password", "right-ada"),
		chromedp.Click("#login"), chromedp.Click("#allow"),
	)
	second := answer(chromedp.Navigate(app.URL+"/start/app"), chromedp.Click("#start"))
	for _, got := range []string{first, second} {
		if !strings.HasPrefix(got, "code=") || !strings.HasSuffix(got, "sub=id-ada") {
			t.Errorf("the application got %q", got)
		}
	}
	if n := h.directory.binds.Load(); n != 1 {
		t.Errorf("%d binds, want 1: the session was not found from another site", n)
	}
	for range len(posts) {
		if header := <-posts; header.Get("Origin") != issuer || header.Get("Sec-Fetch-Site") != "same-origin" {
			t.Errorf("our own form came from %q, %q", header.Get("Origin"), header.Get("Sec-Fetch-Site"))
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(issuer+"/signout"), chromedp.Click("#signout"), chromedp.WaitNotPresent("#signout"),
		chromedp.Navigate(app.URL+"/start/app"), chromedp.Click("#start"), chromedp.WaitVisible("#password")); err != nil {
		t.Fatalf("after signing out: %v", err)
	}
}
