package ldapstore_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
)

// asReader has slapd take whom EXTERNAL shows for the service account.
const asReader = `authz-regexp "gidNumber=.*\+uidNumber=.*,cn=peercred,cn=external,cn=auth" "uid=reader,ou=services,` + ldaptest.BaseDN + `"
authz-regexp "cn=gatehouse" "uid=reader,ou=services,` + ldaptest.BaseDN + `"`

func TestASocketSaysWhoAsks(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "ldapi") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "ldapi")
	s := ldaptest.Start(t, ldaptest.WithSocket(socket), ldaptest.WithGlobal(asReader))
	for _, o := range []ldapstore.Options{
		{URL: []string{"ldapi://" + strings.ReplaceAll(socket, "/", "%2F")}},
		{URL: []string{"ldapi://" + socket}, StartTLS: true}, // which is for the others of a list
		{URL: []string{"ldapi://" + socket}, BindDN: s.ServiceDN, BindPassword: func() (string, error) { return s.ServicePassword, nil }},
	} {
		o.BaseDN = s.BaseDN
		d := open(t, o)
		mustUser(t, d, "alice")
		if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
			t.Errorf("%s: %v", o.URL, err)
		}
		_, err := d.Authenticate(t.Context(), "alice", "wrong")
		wantReason(t, err, "wrong_password")
	}
}

func TestAClientCertificateSaysWhoAsks(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewAuthority(t, "Authority of both")
	serverCert, serverKey := ca.Write("server", ca.Issue(ldaptest.Certificate{CommonName: "x", Addresses: []net.IP{net.IPv4(127, 0, 0, 1)}}))
	certFile, keyFile := ca.Write("client", ca.Issue(ldaptest.Certificate{CommonName: "gatehouse"}))
	s := ldaptest.Start(t, ldaptest.WithGlobal(asReader+"\nTLSCACertificateFile "+ca.File+"\nTLSCertificateFile "+serverCert+
		"\nTLSCertificateKeyFile "+serverKey+"\nTLSVerifyClient demand"))
	for _, o := range []ldapstore.Options{{URL: []string{s.LDAPSURL}}, {URL: []string{s.URL}, StartTLS: true}} {
		o.BaseDN, o.CAFile, o.ClientCertFile, o.ClientKeyFile = s.BaseDN, ca.File, certFile, keyFile
		d := open(t, o)
		mustUser(t, d, "alice")
		if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
			t.Errorf("%s: %v", o.URL, err)
		}

		o.ClientCertFile, o.ClientKeyFile = "", ""
		o.BindDN, o.BindPassword = s.ServiceDN, func() (string, error) { return s.ServicePassword, nil }
		_, err := open(t, o).UserByName(t.Context(), "alice")
		wantUnavailable(t, err)
	}
}

func TestRenewedFilesOfTLSAreReadAgain(t *testing.T) {
	t.Parallel()
	loopback := ldaptest.Certificate{CommonName: "x", Addresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	before, after := ldaptest.NewAuthority(t, "before"), ldaptest.NewAuthority(t, "after")
	serverCert, serverKey := before.Write("server", before.Issue(loopback))
	certFile, keyFile := before.Write("client", before.Issue(ldaptest.Certificate{CommonName: "gatehouse"}))
	s := ldaptest.Start(t, ldaptest.WithGlobal(asReader+"\nTLSCACertificateFile "+before.File+"\nTLSCertificateFile "+serverCert+
		"\nTLSCertificateKeyFile "+serverKey+"\nTLSVerifyClient demand"))
	replace := func(file, by string) {
		text, err := os.ReadFile(by)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil { // another size, should the clock be coarse
			t.Fatal(err)
		}
	}
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	replace(caFile, before.File)
	d := open(t, ldapstore.Options{
		URL: []string{s.LDAPSURL}, BaseDN: s.BaseDN, CAFile: caFile, ClientCertFile: certFile, ClientKeyFile: keyFile,
	})
	id := mustUser(t, d, "alice").ID

	// A file in the middle of being written changes nothing.
	for _, file := range []string{caFile, certFile} {
		if err := os.WriteFile(file, []byte("-----BEGIN"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil { // on a new connection
		t.Fatal(err)
	}

	newCert, newKey := after.Write("server", after.Issue(loopback))
	newClient, newClientKey := after.Write("client", after.Issue(ldaptest.Certificate{CommonName: "gatehouse"}))
	replace(serverCert, newCert)
	replace(serverKey, newKey)
	replace(before.File, after.File) // slapd's own
	replace(caFile, after.File)
	replace(certFile, newClient)
	replace(keyFile, newClientKey)
	s.Restart()
	if _, err := d.User(t.Context(), id); err != nil {
		t.Errorf("after everything was renewed: %v", err)
	}
}

// nameserver answers for example.test: its SRV records, and 127.0.0.1 for
// every host.
type nameserver struct {
	mu      sync.Mutex
	records map[string][]net.SRV // by service, such as _ldap
	asked   atomic.Int64
}

func startNameserver(t testing.TB) (*nameserver, *net.Resolver) {
	t.Helper()
	p, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	n := &nameserver{records: map[string][]net.SRV{}}
	go func() {
		b := make([]byte, 1500)
		for {
			size, from, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			if answer, err := n.answer(b[:size]); err == nil {
				_, _ = p.WriteTo(answer, from)
			}
		}
	}()
	return n, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", p.LocalAddr().String())
	}}
}

func (n *nameserver) set(service string, records ...net.SRV) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records[service] = records
}

func (n *nameserver) answer(request []byte) ([]byte, error) {
	var p dnsmessage.Parser
	header, err := p.Start(request)
	if err != nil {
		return nil, err
	}
	question, err := p.Question()
	if err != nil {
		return nil, err
	}
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, Authoritative: true},
		Questions: []dnsmessage.Question{question},
	}
	head := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: dnsmessage.ClassINET, TTL: 1}
	name := question.Name.String()
	service, rest, _ := strings.Cut(name, ".")
	switch {
	case question.Type == dnsmessage.TypeSRV && rest == "_tcp.example.test.":
		n.asked.Add(1)
		n.mu.Lock()
		for _, r := range n.records[service] {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.SRVResource{
				Priority: r.Priority, Weight: r.Weight, Port: r.Port, Target: dnsmessage.MustNewName(r.Target),
			}})
		}
		n.mu.Unlock()
		if len(reply.Answers) == 0 {
			reply.RCode = dnsmessage.RCodeNameError
		}
	case strings.HasSuffix(name, ".gone.test."):
		reply.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeA:
		reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
	}
	return reply.Pack()
}

func portOf(t testing.TB, url string) uint16 {
	t.Helper()
	port, err := net.LookupPort("tcp", url[strings.LastIndexByte(url, ':')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return uint16(port)
}

func TestTheServersOfADomainAreFound(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewAuthority(t, "Authority of the domain")
	start := func(names ...string) *ldaptest.Server {
		cert, key := ca.Write("server", ca.Issue(ldaptest.Certificate{CommonName: "x", DNSNames: names}))
		s := ldaptest.Start(t, ldaptest.WithGlobal("TLSCACertificateFile "+ca.File+"\nTLSCertificateFile "+cert+"\nTLSCertificateKeyFile "+key))
		s.SetPassword(s.ServiceDN, "the same everywhere")
		return s
	}
	first, second := start("ldap1.example.test"), start("ldap2.example.test")
	names, resolver := startNameserver(t)
	at := func(d *ldapstore.Directory) (url string) {
		_, err := d.UserByName(ldapstore.WithTrace(t.Context(), func(s ldapstore.Step) {
			if s.What == ldapstore.StepSearch {
				url = s.Server
			}
		}), "alice")
		if err != nil {
			return err.Error()
		}
		return url
	}
	reader := func(url string, startTLS bool) *ldapstore.Directory {
		return open(t, ldapstore.Options{
			URL: []string{url}, StartTLS: startTLS, CAFile: ca.File, Resolver: resolver, BaseDN: first.BaseDN, BindDN: first.ServiceDN,
			BindPassword: func() (string, error) { return "the same everywhere", nil },
		})
	}

	d := reader("ldap+srv://example.test", true)
	if got := at(d); !strings.Contains(got, "looking up the servers of example.test") {
		t.Errorf("without records: %s", got)
	}
	if _, err := d.Authenticate(t.Context(), "\x00", "x"); err == nil {
		t.Error("somebody was let in")
	}

	records := []net.SRV{
		{Priority: 2, Port: portOf(t, second.URL), Target: "ldap2.example.test."},
		{Priority: 1, Port: portOf(t, first.URL), Target: "ldap1.example.test."},
	}
	names.set("_ldap", records...)
	d = reader("ldap+srv://example.test", true)
	want := "ldap://ldap1.example.test:"
	if got := at(d); !strings.HasPrefix(got, want) {
		t.Errorf("the first answer is from %s", got)
	}
	if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
		t.Error(err)
	}
	first.Stop()
	if got := at(d); !strings.HasPrefix(got, "ldap://ldap2.example.test:") {
		t.Errorf("while the first is away: %s", got)
	}

	names.set("_ldaps", net.SRV{Port: portOf(t, second.LDAPSURL), Target: "ldap2.example.test."})
	if got := at(reader("ldaps+srv://example.test", false)); !strings.HasPrefix(got, "ldaps://ldap2.example.test:") {
		t.Errorf("over LDAPS: %s", got)
	}

	// Forged records lead to a server whose certificate is genuine, but not for the domain.
	mallory := start("ldap.mallory.test")
	names.set("_ldaps", net.SRV{Port: portOf(t, mallory.LDAPSURL), Target: "ldap.mallory.test."})
	if got := at(reader("ldaps+srv://example.test", false)); !strings.Contains(got, "certificate is for another host") {
		t.Errorf("a server outside of the domain: %s", got)
	}
	hosted := start("example.test")
	names.set("_ldaps", net.SRV{Port: portOf(t, hosted.LDAPSURL), Target: "ldap.provider.test."})
	if got := at(reader("ldaps+srv://example.test", false)); !strings.HasPrefix(got, "ldaps://ldap.provider.test:") {
		t.Errorf("a server outside of the domain with a certificate for it: %s", got)
	}
}

func TestRecordsOfADomainMayChange(t *testing.T) {
	t.Parallel()
	ca := ldaptest.NewAuthority(t, "Authority of the domain")
	cert, key := ca.Write("server", ca.Issue(ldaptest.Certificate{CommonName: "x", DNSNames: []string{"old.example.test", "new.example.test"}}))
	s := ldaptest.Start(t, ldaptest.WithGlobal("TLSCACertificateFile "+ca.File+"\nTLSCertificateFile "+cert+"\nTLSCertificateKeyFile "+key))
	names, resolver := startNameserver(t)
	names.set("_ldaps", net.SRV{Port: portOf(t, s.LDAPSURL), Target: "old.example.test."})
	o := options(s)
	o.URL, o.CAFile, o.Resolver = []string{"ldaps+srv://example.test"}, ca.File, resolver
	d := open(t, o)
	ldapstore.AskRecordsEvery(d, 20*time.Millisecond)
	id := mustUser(t, d, "alice").ID
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := d.User(t.Context(), id); err != nil {
					t.Error(err)
				}
			}
		})
	}
	names.set("_ldaps", net.SRV{Port: portOf(t, s.LDAPSURL), Target: "new.example.test."})
	eventually(t, "the new name is used", func() bool {
		found := false
		_, _ = d.User(ldapstore.WithTrace(t.Context(), func(s ldapstore.Step) { found = found || strings.Contains(s.Server, "new.example.test") }), id)
		return found
	})
	names.set("_ldaps") // a name server that has lost them
	asked := names.asked.Load()
	eventually(t, "it was asked twice more", func() bool { return names.asked.Load() > asked+2 })
	close(stop)
	wg.Wait()
	if _, err := d.User(t.Context(), id); err != nil {
		t.Errorf("when the records are gone: %v", err)
	}
}
