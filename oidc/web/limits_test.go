package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestInputThatIsTooMuchOrNotTextIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	many := strings.Repeat("a=1&", 5000)
	for _, c := range []struct {
		name, method, path, kind, body string
		status                         int
	}{
		{"thousands of parameters in a query", "GET", "/oauth2/authorize?" + many[:20000], "", "", 400},
		{"thousands of parameters in a form", "POST", "/oauth2/token", formType, many, 400},
		{"a long query", "GET", "/oauth2/authorize?a=" + strings.Repeat("x", maxQuery), "", "", 414},
		{"a large form", "POST", "/oauth2/token", formType, "a=" + strings.Repeat("x", maxBody), 413},
		{"a large body that is no form", "POST", "/oauth2/token", "application/json", strings.Repeat("x", maxBody+1), 413},
		{"a body at the limit", "POST", "/oauth2/token", "application/json", strings.Repeat("x", maxBody), 200},
		{"NUL in a query", "GET", "/oauth2/authorize?client_id=a%00b", "", "", 400},
		{"NUL in a form", "POST", "/oauth2/token", formType, "a=b%00", 400},
		{"raw NUL in a form", "POST", "/oauth2/token", formType, "a=b\x00", 400},
		{"NUL in a path", "GET", "/static/%00", "", "", 400},
		{"invalid UTF-8 in a query", "GET", "/oauth2/authorize?client_id=%ff%fe", "", "", 400},
		{"invalid UTF-8 in a form", "POST", "/oauth2/token", formType + "; charset=utf-8", "a=%c3%28", 400},
		{"raw invalid UTF-8 in a form", "POST", "/oauth2/token", formType, "a=\xff", 400},
		{"a sequence broken by a separator", "POST", "/oauth2/token", formType, "a=%c3&%a9=b", 400},
		{"invalid UTF-8 in a path", "GET", "/static/%ff", "", "", 400},
		{"half an escape", "GET", "/oauth2/authorize?a=%4", "", "", 400},
		{"no escape", "GET", "/oauth2/authorize?a=%zz", "", "", 400},
		{"a bare semicolon", "POST", "/oauth2/token", formType, "a=1;b=2", 400},
		{"text of the world", "POST", "/oauth2/token", formType, "a=%c3%a9é&b=%F0%9F%98%80", 200},
		{"no content", "POST", "/oauth2/token", formType, "", 200},
		{"a form of another type", "POST", "/signin", "multipart/form-data; boundary=x", "--x--", 415},
		{"no type", "POST", "/signin", "", "a=b", 415},
		{"a field twice", "POST", "/signin", formType, "username=a&username=b", 400},
		{"another site's JSON", "POST", "/oauth2/authorize", "application/json", "{}", 415},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, chunked := range []bool{false, true} {
				r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
				if chunked {
					r.ContentLength = -1
				}
				if c.kind != "" {
					r.Header.Set("Content-Type", c.kind)
				}
				if v := h.browser().do(r, false); v.status != c.status {
					t.Errorf("status %d, want %d (chunked: %v)\n%s", v.status, c.status, chunked, v.body)
				}
			}
		})
	}
}

func TestErrorsNeverEchoWhatWasSent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const mark = "zzMARKzz"
	for _, path := range []string{
		"/" + mark, "/oauth2/" + mark, "/signin?request=" + mark, "/signin?posted=" + mark,
		authorizeURL(mark), authorizeURL("app", "redirect_uri", "https://evil.example.com/", "state", mark), "/oauth2/authorize?" + mark + "=%zz",
		"/static/" + mark, "/oauth2/authorize?client_id=nobody&ui_locales=" + mark,
	} {
		for _, accept := range []string{"text/html", "application/json"} {
			v := h.browser().get(path, "Accept", accept, "X-Request-Id", mark, "User-Agent", mark, "Accept-Language", mark)
			if v.status < 400 || strings.Contains(v.body, mark) || strings.Contains(fmt.Sprint(v.header), mark) {
				t.Errorf("%s as %s: %d\n%v\n%s", path, accept, v.status, v.header, v.body)
			}
		}
	}
}

// live starts the server on a socket.
func (h *house) live() (address string) {
	h.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(h.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	srv := h.HTTPServer()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	h.t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			h.t.Error(err)
		}
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			h.t.Error(err)
		}
	})
	return l.Addr().String()
}

func TestTheServerHoldsAgainstHeadersWithoutEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	address := h.live()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	go func() {
		_, _ = io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n")
		for range 100 {
			if _, err := io.WriteString(c, "X: "+strings.Repeat("y", 1000)+"\r\n"); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d, want 431", resp.StatusCode)
	}
	srv := h.HTTPServer()
	if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.WriteTimeout <= 0 || srv.IdleTimeout <= 0 {
		t.Error("a time-out is missing")
	}
}

func TestALargeBodyIsNotHeldInMemory(t *testing.T) {
	h := newHouse(t) // not parallel: memory is measured
	address := h.live()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/oauth2/token", io.LimitReader(endless{}, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	resp, err := http.DefaultClient.Do(r)
	if err == nil {
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d, want 413", resp.StatusCode)
		}
	} // else the server hung up first, which is right too
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 {
		t.Errorf("%d bytes were allocated for a body of 64 MiB", grown)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func TestAServerThatIsAskedToStopEndsWhatItHasBegun(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	srv := h.HTTPServer()
	h.directory.gate = make(chan struct{})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = srv.Serve(l) }()
	b := h.browser()
	form := url.Values{"username": {"ada"}, "password": {"right-ada"}, "request": {b.get(authorizeURL("app")).request(t)}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String()+"/signin", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", formType)
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	answered := make(chan string, 1)
	go func() {
		resp, err := (&http.Transport{}).RoundTrip(r)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		answered <- resp.Status
	}()
	for deadline := time.Now().Add(10 * time.Second); h.directory.binds.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the sign-in never reached the directory")
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Shutdown(t.Context()) }()
	close(h.directory.gate)
	if status := <-answered; status != "303 See Other" {
		t.Errorf("the request in flight got %s", status)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func FuzzCheckForm(f *testing.F) {
	for _, seed := range []string{"", "a=b&c=d", "a=%zz", "%", "a=%c3%a9", "a=%00", "a=1;b=2", "%c3&%a9", strings.Repeat("a&", 200)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if checkForm(raw) != nil {
			return
		}
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("%q is let through and cannot be parsed: %v", raw, err)
		}
		n := 0
		for name, list := range values {
			for _, value := range list {
				n++
				if !utf8.ValidString(name+value) || strings.ContainsRune(name+value, 0) {
					t.Errorf("%q holds %q = %q", raw, name, value)
				}
			}
		}
		if n > maxParameters {
			t.Errorf("%d parameters", n)
		}
	})
}
