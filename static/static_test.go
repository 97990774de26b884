package static_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse/static"
)

func load(t testing.TB, overrideDir string) *static.Assets {
	t.Helper()
	assets, err := static.Load(overrideDir)
	if err != nil {
		t.Fatal(err)
	}
	return assets
}

// folder writes files into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// ask sends a request with pairs of header and value.
func ask(t *testing.T, assets http.Handler, method, address string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, address, nil)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	assets.ServeHTTP(w, r)
	return w
}

func body(t *testing.T, answer *httptest.ResponseRecorder) string {
	t.Helper()
	var from io.Reader = answer.Body
	if answer.Header().Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		from = z
	}
	text, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAHashedNameIsKeptForEver(t *testing.T) {
	t.Parallel()
	assets := load(t, "")
	address := assets.URL("gatehouse.css")
	if !regexp.MustCompile(`^/static/gatehouse\.[0-9a-f]{16}\.css$`).MatchString(address) {
		t.Fatalf("address %q", address)
	}
	answer := ask(t, assets, "GET", address, "Accept-Encoding", "gzip, br")
	for header, want := range map[string]string{
		"Content-Type": "text/css; charset=utf-8", "Cache-Control": "public, max-age=31536000, immutable", "Content-Encoding": "gzip",
		"Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff",
	} {
		if got := answer.Header().Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	if got := body(t, answer); !strings.Contains(got, ":focus-visible") {
		t.Errorf("the style sheet is %.100q", got)
	}
	plain := ask(t, assets, "GET", strings.TrimPrefix(address, "/static"))
	if plain.Code != http.StatusOK || plain.Header().Get("Content-Encoding") != "" || plain.Header().Get("ETag") == answer.Header().Get("ETag") {
		t.Errorf("without gzip and prefix: %d %v", plain.Code, plain.Header())
	}
	if got := body(t, plain); !strings.Contains(got, ":focus-visible") {
		t.Errorf("the style sheet is %.100q", got)
	}
}

func TestOtherNamesAreNotKept(t *testing.T) {
	t.Parallel()
	assets := load(t, "")
	for _, address := range []string{"/static/mark.svg", "/static/mark.0123456789abcdef.svg"} {
		answer := ask(t, assets, "GET", address)
		if answer.Code != http.StatusOK || answer.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d, Cache-Control %q", address, answer.Code, answer.Header().Get("Cache-Control"))
		}
		if got := answer.Header().Get("Content-Type"); got != "image/svg+xml" {
			t.Errorf("%s: Content-Type %q", address, got)
		}
		if got := answer.Header().Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") {
			t.Errorf("%s: a picture opened by itself may run scripts: %q", address, got)
		}
	}
}

func TestAKnownETagSavesTheBody(t *testing.T) {
	t.Parallel()
	assets := load(t, "")
	address := assets.URL("gatehouse.css")
	for _, encoding := range []string{"gzip", "identity"} {
		tag := ask(t, assets, "GET", address, "Accept-Encoding", encoding).Header().Get("ETag")
		for _, known := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			answer := ask(t, assets, "GET", address, "Accept-Encoding", encoding, "If-None-Match", known)
			if answer.Code != http.StatusNotModified || body(t, answer) != "" || answer.Header().Get("ETag") != tag {
				t.Errorf("%s, %s: %d %v", encoding, known, answer.Code, answer.Header())
			}
		}
		if answer := ask(t, assets, "GET", address, "Accept-Encoding", encoding, "If-None-Match", `"other"`); answer.Code != http.StatusOK {
			t.Errorf("%s: another tag got %d", encoding, answer.Code)
		}
	}
}

func TestGzipIsSentOnlyToThoseWhoTakeIt(t *testing.T) {
	t.Parallel()
	assets := load(t, "")
	for header, want := range map[string]bool{
		"gzip": true, "GZIP;q=0.5": true, "br, x-gzip": true, "*": true, "gzip;q=0": false, "gzip;q=0, *": false, "*;q=0": false, "": false,
		"br": false, "gzip;q=x": false, "identity, *;q=0.1": true,
	} {
		answer := ask(t, assets, "GET", assets.URL("gatehouse.css"), "Accept-Encoding", header)
		if got := answer.Header().Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("Accept-Encoding %q: gzip %v, want %v", header, got, want)
		}
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	t.Parallel()
	assets := load(t, "")
	head := ask(t, assets, "HEAD", assets.URL("gatehouse.css"))
	if head.Code != http.StatusOK || head.Header().Get("Content-Length") == "" || body(t, head) != "" {
		t.Errorf("HEAD: %d %v", head.Code, head.Header())
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} {
		answer := ask(t, assets, method, assets.URL("gatehouse.css"))
		if answer.Code != http.StatusMethodNotAllowed || answer.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %d %v", method, answer.Code, answer.Header())
		}
	}
	for _, address := range []string{
		"/static/", "/static/none.css", "/static/gatehouse..css", "/static/../static.go", "/static/static.go", "/static/.css",
		"/static/none.0123456789abcdef.css", "/static/static/mark.svg", "/static//mark.svg", "/static/%00",
	} {
		answer := ask(t, assets, "GET", address)
		if answer.Code != http.StatusNotFound || answer.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d", address, answer.Code)
		}
	}
}

func TestAnOverrideReplacesFilesAndAddsToTheStyle(t *testing.T) {
	t.Parallel()
	assets := load(t, folder(t, map[string]string{
		"mark.svg":    "<svg/>",
		"company.png": "\x89PNG",
		"custom.css":  ":root { --accent: #123456 }\n.brand { background: url(company.png); mask: url('none.png') }",
		"notes.txt":   "private",
		".hidden.css": "private",
		"signin.html": "private",
	}))
	if got := body(t, ask(t, assets, "GET", "/static/mark.svg")); got != "<svg/>" {
		t.Errorf("mark.svg is %q", got)
	}
	css := body(t, ask(t, assets, "GET", assets.URL("gatehouse.css")))
	for _, part := range []string{":focus-visible", "--accent: #123456", "url(" + strings.TrimPrefix(assets.URL("company.png"), "/static/") + ")", "url('none.png')"} {
		if !strings.Contains(css, part) {
			t.Errorf("the style sheet has no %q", part)
		}
	}
	if strings.Index(css, "--accent: #123456") < strings.LastIndex(css, "forced-colors") {
		t.Error("custom.css isn't at the end")
	}
	if assets.URL("gatehouse.css") == load(t, "").URL("gatehouse.css") {
		t.Error("another style sheet has the same address")
	}
	for _, name := range []string{"notes.txt", ".hidden.css", "signin.html", "custom.css"} {
		if answer := ask(t, assets, "GET", "/static/"+name); answer.Code != http.StatusNotFound {
			t.Errorf("%s: %d", name, answer.Code)
		}
	}
}

func TestABadOverrideStopsTheStart(t *testing.T) {
	t.Parallel()
	if _, err := static.Load(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing folder was taken")
	}
	dir := folder(t, map[string]string{"big.png": strings.Repeat("x", 5<<20)})
	if err := os.Symlink("nowhere", filepath.Join(dir, "lost.svg")); err != nil {
		t.Fatal(err)
	}
	_, err := static.Load(dir)
	if err == nil || !strings.Contains(err.Error(), "big.png") || !strings.Contains(err.Error(), "lost.svg") {
		t.Errorf("got %v, want both files named", err)
	}
}

func TestEveryFileThatTheStyleNamesIsThere(t *testing.T) {
	t.Parallel()
	assets := load(t, "")
	css := body(t, ask(t, assets, "GET", assets.URL("gatehouse.css")))
	for _, match := range regexp.MustCompile(`url\(([^)]*)\)`).FindAllStringSubmatch(css, -1) {
		if answer := ask(t, assets, "GET", "/static/"+match[1]); !strings.Contains(answer.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, not kept for ever", match[1], answer.Code)
		}
	}
	if strings.Contains(css, "http:") || strings.Contains(css, "https:") || strings.Contains(css, "@import") {
		t.Error("the style sheet reaches out to another site")
	}
}

func FuzzRequest(f *testing.F) {
	assets := load(f, "")
	f.Add("mark.svg", "gzip;q=0.5, *", `W/"abc", *`)
	f.Add("gatehouse.0123456789abcdef.css", ";;=,", `"`)
	f.Add("../../etc/passwd", "", "")
	f.Fuzz(func(t *testing.T, name, encoding, known string) {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/static/", nil)
		r.URL.Path = "/static/" + name
		r.Header["Accept-Encoding"], r.Header["If-None-Match"] = []string{encoding}, []string{known}
		w := httptest.NewRecorder()
		assets.ServeHTTP(w, r)
		if w.Code == http.StatusOK && !bytes.HasPrefix(w.Body.Bytes(), []byte("\x1f\x8b")) && !strings.ContainsAny(w.Body.String(), "{<") {
			t.Errorf("%q: %q", name, w.Body.String())
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		load(b, "")
	}
}
