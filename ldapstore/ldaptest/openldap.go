package ldaptest

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type settings struct {
	ldif   string
	config string
	tail   string
	socket string
	access string
	base   string
	edit   func(string) string
}

// Option changes what Start starts.
type Option func(*settings)

// WithLDIF fills the directory from this text instead of People and Groups. It
// has to hold everything but the service account; see LDIF.
func WithLDIF(text string) Option { return func(s *settings) { s.ldif = text } }

// WithGlobal adds lines to the global part of slapd.conf.
func WithGlobal(lines string) Option { return func(s *settings) { s.config += lines + "\n" } }

// WithDatabase adds lines at the end of the database's part of slapd.conf.
func WithDatabase(lines string) Option { return func(s *settings) { s.tail += lines + "\n" } }

// WithAccess adds lines before the database's rules of access.
func WithAccess(lines string) Option { return func(s *settings) { s.access += lines + "\n" } }

// WithEdit changes the text of slapd.conf, for what can't be done by more lines.
func WithEdit(edit func(string) string) Option { return func(s *settings) { s.edit = edit } }

// WithSocket has slapd listen on a socket too. Its path has to be short.
func WithSocket(path string) Option { return func(s *settings) { s.socket = path } }

// WithBase puts everything under another root than BaseDN, of the form o=Example, so
// that two servers hold different names.
func WithBase(dn string) Option { return func(s *settings) { s.base = dn } }

// Start starts an OpenLDAP of its own for a test. It ends with the test.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	const packages = "slapd and slapd-contrib"
	slapd, slapadd := need(t, "slapd", packages), need(t, "slapadd", packages)
	o := settings{ldif: LDIF(People(), Groups()), base: BaseDN}
	for _, option := range options {
		option(&o)
	}
	if o.base != BaseDN {
		o.ldif = rebase(o.ldif, o.base)
	}
	s := &Server{
		t: t, dir: t.TempDir(), Kind: kindOpenLDAP, BaseDN: o.base, program: slapd, people: People(),
		AdminDN: "cn=admin," + o.base, AdminPassword: rand.Text(),
		ServiceDN: "uid=reader,ou=services," + o.base, ServicePassword: rand.Text(),
	}
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	s.command = func() []string {
		listen := s.URL + " " + s.LDAPSURL
		if o.socket != "" {
			listen += " ldapi://" + url.PathEscape(o.socket)
		}
		return []string{"-f", filepath.Join(s.dir, "slapd.conf"), "-h", listen, "-d", "0"}
	}
	if err := s.install(slapadd, o); err != nil {
		t.Fatalf("setting up OpenLDAP: %v", err)
	}
	if err := s.begin(s.choosePorts); err != nil {
		t.Fatalf("starting OpenLDAP: %v", err)
	}
	return s
}

// install writes configuration, certificates and data.
func (s *Server) install(slapadd string, o settings) error {
	if err := certificates(s.dir, net.IPv4(127, 0, 0, 1)); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "db"), 0o700); err != nil {
		return err
	}
	conf := filepath.Join(s.dir, "slapd.conf")
	if err := os.WriteFile(conf, []byte(s.configuration(o)), 0o600); err != nil {
		return err
	}
	var service ldifWriter
	service.entry(s.ServiceDN, "objectClass", "account", "objectClass", "simpleSecurityObject",
		"uid", "reader", "userPassword", s.ServicePassword, "pwdPolicySubentry", s.here(PolicyPatient))
	seed := filepath.Join(s.dir, "seed.ldif")
	if err := os.WriteFile(seed, []byte(o.ldif+"\n"+service.b.String()), 0o600); err != nil {
		return err
	}
	return s.tool(slapadd, "-q", "-f", conf, "-l", seed)
}

func (s *Server) configuration(o settings) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	schemas := firstOf("/etc/ldap/schema", "/etc/openldap/schema", "/usr/local/etc/openldap/schema")
	for _, name := range []string{"core", "cosine", "inetorgperson", "nis", "dyngroup"} {
		line("include %s/%s.schema", schemas, name)
	}
	line("modulepath %s", firstOf("/usr/lib/ldap", "/usr/lib64/openldap", "/usr/lib/openldap", "/usr/local/libexec/openldap"))
	for _, name := range []string{"back_mdb", "memberof", "refint", "ppolicy", "syncprov"} {
		line("moduleload %s", name)
	}
	line("TLSCACertificateFile %s", s.CAFile)
	line("TLSCertificateFile %s/server.pem", s.dir)
	line("TLSCertificateKeyFile %s/server.key", s.dir)
	line("pidfile %s/slapd.pid", s.dir)
	line("sizelimit size.soft=500 size.hard=1000 size.prtotal=unlimited")
	b.WriteString(o.config)
	line("database mdb")
	line("suffix %s", s.BaseDN)
	line("rootdn %s", s.AdminDN)
	line("rootpw %s", s.AdminPassword)
	line("directory %s/db", s.dir)
	line("dbnosync") // nothing here outlives the test
	line("maxsize 268435456")
	line("index objectClass,uid,mail,member,uniqueMember,memberOf,memberUid,entryUUID,entryCSN eq")
	b.WriteString(o.access)
	line("access to attrs=userPassword by self write by anonymous auth by * none")
	line("access to * by dn.exact=%q read by self read by * none", s.ServiceDN)
	line("overlay memberof")
	line("overlay refint")
	line("refint_attributes member uniqueMember")
	line("refint_nothing %s", nobody)
	line("overlay ppolicy")
	line("ppolicy_default cn=default,ou=policies,%s", s.BaseDN)
	line("ppolicy_use_lockout")
	line("overlay syncprov")
	line("syncprov-sessionlog 1000")
	b.WriteString(o.tail)
	text := s.here(b.String())
	if o.edit != nil {
		text = o.edit(text)
	}
	return text
}

// here moves names under this server's root.
func (s *Server) here(text string) string { return strings.ReplaceAll(text, BaseDN, s.BaseDN) }

// rebase moves the entries of an LDIF under another root.
func rebase(ldif, base string) string {
	var b strings.Builder
	for line := range strings.Lines(ldif) {
		name, encoded, found := strings.Cut(strings.TrimSuffix(line, "\n"), ":: ")
		value, err := base64.StdEncoding.DecodeString(encoded)
		if !found || err != nil {
			b.WriteString(strings.ReplaceAll(line, BaseDN, base))
			continue
		}
		moved := strings.ReplaceAll(string(value), BaseDN, base)
		fmt.Fprintf(&b, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(moved)))
	}
	return b.String()
}
