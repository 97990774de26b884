package ldapstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// FuzzFilter compares what is sent for a filter with what go-ldap makes of it.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"(uid=alice)", "(&(objectClass=person)(|(uid=a\\2ab)(mail=*)))", "(!(cn=x))", "(cn=a*b*c)", "(cn:dn:2.5.13.2:=x)", "(a>=1)", "(a<=1)", "(a~=x)",
		"(&)", "(|)", "(!)", "(cn=)", "(cn=\\zz)", "(cn=\xff)", "(cn=(x)", "((cn=x))", "(cn=x))", " (cn=x)", "(cn=**)", "(cn= )", "(cn=\\00\\ff)", "", "(",
		"(memberOf:1.2.840.113556.1.4.1941:=cn=x)", "(userAccountControl:1.2.840.113556.1.4.803:=2)", "(cn=x\\)", "(c n=x)", "(" + strings.Repeat("!(", 200) + "cn=x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, filter string) {
		got, err := appendFilter([]byte("before"), filter)
		packet, errWant := ldap.CompileFilter(filter)
		if (err == nil) != (errWant == nil) {
			t.Fatalf("%q: %v, go-ldap says %v", filter, err, errWant)
		}
		if err == nil && string(got) != "before"+string(packet.Bytes()) {
			t.Fatalf("%q became %x, go-ldap makes %x of it", filter, got[6:], packet.Bytes())
		}
	})
}

// FuzzMessage reads any message as everything that it may be. Entries and results
// mean what go-ldap takes them for.
func FuzzMessage(f *testing.F) {
	wrap := func(op byte, content, controls string) []byte {
		return append(append([]byte{tagInteger, 1, 1}, appendTLV(nil, op, []byte(content))...), controls...)
	}
	f.Add(wrap(tagSearchEntry, "\x04\x04cn=x\x30\x13\x30\x08\x04\x02cn\x31\x02\x04\x00\x30\x07\x04\x01a\x31\x02\x04\x00", ""))
	f.Add(wrap(tagSearchEntry, "\x04\x00\x30\x00", ""))
	f.Add(wrap(tagSearchDone, "\x0a\x01\x31\x04\x00\x04\x02no", "\xa0\x1f\x30\x1d\x04\x161.2.840.113556.1.4.319\x04\x03\x30\x01x"))
	f.Add(wrap(tagSearchDone, "\x0a\x02\x10\x00\x04\x00\x04\x00", ""))
	f.Add([]byte("\x02\x01\x00\x78\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		m, err := parseMessage(content)
		if err != nil {
			return
		}
		_, _ = m.nextPage()
		_, _ = m.policyControls()
		_ = m.result()
		e, err := m.entry(strings.ToLower)
		if err != nil {
			if !errors.Is(err, errBadMessage) {
				t.Fatalf("strange error %v", err)
			}
			return
		}
		packet, err := ber.DecodePacketErr(appendTLV(nil, tagSearchEntry, m.content))
		if err != nil || len(packet.Children) < 2 || packet.Children[0].Tag != ber.TagOctetString {
			return
		}
		want := map[string][]string{}
		for _, a := range packet.Children[1].Children {
			if len(a.Children) < 2 {
				return
			}
			name := strings.ToLower(a.Children[0].Data.String())
			for _, v := range a.Children[1].Children {
				if v.Tag != ber.TagOctetString || v.TagType != ber.TypePrimitive {
					return
				}
				want[name] = append(want[name], v.Data.String())
			}
		}
		for name, values := range want {
			if !reflect.DeepEqual(e.attributes[name], values) {
				t.Fatalf("%s is %q, asn1-ber reads %q", name, e.attributes[name], values)
			}
		}
	})
}

func TestNumbersAndLengthsAreWrittenAsBERWantsThem(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 127, 128, 255, 256, 32767, 32768, 1 << 23, 1<<31 - 1} {
		want := ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, int64(n), "").Bytes()
		got := appendNumber(nil, tagInteger, n)
		if !bytes.Equal(got, want) {
			t.Errorf("%d is %x, want %x", n, got, want)
		}
		if back, ok := number(got[2:]); !ok || back != n {
			t.Errorf("%x is read as %d, %v", got, back, ok)
		}
	}
	for _, n := range []int{0, 127, 128, 255, 256, 65535, 65536, 1 << 20} {
		content := bytes.Repeat([]byte("x"), n)
		b, at := open([]byte("before"), tagSequence)
		if got := shut(append(b, content...), at); !bytes.Equal(got[6:], appendTLV(nil, tagSequence, content)) {
			t.Errorf("a length of %d is %x", n, got[6:min(len(got), 16)])
		}
	}
	for _, bad := range []string{"", "\x80", "\xff", "\x01\x02\x03\x04\x05\x06"} {
		if n, ok := number([]byte(bad)); ok {
			t.Errorf("%x is read as %d", bad, n)
		}
	}
}

func TestControlsOfPasswordPoliciesAreRead(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]*ldap.ControlBeheraPasswordPolicy{
		"":                                 {Expire: -1, Grace: -1, Error: -1},
		"\x30\x00":                         {Expire: -1, Grace: -1, Error: -1},
		"\x30\x03\x81\x01\x02":             {Expire: -1, Grace: -1, Error: 2},
		"\x30\x05\xa0\x03\x81\x01\x03":     {Expire: -1, Grace: 3, Error: -1},
		"\x30\x06\xa0\x04\x80\x02\x0e\x10": {Expire: 3600, Grace: -1, Error: -1},
		"\x30":                             nil,
		"\x31\x00":                         nil,
		"\x30\x03\x81\x01\xff":             nil,
		"\x30\x02\x81\x00":                 nil,
		"\x30\x02\xa0\x00":                 nil,
	} {
		got, err := passwordPolicy([]byte(value))
		if want == nil {
			if err == nil {
				t.Errorf("%x was read as %v", value, got)
			}
			continue
		}
		if err != nil || got.Expire != want.Expire || got.Grace != want.Grace || got.Error != want.Error {
			t.Errorf("%x is %v, %v, want %v", value, got, err, want)
		}
	}
}

// answering returns a connection to a server that reads one request and sends
// text.
func answering(t *testing.T, text string) *conn {
	t.Helper()
	client, server := net.Pipe()
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	go func() {
		b := make([]byte, 4096)
		if _, err := server.Read(b); err == nil {
			_, _ = io.WriteString(server, text)
		}
	}()
	return newConn(client, client, time.Now())
}

func TestOnlyWholeAnswersToTheRequestCount(t *testing.T) {
	t.Parallel()
	const entry, done = "\x30\x0f\x02\x01\x01\x64\x0a\x04\x04cn=x\x30\x02\x30\x00", "\x30\x0c\x02\x01\x01\x65\x07\x0a\x01\x00\x04\x00\x04\x00"
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"another number":      {strings.Replace(done, "\x02\x01\x01", "\x02\x01\x02", 1), errBadMessage},
		"a notice of the end": {"\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x34\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20036", errBadMessage},
		"an answer to a bind": {strings.Replace(done, "\x65", "\x61", 1), errBadMessage},
		"a broken entry":      {entry + done, errBadMessage},
		"nothing but noise":   {"HTTP/1.1 400 Bad Request\r\n\r\n", errBadMessage},
		"a success":           {done, nil},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		conn := answering(t, c.text)
		_, err := conn.search(ctx, &query{filter: "(cn=x)"})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if conn.alive() != (c.want == nil) {
			t.Errorf("%s: the connection is taken for alive: %v", name, conn.alive())
		}
	}
}

func TestGoLDAPGivesTheConnectionBack(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	go func() { // answers every search with success
		c := newConn(server, server, time.Now())
		for {
			m, err := c.read()
			if err != nil {
				return
			}
			b, at := open(nil, tagSequence)
			b = appendNumber(b, tagInteger, m.id)
			b = appendTLV(b, tagSearchDone, []byte("\x0a\x01\x00\x04\x00\x04\x00"))
			if _, err := server.Write(shut(b, at)); err != nil {
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c := newConn(client, client, time.Now())
	for range 20 {
		err := c.do(ctx, func(l *ldap.Conn) error {
			for range 3 {
				if _, err := l.Search(&ldap.SearchRequest{Filter: "(cn=x)"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || !c.alive() {
			t.Fatalf("by go-ldap: %v, alive %v", err, c.alive())
		}
		if _, err := c.search(ctx, &query{filter: "(cn=x)"}); err != nil {
			t.Fatalf("by ourselves: %v", err)
		}
	}
}
