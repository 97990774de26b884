package ldapstore

import (
	"errors"
	"fmt"
	"io"
)

// The tags of RFC 4511 that StartTLS needs; see wire.go for the others.
const (
	tagInteger          = 0x02
	tagOctetString      = 0x04
	tagEnumerated       = 0x0a
	tagSequence         = 0x30
	tagExtendedRequest  = 0x77
	tagExtendedResponse = 0x78
	tagRequestName      = 0x80
)

// Bounds on what a server may send. An entry of a person with all attributes is
// some kilobytes; members of groups are not asked for in bulk.
const (
	maxMessage  = 4 << 20  // one message
	maxExchange = 64 << 20 // all messages that answer one request
)

var errBadMessage = errors.New("the server does not speak LDAP")

// appendTLV appends one element with a definite length (X.690, section 8.1.3).
func appendTLV(b []byte, tag byte, content []byte) []byte {
	b = append(b, tag)
	n := len(content)
	if n < 0x80 {
		b = append(b, byte(n))
	} else {
		var length []byte
		for ; n > 0; n >>= 8 {
			length = append([]byte{byte(n)}, length...)
		}
		b = append(b, 0x80|byte(len(length))) //nolint:gosec // at most eight
		b = append(b, length...)
	}
	return append(b, content...)
}

// header reads an element's tag and length byte by byte. RFC 4511, section 5.1
// allows definite lengths only.
type header struct {
	seen    int  // bytes of the header read so far
	tag     byte // the first of them
	more    int  // bytes of a long length still to come
	length  int
	whole   bool
	maximum int
}

// add takes the next byte; whole is set with the last one.
func (h *header) add(b byte) error {
	h.seen++
	switch {
	case h.seen == 1:
		h.tag = b
		return nil
	case h.seen == 2 && b < 0x80:
		h.length = int(b)
	case h.seen == 2:
		h.more = int(b & 0x7f)
		if h.more == 0 || h.more > 8 {
			return errBadMessage
		}
		return nil
	default:
		h.length = h.length<<8 | int(b)
		h.more--
	}
	// Checked at every byte, so that the length cannot overflow.
	if h.length > h.maximum {
		return fmt.Errorf("%w: a message is longer than %d bytes", errBadMessage, h.maximum)
	}
	h.whole = h.more == 0
	return nil
}

// readMessage reads exactly one LDAP message and not a byte more: what follows
// may be TLS.
func readMessage(r io.Reader, maximum int) ([]byte, error) {
	h := header{maximum: maximum}
	one := make([]byte, 1)
	for !h.whole {
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, err
		}
		if err := h.add(one[0]); err != nil {
			return nil, err
		}
		if h.tag != tagSequence {
			return nil, errBadMessage
		}
	}
	content := make([]byte, h.length)
	if _, err := io.ReadFull(r, content); err != nil {
		return nil, err
	}
	return content, nil
}

// takeTLV splits the first element off b.
func takeTLV[T []byte | string](b T) (tag byte, content, rest T, err error) {
	if len(b) >= 2 && b[1] < 0x80 { // as nearly all are
		if n := 2 + int(b[1]); n <= len(b) {
			return b[0], b[2:n], b[n:], nil
		}
	}
	h := header{maximum: len(b)}
	for i := 0; i < len(b); i++ {
		if err := h.add(b[i]); err != nil {
			return 0, content, rest, err
		}
		if !h.whole {
			continue
		}
		b = b[i+1:]
		if h.length > len(b) {
			break
		}
		return h.tag, b[:h.length], b[h.length:], nil
	}
	return 0, content, rest, fmt.Errorf("%w: an element is cut short", errBadMessage)
}

// guard is what go-ldap reads from. It checks the frame of every message before
// go-ldap sees it, because asn1-ber would collect up to 2 GiB.
type guard struct {
	in       io.Reader
	head     header
	left     int // bytes of the present message still to come
	received int
}

func newGuard(in io.Reader) *guard { return &guard{in: in, head: header{maximum: maxMessage}} }

// Read reads on and fails as soon as what came is not LDAP.
func (g *guard) Read(p []byte) (int, error) {
	n, err := g.in.Read(p)
	if g.received += n; g.received > maxExchange {
		return 0, fmt.Errorf("%w: an answer is longer than %d bytes", errBadMessage, maxExchange)
	}
	for b := p[:n]; len(b) > 0; {
		if g.left > 0 {
			skip := min(g.left, len(b))
			g.left -= skip
			b = b[skip:]
			continue
		}
		if err := g.head.add(b[0]); err != nil {
			return 0, err
		}
		if g.head.tag != tagSequence {
			return 0, errBadMessage
		}
		if g.head.whole {
			g.left = g.head.length
			g.head = header{maximum: maxMessage}
		}
		b = b[1:]
	}
	return n, err
}

// between reports whether all that was read were whole messages.
func (g *guard) between() bool { return g.left == 0 && g.head.seen == 0 }
