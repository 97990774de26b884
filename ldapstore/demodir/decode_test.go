package demodir

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"gatehouse/oidc"
)

// office returns the snapshot of a tree that holds the office.
func office(t testing.TB) *Server {
	t.Helper()
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte("\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"))
	f.Add([]byte("\x30\x25\x02\x01\x07\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00"))
	f.Add([]byte("\x30\x2c\x02\x01\x02\x63\x07\x04\x00\x0a\x01\x02\x30\x00\xa0\x1e\x30\x1c\x04\x161.2.840.113556.1.4.319\x01\x01\xff\x04\x00"))
	f.Add([]byte("\x30\x05\x02\x01\x01\x77\x00"))
	f.Add([]byte("\x30\x25\x02\x01\x01\x77\x20\x80\x171.3.6.1.4.1.4203.1.11.1\x81\x05\x30\x03\x82\x01x"))
	server := office(f)
	c := &conn{server: server, ctx: server.ctx, key: server.serviceKey}
	snap := server.tree.current.Load()
	entry := snap.entries[len(snap.entries)-1]
	attrs := snap.attributes(entry)
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := readFrame(bufio.NewReader(bytes.NewReader(data)), maxRequestBytes, func() {})
		if err != nil {
			return
		}
		m, err := decodeMessage(frame)
		if err != nil {
			return
		}
		if _, prepare := c.handler(m); prepare != nil {
			if op, run, refusal := prepare(m); (run == nil) == (refusal == nil) || op.Kind == "" {
				t.Fatalf("%+v: to run %v, refused with %v", op, run != nil, refusal)
			}
		}
		if m.op.Tag == opSearchRequest {
			if r, ok := decodeSearch(m.op); ok {
				r.filter.prepare(snap.schema)
				r.filter.match(entry, attrs)
			}
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add([]byte("\xa0\x0e\x87\x03uid\xa3\x07\x04\x02cn\x04\x01a"))
	f.Add([]byte("\xa4\x0d\x04\x02cn\x30\x07\x80\x01a\x81\x00\x82\x00"))
	f.Add([]byte("\xa9\x13\x81\x082.5.13.2\x82\x02ou\x83\x00\x84\x01\xff"))
	f.Add([]byte("\xa2\x0c\xa5\x0a\x04\x05pwd\x20\x04\x01\x31"))
	server := office(f)
	snap := server.tree.current.Load()
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := checkBER(data, 0, maxRequestNodes); err != nil {
			return
		}
		p, err := ber.DecodePacketErr(data)
		if err != nil {
			return
		}
		budget := maxFilterTerms
		decoded, err := decodeFilter(p, 0, &budget)
		if err != nil {
			return
		}
		if decoded.String() == "" {
			t.Fatal("the filter has no text")
		}
		decoded.prepare(snap.schema)
		for _, e := range snap.entries {
			attrs := snap.attributes(e)
			v := decoded.match(e, attrs)
			if w := (&filter{kind: filterNot, terms: []*filter{decoded}}).match(e, attrs); v == undefined && w != undefined || v != undefined && v == w {
				t.Fatalf("%s is %d, and its negation %d", decoded, v, w)
			}
		}
	})
}

func TestPasswordsMatchInEveryScheme(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]bool{
		"secret": true, "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=": true, "{sha256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=": true,
		"{SHA512}vSsar3708Jvp9Szi2NWZZ02Bqp1qRCFpbcTZPdBhnWgs5WtNZKnvCXdhztmeD2cmW192CF5bDufKRpayrW/isg==": true,
		"{SSHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=":                                            true, // an empty salt
		"{CRYPT}secret": false, "{SHA}": false, "{SHA}secret": false, "{SSHA}5en6": false, "{": false, "}": false, "": false, "{}secret": false, "Secret": false,
		"{SHA}5en6G6MezRroT3XKqkdPOmY/BfQAAA==": false,
	} {
		if got := passwordIs(stored, "secret"); got != want {
			t.Errorf("%q: %v", stored, got)
		}
	}
	a, b := HashPassword("secret"), HashPassword("secret")
	if a == b || !passwordIs(a, "secret") || passwordIs(a, "Secret") {
		t.Error(a, b)
	}
}

func TestAPanicInAnOperationIsAnswered(t *testing.T) {
	t.Parallel()
	s := office(t)
	ours, theirs := pipe(t)
	c := newConn(s, ours, 1)
	c.spawn(&message{id: 5}, opSearchDone, func(context.Context) { panic("on purpose") })
	if err := theirs.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	frame, err := readFrame(bufio.NewReader(theirs), maxRequestBytes, func() {})
	if err != nil || !bytes.Contains(frame, []byte{0x0a, 0x01, codeOther}) {
		t.Errorf("% x, %v", frame, err)
	}
	c.inFlight.Wait()
}

func TestNamesAreSpelledAsTheyWereGiven(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]string{
		`cn=Foo\, Bar,dc=x`: "Foo, Bar", `cn=Foo\2C Bar,dc=x`: "Foo, Bar", `uid=1+cn=M\C3\9CLLER ,dc=x`: "MÜLLER", `cn="Foo, Bar",dc=x`: "foo, bar", `cn=a=B,dc=x`: "a=B",
	} {
		key := oidc.MustParseDN(dn).Key()
		var folded string
		for _, p := range rdnParts(key[:len(key)-len(",dc=x")]) {
			if p.attribute == "cn" {
				folded = p.value
			}
		}
		if got := spelt(dn, folded); got != want {
			t.Errorf("%s: %q, not %q", dn, got, want)
		}
	}
	for dn, want := range map[string]string{`cn=a\, b,dc=x`: `cn=a\2C b,dc=x`, `cn=\c3\a4\\\+,dc=x`: `cn=\c3\a4\5C\2B,dc=x`, `cn=\# a\`: `cn=\# a\`} {
		if got := pretty(dn); got != want {
			t.Errorf("%s: %s, not %s", dn, got, want)
		}
	}
}

func pipe(t *testing.T) (ours, theirs net.Conn) {
	t.Helper()
	ours, theirs = net.Pipe()
	t.Cleanup(func() { _, _ = ours.Close(), theirs.Close() })
	return ours, theirs
}
