//go:build linux

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gatehouse/ldapstore/ldaptest"
)

// apacheModules is where Debian keeps them.
const apacheModules = "/usr/lib/apache2/modules"

// startApache starts an Apache with mod_auth_openidc, set up as docs/apache.md
// says, and returns its address. Everybody who can sign in sees /people/, members
// of the group see /members/.
func startApache(t *testing.T, listen, issuer, group string) {
	t.Helper()
	binary := findApache(t)
	dir := t.TempDir()
	var conf strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&conf, format+"\n", args...) }
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "headers", "status", "auth_openidc"} {
		line("LoadModule %s_module %s/mod_%s.so", m, apacheModules, m)
	}
	line("ServerName 127.0.0.1\nListen %s\nPidFile pid\nDefaultRuntimeDir %s", listen, dir)
	line("ErrorLog error.log\nLogLevel warn auth_openidc:info")
	line("StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\nMinSpareThreads 1\nMaxSpareThreads 8")
	if os.Geteuid() == 0 {
		line("User www-data\nGroup www-data") // Apache serves nothing as root
	}
	line("OIDCProviderMetadataURL %s/.well-known/openid-configuration", issuer)
	line("OIDCClientID apache\nOIDCClientSecret %s", appSecret)
	line("OIDCRedirectURI http://%s/people/callback", listen)
	line("OIDCCryptoPassphrase %s", strings.Repeat("for-this-test-only", 2))
	line("OIDCScope %q", "openid profile email groups offline_access")
	line("OIDCPKCEMethod S256\nOIDCRemoteUserClaim preferred_username")
	// Groups are asked for again when older than a second; a session ends when its
	// tokens can't be renewed, which a disabled account's can't.
	line("OIDCUserInfoRefreshInterval 1\nOIDCRefreshAccessTokenBeforeExpiry 1 logout_on_error")
	for path, who := range map[string]string{"/people": "valid-user", "/members": "claim groups:" + group} {
		// The status page needs no file, which www-data could not read in a
		// folder of the test.
		line("<Location %s>\nAuthType openid-connect\nRequire %s\nSetHandler server-status", path, who)
		line("Header always set X-Remote-User \"expr=%%{REMOTE_USER}\"\n</Location>")
	}
	if err := os.WriteFile(filepath.Join(dir, "httpd.conf"), []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	runApache(t, binary, dir)
	address := "http://" + listen + "/"
	eventually(t, "Apache listens", func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		return response.Body.Close() == nil
	})
}

// findApache skips the test where Apache or its module is missing, or fails it
// where all programs are wanted.
func findApache(t *testing.T) string {
	t.Helper()
	binary, err := exec.LookPath("apache2")
	if err != nil {
		binary = "/usr/sbin/apache2"
		_, err = os.Stat(binary)
	}
	if err == nil {
		_, err = os.Stat(filepath.Join(apacheModules, "mod_auth_openidc.so"))
	}
	if err == nil {
		return binary
	}
	const advice = "`make test-tools` installs apache2-bin and libapache2-mod-auth-openidc"
	if os.Getenv("GATEHOUSE_TEST_REQUIRE") == "all" {
		t.Fatalf("%v; %s", err, advice)
	}
	t.Skipf("%v; %s", err, advice)
	return ""
}

// runApache keeps Apache running until the test ends.
func runApache(t *testing.T, binary, dir string) {
	t.Helper()
	said := &buffer{}
	cmd := exec.Command(binary, "-d", dir, "-f", "httpd.conf", "-DFOREGROUND")
	cmd.Stdout, cmd.Stderr = said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // how it ended is in its log
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("what Apache said:\n%s%s", said, log)
		}
	})
}

// navigation says what a browser says that goes to a page. Apache sends nobody
// else to sign in, but answers 401.
type navigation struct{}

func (navigation) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	return http.DefaultTransport.RoundTrip(r)
}

func TestApacheProtectsAPageWithAccountsOfTheDirectory(t *testing.T) {
	t.Parallel()
	findApache(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	origin := "http://" + listen
	s := startSite(t, map[string]string{"clients.d/apache.yaml": strings.Replace(clientYAML("apache", `
scopes:
  everyone: [openid, profile, email, groups]
lifespans:
  access: 3s
`), appRedirect, origin+"/people/callback", 1)})
	if err := l.Close(); err != nil { // held until now so that nobody else took the port
		t.Fatal(err)
	}
	startApache(t, listen, s.URL, "developers")

	alice, bob := newPerson(t), newPerson(t)
	alice.client.Transport, bob.client.Transport = navigation{}, navigation{}
	for uid, p := range map[string]*person{"alice": alice, "bob": bob} {
		signIn := p.get(origin + "/people/")
		if !strings.HasPrefix(signIn.URL.String(), s.URL) {
			t.Fatalf("Apache asked nobody to sign in: %d %s\n%s", signIn.Status, signIn.URL, signIn.Body)
		}
		in := signIn.signIn(uid)
		if in.Status != http.StatusOK || in.URL.String() != origin+"/people/" {
			t.Fatalf("%s is not let in: %d %s\n%s", uid, in.Status, in.URL, in.Body)
		}
		if user := in.Header.Get("X-Remote-User"); user != uid {
			t.Errorf("Apache calls %s %q", uid, user)
		}
	}
	if p := alice.get(origin + "/members/"); p.Status != http.StatusOK {
		t.Errorf("alice is a developer and is refused: %d\n%s", p.Status, p.Body)
	}
	if p := bob.get(origin + "/members/"); p.Status != http.StatusUnauthorized {
		t.Errorf("bob is no developer and gets %d", p.Status)
	}

	s.LDAP.RemoveMember(ldaptest.GroupDN("cn=developers"), ldaptest.PersonDN("alice"))
	eventually(t, "alice, who is no developer any more, is refused", func() bool {
		p := alice.get(origin + "/members/")
		if p.Status != http.StatusOK && p.Status != http.StatusUnauthorized {
			t.Fatalf("/members/ answers %d at %s\n%s", p.Status, p.URL, p.Body)
		}
		return p.Status == http.StatusUnauthorized
	})
	if p := alice.get(origin + "/people/"); p.Status != http.StatusOK || p.URL.Host != listen {
		t.Errorf("alice is a person still, and is refused: %d %s", p.Status, p.URL)
	}

	s.LDAP.Disable("alice")
	eventually(t, "alice, whose account is disabled, has to sign in anew", func() bool {
		p := alice.get(origin + "/people/")
		return strings.HasPrefix(p.URL.String(), s.URL+"/oauth2/authorize")
	})
}

func TestApacheWithAnIssuerOfItsOwn(t *testing.T) { // row D2
	t.Parallel()
	findApache(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := l.Addr().String()
	s := startSite(t, map[string]string{"clients.d/apache.yaml": strings.Replace(
		clientYAML("apache", "own_issuer: true\nscopes: {everyone: [openid, profile, email, groups]}\n"), appRedirect, "http://"+listen+"/people/callback", 1,
	)})
	if err := l.Close(); err != nil { // held until now so that nobody else took the port
		t.Fatal(err)
	}
	startApache(t, listen, s.issuerOf("apache"), "developers")
	alice := newPerson(t)
	alice.client.Transport = navigation{}
	in := alice.get("http://" + listen + "/people/").signIn("alice")
	if in.Status != http.StatusOK || in.Header.Get("X-Remote-User") != "alice" {
		t.Errorf("alice is not let in: %d %s %v\n%s", in.Status, in.URL, in.Header, in.Body)
	}
}
