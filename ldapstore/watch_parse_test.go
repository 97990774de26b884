package ldapstore

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"strings"
	"testing"
	"time"
)

const anyCSN = "20251122031415.123456Z#000000#001#000000"

func TestPositionsAreComparedByServer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect      dialect
		told, wanted []string
		want         bool
	}{
		{openldapDialect{}, []string{anyCSN}, []string{anyCSN}, true},
		{openldapDialect{}, []string{anyCSN}, []string{"20251122031415.123457Z#000000#001#000000"}, false},
		{openldapDialect{}, []string{anyCSN}, []string{"20251122031415.123455Z#000000#001#000000"}, true},
		{openldapDialect{}, []string{anyCSN}, []string{"20251122031415.123456Z#000001#001#000000"}, false},
		{openldapDialect{}, []string{anyCSN}, []string{"20251122031415.123456Z#000000#002#000000"}, false}, // of a second provider
		{openldapDialect{}, []string{anyCSN, "20251122031416.000000Z#000000#002#000000"}, []string{anyCSN, "20251122031415.123456Z#000000#002#000000"}, true},
		{openldapDialect{}, []string{"zzzz#000000#001#000000"}, []string{anyCSN}, false},
		{openldapDialect{}, []string{strings.Replace(anyCSN, "2025", "zzzz", 1)}, []string{anyCSN}, false},
		{openldapDialect{}, []string{anyCSN + "0"}, []string{anyCSN}, false},
		{dirsrvDialect{}, []string{"9"}, []string{"10"}, false},
		{dirsrvDialect{}, []string{"100"}, []string{"99"}, true},
		{dirsrvDialect{}, []string{"x"}, []string{"1"}, false},
		{dirsrvDialect{}, []string{"-1"}, []string{"1"}, false},
	} {
		told, wanted := position{}, position{}
		c.dialect.read(told, c.told)
		c.dialect.read(wanted, c.wanted)
		if got := told.covers(wanted); got != c.want {
			t.Errorf("%v covers %v: %v, want %v", c.told, c.wanted, got, c.want)
		}
	}
}

// FuzzSyncCookie reads cookies of both dialects: what was told before stays told, and
// nothing is understood that is not a position.
func FuzzSyncCookie(f *testing.F) {
	f.Add("rid=000,csn=" + anyCSN)
	f.Add("rid=000,sid=001,csn=" + anyCSN + ";20251122031415.123456Z#000000#002#000000,delcsn=" + anyCSN)
	f.Add("csn=;;#,csn=")
	f.Add("ldap.example.org:389#cn=reader:dc=example:(objectClass=*)#17")
	f.Add("#18446744073709551616")
	f.Add("#")
	f.Fuzz(func(t *testing.T, cookie string) {
		for _, d := range []dialect{openldapDialect{}, dirsrvDialect{}} {
			p := position{}
			d.read(p, []string{anyCSN, "17"})
			before := maps.Clone(p)
			d.told(p, cookie)
			if !p.covers(before) {
				t.Fatalf("%q takes back what was told: %v, before %v", cookie, p, before)
			}
			for server, at := range p {
				if len(at) != 40 && len(at) != 20 || len(server) > 3 || strings.Trim(at, "0123456789abcdef.#Z") != "" {
					t.Fatalf("%q is understood as %q of %q", cookie, at, server)
				}
			}
		}
	})
}

// FuzzSyncMessage reads any message as each that a stream of changes is made of.
func FuzzSyncMessage(f *testing.F) {
	state := "\x04\x181.3.6.1.4.1.4203.1.9.1.2\x04\x17\x30\x15\x0a\x01\x02\x04\x100123456789abcdef"
	f.Add([]byte("\x02\x01\x05\x64\x08\x04\x04cn=x\x30\x00\xa0\x35\x30\x33" + state))
	f.Add([]byte("\x02\x01\x05\x79\x1f\x80\x181.3.6.1.4.1.4203.1.9.1.4\x81\x03\x80\x01x"))
	f.Add([]byte("\x02\x01\x05\x79\x21\x80\x181.3.6.1.4.1.4203.1.9.1.4\x81\x05\xa2\x03\x01\x01\xff"))
	f.Add([]byte("\x02\x01\x05\x79\x25\x80\x181.3.6.1.4.1.4203.1.9.1.4\x81\x09\xa3\x07\x04\x01x\x31\x02\x04\x00"))
	f.Add([]byte("\x02\x01\x05\x79\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := parseMessage(content)
		if err != nil {
			return
		}
		for _, d := range []dialect{openldapDialect{}, dirsrvDialect{}} {
			feed := &contentSync{dialect: d, known: position{}}
			s, err := feed.state(&m)
			if err != nil && !errors.Is(err, errBadMessage) {
				t.Fatalf("strange error %v", err)
			}
			if err == nil && len(s.name) < 32 {
				t.Fatalf("an entry is called %q", s.name)
			}
			_, done, err := feed.info(&m)
			if err != nil && (done || !errors.Is(err, errBadMessage)) {
				t.Fatalf("done %v with the error %v", done, err)
			}
		}
	})
}

// deaf is a connection that says what it is given and takes everything in.
type deaf struct {
	net.Conn
	io.Reader
}

func (d deaf) Read(b []byte) (int, error)     { return d.Reader.Read(b) }
func (deaf) Write(b []byte) (int, error)      { return len(b), nil }
func (deaf) SetWriteDeadline(time.Time) error { return nil }
func (deaf) Close() error                     { return nil }

// FuzzStream has each feed listen to anything. What does not answer the question
// that was asked proves nothing.
func FuzzStream(f *testing.F) {
	const end, number = "\x0a\x01\x00\x04\x00\x04\x00", "\x30\x1b\x30\x19\x04\x13highestCommittedUSN\x31\x02\x04\x00"
	f.Add([]byte("\x30\x0c\x02\x01\x06\x65\x07" + end))
	f.Add([]byte("\x30\x0c\x02\x01\x05\x65\x07" + end + "\x30\x05\x02\x01\x06\x73\x00"))
	f.Add([]byte("\x30\x24\x02\x01\x06\x64\x1f\x04\x00" + number + "\x30\x0c\x02\x01\x06\x65\x07" + end))
	f.Add([]byte("\x30\x05\x02\x01\x05\x79\x00"))
	f.Add([]byte("\x30\x84\x7f\xff\xff\xff"))
	for _, answer := range []string{
		"\x02\x01\x06\x64\x3e\x04\x00\x30\x3a\x30\x38\x04\x0acontextCSN\x31\x2a\x04\x28" + anyCSN,
		"\x02\x01\x06\x64\x2a\x04\x00\x30\x26\x30\x24\x04\x13highestCommittedUSN\x31\x0d\x04\x0b1099511627776",
	} {
		info := "\x30\x51\x02\x01\x05\x79\x4c\x80\x181.3.6.1.4.1.4203.1.9.1.4\x81\x30\x80\x2ecsn=" + anyCSN
		f.Add([]byte(info + string(appendTLV(nil, tagSequence, []byte(answer))) + "\x30\x0c\x02\x01\x06\x65\x07" + end))
	}
	k, _ := kindNamed("ad")
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, make := range []func(*watcher, *conn) feed{
			func(w *watcher, c *conn) feed {
				return &contentSync{w: w, t: newTable(openldap(), &Options{BaseDN: "dc=example"}), c: c, dialect: openldapDialect{}, id: 5, known: position{}}
			},
			func(w *watcher, c *conn) feed {
				return &updateNumbers{w: w, t: newTable(k, &Options{BaseDN: "dc=example"}), c: c, watch: 5, last: 5, told: 1 << 40}
			},
		} {
			m := newMemory(0)
			m.doubt()
			d := &Directory{options: Options{Timeout: time.Second}, log: slog.New(slog.DiscardHandler)}
			c := &conn{raw: deaf{}, stream: deaf{}, in: bufio.NewReader(bytes.NewReader(said)), names: map[string]string{}}
			one := make(&watcher{d: d, cache: m.cache, changed: func(Change) {}}, c)
			if err := one.beat(); err != nil {
				t.Fatal(err)
			}
			if err := one.listen(); err == nil {
				t.Fatal("a stream ended without an error")
			}
			told := bytes.ToLower(said)
			if proven := m.lease.Load() != nil; proven && !bytes.Contains(told, []byte("contextcsn")) && !bytes.Contains(told, []byte("highestcommittedusn")) {
				t.Fatalf("%x proves the stream", said)
			}
		}
	})
}
