package ldapstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// stream is a connection that gives what it holds, so many bytes at a time.
type stream struct {
	net.Conn
	rest []byte
	step int
}

func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.step)], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// through returns what a guard lets through of text.
func through(text []byte, step int) ([]byte, error) {
	return io.ReadAll(newGuard(&stream{rest: text, step: step}))
}

func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		"", "\x30\x00", "\x30\x05\x02\x01\x07\x05\x00\x30\x00", "\x30\x82\x00\x01x\x30\x81\x02xx", "\x30\x80", "\x31\x00",
		"\x30\x84\x7f\xff\xff\xff", "\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff", "\x30\x89\x00\x00\x00\x00\x00\x00\x00\x00\x01x", "HTTP/1.1",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, step int) {
		whole, err := through(text, len(text)+1)
		step = max(1, step&0xff)
		parts, errParts := through(text, step)
		if (err == nil) != (errParts == nil) {
			t.Fatalf("in one piece: %v; %d bytes at a time: %v", err, step, errParts)
		}
		if err != nil {
			if !errors.Is(err, errBadMessage) {
				t.Fatalf("strange error %v", err)
			}
			return
		}
		if !bytes.Equal(whole, text) || !bytes.Equal(parts, text) {
			t.Fatalf("%q came through as %q and %q", text, whole, parts)
		}
		// What comes through can be read message by message.
		r := bytes.NewReader(text)
		for r.Len() > 0 {
			if _, err := readMessage(r, maxMessage); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

func TestTheGuardStopsMessagesThatAreTooLong(t *testing.T) {
	t.Parallel()
	if _, err := through(appendTLV(nil, tagSequence, make([]byte, maxMessage)), 4096); err != nil {
		t.Errorf("the longest message: %v", err)
	}
	if _, err := through(appendTLV(nil, tagSequence, make([]byte, maxMessage+1)), 4096); !errors.Is(err, errBadMessage) {
		t.Errorf("one byte more: %v", err)
	}
	message := appendTLV(nil, tagSequence, make([]byte, maxMessage))
	g := newGuard(&stream{rest: bytes.Repeat(message, 2*maxExchange/maxMessage), step: 1 << 20})
	n, err := io.Copy(io.Discard, g)
	if !errors.Is(err, errBadMessage) || n > maxExchange {
		t.Errorf("after %d bytes: %v", n, err)
	}
}

func FuzzStartTLSAnswer(f *testing.F) {
	for _, seed := range []string{
		"\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
		"\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00",
		"\x02\x01\x01\x78\x0f\x0a\x01\x35\x04\x00\x04\x08no, no\xff\x00", "\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00", "\x02\x01\x01\x61\x00", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		err := startTLSAnswer(message)
		if err == nil && !bytes.Contains(message, []byte{tagEnumerated, 1, 0}) {
			t.Fatalf("%q was taken for a yes", message)
		}
	})
}

func FuzzTLV(f *testing.F) {
	f.Add(byte(0x30), []byte("content"), []byte("rest"))
	f.Add(byte(0x04), bytes.Repeat([]byte("x"), 300), []byte(nil))
	f.Fuzz(func(t *testing.T, tag byte, content, rest []byte) {
		b := append(appendTLV(nil, tag, content), rest...)
		gotTag, gotContent, gotRest, err := takeTLV(b)
		if err != nil || gotTag != tag || !bytes.Equal(gotContent, content) || !bytes.Equal(gotRest, rest) {
			t.Fatalf("got %x %q %q %v", gotTag, gotContent, gotRest, err)
		}
		_, _, _, _ = takeTLV(content) // anything, but no panic
	})
}

func FuzzFilterValue(f *testing.F) {
	for _, seed := range []string{"alice", "*", "a)(uid=*", `\2a`, "\x00", "\xff\xfe", " ", "ü", "", "&|!:=~<>", "\ufffd"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		packet, err := ldap.CompileFilter(allOf("(objectClass=person)", anyOf(equal("uid", value), equal("mail", value))))
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		either := packet.Children[1]
		if len(packet.Children) != 2 || len(either.Children) != 2 {
			t.Fatalf("%q changed the filter", value)
		}
		for i, attribute := range []string{"uid", "mail"} {
			c := either.Children[i]
			if c.Tag != ldap.FilterEqualityMatch || c.Children[0].Value != attribute || c.Children[1].Value != value {
				t.Fatalf("%q became %v", value, c)
			}
		}
		if _, err := matchedValues([]string{equal("member", value), "(cn=*)"}); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzGeneralizedTime(f *testing.F) {
	for _, seed := range []string{
		"20251122031415Z", "2025112203Z", "202511220314.5Z", "20251122031415,123456+0130", "000001010000Z", "20240229000000Z", "20230229000000Z", "2025112203-05", "Z", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseGeneralizedTime(s)
		if err != nil {
			return
		}
		again, err := parseGeneralizedTime(at.UTC().Format("20060102150405.999999999Z"))
		if at.Year() >= 0 && at.Year() <= 9999 && (err != nil || !again.Equal(at)) {
			t.Fatalf("%q is %v, and again %v, %v", s, at, again, err)
		}
	})
}

func TestGeneralizedTimesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"20251122031415Z":        "2025-11-22T03:14:15Z",
		"2025112203Z":            "2025-11-22T03:00:00Z",
		"202511220314.5Z":        "2025-11-22T03:14:30Z",
		"2025112203,25Z":         "2025-11-22T03:15:00Z",
		"20251122031415.25+0130": "2025-11-22T01:44:15.25Z",
		"20251122031415-05":      "2025-11-22T08:14:15Z",
		"20240229120000Z":        "2024-02-29T12:00:00Z",
		"20161231235960Z":        "2017-01-01T00:00:00Z",
		"000001010000Z":          "0000-01-01T00:00:00Z",
		"20251122031415.123456Z": "2025-11-22T03:14:15.123456Z",
		"20251122031415":         "",
		"20251122031415z":        "",
		"20250229000000Z":        "",
		"20251322000000Z":        "",
		"20251122240000Z":        "",
		"2025112203141Z":         "",
		"20251122031415.Z":       "",
		"20251122031415+2400":    "",
		"20251122031415+01:00":   "",
		"+0251122031415Z":        "",
		"20251122031415Z ":       "",
		"20251122031415.1e1Z":    "",
		"2025-11-22T03:14:15Z":   "",
		"":                       "",
		"９０２５１１２２０３１４１５Z": "",
	} {
		at, err := parseGeneralizedTime(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q was read as %v", text, at)
			}
			continue
		}
		if err != nil || at.Format(time.RFC3339Nano) != want {
			t.Errorf("%q is %v, %v, want %s", text, at, err, want)
		}
	}
}

// FuzzBindAnswer lets a server answer a person's bind with anything: no bytes may
// hang or crash the client, and only a success of the server lets in.
func FuzzBindAnswer(f *testing.F) {
	answer := func(code byte, controls string) []byte {
		body := append([]byte{tagInteger, 1, 1}, appendTLV(nil, 0x61, []byte{tagEnumerated, 1, code, 4, 0, 4, 0})...)
		return appendTLV(nil, tagSequence, append(body, controls...))
	}
	policy := func(value string) string {
		control := appendTLV(nil, tagOctetString, []byte(ldap.ControlTypeBeheraPasswordPolicy))
		control = append(control, appendTLV(nil, tagOctetString, []byte(value))...)
		return string(appendTLV(nil, 0xa0, appendTLV(nil, tagSequence, control)))
	}
	f.Add(answer(0, ""))
	f.Add(answer(49, ""))
	f.Add(answer(0, policy("\x30\x03\x81\x01\x02")))
	f.Add(answer(49, policy("\x30\x03\x81\x01\x00")))
	f.Add(answer(0, policy("\x30\x05\xa0\x03\x81\x01\x03")))
	f.Add(answer(0, policy("\x30\x84\xff")))
	f.Add([]byte("\x30\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		client, server := net.Pipe()
		defer func() { _ = server.Close() }()
		go func() {
			b := make([]byte, 1024)
			if _, err := server.Read(b); err == nil {
				_, _ = server.Write(text)
			}
			_ = server.Close()
		}()
		c := newConn(client, client, time.Now())
		defer c.close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		controls, err := c.bind(ctx, "cn=x", "y")
		k := openldap()
		verdict := k.judge(err, controls, oidc.StateActive)
		if ctx.Err() != nil {
			t.Fatalf("%q held the client up", text)
		}
		if verdict == nil && (err != nil || !bytes.Contains(text, []byte{0})) {
			t.Fatalf("%q let in", text)
		}
		if verdict != nil && !isRefusal(verdict) && !errors.Is(verdict, oidc.ErrUnavailable) {
			t.Fatalf("%q gave %v", text, verdict)
		}
	})
}

func FuzzGUID(f *testing.F) {
	ad, _ := kindNamed("ad")
	table := &table{Kind: ad}
	f.Add([]byte("0123456789abcdef"), "33323130-3534-3736-3839-616263646566")
	f.Fuzz(func(t *testing.T, raw []byte, text string) {
		if id, ok := table.decodeID(string(raw)); ok {
			back, ok := table.encodeID(id)
			if !ok || back != string(raw) {
				t.Fatalf("%x became %s became %x", raw, id, back)
			}
		}
		if value, ok := table.encodeID(text); ok {
			id, ok := table.decodeID(value)
			if !ok || !strings.EqualFold(id, text) {
				t.Fatalf("%s became %x became %s", text, value, id)
			}
		}
	})
}

func FuzzURL(f *testing.F) {
	f.Add("ldap://127.0.0.1:389", false)
	f.Add("ldap://ldap.example.org", true)
	f.Add("ldaps://[::1]:636", false)
	f.Add("ldapi://%2Frun%2Fslapd%2Fldapi", false)
	f.Add("ldapi:///run/../ldapi", true)
	f.Add("ldap+srv://example.org", true)
	f.Add("ldaps+srv://example.org", false)
	f.Fuzz(func(t *testing.T, text string, startTLS bool) {
		e, problem := parseURL(text, startTLS)
		if problem != nil {
			if problem.Hint == "" || problem.Message == "" {
				t.Fatalf("%q: no help in %+v", text, problem)
			}
			return
		}
		if e.network == "unix" {
			if again, problem := parseURL(e.url, startTLS); problem != nil || again != e {
				t.Fatalf("%q became %q, which is another: %+v %v", text, e.url, again, problem)
			}
			return
		}
		if !e.encrypted() && !isLoopback(e.host) {
			t.Fatalf("%q would send passwords in the clear", text)
		}
	})
}
