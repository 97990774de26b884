//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// Tags of LDAP (RFC 4511), as far as an empty client needs them.
const (
	berSequence = 0x30
	ldapBind    = 0x61 // the answer
	ldapDone    = 0x65 // the last answer to a search
)

// recorder stands between a client and a server and keeps what the client says.
type recorder struct {
	net.Listener
	server string

	mu   sync.Mutex
	said []byte
}

// startRecorder listens until ctx ends.
func startRecorder(ctx context.Context, server string) (*recorder, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{Listener: l, server: server}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(ctx, c)
		}
	}()
	return r, nil
}

func (r *recorder) pass(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(client, server) }() // ends with the connections
	_, _ = io.Copy(server, io.TeeReader(client, r))
}

// Write keeps what was said.
func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, p...)
	return len(p), nil
}

// take returns the messages since the last time, one by one.
func (r *recorder) take() (messages [][]byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for rest := r.said; len(rest) > 0; {
		n, err := messageLength(rest)
		if err != nil {
			return nil, err
		}
		messages = append(messages, append([]byte(nil), rest[:n]...))
		rest = rest[n:]
	}
	r.said = nil
	return messages, nil
}

// messageLength returns the length of the first message with its header.
func messageLength(b []byte) (int, error) {
	if len(b) < 2 || b[0] != berSequence {
		return 0, errors.New("that is no LDAP message")
	}
	n, header := int(b[1]), 2
	if n >= 0x80 {
		size := n & 0x7f
		if size > 4 || len(b) < 2+size {
			return 0, errors.New("that is no LDAP message")
		}
		var long [4]byte
		copy(long[4-size:], b[2:2+size])
		n, header = int(binary.BigEndian.Uint32(long[:])), 2+size
	}
	if len(b) < header+n {
		return 0, errors.New("a message was cut")
	}
	return header + n, nil
}

// rawClient sends messages as they are and reads answers without looking into them.
type rawClient struct {
	net.Conn
	in *bufio.Reader
}

// dialRaw connects, and signs in with a recorded bind.
func dialRaw(ctx context.Context, address string, bind []byte) (*rawClient, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	r := &rawClient{Conn: c, in: bufio.NewReader(c)}
	if err := r.ask(bind, ldapBind); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("signing in: %w", err)
	}
	return r, nil
}

// ask sends a request and reads until its last answer.
func (r *rawClient) ask(request []byte, last byte) error {
	if _, err := r.Write(request); err != nil {
		return err
	}
	for {
		operation, err := r.skip()
		if err != nil || operation == last {
			return err
		}
	}
}

// skip reads one message and returns the tag of its operation.
func (r *rawClient) skip() (operation byte, err error) {
	head, err := r.in.Peek(2)
	if err != nil {
		return 0, err
	}
	header := 2
	if head[1] >= 0x80 {
		header += int(head[1] & 0x7f)
	}
	// INTEGER of the message's number, then the operation.
	if head, err = r.in.Peek(header + 3); err != nil {
		return 0, err
	}
	if head, err = r.in.Peek(header + 3 + int(head[header+1])); err != nil {
		return 0, err
	}
	operation = head[len(head)-1]
	n := int(head[1])
	if n >= 0x80 {
		n = 0
		for _, b := range head[2:header] {
			n = n<<8 | int(b)
		}
	}
	_, err = r.in.Discard(header + n)
	return operation, err
}
