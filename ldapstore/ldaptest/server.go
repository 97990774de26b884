package ldaptest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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

// The kinds of directory, by the names that the product has for them.
const (
	kindOpenLDAP = "openldap"
	kind389      = "389ds"
	kindAD       = "ad"
)

// Server is a running directory.
type Server struct {
	Kind     string // openldap, 389ds or ad
	URL      string // ldap://127.0.0.1:…; StartTLS works on it
	LDAPSURL string
	CAFile   string // signed the server's certificate, for localhost and the address
	BaseDN   string

	AdminDN       string // may do anything
	AdminPassword string
	// ServiceDN may read everything but passwords. It is what a product should be
	// given. OpenLDAP sends it at most 500 entries a search without paging.
	ServiceDN       string
	ServicePassword string

	t       testing.TB
	dir     string
	program string
	command func() []string // what the program is started with
	people  []Person
	process *process
}

// need finds a server's program, or ends the test.
func need(t testing.TB, program, packages string) string {
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
	missing(t, program, packages)
	return ""
}

// missing ends a test that can't be run here.
func missing(t testing.TB, what, packages string) {
	t.Helper()
	if os.Getenv("GATEHOUSE_TEST_REQUIRE") == "all" {
		t.Fatalf("%s is missing: install the packages %s", what, packages)
	}
	t.Skipf("%s is missing: install the packages %s", what, packages)
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// firstOf returns the first file or directory that exists.
func firstOf(paths ...string) string {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return paths[0]
}

// tool runs one of the server's tools.
func (s *Server) tool(program string, args ...string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = hurried()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

// begin starts the server for the first time; it ends with the test. Between
// choosing an address and listening on it someone else may take it, so that is
// done some times over.
func (s *Server) begin(choose func() error) error {
	s.t.Cleanup(func() {
		if s.process != nil {
			s.process.kill()
		}
	})
	var err error
	for range 8 {
		if err = choose(); err != nil {
			return err
		}
		if err = s.run(); err == nil {
			return nil
		}
	}
	return err
}

// choosePorts finds two free ports of the loopback interface.
func (s *Server) choosePorts() error {
	var addresses []string
	for range 2 {
		l, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }() // both are kept until both are known
		addresses = append(addresses, l.Addr().String())
	}
	s.URL, s.LDAPSURL = "ldap://"+addresses[0], "ldaps://"+addresses[1]
	return nil
}

// run starts the program and waits until it serves. The administrator's password
// is random, so that another server on the port isn't taken for ours.
func (s *Server) run() error {
	p, err := start(s.program, s.command()...)
	if err != nil {
		return err
	}
	s.process = p
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) && !p.gone() {
		c, err := s.dialAdmin(s.t.Context())
		if err == nil {
			_ = c.Close()
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	p.kill()
	return errors.New(filepath.Base(s.program) + " does not answer: " + p.output.String())
}

// dialAdmin signs the administrator in. Active Directory takes passwords over TLS
// only, and for the others a plain connection is faster.
func (s *Server) dialAdmin(ctx context.Context) (*ldap.Conn, error) {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	var raw net.Conn
	var err error
	if s.Kind == kindAD {
		raw, err = s.dialTLS(ctx, dialer)
	} else {
		raw, err = dialer.DialContext(ctx, "tcp", strings.TrimPrefix(s.URL, "ldap://"))
	}
	if err != nil {
		return nil, err
	}
	c := ldap.NewConn(raw, s.Kind == kindAD)
	c.SetTimeout(30 * time.Second)
	c.Start()
	if err := c.Bind(s.AdminDN, s.AdminPassword); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (s *Server) dialTLS(ctx context.Context, dialer *net.Dialer) (net.Conn, error) {
	text, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	secure := &tls.Dialer{NetDialer: dialer, Config: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return secure.DialContext(ctx, "tcp", strings.TrimPrefix(s.LDAPSURL, "ldaps://"))
}

// For returns the same server for a part of the test that started it: what fails
// there fails that part. It can't be started again.
func (s *Server) For(t testing.TB) *Server {
	c := *s
	c.t = t
	return &c
}

// Pause stops the process in its tracks: connections stay open, nothing answers.
func (s *Server) Pause() {
	s.process.signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(5 * time.Second); !stopped(s.process.cmd.Process.Pid) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() { s.process.signal(syscall.SIGCONT) }

// Stop ends the server; Restart starts it again.
func (s *Server) Stop() { s.process.kill() }

// Restart starts the server again, on the same address with the same data.
func (s *Server) Restart() {
	s.t.Helper()
	s.process.kill()
	if err := s.run(); err != nil {
		s.t.Fatalf("starting %s again: %v", filepath.Base(s.program), err)
	}
}
