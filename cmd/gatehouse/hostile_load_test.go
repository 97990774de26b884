package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// endpoints are all addresses that take something from strangers.
func endpoints() []string {
	return []string{
		"/oauth2/authorize", "/signin", "/consent", "/signout", "/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/userinfo",
		"/oauth2/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/healthz", "/readyz", "/static/gatehouse.css", "/",
	}
}

func TestWhatIsTooMuchOrNotTextIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	long := func(n int) string { return strings.Repeat("x", n) }
	type request struct {
		name, method, query, body string
		headers                   []string
	}
	form := []string{"Content-Type", formType}
	requests := []request{
		{"a body of a megabyte", "POST", "", "a=" + long(1<<20), form},
		{"5,000 parameters", "POST", "", strings.Repeat("a=b&", 5000), form},
		{"5,000 names", "POST", "", func() string {
			var b strings.Builder
			for i := range 5000 {
				fmt.Fprintf(&b, "a%d=b&", i)
			}
			return b.String()
		}(), form},
		{"5,000 parameters in the address", "GET", strings.Repeat("a&", 5000), "", nil},
		{"a query of 30 kB", "GET", "a=" + long(30<<10), "", nil},
		{"headers of 64 kB", "GET", "", "", []string{"X-Long", long(64 << 10)}},
		{"a thousand headers", "GET", "", "", func() (h []string) {
			for i := range 1000 {
				h = append(h, fmt.Sprintf("X-H%d", i), long(60))
			}
			return h
		}()},
		{"a cookie of 40 kB", "GET", "", "", []string{"Cookie", "gatehouse_session=" + long(40<<10)}},
		{"a Basic header of 40 kB", "POST", "", "grant_type=client_credentials", append([]string{"Authorization", "Basic " + long(40<<10)}, form...)},
		{"invalid UTF-8", "POST", "", "a=%ff&client_id=%c3%28", form},
		{"raw invalid UTF-8", "POST", "", "a=\xff\xfe", form},
		{"invalid UTF-8 in the address", "GET", "a=%ff", "", nil},
		{"NUL", "POST", "", "username=a%00b", form},
		{"NUL in the address", "GET", "client_id=a%00", "", nil},
		{"half a percent sign", "POST", "", "a=%", form},
		{"a semicolon", "GET", "a=1;b=2", "", nil},
	}
	start := time.Now()
	for _, path := range endpoints() {
		for _, r := range requests {
			address := s.URL + path
			if r.query != "" {
				address += "?" + r.query
			}
			p := stranger(t)
			p.client.Transport = &http.Transport{DisableKeepAlives: true}
			q, err := http.NewRequestWithContext(context.Background(), r.method, address, strings.NewReader(r.body))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(r.headers); i += 2 {
				q.Header.Add(r.headers[i], r.headers[i+1])
			}
			response, err := p.client.Do(q)
			if err != nil {
				continue // it hung up on a sender that went on and on
			}
			body, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if response.StatusCode < 400 || response.StatusCode > 499 || len(body) > 8<<10 || strings.Contains(string(body), long(50)) {
				t.Errorf("%s at %s: %d, %d bytes", r.name, path, response.StatusCode, len(body))
			}
		}
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, basic := range []string{"a:b:c:" + long(20<<10), "\x00:\x00", "\xff\xfe:\xff", "app:" + long(2000), "app:" + appSecret + "\x00", "%zz:%zz", "app%00:" + appSecret, ":", "app:", ":" + appSecret, "APP:" + appSecret} {
		p := stranger(t)
		r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.URL+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		id, secret, _ := strings.Cut(basic, ":")
		r.SetBasicAuth(id, secret)
		r.Header.Set("Content-Type", formType)
		if g := p.do(r); g.Status != http.StatusUnauthorized || !strings.Contains(g.Body, "invalid_client") {
			t.Errorf("%.20q: %d %s", basic, g.Status, g.Body)
		}
	}
}

func TestMethodsAndKindsOfContentMeanWhatTheyMean(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	token := app.tokens(s.signedIn("alice").get(app.address()))
	credentials := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {appSecret}, "token": {token.AccessToken}}.Encode()
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"} {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT2", "post"} {
			g := stranger(t).send(method, s.URL+path+"?"+credentials, credentials, "Content-Type", formType, "X-HTTP-Method-Override", "POST", "X-Http-Method", "POST")
			if g.Status != http.StatusMethodNotAllowed && (method != "OPTIONS" || g.Status != http.StatusNoContent) || strings.Contains(g.Body, "gha_") {
				t.Errorf("%s %s: %d %s", method, path, g.Status, g.Body)
			}
		}
		for _, kind := range []string{
			"application/json", "multipart/form-data; boundary=x", "text/plain", "", "application/x-www-form-urlencoded-x", "application/x-www-form-urlencoded; =", formType + ", application/json", "application/xml",
		} {
			g := stranger(t).send(http.MethodPost, s.URL+path, credentials, "Content-Type", kind)
			if g.Status < 400 || g.Status > 499 || strings.Contains(g.Body, "gha_") {
				t.Errorf("%s as %q: %d %s", path, kind, g.Status, g.Body)
			}
		}
		if g := stranger(t).post(s.URL+path+"?"+credentials, nil); g.Status < 400 || g.Status > 499 {
			t.Errorf("%s with its form in the address: %d %s", path, g.Status, g.Body)
		}
		if g := stranger(t).send(http.MethodPost, s.URL+path, credentials+"&client_id=app", "Content-Type", formType); g.Status != http.StatusBadRequest {
			t.Errorf("%s with a parameter twice: %d %s", path, g.Status, g.Body)
		}
	}
	for name, g := range map[string]page{ // RFC 6750, section 5.3
		"in the address":           stranger(t).get(s.URL + "/oauth2/userinfo?access_token=" + token.AccessToken),
		"in a posted address":      stranger(t).post(s.URL+"/oauth2/userinfo?access_token="+token.AccessToken, nil),
		"as Basic":                 stranger(t).send(http.MethodGet, s.URL+"/oauth2/userinfo", "", "Authorization", "Basic "+token.AccessToken),
		"twice":                    stranger(t).send(http.MethodGet, s.URL+"/oauth2/userinfo", "", "Authorization", "Bearer x", "Authorization", "Bearer "+token.AccessToken),
		"as JSON":                  stranger(t).send(http.MethodPost, s.URL+"/oauth2/userinfo", `{"access_token":"`+token.AccessToken+`"}`, "Content-Type", "application/json"),
		"as a cookie":              stranger(t).send(http.MethodGet, s.URL+"/oauth2/userinfo", "", "Cookie", "access_token="+token.AccessToken),
		"as its hash":              stranger(t).send(http.MethodGet, s.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+strings.ToLower(token.AccessToken)),
		"in the body of a GET":     stranger(t).send(http.MethodGet, s.URL+"/oauth2/userinfo", "access_token="+token.AccessToken, "Content-Type", formType),
		"with another token after": stranger(t).send(http.MethodGet, s.URL+"/oauth2/userinfo", "", "Authorization", "Bearer "+token.AccessToken+", Bearer x"),
	} {
		if g.Status != http.StatusUnauthorized && g.Status != http.StatusBadRequest || strings.Contains(g.Body, "alice") {
			t.Errorf("a token %s: %d %s", name, g.Status, g.Body)
		}
	}
}

func TestNoPathLeadsAroundTheRoutes(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	for _, path := range []string{
		"//oauth2/jwks", "/oauth2//jwks", "/oauth2/jwks/", "/oauth2/./jwks", "/oauth2/../oauth2/jwks", "/oauth2%2fjwks", "/%2e%2e/oauth2/jwks", "/OAUTH2/JWKS", "/oauth2/jwks%00", "/oauth2/jwks%20", "/oauth2/jwks;x",
		"/static/../gatehouse.yaml", "/static/%2e%2e/gatehouse.yaml", "/static/..%2fgatehouse.yaml", "/static/..%5cgatehouse.yaml", "/static/....//....//etc/passwd", "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/static/",
		"/static/.", "/static/..", "/static/gatehouse.css/..", "/static/clean.go", "/static/%252e%252e/etc/passwd", "/keys/server.secret", "/gatehouse.db", "/.git/config", "/debug/pprof/", "/metrics", "/admin", "/", "/*", "/static/*", "/signin/", "/signin//", "/?",
		"/.well-known/../oauth2/jwks", "/.well-known/openid-configuration/", "/oauth2/authorize/x", "/oauth2/token.json",
	} {
		for _, form := range []string{path, "http://evil.example" + path} {
			status, header, body := s.wire("GET " + form + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if status != http.StatusNotFound && status != http.StatusBadRequest || strings.Contains(body, "root:") || strings.Contains(body, "bind_dn") || header.Get("Location") != "" {
				t.Errorf("%s: %d %.100s", form, status, body)
			}
		}
	}
	for _, raw := range []string{
		"GET * HTTP/1.1\r\nHost: x\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n", "GET oauth2/jwks HTTP/1.1\r\nHost: x\r\n", "GET /healthz HTTP/9.9\r\nHost: x\r\n", "GET /healthz\r\n", "CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n",
		"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n", "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
		"POST /oauth2/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n", "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n", "GET /healthz HTTP/1.1\r\n", "\x16\x03\x01\x00\xa5\x01\x00\r\n",
	} {
		status, _, body := s.wire(raw + "Connection: close\r\n\r\n0\r\n\r\n")
		if status >= 500 && status != http.StatusHTTPVersionNotSupported && status != http.StatusNotImplemented || strings.Contains(body, `"status":"ok"`) && strings.Contains(raw, "Bad Header") {
			t.Errorf("%q: %d %s", raw, status, body)
		}
	}
}

// Those who send slowly hold neither others up nor, for long, a place.
func TestSlowSendersHoldNobodyUp(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	var slow []net.Conn
	defer func() {
		for _, c := range slow {
			_ = c.Close()
		}
	}()
	for i := range 150 {
		c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
		start := "POST /signin HTTP/1.1\r\nHost: x\r\nX-Slow: "
		if i%2 == 1 {
			start = "POST /signin HTTP/1.1\r\nHost: x\r\nContent-Type: " + formType + "\r\nContent-Length: 100\r\n\r\nusername="
		}
		if _, err := io.WriteString(c, start); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	app := s.application("openid")
	app.tokens(newPerson(t).get(app.address()).signIn("alice"))
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("beside 150 slow senders a sign-in takes %v", took)
	}
	_ = slow[0].SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.ReadAll(slow[0]); err != nil {
		t.Errorf("a sender of half a header still has its place after %v: %v", time.Since(begin), err)
	}
}

// Not parallel: memory is measured.
func TestTwoThousandRequestsOfRubbishLeaveNothingBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector has a memory of its own")
	}
	s := startSite(t, nil)
	app := s.application("openid")
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	rubbish := func(i int) {
		var r *http.Request
		var err error
		ctx := context.Background()
		switch i % 8 {
		case 0:
			r, err = http.NewRequestWithContext(ctx, "GET", with(t, app.address(), "state", fmt.Sprint(i, strings.Repeat("s", 3000))), nil)
		case 1:
			r, err = http.NewRequestWithContext(ctx, "GET", s.URL+fmt.Sprintf("/nowhere/%d", i), nil)
		case 2:
			r, err = http.NewRequestWithContext(ctx, "POST", s.URL+"/oauth2/token", strings.NewReader(fmt.Sprintf("grant_type=refresh_token&refresh_token=%d&client_id=c%d&client_secret=s%d", i, i, i)))
		case 3:
			r, err = http.NewRequestWithContext(ctx, "POST", s.URL+"/signin", strings.NewReader(fmt.Sprintf("request=%s%d&username=u%d&password=p", strings.Repeat("A", 2000), i, i)))
		case 4:
			r, err = http.NewRequestWithContext(ctx, "GET", s.URL+fmt.Sprintf("/oauth2/authorize?client_id=unknown%d", i), nil)
		case 5:
			r, err = http.NewRequestWithContext(ctx, "GET", s.URL+"/oauth2/userinfo", nil)
		case 6:
			r, err = http.NewRequestWithContext(ctx, "POST", s.URL+"/oauth2/authorize", strings.NewReader(fmt.Sprintf("client_id=app%d&%s", i, strings.Repeat("a=b&", 90))))
		default:
			r, err = http.NewRequestWithContext(ctx, "POST", s.URL+"/oauth2/token", io.LimitReader(endless{}, 200<<10))
		}
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Content-Type", formType)
		r.Header.Set("Authorization", fmt.Sprintf("Bearer %d%s", i, strings.Repeat("x", 1000)))
		r.Header.Set("Cookie", fmt.Sprintf("gatehouse_session=%043d; gatehouse_browser=%043d", i, i))
		r.Header.Set("Accept-Language", fmt.Sprintf("x-%d,%s", i, strings.Repeat("de-x-a,", 50)))
		if response, err := client.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
			if response.StatusCode >= 500 {
				t.Errorf("request %d: %d", i, response.StatusCode)
			}
		} // else the server hung up on a sender that went on and on
	}
	run := func(from, n int) {
		var group sync.WaitGroup
		for worker := range 8 {
			group.Go(func() {
				for i := worker; i < n; i += 8 {
					rubbish(from + i*9) // all kinds for every worker
				}
			})
		}
		group.Wait()
	}
	settled := func() (heap uint64, goroutines int) {
		transport.CloseIdleConnections()
		s.Log.reset()
		var m runtime.MemStats
		for range 20 { // connections end in their own time
			runtime.GC()
			runtime.ReadMemStats(&m)
			if goroutines = runtime.NumGoroutine(); goroutines < 100 {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		return m.HeapAlloc, goroutines
	}
	run(0, 400) // pools and caches fill
	stored := func() (bytes int64) {
		for _, name := range []string{"gatehouse.db", "gatehouse.db-wal"} {
			if info, err := os.Stat(filepath.Join(s.Dir, name)); err == nil {
				bytes += info.Size()
			}
		}
		return bytes
	}
	written := stored()
	before, few := settled()
	run(10_000, 2000)
	after, many := settled()
	if stored() != written {
		t.Errorf("strangers filled the database from %d to %d bytes", written, stored())
	}
	if after > before+4<<20 {
		t.Errorf("the heap grew from %d to %d kB", before>>10, after>>10)
	}
	if many > few+20 {
		t.Errorf("%d goroutines became %d", few, many)
	}
	app.tokens(newPerson(t).get(app.address()).signIn("alice"))
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// reset forgets what was logged.
func (b *buffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b = bytes.Buffer{}
}
