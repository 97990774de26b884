package demodir_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/ldapstore/demodir"
)

func TestBytesThatAreNoRequestEndTheConnectionAndNothingElse(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	deep := []byte{}
	for range 200 {
		deep = append([]byte{0x30, 0x82, byte(len(deep) >> 8), byte(len(deep))}, deep...)
	}
	for name, bad := range map[string]string{
		"HTTP": "GET / HTTP/1.1\r\n\r\n", "an endless length": "\x30\x80\x02\x01\x01", "a length of 2 GiB": "\x30\x84\x7f\xff\xff\xff", "a length of 300 KiB": "\x30\x83\x04\xb0\x00",
		"a length that is too long": "\x30\x85\x01\x01\x01\x01\x01", "an inner length too long": "\x30\x05\x02\x01\x01\x60\x05", "nothing inside": "\x30\x00", "an id only": "\x30\x03\x02\x01\x01",
		"a negative id": "\x30\x05\x02\x01\xff\x42\x00", "no operation of LDAP": "\x30\x05\x02\x01\x01\x7e\x00", "an unknown operation": "\x30\x05\x02\x01\x01\x7d\x00",
		"an answer": "\x30\x05\x02\x01\x01\x61\x00", "too deep": string(deep), "a tag of several bytes": "\x30\x07\x02\x01\x01\x5f\x81\x01\x00",
		"controls that are none": "\x30\x0a\x02\x01\x01\x42\x00\xa0\x03\x02\x01\x01",
	} {
		raw := connect(t, s)
		if _, err := io.WriteString(raw, bad); err != nil {
			t.Fatal(err)
		}
		must(t, raw.SetReadDeadline(time.Now().Add(10*time.Second)))
		got, err := io.ReadAll(raw)
		if err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && len(got) > 0 && !bytes.Contains(got, []byte("1.3.6.1.4.1.1466.20036")) {
			t.Errorf("%s: answered with % x", name, got)
		}
	}
	reader(t, s)
}

func TestRequestsThatAreNotWellFormedAreProtocolErrors(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	for name, bad := range map[string]string{
		"an empty bind": "\x30\x05\x02\x01\x01\x60\x00", "a bind of version 2": "\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x02\x04\x00\x80\x00",
		"an empty search": "\x30\x05\x02\x01\x01\x63\x00", "an empty comparison": "\x30\x05\x02\x01\x01\x6e\x00", "an empty extended operation": "\x30\x05\x02\x01\x01\x77\x00",
		"a search with an unknown filter": "\x30\x1a\x02\x01\x01\x63\x15\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x8b\x00\x30\x00",
		"a not without a term":            "\x30\x1a\x02\x01\x01\x63\x15\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\xa2\x00\x30\x00",
		"an unknown scope":                "\x30\x1a\x02\x01\x01\x63\x15\x04\x00\x0a\x01\x09\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\xa0\x00\x30\x00",
	} {
		raw := connect(t, s)
		if _, err := io.WriteString(raw, bad); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 12)
		must(t, raw.SetReadDeadline(time.Now().Add(10*time.Second)))
		if _, err := io.ReadFull(raw, answer); err != nil || !bytes.Contains(answer, []byte{0x0a, 0x01, 0x02}) {
			t.Errorf("%s: % x, %v", name, answer, err)
		}
	}
}

func TestFiltersOfAnySizeAreAnsweredOrRefused(t *testing.T) {
	t.Parallel()
	c := reader(t, start(t, demodir.Options{}))
	for filter, want := range map[string]uint16{
		"(|" + strings.Repeat("(uid=a)", 2000) + ")":                    0,
		"(|" + strings.Repeat("(uid=a)", 5000) + ")":                    ldap.LDAPResultProtocolError,
		strings.Repeat("(!", 30) + "(uid=a)" + strings.Repeat(")", 30):  0,
		strings.Repeat("(!", 40) + "(uid=a)" + strings.Repeat(")", 40):  ldap.LDAPResultProtocolError,
		"(uid=" + strings.Repeat("a*", 500) + ")":                       0,
		"(uid=" + strings.Repeat("x", 100_000) + ")":                    0,
		"(" + strings.Repeat("x", 10_000) + "=y)":                       0,
		"(member=" + strings.Repeat("cn=a,", 10_000) + "dc=x)":          0,
		"(member=" + strings.Repeat(`\5c`, 1000) + ")":                  0,
		"(telephoneNumber=*" + strings.Repeat(" ", 1000) + "*)":         0,
		"(uidNumber>=999999999999999999999999)":                         0,
		"(cn=" + strings.Repeat(`\00`, 100) + `\ff\fe)`:                 0,
		"(createTimestamp>=99999999999999Z)":                            0,
		"(&(objectClass=*)" + strings.Repeat("(!(cn=\\2a))", 200) + ")": 0,
	} {
		if _, err := c.Search(search(base, ldap.ScopeWholeSubtree, filter)); code(t, err) != want {
			t.Errorf("%.40s… (%d bytes): %v", filter, len(filter), err)
		}
	}
}

func TestAClientThatDoesNotReadLosesItsConnection(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{WriteTimeout: 50 * time.Millisecond})
	must(t, s.SetAttribute("uid=lea,"+people, "description", strings.Repeat("x", 1<<20)))
	raw := connect(t, s)
	if tcp, ok := raw.(*net.TCPConn); ok {
		must(t, tcp.SetReadBuffer(1024))
	}
	bind := ldapBind(s.ServiceDN, s.ServicePassword)
	if _, err := raw.Write(bind); err != nil {
		t.Fatal(err)
	}
	body := "\x04" + string(rune(len(base))) + base + "\x0a\x01\x02\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00"
	searching := "\x30" + string(rune(len(body)+5)) + "\x02\x01\x02\x63" + string(rune(len(body))) + body
	must(t, raw.SetWriteDeadline(time.Now().Add(20*time.Second)))
	for {
		if _, err := io.WriteString(raw, searching); err != nil {
			break // the server has had enough, or takes nothing more in: either is right
		}
	}
	reader(t, s)
}

func ldapBind(dn, password string) []byte {
	body := "\x02\x01\x03\x04" + string(rune(len(dn))) + dn + "\x80" + string(rune(len(password))) + password
	return []byte("\x30" + string(rune(len(body)+5)) + "\x02\x01\x01\x60" + string(rune(len(body))) + body)
}

func TestSlowAndIdleClientsAreLetGo(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{IdleTimeout: 20 * time.Millisecond})
	raw := connect(t, s)
	must(t, raw.SetReadDeadline(time.Now().Add(10*time.Second)))
	if got, err := io.ReadAll(raw); err != nil || len(got) != 0 {
		t.Errorf("an idle connection got % x and %v", got, err)
	}
}

func TestThoseBeyondTheLimitOfConnectionsAreTurnedAway(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{MaxConns: 2})
	first, second := reader(t, s), reader(t, s)
	raw := connect(t, s)
	must(t, raw.SetReadDeadline(time.Now().Add(10*time.Second)))
	if got, err := io.ReadAll(raw); err != nil || !bytes.Contains(got, []byte("too many connections")) {
		t.Errorf("the third got %q and %v", got, err)
	}
	must(t, first.Close())
	deadline := time.Now().Add(10 * time.Second)
	for { // the server notices the end in its own time
		c, err := ldap.DialURL(s.URL)
		must(t, err)
		err = c.Bind(s.ServiceDN, s.ServicePassword)
		_ = c.Close()
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a place that became free is not given away")
		}
	}
	if _, err := second.Search(everything); err != nil {
		t.Error(err)
	}
}

func TestAPanicEndsOneConnectionOnly(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := start(t, demodir.Options{Log: textLog(&log)})
	c := reader(t, s)
	var calls atomic.Int32
	s.Faults.Set(demodir.Search, demodir.Fault{Trouble: demodir.Hang, When: func(demodir.Operation) bool {
		if calls.Add(1) == 1 {
			panic("on purpose")
		}
		return false
	}})
	if _, err := c.Search(everything); err == nil {
		t.Error("the search that failed has an answer")
	}
	if _, err := reader(t, s).Search(everything); err != nil {
		t.Errorf("the next one: %v", err)
	}
	s.Close()
	if !strings.Contains(log.String(), "on purpose") {
		t.Errorf("the log has no word of it: %s", log.String())
	}
}

func TestBrokenConnectionsAreNoticedByTheClient(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	c := reader(t, s)
	s.CloseConnections()
	if _, err := c.Search(everything); !network(err) {
		t.Errorf("the old connection: %v", err)
	}
	reader(t, s)
}

func TestWhatCannotBeServedIsNotStarted(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]demodir.Options{
		"no entries": {LDIF: []byte("# nothing\n")}, "bad LDIF": {LDIF: []byte("what")}, "bad address": {Listen: "nowhere:1:2"}, "bad service": {ServiceDN: "service"},
		"two trees":       {LDIF: []byte("dn: dc=a\nobjectClass: domain\ndc: a\n\ndn: dc=b\nobjectClass: domain\ndc: b\n")},
		"no parent":       {LDIF: []byte("dn: dc=a\nobjectClass: domain\ndc: a\n\ndn: cn=x,ou=y,dc=a\nobjectClass: person\ncn: x\n")},
		"no naming value": {LDIF: []byte("dn: dc=a\nobjectClass: domain\ndc: b\n")},
	} {
		if s, err := demodir.Start(t.Context(), opts); err == nil {
			s.Close()
			t.Errorf("%s: it was started", name)
		}
	}
	_, err := demodir.Start(t.Context(), demodir.Options{LDIF: []byte("dn: dc=a\nobjectClass: domain\ndc: a\nmember: cn=x\nmember: nodn\n\ndn: dc=c\nobjectClass: domain\n")})
	if got := fmt.Sprint(err); !strings.Contains(got, ":5: the value is not what member takes") || !strings.Contains(got, ":7: the entry is not below") {
		t.Errorf("the lines are not named: %v", err)
	}
}

func TestAServiceAccountIsMadeWhereThereIsNone(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{LDIF: []byte("dn: dc=a\nobjectClass: domain\ndc: a\n"), ServiceDN: `cn=Reader\, Read-Only,dc=a`, ServicePassword: "p"})
	c := reader(t, s)
	r, err := c.Search(search("dc=a", ldap.ScopeWholeSubtree, "(cn=reader, read-only)", "cn"))
	if err != nil || len(r.Entries) != 1 || r.Entries[0].GetAttributeValue("cn") != "Reader, Read-Only" {
		t.Error(r, err)
	}
}
