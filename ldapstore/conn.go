package ldapstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// conn is one connection, used by one request at a time.
type conn struct {
	raw    net.Conn // beneath TLS
	stream net.Conn // what is spoken on: raw, or TLS over it
	in     *bufio.Reader
	body   []byte            // of the message read last
	out    []byte            // of the request sent last
	names  map[string]string // attribute names to lower case
	last   int               // number of the last request
	peer   string            // the address at the other end
	born   time.Time
	used   time.Time // when the last exchange ended
	// broken means never to be used again: after a timeout or garbage nobody knows
	// which answer would come next.
	broken bool
}

func newConn(raw, stream net.Conn, now time.Time) *conn {
	return &conn{
		raw: raw, stream: stream, in: bufio.NewReader(stream), names: map[string]string{},
		peer: raw.RemoteAddr().String(), born: now, used: now,
	}
}

// during runs one exchange. When the context ends the connection is closed, which
// is the one thing that wakes up whoever reads or writes, TLS or not.
func (c *conn) during(ctx context.Context, exchange func() error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() })
	err := exchange()
	ended := !stop()
	if _, answered := resultCode(err); ended || err != nil && !answered {
		c.broken = true
	}
	if ended && err != nil {
		return context.Cause(ctx)
	}
	return err
}

// do lends the connection to go-ldap for one exchange, for what is rarely said.
func (c *conn) do(ctx context.Context, exchange func(*ldap.Conn) error) error {
	return c.during(ctx, func() error {
		lent := &loan{Conn: c.stream, guard: newGuard(c.in)}
		l := ldap.NewConn(lent, c.stream != c.raw)
		l.Start()
		err := exchange(l)
		if !lent.end() {
			c.broken = true
		}
		_ = l.Close()
		return err
	})
}

// bind runs one simple bind and asks to hear of the password policy.
func (c *conn) bind(ctx context.Context, dn, password string) (controls []ldap.Control, err error) {
	err = c.during(ctx, func() error {
		c.last++
		c.out = appendBind(c.out[:0], c.last, dn, password, control{oid: oidPasswordPolicy})
		_, err := c.stream.Write(c.out)
		clear(c.out) // of the password
		if err != nil {
			return err
		}
		m, err := c.receive(new(int))
		if err != nil {
			return err
		}
		if m.op != tagBindResponse {
			return fmt.Errorf("%w: the answer to a bind is of another sort", errBadMessage)
		}
		if controls, err = m.policyControls(); err != nil {
			return err
		}
		return m.result()
	})
	return controls, err
}

// bindExternal has the server take the account from the connection (SASL EXTERNAL,
// RFC 4422, appendix A).
func (c *conn) bindExternal(ctx context.Context) error {
	return c.do(ctx, func(l *ldap.Conn) error { return l.ExternalBind() })
}

// page is what one request of a search brought.
type page struct {
	entries    []*entry
	references bool
	cookie     []byte // for the next page, if there is one
}

// search runs one request of a search. What had come before an error comes with
// it.
func (c *conn) search(ctx context.Context, q *query, controls ...control) (p page, err error) {
	err = c.during(ctx, func() error {
		c.last++
		if c.out, err = appendSearch(c.out[:0], c.last, q, secondsLeft(ctx), controls...); err != nil {
			return &ldap.Error{ResultCode: ldap.ErrorFilterCompile, Err: err}
		}
		if _, err := c.stream.Write(c.out); err != nil {
			return err
		}
		received := 0
		for {
			m, err := c.receive(&received)
			if err != nil {
				return err
			}
			switch m.op {
			case tagSearchEntry:
				e, err := m.entry(c.lower)
				if err != nil {
					return err
				}
				p.entries = append(p.entries, e)
			case tagSearchReference:
				p.references = true
			case tagSearchDone:
				if p.cookie, err = m.nextPage(); err != nil {
					return err
				}
				return m.result()
			default:
				return fmt.Errorf("%w: the answer to a search is of another sort", errBadMessage)
			}
		}
	})
	return p, err
}

// receive reads the next message, which has to answer the last request. received
// counts the bytes of all its answers.
func (c *conn) receive(received *int) (message, error) {
	m, err := c.read()
	if err != nil {
		return m, err
	}
	if *received += len(c.body); *received > maxExchange {
		return m, fmt.Errorf("%w: an answer is longer than %d bytes", errBadMessage, maxExchange)
	}
	if m.id != c.last {
		// Number 0 is the server saying why it closes (RFC 4511, section 4.4.1).
		return m, fmt.Errorf("%w: message %d is no answer to what was asked", errBadMessage, m.id)
	}
	return m, nil
}

// keepBody is how much memory for messages a connection keeps.
const keepBody = 64 << 10

// read reads one message.
func (c *conn) read() (message, error) {
	h := header{maximum: maxMessage}
	for !h.whole {
		b, err := c.in.ReadByte()
		if err != nil {
			return message{}, err
		}
		if err := h.add(b); err != nil {
			return message{}, err
		}
		if h.tag != tagSequence {
			return message{}, errBadMessage
		}
	}
	if cap(c.body) < h.length || cap(c.body) > keepBody {
		c.body = nil
	}
	var err error
	if c.body, err = readGrowing(c.in, c.body, h.length); err != nil {
		return message{}, err
	}
	return parseMessage(c.body)
}

// readGrowing reads n bytes into b. Memory is taken as they come, not because a
// server says that there will be so many.
func readGrowing(r io.Reader, b []byte, n int) ([]byte, error) {
	if cap(b) >= n || n <= keepBody {
		if cap(b) < n {
			b = make([]byte, max(n, 2048))
		}
		b = b[:n]
		_, err := io.ReadFull(r, b)
		return b, err
	}
	var grown []byte
	for len(grown) < n {
		begin := len(grown)
		grown = append(grown, make([]byte, min(n-begin, max(begin, keepBody)))...)
		if _, err := io.ReadFull(r, grown[begin:]); err != nil {
			return nil, err
		}
	}
	return grown, nil
}

// maxNames is far more than anyone asks for.
const maxNames = 500

// lower returns the name of an attribute in lower case.
func (c *conn) lower(name string) string {
	if l, ok := c.names[name]; ok {
		return l
	}
	l := strings.ToLower(name)
	if len(c.names) < maxNames {
		c.names[strings.Clone(name)] = strings.Clone(l)
	}
	return l
}

// usable reports whether nothing has gone wrong with the connection.
func (c *conn) usable() bool { return !c.broken && c.in.Buffered() == 0 }

// alive reports besides whether the server has neither closed it nor said anything
// unasked.
func (c *conn) alive() bool { return c.usable() && quiet(c.raw) }

// spoilt returns c, never to be used again.
func (c *conn) spoilt() *conn {
	c.broken = true
	return c
}

// close ends the connection. To say goodbye would mean to write, and a server
// that stands still would hold that up.
func (c *conn) close() { _ = c.raw.Close() }

// resultCode returns the code that the server itself answered with. go-ldap's
// own codes begin at 200 and mean that there was no answer.
func resultCode(err error) (uint16, bool) {
	var e *ldap.Error
	if errors.As(err, &e) && e.ResultCode < ldap.ErrorNetwork {
		return e.ResultCode, true
	}
	return 0, false
}

// loan is the stream while go-ldap has it. go-ldap reads all the time, and closes
// what it has read from.
type loan struct {
	net.Conn
	guard *guard

	mu      sync.Mutex
	reading bool
	over    chan struct{} // closed when the loan has ended and nobody reads any more
	ended   bool
}

var errLoanEnded = errors.New("the exchange is over")

// Read reads through the guard.
func (l *loan) Read(p []byte) (int, error) {
	l.mu.Lock()
	if l.ended {
		l.mu.Unlock()
		return 0, errLoanEnded
	}
	l.reading = true
	l.mu.Unlock()
	n, err := l.guard.Read(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reading = false
	if l.over != nil {
		close(l.over)
		return 0, errLoanEnded
	}
	return n, err
}

// end takes the stream back. It reports whether it can be used again.
func (l *loan) end() bool {
	l.mu.Lock()
	l.ended = true
	if !l.reading {
		l.mu.Unlock()
		return l.guard.between()
	}
	l.over = make(chan struct{})
	l.mu.Unlock()
	// A read that has run out of time harms no connection, not even in TLS.
	_ = l.Conn.SetReadDeadline(time.Unix(1, 0))
	<-l.over
	return l.Conn.SetReadDeadline(time.Time{}) == nil && l.guard.between()
}

// Close leaves the stream open.
func (l *loan) Close() error { return nil }
