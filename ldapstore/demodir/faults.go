package demodir

import (
	"cmp"
	"context"
	"crypto/rand"
	"net"
	"sync"
	"time"
)

// Kind says what a client does.
type Kind string

// The kinds of operation that can be watched and made to fail.
const (
	Connect  Kind = "connect" // a connection was made; nothing has been read from it
	Bind     Kind = "bind"
	Search   Kind = "search"
	Compare  Kind = "compare"
	Extended Kind = "extended"
	Write    Kind = "write" // add, modify, delete or rename: always refused
	Abandon  Kind = "abandon"
	Unbind   Kind = "unbind"
)

// Operation is one thing that a client did. It holds no password.
type Operation struct {
	Kind   Kind
	Conn   uint64 // number of the connection, from 1
	DN     string // the name to bind as, or the base of a search
	Filter string // of a search
}

// Trouble is a way to go wrong.
type Trouble int

// The ways to go wrong.
const (
	Hang        Trouble = iota + 1 // no answer, ever; other operations go on
	StopReading                    // no answer, and nothing more is read from the connection
	Disconnect                     // close the connection
	Reset                          // close it with a TCP reset
	Garbage                        // bytes that are not LDAP, and the connection closed
	Delay                          // wait, then go on as if nothing were
	Partial                        // a search ends with sizeLimitExceeded
	Refuse                         // answer with Code
	Refer                          // answer with a referral to To (RFC 4511, section 4.1.10)
	Reference                      // go on, but name To as a place to continue a search (section 4.5.3)
)

// Fault is a trouble and when it comes.
type Fault struct {
	Trouble Trouble
	Wait    time.Duration // of Delay
	Code    int64         // of Refuse: a result code, such as 51 busy or 52 unavailable
	Text    string        // of Refuse: what comes with the code; "" for something
	To      string        // of Refer and Reference: an LDAP URL
	// AfterEntries lets a search send so many entries before the trouble comes. A
	// search that has no more of them than that goes wrong at its end.
	AfterEntries int
	// Times is how many operations it happens to; 0 for all until Clear.
	Times int
	// When picks operations; nil for all of the kind.
	When func(Operation) bool
}

// Faults is what goes wrong with a Server at this moment. It may be changed while
// the server runs. The zero Faults is ready for use and does nothing.
type Faults struct {
	mu   sync.Mutex
	kind map[Kind]*Fault
}

// Set makes operations of a kind go wrong from now on, instead of what was set for
// the kind before.
func (f *Faults) Set(kind Kind, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kind == nil {
		f.kind = map[Kind]*Fault{}
	}
	f.kind[kind] = &fault
}

// Clear ends all faults. Operations that already hang go on hanging, as answers
// that were lost stay lost.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.kind)
}

// take returns what is to go wrong with an operation, the zero Fault for nothing.
func (f *Faults) take(op Operation) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.kind[op.Kind]
	if fault == nil || fault.When != nil && !fault.When(op) {
		return Fault{}
	}
	taken := *fault
	if fault.Times == 1 {
		delete(f.kind, op.Kind)
	} else if fault.Times > 1 {
		fault.Times--
	}
	return taken
}

// suffer plays a fault. It returns true if the operation is to go on, and a result
// if that is to be its answer.
func (c *conn) suffer(ctx context.Context, f Fault) (proceed bool, answer *result) {
	switch f.Trouble {
	case 0:
		return true, nil
	case Hang, StopReading: // the reader has taken note of the latter
		<-ctx.Done()
	case Disconnect:
		c.close()
	case Reset:
		if tcp, ok := c.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // the connection is being broken anyway
		}
		c.close()
	case Garbage:
		noise := make([]byte, 512)
		_, _ = rand.Read(noise) // never fails: crypto/rand
		noise[0] = 0xff         // no LDAPMessage begins so
		c.write(noise, true)
		c.close()
	case Delay:
		timer := time.NewTimer(f.Wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			return true, nil
		case <-ctx.Done():
		}
	case Partial:
		return false, &result{code: codeSizeLimitExceeded}
	case Refuse:
		return false, &result{code: f.Code, text: cmp.Or(f.Text, "refused on request")}
	case Refer:
		return false, &result{code: codeReferral, referral: f.To}
	case Reference: // searching has sent it
		return true, nil
	}
	return false, nil
}
