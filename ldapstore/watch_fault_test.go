package ldapstore_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
)

// sabotage is what becomes of a message of the server on the way of a stream of
// changes: what is sent on. told means that it is of the stream itself and answers
// no question. An error cuts the connection.
type sabotage func(message []byte, told bool, stream byte) (instead []byte, err error)

// saboteur passes connections on to a server. Those on which a stream of changes is
// asked for it spoils while a sabotage is set.
type saboteur struct {
	url   string
	fault atomic.Pointer[sabotage]
	done  atomic.Int64 // how many messages were spoilt
}

func startSaboteur(t testing.TB, target string) *saboteur {
	t.Helper()
	l := listen(t)
	r := &saboteur{url: "ldap://" + l.Addr().String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", strings.TrimPrefix(target, "ldap://"))
			if err != nil {
				_ = client.Close()
				continue
			}
			c := &tapped{saboteur: r, client: client, server: server}
			go c.forth()
			go c.back()
		}
	}()
	return r
}

// tapped is one connection.
type tapped struct {
	*saboteur
	client, server net.Conn
	stream         atomic.Int64 // number of the search that goes on; 0 for none
}

func (c *tapped) end() { _, _ = c.client.Close(), c.server.Close() }

// forth passes on what the client says, and notices the search that goes on by its
// control: of content synchronisation, or of notifications.
func (c *tapped) forth() {
	defer c.end()
	in := bufio.NewReader(c.client)
	for {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		for _, oid := range []string{"1.3.6.1.4.1.4203.1.9.1.1", "1.2.840.113556.1.4.528"} {
			if bytes.Contains(m, []byte(oid)) {
				c.stream.Store(int64(messageID(m)))
			}
		}
		if _, err := c.server.Write(m); err != nil {
			return
		}
	}
}

func (c *tapped) back() {
	defer c.end()
	in := bufio.NewReader(c.server)
	for {
		m, err := readMessage(in)
		if err != nil {
			return
		}
		if f, stream := c.fault.Load(), c.stream.Load(); f != nil && stream != 0 {
			m, err = (*f)(m, int64(messageID(m)) == stream, byte(stream))
			c.done.Add(1)
			if err != nil {
				_, _ = c.client.Write(m)
				return
			}
		}
		if _, err := c.client.Write(m); err != nil {
			return
		}
	}
}

// readMessage reads a whole LDAP message.
func readMessage(in *bufio.Reader) ([]byte, error) {
	head := make([]byte, 2, 64)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, err
	}
	n := int(head[1])
	if n >= 0x80 {
		var long [8]byte
		size := n & 0x7f
		if size > 4 {
			return nil, io.ErrUnexpectedEOF
		}
		if _, err := io.ReadFull(in, long[8-size:]); err != nil {
			return nil, err
		}
		head, n = append(head, long[8-size:]...), int(binary.BigEndian.Uint64(long[:]))
	}
	m := append(head, make([]byte, n)...)
	_, err := io.ReadFull(in, m[len(head):])
	return m, err
}

// messageID returns the number of a message.
func messageID(m []byte) (id int) {
	at := 2
	if m[1] >= 0x80 {
		at += int(m[1] & 0x7f)
	}
	for _, b := range m[at+2 : at+2+int(m[at+1])] {
		id = id<<8 | int(b)
	}
	return id
}

// sabotages are all ways in which a stream goes wrong.
func sabotages() map[string]sabotage {
	pass := func(m []byte) ([]byte, error) { return m, nil }
	return map[string]sabotage{
		"it falls silent": func([]byte, bool, byte) ([]byte, error) { return nil, nil },
		"its changes are lost and its proofs are not": func(m []byte, told bool, _ byte) ([]byte, error) {
			if told {
				return nil, nil
			}
			return pass(m)
		},
		"its proofs are lost": func(m []byte, told bool, _ byte) ([]byte, error) {
			if !told {
				return nil, nil
			}
			return pass(m)
		},
		"it is cut":              func([]byte, bool, byte) ([]byte, error) { return nil, io.EOF },
		"it is cut in a message": func(m []byte, _ bool, _ byte) ([]byte, error) { return m[:len(m)/2], io.EOF },
		"it stalls in a message": func(m []byte, _ bool, _ byte) ([]byte, error) { return m[:len(m)/2], nil },
		"it sends noise":         func([]byte, bool, byte) ([]byte, error) { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), nil },
		"it sends bits turned":   func(m []byte, _ bool, _ byte) ([]byte, error) { return turned(m), nil },
		"it announces gigabytes": func([]byte, bool, byte) ([]byte, error) { return []byte("\x30\x84\x7f\xff\xff\xff\x02\x01\x01"), nil },
		"it repeats itself":      func(m []byte, _ bool, _ byte) ([]byte, error) { return append(bytes.Clone(m), m...), nil },
		"it answers what is not asked": func(m []byte, _ bool, _ byte) ([]byte, error) {
			return append([]byte("\x30\x0c\x02\x01\x7b\x65\x07\x0a\x01\x00\x04\x00\x04\x00"), m...), nil
		},
		"the server loses its place (RFC 4533, 3.4)": func(_ []byte, _ bool, stream byte) ([]byte, error) {
			return []byte("\x30\x0d\x02\x01" + string(stream) + "\x65\x08\x0a\x02\x10\x00\x04\x00\x04\x00"), nil // e-syncRefreshRequired
		},
		"the server says goodbye (RFC 4511, 4.4.1)": func([]byte, bool, byte) ([]byte, error) {
			return []byte("\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x34\x04\x00\x04\x00\x8a\x161.3.6.1.4.1.1466.20036"), nil
		},
	}
}

// turned turns every bit of the second half.
func turned(m []byte) []byte {
	out := bytes.Clone(m)
	for i := len(out) / 2; i < len(out); i++ {
		out[i] = ^out[i]
	}
	return out
}

// TestAStreamThatGoesWrongIsNotTrusted: whatever becomes of the stream, and however
// long, an answer has every change that was made a second before, and look-ups
// go on. Afterwards the directory is watched again.
func TestAStreamThatGoesWrongIsNotTrusted(t *testing.T) {
	t.Parallel()
	for kind, c := range directories() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := c.start(t)
			r := startSaboteur(t, s.URL)
			o := options(s)
			o.URL, o.Timeout = []string{r.url}, 2*time.Second
			d := watched(t, o, nil)
			id, round := mustUser(t, d, "alice").ID, 0
			for what, fault := range sabotages() {
				remember(t, d, id)
				r.done.Store(0)
				r.fault.Store(&fault)
				eventually(t, what+": it has gone wrong", func() bool {
					_, err := d.User(t.Context(), id) // which keeps the proofs coming
					return r.done.Load() > 0 && err == nil
				})
				for range 2 {
					round++
					s.Modify(s.PersonDN("alice"), "title", fmt.Sprint("title ", round))
					seesTitle(t, d, id, what, fmt.Sprint("title ", round))
				}
				r.fault.Store(nil)
				eventually(t, what+": the stream is proven again", func() bool {
					_, err := d.User(t.Context(), id)
					return err == nil && ldapstore.Proven(d)
				})
			}
		})
	}
}

// seesTitle asks until the answer has a new title, for less than a second.
func seesTitle(t *testing.T, d *ldapstore.Directory, id, what, title string) {
	t.Helper()
	changed := time.Now()
	for {
		asked := time.Now()
		u, err := d.User(t.Context(), id)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		if u.First("title") == title {
			return
		}
		// An answer given later than asked is no older than the question.
		if age := asked.Sub(changed); age > time.Second {
			t.Errorf("%s: %v after the change the title is %q", what, age, u.First("title"))
			return
		}
	}
}

// TestAStreamThatGoesWrongLeaksNothing: each new try gives back what it took.
func TestAStreamThatGoesWrongLeaksNothing(t *testing.T) {
	s := ldaptest.Start(t)
	r := startSaboteur(t, s.URL)
	o := options(s)
	o.URL = []string{r.url}
	cut := sabotage(func([]byte, bool, byte) ([]byte, error) { return nil, io.EOF })
	before := openFiles(t)
	d := watched(t, o, nil)
	for range 5 {
		r.done.Store(0)
		r.fault.Store(&cut)
		eventually(t, "the stream is cut", func() bool { return r.done.Load() > 0 })
		r.fault.Store(nil)
		eventually(t, "it is proven again", func() bool { return ldapstore.Proven(d) })
	}
	d.Close()
	eventually(t, "all descriptors are closed", func() bool { return openFiles(t) <= before })
}
