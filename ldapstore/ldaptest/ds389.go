package ldaptest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const packages389 = "389-ds-base and openssl"

// readerACI lets the service account read everything but passwords.
const readerACI = `(targetattr != "userPassword")(version 3.0; acl "reader"; allow (read, search, compare) ` +
	`userdn = "ldap:///uid=reader,ou=services,` + BaseDN + `";)`

// Start389 starts a 389 Directory Server of its own for a test, filled with the
// people and groups given; nil stands for People and Groups. It ends with the
// test. The server is set up by hand, which takes half a second where its own tool
// takes ten.
func Start389(t testing.TB, people []Person, groups []Group) *Server {
	t.Helper()
	program := need(t, "ns-slapd", packages389)
	certutil, pk12util, openssl := need(t, "certutil", packages389), need(t, "pk12util", packages389), need(t, "openssl", packages389)
	template := "/usr/share/dirsrv/data/template-dse.ldif"
	if _, err := os.Stat(template); err != nil {
		missing(t, template, packages389)
	}
	if people == nil && groups == nil {
		people, groups = People(), Groups()
	}
	s := &Server{
		t: t, dir: t.TempDir(), Kind: kind389, BaseDN: BaseDN, program: program, people: people,
		AdminDN: "cn=Directory Manager", AdminPassword: rand.Text(),
		ServiceDN: "uid=reader,ou=services," + BaseDN, ServicePassword: rand.Text(),
	}
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	etc := filepath.Join(s.dir, "etc")
	s.command = func() []string { return []string{"-D", etc, "-i", filepath.Join(s.dir, "run", "pid"), "-d", "0"} }
	text, err := os.ReadFile(template)
	if err == nil {
		err = s.folders389()
	}
	if err == nil {
		err = s.trust389(certutil, pk12util, openssl)
	}
	loaded := false
	if err == nil {
		err = s.begin(func() error {
			if err := s.choosePorts(); err != nil {
				return err
			}
			dse, err := s.configuration389(string(text))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(etc, "dse.ldif"), []byte(dse), 0o600); err != nil || loaded {
				return err
			}
			loaded = true
			return s.load389(ldif(kind389, people, groups))
		})
	}
	if err != nil {
		t.Fatalf("starting 389 DS: %v", err)
	}
	return s
}

// folders389 makes the folders of an instance, and copies what every one has.
func (s *Server) folders389() error {
	for _, name := range []string{"etc/schema", "lock", "tmp", "ldif", "bak", "run", "inst", "log", "db"} {
		if err := os.MkdirAll(filepath.Join(s.dir, name), 0o700); err != nil {
			return err
		}
	}
	for from, to := range map[string]string{
		"/etc/dirsrv/schema/99user.ldif":           "etc/schema/99user.ldif",
		"/etc/dirsrv/config/slapd-collations.conf": "etc/slapd-collations.conf",
		"/etc/dirsrv/config/certmap.conf":          "etc/certmap.conf",
	} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(s.dir, to), text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// trust389 puts the certificate into the database where the server looks for it.
func (s *Server) trust389(certutil, pk12util, openssl string) error {
	if err := certificates(s.dir, net.IPv4(127, 0, 0, 1)); err != nil {
		return err
	}
	file := func(name string) string { return filepath.Join(s.dir, name) }
	database := "sql:" + file("etc")
	for _, run := range [][]string{
		{certutil, "-N", "-d", database, "--empty-password"},
		{openssl, "pkcs12", "-export", "-in", file("server.pem"), "-inkey", file("server.key"), "-name", "Server-Cert", "-out", file("server.p12"), "-passout", "pass:x"},
		{pk12util, "-i", file("server.p12"), "-d", database, "-W", "x", "-K", ""},
		{certutil, "-A", "-d", database, "-n", "CA", "-t", "CT,,", "-i", file("ca.pem")},
	} {
		if err := s.tool(run[0], run[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// configuration389 fills the template that comes with the server.
func (s *Server) configuration389(template string) (string, error) {
	account, err := user.Current()
	if err != nil {
		return "", err
	}
	port := func(url string) string { return url[strings.LastIndexByte(url, ':')+1:] }
	text := strings.NewReplacer(
		"%schema_dir%", s.dir+"/etc/schema", "%lock_dir%", s.dir+"/lock", "%tmp_dir%", s.dir+"/tmp", "%cert_dir%", s.dir+"/etc",
		"%ldif_dir%", s.dir+"/ldif", "%bak_dir%", s.dir+"/bak", "%run_dir%", s.dir+"/run", "%inst_dir%", s.dir+"/inst", "%log_dir%", s.dir+"/log",
		"%config_dir%", s.dir+"/etc", "%db_dir%", s.dir+"/db", "%db_home_dir%", s.dir+"/db", "%db_lib%", "bdb", "%fqdn%", "localhost",
		"%ds_port%", port(s.URL), "%ds_user%", account.Username, "%rootdn%", s.AdminDN, "%ds_passwd%", ssha512(s.AdminPassword),
		"%ldapi_enabled%", "off", "%ldapi%", s.dir+"/run/socket", "%ldapi_autobind%", "off", "%ds_suffix%", s.BaseDN,
	).Replace(template)
	text = strings.Replace(text, "cn: config\nnsslapd-mode: 600\n", "cn: config\nnsslapd-mode: 600\nnsslapd-db-durable-transaction: off\nnsslapd-cache-autosize: 0\n", 1)
	text = strings.Replace(text, "dn: cn=config\n", "dn: cn=config\n"+strings.Join([]string{
		"nsslapd-listenhost: 127.0.0.1", "nsslapd-securelistenhost: 127.0.0.1", "nsslapd-security: on", "nsslapd-securePort: " + port(s.LDAPSURL),
		"nsslapd-accesslog-logging-enabled: off", "nsslapd-pwpolicy-local: on",
		"passwordStorageScheme: SSHA512", // the usual one takes 6 ms
		"passwordLockout: on", "passwordMaxFailure: 5", "passwordExp: on", "passwordMaxAge: 8640000", "passwordMustChange: on",
	}, "\n")+"\n", 1)
	for _, plugin := range []string{"MemberOf Plugin", "Content Synchronization", "Retro Changelog Plugin", "referential integrity postoperation"} {
		at := strings.Index(text, "dn: cn="+plugin+",cn=plugins,cn=config\n")
		if at < 0 {
			return "", fmt.Errorf("the template has no plugin %q", plugin)
		}
		text = text[:at] + strings.Replace(text[at:], "nsslapd-pluginenabled: off", "nsslapd-pluginenabled: on", 1)
	}
	// Without it a reader of the content sync loses changes when it resumes.
	text = strings.Replace(text, "cn: Retro Changelog Plugin\n", "cn: Retro Changelog Plugin\nnsslapd-attribute: nsuniqueid:targetUniqueId\n", 1)
	if left := regexp.MustCompile(`%[a-z_]+%`).FindString(text); left != "" {
		return "", fmt.Errorf("the template has a place %s that is not known", left)
	}
	return strings.TrimRight(text, "\n") + "\n" + s.backend389(), nil
}

// backend389 is the database of the suffix with the indexes that the server's own
// tool would make.
func (s *Server) backend389() string {
	var b bytes.Buffer
	entry := func(dn string, lines ...string) {
		b.WriteString("\ndn: " + dn + "\nobjectClass: top\n" + strings.Join(lines, "\n") + "\n")
	}
	database := "cn=userRoot,cn=ldbm database,cn=plugins,cn=config"
	entry(database, "objectClass: extensibleObject", "objectClass: nsBackendInstance", "cn: userRoot",
		// Without these the import takes its own time: small caches make it sleep.
		"nsslapd-cachememsize: 67108864", "nsslapd-dncachememsize: 16777216",
		"nsslapd-suffix: "+s.BaseDN, "nsslapd-directory: "+s.dir+"/db/userRoot")
	entry(`cn="`+s.BaseDN+`",cn=mapping tree,cn=config`, "objectClass: extensibleObject", "objectClass: nsMappingTree",
		"cn: "+s.BaseDN, "nsslapd-state: backend", "nsslapd-backend: userRoot")
	entry("cn=index,"+database, "objectClass: extensibleObject", "cn: index")
	for _, name := range []string{"uid", "cn", "sn", "mail", "member", "uniquemember", "memberOf", "memberuid", "gidnumber", "objectclass", "nsuniqueid", "entryUUID"} {
		entry("cn="+name+",cn=index,"+database, "objectClass: nsIndex", "cn: "+name, "nsSystemIndex: false", "nsIndexType: eq")
	}
	return b.String()
}

// load389 imports the entries before the server runs for the first time.
func (s *Server) load389(text string) error {
	w := ldifWriter{kind: kind389}
	w.entry(s.ServiceDN, "objectClass", "account", "objectClass", "simpleSecurityObject",
		"uid", "reader", "userPassword", s.ServicePassword)
	file := filepath.Join(s.dir, "ldif", "seed.ldif")
	if err := os.WriteFile(file, []byte(text+"\n"+w.b.String()), 0o600); err != nil {
		return err
	}
	return s.tool(s.program, "ldif2db", "-D", filepath.Join(s.dir, "etc"), "-n", "userRoot", "-i", file)
}

// ssha512 hashes a password as the server would.
func ssha512(password string) string {
	salt := rand.Text()[:8]
	sum := sha512.Sum512([]byte(password + salt))
	return "{SSHA512}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

const grace389 = "cn=grace,ou=policies," + BaseDN

// gracePolicy writes the policy of those who have sign-ins left.
func (w *ldifWriter) gracePolicy() {
	w.entry(grace389, "objectClass", "ldapsubentry", "objectClass", "passwordpolicy", "cn", "grace",
		"passwordExp", "on", "passwordMaxAge", "3600", "passwordGraceLimit", "3", "passwordLockout", "on", "passwordMaxFailure", "5")
}

// account389 returns attributes and values that put an account into a state.
func account389(a Account) []string {
	switch a {
	case Disabled:
		return []string{"nsAccountLock", "true"}
	case PasswordExpired:
		return []string{"passwordExpirationTime", longAgo}
	case MustChange:
		return []string{"passwordExpirationTime", "19700101000000Z"}
	case Grace:
		return []string{"passwordExpirationTime", longAgo, "pwdpolicysubentry", grace389}
	case AccountExpired:
		return []string{"objectClass", "shadowAccount", "shadowExpire", "1"}
	default:
		return nil
	}
}
