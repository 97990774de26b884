package ldapstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// dialer makes connections.
type dialer struct {
	net   net.Dialer
	trust *trust
	now   func() time.Time
}

// newDialer returns a dialer that keeps its connections known to firewalls and
// notices within a minute when the other end is gone.
func newDialer(o *Options, files *trust) *dialer {
	return &dialer{
		net: net.Dialer{
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3},
			Resolver:        o.Resolver,
		},
		trust: files,
		now:   o.Now,
	}
}

// dial connects and encrypts. Nobody is signed in on the connection yet.
func (d *dialer) dial(ctx context.Context, e endpoint) (*conn, error) {
	raw, err := d.net.DialContext(ctx, e.network, e.address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", e.url, err)
	}
	stream := raw
	if e.encrypted() {
		stream, err = d.encrypt(ctx, e, raw)
		if err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("connecting to %s: %w", e.url, err)
		}
	}
	return newConn(raw, stream, d.now()), nil
}

func (d *dialer) encrypt(ctx context.Context, e endpoint, raw net.Conn) (*tls.Conn, error) {
	if e.startTLS {
		stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
		err := startTLS(raw)
		if !stop() {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("StartTLS: %w", lost(err))
		}
	}
	secure := tls.Client(raw, d.trust.config(e.host))
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, &TLSError{URL: e.url, Err: lost(err), host: e.host, now: d.now()}
	}
	return secure, nil
}

// errLost means that a connection ended before it could be used.
var errLost = errors.New("the connection was lost")

// lost marks those errors that another try may not meet.
func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return err
}

// startTLS asks the server to begin TLS on this connection (RFC 4511, section
// 4.14). It is done by hand because go-ldap reads ahead: bytes slipped in before
// the handshake would be dropped unseen instead of failing it.
func startTLS(raw net.Conn) error {
	name := appendTLV(nil, tagRequestName, []byte("1.3.6.1.4.1.1466.20037"))
	message := appendTLV(nil, tagInteger, []byte{1})
	message = appendTLV(message, tagExtendedRequest, name)
	if _, err := raw.Write(appendTLV(nil, tagSequence, message)); err != nil {
		return err
	}
	answer, err := readMessage(raw, 64<<10)
	if err != nil {
		return err
	}
	return startTLSAnswer(answer)
}

// startTLSAnswer reads the content of the server's answer: nil means that the
// handshake may begin.
func startTLSAnswer(message []byte) error {
	tag, id, rest, err := takeTLV(message)
	if err != nil {
		return err
	}
	if tag != tagInteger || len(id) != 1 || id[0] != 1 {
		return fmt.Errorf("%w: the answer is not to our request", errBadMessage)
	}
	tag, response, _, err := takeTLV(rest)
	if err != nil {
		return err
	}
	if tag != tagExtendedResponse {
		return fmt.Errorf("%w: the answer is of another sort", errBadMessage)
	}
	tag, code, rest, err := takeTLV(response)
	if err != nil {
		return err
	}
	if tag != tagEnumerated || len(code) != 1 {
		return fmt.Errorf("%w: the answer has no result code", errBadMessage)
	}
	if code[0] == ldap.LDAPResultSuccess {
		return nil
	}
	_, _, rest, err = takeTLV(rest) // matchedDN
	if err != nil {
		return err
	}
	tag, text, _, err := takeTLV(rest)
	if err != nil || tag != tagOctetString {
		return fmt.Errorf("%w: the answer has no message", errBadMessage)
	}
	return fmt.Errorf("the server refuses: result code %d: %q", code[0], text)
}
