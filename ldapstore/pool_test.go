package ldapstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"
)

// clock is a clock that is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// shelf is a pool whose connections go to a server that answers every search, and
// whose dialling can be made to fail.
type shelf struct {
	*pool
	clock  *clock
	refuse error
}

func newShelf(t *testing.T, trust time.Duration) *shelf {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerSearches(c)
		}
	}()
	s := &shelf{clock: &clock{at: time.Unix(1_000_000, 0)}}
	s.pool = newPool(4, trust, s.clock.now, func(ctx context.Context) (*conn, error) {
		if s.refuse != nil {
			return nil, s.refuse
		}

		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return newConn(c, c, s.clock.now()), nil
	})
	t.Cleanup(s.close)
	return s
}

// answerSearches answers each request with a searchResultDone, success.
func answerSearches(c net.Conn) {
	defer func() { _ = c.Close() }()
	for {
		message, err := readMessage(c, 1<<16)
		if err != nil {
			return
		}
		_, id, _, err := takeTLV(message)
		if err != nil {
			return
		}
		answer := appendTLV(nil, tagInteger, id)
		answer = appendTLV(answer, 0x65, []byte("\x0a\x01\x00\x04\x00\x04\x00"))
		if _, err := c.Write(appendTLV(nil, tagSequence, answer)); err != nil {
			return
		}
	}
}

func (s *shelf) take(t *testing.T) (*conn, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, reused, err := s.get(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return c, reused
}

func TestConnectionsAreReplacedInGoodTime(t *testing.T) {
	t.Parallel()
	s := newShelf(t, time.Hour)
	c, _ := s.take(t)
	s.put(c)
	s.clock.pass(maxAge - time.Second)
	if again, reused := s.take(t); again != c || !reused {
		t.Error("a connection was replaced before its time")
	}
	s.put(c)
	s.clock.pass(time.Second)
	if again, reused := s.take(t); again == c || reused || c.alive() {
		t.Error("an old connection was used again, or left open")
	}
}

func TestAnOldConnectionStaysWhileThereIsNoNewOne(t *testing.T) {
	t.Parallel()
	s := newShelf(t, time.Hour)
	c, _ := s.take(t)
	s.put(c)
	s.clock.pass(maxAge)
	s.refuse = fmt.Errorf("%w: wrong password", errSignIn)
	for range 3 {
		again, reused := s.take(t)
		if again != c || !reused {
			t.Fatal("another connection")
		}
		s.put(again)
	}
	s.refuse = nil
	if again, reused := s.take(t); again == c || reused {
		t.Error("the old connection was used although there can be a new one")
	}
}

func TestASignedInConnectionIsWaitedForWhileThePasswordIsRefused(t *testing.T) {
	t.Parallel()
	s := newShelf(t, time.Hour)
	c, _ := s.take(t)
	s.refuse = fmt.Errorf("%w: wrong password", errSignIn)
	taken := make(chan *conn)
	for range 2 {
		go func() {
			got, _, _ := s.get(t.Context())
			taken <- got
		}()
	}
	for waiting := 0; waiting < 2; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		waiting = s.waits
		s.mu.Unlock()
	}
	s.put(c)
	if got := <-taken; got != c {
		t.Error("another connection")
	}
	s.put(c)
	if got := <-taken; got != c {
		t.Error("another connection")
	}
	s.put(c.spoilt())
	if _, _, err := s.get(t.Context()); !errors.Is(err, errSignIn) {
		t.Errorf("without any connection: %v", err)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	s := newShelf(t, time.Hour)
	var all []*conn
	for range 4 {
		c, _ := s.take(t)
		all = append(all, c)
	}
	for _, c := range all {
		s.put(c)
	}
	s.clock.pass(maxIdle)
	c, _ := s.take(t)
	s.put(c)
	for i, c := range all {
		if c.alive() != (i == 3) {
			t.Errorf("connection %d: alive is %v", i, c.alive())
		}
	}
}
