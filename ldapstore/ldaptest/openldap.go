package ldaptest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Server is a running OpenLDAP.
type Server struct {
	URL      string // ldap://127.0.0.1:…; StartTLS works on it
	LDAPSURL string
	CAFile   string // signed the server's certificate, for localhost and 127.0.0.1
	BaseDN   string

	AdminDN       string // may do anything
	AdminPassword string
	// ServiceDN may read everything but passwords, at most 500 entries a search
	// without paging. It is what a product should be given.
	ServiceDN       string
	ServicePassword string

	t       testing.TB
	dir     string
	process *process
}

type settings struct {
	ldif   string
	config string
	tail   string
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

// Start starts an OpenLDAP of its own for a test. It ends with the test.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	slapd, slapadd := need(t, "slapd"), need(t, "slapadd")
	o := settings{ldif: LDIF(People(), Groups())}
	for _, option := range options {
		option(&o)
	}
	s := &Server{
		t: t, dir: t.TempDir(), BaseDN: BaseDN,
		AdminDN: "cn=admin," + BaseDN, AdminPassword: rand.Text(),
		ServiceDN: "uid=reader,ou=services," + BaseDN, ServicePassword: rand.Text(),
	}
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	if err := s.install(slapadd, o); err != nil {
		t.Fatalf("setting up OpenLDAP: %v", err)
	}
	t.Cleanup(func() {
		if s.process != nil {
			s.process.kill()
		}
	})
	// Between choosing a port and listening on it someone else may take it.
	var err error
	for range 8 {
		if err = s.choosePorts(t.Context()); err != nil {
			break
		}
		if err = s.run(slapd); err == nil {
			return s
		}
	}
	t.Fatalf("starting OpenLDAP: %v", err)
	return nil
}

// need finds a server's program, or ends the test.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/lib/openldap", "/usr/libexec"} {
		if path := filepath.Join(dir, program); executable(path) {
			return path
		}
	}
	if os.Getenv("GATEHOUSE_TEST_REQUIRE") == "all" {
		t.Fatalf("%s is missing: install the packages slapd and slapd-contrib", program)
	}
	t.Skipf("%s is missing: install the packages slapd and slapd-contrib", program)
	return ""
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// firstOf returns the first directory that exists.
func firstOf(dirs ...string) string {
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	return dirs[0]
}

// install writes configuration, certificates and data.
func (s *Server) install(slapadd string, o settings) error {
	if err := certificates(s.dir); err != nil {
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
		"uid", "reader", "userPassword", s.ServicePassword, "pwdPolicySubentry", PolicyPatient)
	seed := filepath.Join(s.dir, "seed.ldif")
	if err := os.WriteFile(seed, []byte(o.ldif+"\n"+service.b.String()), 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, slapadd, "-q", "-f", conf, "-l", seed).CombinedOutput()
	if err != nil {
		return fmt.Errorf("slapadd: %w: %s", err, out)
	}
	return nil
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
	return b.String()
}

func (s *Server) choosePorts(ctx context.Context) error {
	var addresses []string
	for range 2 {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }() // both are kept until both are known
		addresses = append(addresses, l.Addr().String())
	}
	s.URL, s.LDAPSURL = "ldap://"+addresses[0], "ldaps://"+addresses[1]
	return nil
}

// run starts slapd and waits until it serves. The administrator's password is
// random, so that another server on the port isn't taken for ours.
func (s *Server) run(slapd string) error {
	p, err := start(slapd, "-f", filepath.Join(s.dir, "slapd.conf"), "-h", s.URL+" "+s.LDAPSURL, "-d", "0")
	if err != nil {
		return err
	}
	s.process = p
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) && !p.gone() {
		c, err := s.dialAdmin(s.t.Context())
		if err == nil {
			_ = c.Close()
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.kill()
	return errors.New("slapd does not answer: " + p.output.String())
}

func (s *Server) dialAdmin(ctx context.Context) (*ldap.Conn, error) {
	raw, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", strings.TrimPrefix(s.URL, "ldap://"))
	if err != nil {
		return nil, err
	}
	c := ldap.NewConn(raw, false)
	c.SetTimeout(20 * time.Second)
	c.Start()
	if err := c.Bind(s.AdminDN, s.AdminPassword); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// Pause stops the process in its tracks: connections stay open, nothing answers.
func (s *Server) Pause() { s.process.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { s.process.signal(syscall.SIGCONT) }

// Stop ends the server; Restart starts it again.
func (s *Server) Stop() { s.process.kill() }

// Restart starts the server again, on the same ports with the same data.
func (s *Server) Restart() {
	s.t.Helper()
	s.process.kill()
	if err := s.run(need(s.t, "slapd")); err != nil {
		s.t.Fatalf("starting OpenLDAP again: %v", err)
	}
}
