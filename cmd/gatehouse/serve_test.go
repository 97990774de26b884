package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// writeCertificate writes a certificate for localhost that signs itself.
func writeCertificate(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestServeSpeaksTLSItselfAndTakesARenewedCertificate(t *testing.T) {
	t.Parallel()
	ldap := ldaptest.Start(t)
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	issuer := "https://localhost:" + port
	path := writeSite(t, ldap, issuer, address, map[string]string{"clients.d/app.yaml": appYAML})
	dir := filepath.Dir(path)
	first := writeCertificate(t, dir, "first")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, "tls: {cert_file: cert.pem, key_file: key.pem}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	clock := &offsetClock{}
	ctx, stop := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan net.Addr, 1)
	go func() {
		ended <- serve(ctx, cfg, slog.New(slog.DiscardHandler), clock.Now, func(a net.Addr) { ready <- a })
	}()
	<-ready
	presented := func() string {
		roots := x509.NewCertPool()
		roots.AddCert(first)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, issuer+"/.well-known/openid-configuration", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(r)
		if err != nil {
			return err.Error()
		}
		defer func() { _ = response.Body.Close() }()
		if response.Header.Get("Strict-Transport-Security") == "" {
			t.Error("no HSTS with an https issuer")
		}
		return response.TLS.PeerCertificates[0].Subject.CommonName
	}
	if got := presented(); got != "first" {
		t.Fatalf("presented: %s", got)
	}
	writeCertificate(t, dir, "second")
	clock.Advance(2 * time.Minute)
	if got := presented(); !strings.Contains(got, "unknown authority") {
		t.Errorf("the renewed certificate is not presented but: %s", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// offsetClock is the real time with an offset.
type offsetClock struct{ offset time.Duration }

func (c *offsetClock) Now() time.Time          { return time.Now().Add(c.offset) }
func (c *offsetClock) Advance(d time.Duration) { c.offset += d }

func TestPeopleSignInOverStartTLS(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	plain := startSiteOn(t, s.LDAP, nil, func(cfg *config.Config) {
		cfg.Directory.URL, cfg.Directory.StartTLS = []string{s.LDAP.URL}, true
	})
	app := plain.application("openid", "email")
	if info := app.userinfo(app.tokens(newPerson(t).get(app.address()).signIn("alice"))); info["email"] != "alice@example.org" {
		t.Errorf("%v", info)
	}
}

func TestAStartIsRefusedWithEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	s := writtenSite(t)
	dir := filepath.Dir(s.config)
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("clients.d/bad.yaml", "client_id: bad\nredirect_uris: [http://app.example.org/cb]\nredirect_urls: []\n", 0o600)
	if err := os.MkdirAll(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("keys/half.json", `{"kid": "x", "al`, 0o600)
	write("gatehouse.db", "this is not a database, it only looks like a file of some length", 0o600)
	p := startProcess(t, "serve", "--config", s.config)
	<-p.done
	log := p.Log.String()
	if p.cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("exit code %d", p.cmd.ProcessState.ExitCode())
	}
	for _, part := range []string{"bad.yaml:2", "bad.yaml:3", "redirect_uris", "half.json", "gatehouse.db", "hint:"} {
		if !strings.Contains(log, part) {
			t.Errorf("%s is not told of:\n%s", part, log)
		}
	}
}

func TestHangupReloadsAtOnce(t *testing.T) {
	t.Parallel()
	s := writtenSite(t)
	p := startProcess(t, "serve", "--config", s.config)
	p.awaitReady(t, s.issuer)
	app := s.application(t, "openid")
	app.config.ClientID = "late"
	late := strings.ReplaceAll(appYAML, "client_id: app", "client_id: late")
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.config), "clients.d", "late.yaml"), []byte(late), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	eventually(t, "the client is known", func() bool { return newPerson(t).get(app.address()).Status == http.StatusOK })
	t.Logf("known after %v", time.Since(start))
}
