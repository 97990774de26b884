package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/config"
)

// house is a folder with all that a configuration refers to.
type house struct {
	t   *testing.T
	dir string
}

func newHouse(t *testing.T) house {
	t.Helper()
	h := house{t, t.TempDir()}
	for _, d := range []string{"clients.d", "data"} {
		if err := os.Mkdir(filepath.Join(h.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h.write("bind.pw", "s3cret-of-the-directory\n", 0o600)
	return h
}

func (h house) path(name string) string { return filepath.Join(h.dir, name) }

func (h house) write(name, content string, mode os.FileMode) string {
	h.t.Helper()
	path := h.path(name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		h.t.Fatal(err)
	}
	return path
}

// good is a configuration without a fault, one top-level key a line but for the
// directory, which comes last so that tests can add to it.
const good = `issuer: https://sso.example.org
listen: 127.0.0.1:8080
trusted_proxies: [127.0.0.1]
database: data/gatehouse.db
clients_dir: clients.d
keys_dir: data/keys
directory:
  url: [ldaps://ldap1.example.org, ldaps://ldap2.example.org]
  bind_dn: cn=gatehouse,ou=services,dc=example,dc=org
  bind_password_file: bind.pw
  base_dn: dc=example,dc=org
`

// with is good with the line of a key replaced, added before the directory, or,
// for a key of the directory, added at the end.
func with(key, value string) string {
	line := key + ": " + value + "\n"
	indent := ""
	if name, found := strings.CutPrefix(key, "directory."); found {
		indent, line = "  ", "  "+name+": "+value+"\n"
		key = name
	}
	for _, old := range strings.SplitAfter(good, "\n") {
		if strings.HasPrefix(old, indent+key+":") {
			return strings.Replace(good, old, line, 1)
		}
	}
	if indent != "" {
		return good + line
	}
	return strings.Replace(good, "directory:", line+"directory:", 1)
}

func without(key string) string { return strings.Replace(with(key, "X"), lineOf(key), "", 1) }

func lineOf(key string) string {
	if name, found := strings.CutPrefix(key, "directory."); found {
		return "  " + name + ": X\n"
	}
	return key + ": X\n"
}

func (h house) load(file string, env ...string) (*config.Config, error) {
	h.t.Helper()
	return config.Load(h.write("gatehouse.yaml", file, 0o644), env)
}

func (h house) mustLoad(file string, env ...string) *config.Config {
	h.t.Helper()
	c, err := h.load(file, env...)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func problemsOf(t *testing.T, err error) config.Problems {
	t.Helper()
	var p config.Problems
	if !errors.As(err, &p) {
		t.Fatalf("want problems, got %v", err)
	}
	return p
}

// certificate writes a certificate and its key.
func (h house) certificate(name, host string, from, until time.Time) (certFile, keyFile string) {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}, NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		h.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		h.t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return h.write(name+".pem", block("CERTIFICATE", der), 0o644), h.write(name+".key", block("PRIVATE KEY", private), 0o600)
}
