package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/ldapstore/ldaptest"
)

// wantFinding looks for a finding in doctor's JSON.
func wantFinding(t *testing.T, all []finding, level, area, message, hint string) {
	t.Helper()
	for _, f := range all {
		if f.Level == level && f.Area == area && strings.Contains(f.Message, message) && strings.Contains(f.Hint, hint) {
			return
		}
	}
	t.Errorf("there is no %s of %s with %q and the hint %q in\n%s", level, area, message, hint, showFindings(all))
}

func showFindings(all []finding) string {
	var b strings.Builder
	(&report{findings: all}).write(&b)
	return b.String()
}

func problems(all []finding) (found []finding) {
	for _, f := range all {
		if f.Level == "problem" {
			found = append(found, f)
		}
	}
	return found
}

func TestDoctorOnARunningServer(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/nobody.yaml": clientYAML("nobody", "")})
	ask := func(wantCode int) (all []finding) {
		t.Helper()
		stdout, stderr, code := s.command("doctor", "-o", "json")
		if err := json.Unmarshal([]byte(stdout), &all); err != nil || code != wantCode {
			t.Fatalf("exit code %d, %v\n%s%s", code, err, stdout, stderr)
		}
		for _, secret := range []string{s.LDAP.ServicePassword, appSecret, "alice"} {
			if strings.Contains(strings.ToLower(stdout), strings.ToLower(secret)) {
				t.Errorf("it is told: %s", stdout)
			}
		}
		return all
	}
	all := ask(exitOK)
	wantFinding(t, all, "ok", "server", "something listens", "")
	wantFinding(t, all, "ok", "issuer", "is ready", "")
	wantFinding(t, all, "ok", "issuer", "applications find their way", "")
	wantFinding(t, all, "ok", "proxies", "as they should", "")
	wantFinding(t, all, "ok", "database", "undamaged", "")
	wantFinding(t, all, "ok", "keys", "has signed for 0 days", "")
	wantFinding(t, all, "ok", "throttle", "can't lock people out", "")
	wantFinding(t, all, "ok", "directory, writing", "may not write", "")
	wantFinding(t, all, "warning", "clients", "openid", "")
	wantFinding(t, all, "warning", "directory, tls", "expires in 29 days", "")

	s.LDAP.Stop()
	all = ask(exitProblems)
	wantFinding(t, all, "problem", "directory, connect", "refuses the connection", "")
	eventually(t, "the server notices", func() bool {
		all = ask(exitProblems)
		for _, f := range all {
			if f.Area == "issuer" && f.Level == "problem" && strings.Contains(f.Message, "not ready") {
				return true
			}
		}
		return false
	})
}

func TestDoctorComparesTheThrottleWithTheDirectorysLockOut(t *testing.T) {
	t.Parallel()
	ldap := ldaptest.Start(t)
	path := writeSite(t, ldap, "http://127.0.0.1:1", "127.0.0.1:1", map[string]string{"clients.d/app.yaml": appYAML})
	var stdout bytes.Buffer
	code := run(context.Background(), []string{"doctor", "--config", path}, &environment{
		stdin: strings.NewReader(""), stdout: &stdout, stderr: &stdout, now: time.Now,
		environ: []string{"GATEHOUSE_THROTTLE_ACCOUNT_FAILURES=5"},
	})
	if code != exitOK || !strings.Contains(stdout.String(), "strangers can lock people out") || !strings.Contains(stdout.String(), "set throttle.account_failures to 4 or less") {
		t.Errorf("exit code %d\n%s", code, stdout.String())
	}
}

// proxySite is a server behind a proxy that ends TLS, with an authority of their own.
type proxySite struct {
	config  string
	caFile  string
	mu      sync.Mutex
	handler http.Handler // of the proxy
}

func (s *proxySite) become(h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func (s *proxySite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	h := s.handler
	s.mu.Unlock()
	h.ServeHTTP(w, r)
}

func startProxySite(t *testing.T, certificate ldaptest.Certificate) (s *proxySite, target *url.URL) {
	t.Helper()
	ca := ldaptest.NewAuthority(t, "Authority of the proxy")
	s = &proxySite{caFile: ca.File, handler: http.NotFoundHandler()}
	front := httptest.NewUnstartedServer(s)
	front.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(certificate)}, MinVersion: tls.VersionTLS12}
	front.Config.ErrorLog = nil
	front.StartTLS()
	t.Cleanup(front.Close)
	listen := freeAddress(t)
	s.config = writeSite(t, ldaptest.Start(t), front.URL, listen, map[string]string{"clients.d/app.yaml": appYAML})
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, append([]byte("trusted_proxies: [127.0.0.1]\n"), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, "serve", "--config", s.config)
	p.awaitReady(t, "http://"+listen)
	return s, &url.URL{Scheme: "http", Host: listen}
}

// doctor runs the command in a process of its own, which trusts the authority.
func (s *proxySite) doctor(t *testing.T) (all []finding) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "doctor", "--config", s.config, "-o", "json")
	cmd.Args[0] = "gatehouse"
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+s.caFile, "SSL_CERT_DIR="+filepath.Dir(s.config))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return all
}

func TestDoctorSeesWhatProxiesDo(t *testing.T) {
	t.Parallel()
	s, target := startProxySite(t, ldaptest.Certificate{Addresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(8 * 24 * time.Hour)})
	proxy := func(rewrite func(*httputil.ProxyRequest)) http.Handler {
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			rewrite(r)
		}}
	}
	good := proxy(func(r *httputil.ProxyRequest) { r.SetXForwarded() })
	s.become(good)
	all := s.doctor(t)
	if bad := problems(all); len(bad) > 0 {
		t.Error(showFindings(all))
	}
	wantFinding(t, all, "ok", "proxies", "believes nobody else", "")
	wantFinding(t, all, "warning", "issuer", "expires on", "renewed")

	s.become(proxy(func(r *httputil.ProxyRequest) {
		r.SetXForwarded()
		r.Out.Header.Del("X-Forwarded-Proto")
	}))
	wantFinding(t, s.doctor(t), "problem", "proxies", "sends no X-Forwarded-Proto", "X-Forwarded-Proto: https")

	s.become(proxy(func(r *httputil.ProxyRequest) { // passes on what strangers say
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto"} {
			if v := r.In.Header.Get(name); v != "" {
				r.Out.Header.Set(name, v)
			} else {
				r.Out.Header.Set(name, map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}[name])
			}
		}
	}))
	all = s.doctor(t)
	wantFinding(t, all, "problem", "proxies", "passes X-Forwarded-For on", "anew")
	wantFinding(t, all, "problem", "proxies", "passes X-Forwarded-Proto on", "anew")

	s.become(proxy(func(r *httputil.ProxyRequest) {
		r.SetXForwarded()
		r.Out.Host = target.Host
		r.Out.Header.Del("X-Forwarded-Host")
	}))
	wantFinding(t, s.doctor(t), "problem", "proxies", "is for the host", "pass the Host header on")

	s.become(proxy(func(r *httputil.ProxyRequest) {
		r.SetXForwarded()
		r.Out.Header.Del("Gatehouse-Doctor")
	}))
	wantFinding(t, s.doctor(t), "warning", "proxies", "leaves headers out", "")

	s.become(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	wantFinding(t, s.doctor(t), "problem", "issuer", "does not reach the server", "passes requests on to")
	s.become(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<h1>Welcome to nginx</h1>")) }))
	wantFinding(t, s.doctor(t), "problem", "issuer", "something else answers", "")
	s.become(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			http.NotFound(w, r)
			return
		}
		good.ServeHTTP(w, r)
	}))
	wantFinding(t, s.doctor(t), "problem", "issuer", "answered with 404", "all paths")
}

func TestDoctorSeesTheIssuersCertificate(t *testing.T) {
	t.Parallel()
	s, _ := startProxySite(t, ldaptest.Certificate{DNSNames: []string{"elsewhere.example.org"}})
	wantFinding(t, s.doctor(t), "problem", "issuer", "for another host: elsewhere.example.org", "issuer's name")
	s, _ = startProxySite(t, ldaptest.Certificate{Addresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	s.caFile = filepath.Join(t.TempDir(), "none.pem")
	wantFinding(t, s.doctor(t), "problem", "issuer", "does not trust", "applications would refuse it too")
}
