package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// initialise runs init in a folder of its own, without a terminal.
func initialise(t *testing.T, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, problems bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &problems, now: time.Now}
	code = run(context.Background(), append([]string{"init", "--config", filepath.Join(dir, "gatehouse.yaml")}, args...), env)
	return out.String(), problems.String(), code
}

func TestInitFitsRealDirectories(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *ldaptest.Server{
		"openldap": func(t testing.TB) *ldaptest.Server { return ldaptest.Start(t) },
		"389ds":    func(t testing.TB) *ldaptest.Server { return ldaptest.Start389(t, nil, nil) },
		"ad":       func(t testing.TB) *ldaptest.Server { return ldaptest.StartAD(t, nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			for _, address := range []string{
				s.LDAPSURL, s.URL, // StartTLS, but on loopback it is not needed
				strings.TrimPrefix(s.LDAPSURL, "ldaps://"), strings.TrimPrefix(s.URL, "ldap://"), // host and port alone
			} {
				if name == "ad" && address == s.URL {
					continue // it takes no password without TLS
				}
				dir := t.TempDir()
				password := filepath.Join(dir, "bind.pw")
				if err := os.WriteFile(password, []byte(s.ServicePassword), 0o600); err != nil {
					t.Fatal(err)
				}
				stdout, stderr, code := initialise(t, dir, address, "--bind-dn", s.ServiceDN, "--bind-password-file", password, "--ca-file", s.CAFile)
				if code != exitOK || !strings.Contains(stdout, "of the kind "+name) {
					t.Errorf("%s: exit code %d\n%s%s", address, code, stdout, stderr)
					continue
				}
				cfg, err := config.Load(filepath.Join(dir, "gatehouse.yaml"), nil)
				if err != nil {
					t.Fatal(err)
				}
				if d := cfg.Directory; !strings.EqualFold(d.BaseDN, s.BaseDN) || d.Kind != name || d.BindPasswordFile != password || d.CAFile != s.CAFile {
					t.Errorf("%s: %+v", address, d)
				}
				if encrypted := strings.HasPrefix(cfg.Directory.URL[0], "ldaps://") || cfg.Directory.StartTLS; encrypted == (address == s.URL) {
					t.Errorf("%s: %+v", address, cfg.Directory)
				}
				directory, err := (&environment{now: time.Now}).openDirectory(cfg, nil)
				if err != nil {
					t.Fatal(err)
				}
				if u, err := directory.UserByName(t.Context(), "alice"); err != nil || len(u.Groups) == 0 {
					t.Errorf("%s: %+v, %v", address, u, err)
				}
				directory.Close()
			}
		})
	}
}

func TestInitTrustsAnAuthorityByItsFingerprintOnly(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	dir := t.TempDir()
	password := filepath.Join(dir, "bind.pw")
	if err := os.WriteFile(password, []byte(s.ServicePassword), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{s.LDAPSURL, "--bind-dn", s.ServiceDN, "--bind-password-file", password}
	_, stderr, code := initialise(t, dir, args...)
	fingerprint := regexp.MustCompile(`(?m)^  ((?:[0-9A-F]{2}:){31}[0-9A-F]{2})$`).FindStringSubmatch(stderr)
	if code != exitFailed || fingerprint == nil || !strings.Contains(stderr, "BEGIN CERTIFICATE") || !strings.Contains(stderr, "--trust") {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	wrong := strings.Repeat("00:", 31) + "00"
	if _, stderr, code = initialise(t, dir, append(args, "--trust", wrong)...); code != exitFailed || !strings.Contains(stderr, "somebody may be between") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.pem")); err == nil {
		t.Error("a certificate was taken over that nobody trusts")
	}
	stdout, stderr, code := initialise(t, dir, append(args, "--trust", strings.ToLower(fingerprint[1]))...)
	if code != exitOK {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	cfg, err := config.Load(filepath.Join(dir, "gatehouse.yaml"), nil)
	if err != nil || cfg.Directory.CAFile != filepath.Join(dir, "ca.pem") {
		t.Errorf("%+v, %v", cfg, err)
	}

	// Of a certificate for another host no fingerprint is asked for.
	ca := ldaptest.NewAuthority(t, "x")
	cert, key := ca.Write("server", ca.Issue(ldaptest.Certificate{DNSNames: []string{"elsewhere.example.org"}}))
	other := ldaptest.Start(t, ldaptest.WithGlobal("TLSCACertificateFile "+ca.File+"\nTLSCertificateFile "+cert+"\nTLSCertificateKeyFile "+key))
	host, _, err := net.SplitHostPort(strings.TrimPrefix(other.LDAPSURL, "ldaps://"))
	if err != nil {
		t.Fatal(err)
	}
	_, stderr, code = initialise(t, t.TempDir(), strings.TrimPrefix(other.LDAPSURL, "ldaps://"), "--bind-dn", "cn=x", "--bind-password-file", password)
	if code != exitFailed || !strings.Contains(stderr, "it is for elsewhere.example.org, not for "+host) || strings.Contains(stderr, "BEGIN") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

func TestInitWritesWhatYAMLReadsBack(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cn=gatehouse,ou=services,dc=example,dc=org": "cn=gatehouse,ou=services,dc=example,dc=org",
		`cn=Müller\, Ada #1,dc=x`:                    `"cn=Müller\\, Ada #1,dc=x"`,
		"cn=a: b,dc=x":                               `"cn=a: b,dc=x"`,
		"cn=with blanks,dc=x":                        "cn=with blanks,dc=x",
		"a #b":                                       `"a #b"`,
		"ldaps://[::1]:636":                          `"ldaps://[::1]:636"`,
		"":                                           `""`,
		"*@x":                                        `"*@x"`,
		"x:":                                         `"x:"`,
	} {
		if got := scalar(text); got != want {
			t.Errorf("%q is written %s, want %s", text, got, want)
		}
	}
}
