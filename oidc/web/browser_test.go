package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser drives the handler as a browser would: it keeps cookies, and says where
// its requests come from.
type browser struct {
	t       *testing.T
	h       http.Handler
	origin  string
	addr    string
	cookies map[string]string
}

func (h *house) browser() *browser {
	return &browser{t: h.t, h: h.Handler(), origin: h.Issuer, addr: "192.0.2.7:4711", cookies: map[string]string{}}
}

// view is what a browser got.
type view struct {
	status int
	header http.Header
	body   string
}

func (v view) location() string { return v.header.Get("Location") }

var hiddenField = regexp.MustCompile(`name="request" value="([^"]*)"`)

// request returns the hidden field of a page's form.
func (v view) request(t *testing.T) string {
	t.Helper()
	m := hiddenField.FindStringSubmatch(v.body)
	if m == nil {
		t.Fatalf("status %d: the page has no form with a request:\n%s", v.status, v.body)
	}
	return m[1]
}

func (b *browser) do(r *http.Request, withCookies bool) view {
	b.t.Helper()
	u, err := url.Parse(b.origin)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Host, r.RemoteAddr = u.Host, b.addr
	if withCookies {
		for name, value := range b.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
	}
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
	return view{status: w.Code, header: w.Header(), body: w.Body.String()}
}

func (b *browser) get(path string, header ...string) view {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r, true)
}

// post sends a form of one of our own pages.
func (b *browser) post(path string, form url.Values) view {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", b.origin)
	return b.do(r, true)
}

// postFrom sends a form from another site: SameSite=Lax cookies stay at home.
func (b *browser) postFrom(origin, path string, form url.Values) view {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", formType)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Origin", origin)
	return b.do(r, false)
}

// authorizeURL is an application's request.
func authorizeURL(client string, more ...string) string {
	return "/oauth2/authorize?" + authorizeForm(client, more...).Encode()
}

func authorizeForm(client string, more ...string) url.Values {
	form := url.Values{
		"client_id": {client}, "redirect_uri": {"https://app.example.com/cb"}, "scope": {"openid profile"}, "response_type": {"code"},
		"state": {"some-state"},
	}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return form
}

// signIn goes to the sign-in page of an application and fills it in.
func (b *browser) signIn(client, name, password string, more ...string) view {
	b.t.Helper()
	page := b.get(authorizeURL(client))
	return b.fill(page, name, password, more...)
}

func (b *browser) fill(page view, name, password string, more ...string) view {
	b.t.Helper()
	form := url.Values{"username": {name}, "password": {password}, "request": {page.request(b.t)}, "login": {"1"}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return b.post("/signin", form)
}

const sessionCookie = "__Host-gatehouse_session"

func wantStatus(t *testing.T, v view, status int) {
	t.Helper()
	if v.status != status {
		t.Fatalf("status %d, want %d; Location %q\n%s", v.status, status, v.location(), v.body)
	}
}

func wantCode(t *testing.T, v view, subject string) {
	t.Helper()
	wantStatus(t, v, http.StatusSeeOther)
	if !strings.HasPrefix(v.location(), "https://app.example.com/cb?code=") || !strings.HasSuffix(v.location(), "&sub="+subject) {
		t.Fatalf("the browser is sent to %q, want a code for %s", v.location(), subject)
	}
}

func wantText(t *testing.T, v view, text string) {
	t.Helper()
	if !strings.Contains(v.body, text) {
		t.Fatalf("the page lacks %q:\n%s", text, v.body)
	}
}

func contextThatEnds(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithCancel(r.Context())
}
