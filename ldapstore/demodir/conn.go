package demodir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

const (
	maxInFlight    = 32               // operations of one connection at a time
	requestTimeout = 10 * time.Second // from the first byte of a request to its last
)

// conn is one connection. Its own goroutine reads requests; each is answered by
// another, so that an abandon, or the end of the connection, reaches an operation
// that takes long.
type conn struct {
	server *Server
	number uint64
	raw    net.Conn
	ctx    context.Context // the life of the connection
	cancel context.CancelFunc

	writing sync.Mutex
	out     *bufio.Writer

	inFlight sync.WaitGroup
	slots    chan struct{}
	mu       sync.Mutex
	cancels  map[int64]context.CancelFunc // of operations in flight, by message id

	// Who is bound: changed by a bind, during which nothing else is in flight.
	identity   string // the name, "" for nobody
	key        string
	restricted bool // may only change the password
	binding    bool // a bind is in flight; the reader's own

	stopped atomic.Bool
}

func newConn(s *Server, raw net.Conn, number uint64) *conn {
	c := &conn{server: s, number: number, raw: raw, out: bufio.NewWriterSize(raw, 8<<10), slots: make(chan struct{}, maxInFlight), cancels: map[int64]context.CancelFunc{}}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	return c
}

// close breaks the connection; whoever waits on it notices.
func (c *conn) close() {
	c.cancel()
	_ = c.raw.Close() // nothing is lost by a failure
}

func (c *conn) serve() {
	defer c.inFlight.Wait()
	defer c.close()
	defer c.survive(nil)
	op := Operation{Kind: Connect, Conn: c.number}
	c.server.opts.Observe(op)
	fault := c.server.Faults.take(op)
	if proceed, answer := c.suffer(c.ctx, fault); answer != nil {
		c.goodbye(answer.code, answer.text)
		return
	} else if !proceed {
		return
	}
	r := bufio.NewReaderSize(c.raw, 4<<10)
	for {
		// Deadlines of sockets are of the machine's clock, whatever Options.Now says.
		_ = c.raw.SetReadDeadline(time.Now().Add(c.server.opts.IdleTimeout)) // a failure shows at the read
		frame, err := readFrame(r, maxRequestBytes, func() { _ = c.raw.SetReadDeadline(time.Now().Add(requestTimeout)) })
		if c.stopped.Load() {
			<-c.ctx.Done()
			return
		}
		if errors.Is(err, errMessage) {
			c.goodbye(codeProtocolError, "decoding error")
		}
		if err != nil {
			return
		}
		m, err := decodeMessage(frame)
		if err != nil {
			c.goodbye(codeProtocolError, "decoding error")
			return
		}
		if !c.dispatch(m) {
			return
		}
	}
}

// dispatch begins the operation that a message asks for; false ends the connection.
func (c *conn) dispatch(m *message) bool {
	if m.op.Tag == opUnbindRequest {
		c.server.opts.Observe(Operation{Kind: Unbind, Conn: c.number})
		return false
	}
	if m.op.Tag == opAbandonRequest {
		c.server.opts.Observe(Operation{Kind: Abandon, Conn: c.number})
		if id, err := ber.ParseInt64(m.op.Data.Bytes()); err == nil {
			c.abandon(id)
		}
		return true
	}
	if c.binding { // who asks has to be known first
		c.inFlight.Wait()
		c.binding = false
	}
	response, prepare := c.handler(m)
	if prepare == nil {
		c.goodbye(codeProtocolError, "unknown operation")
		return false
	}
	op, run, refusal := prepare(m)
	c.server.opts.Observe(op)
	fault := c.server.Faults.take(op)
	if fault.Trouble == StopReading && fault.AfterEntries == 0 {
		c.stopped.Store(true)
	}
	if m.op.Tag == opBindRequest { // RFC 4511, section 4.2.1: what is outstanding ends first
		c.abandonAll()
		c.inFlight.Wait()
		c.binding = true
	}
	c.spawn(m, response, func(ctx context.Context) {
		if fault.Trouble != Reference && (fault.AfterEntries == 0 || op.Kind != Search) {
			proceed, answer := c.suffer(ctx, fault)
			if answer != nil {
				refusal = answer
			} else if !proceed {
				return
			}
			fault = Fault{}
		}
		if refusal == nil {
			refusal = c.unsupported(m)
		}
		if refusal != nil {
			c.reply(m, encodeResult(response, *refusal))
			return
		}
		run(ctx, fault)
	})
	if c.stopped.Load() {
		<-c.ctx.Done()
		return false
	}
	return true
}

// preparation reads a request. It returns what to observe, and what answers it, or
// the refusal that is the answer.
type preparation func(*message) (Operation, func(context.Context, Fault), *result)

func (c *conn) handler(m *message) (response ber.Tag, prepare preparation) {
	switch m.op.Tag {
	case opBindRequest:
		return opBindResponse, c.prepareBind
	case opSearchRequest:
		return opSearchDone, c.prepareSearch
	case opCompareRequest:
		return opCompareResponse, c.prepareCompare
	case opExtendedRequest:
		return opExtendedResponse, c.prepareExtended
	case opModifyRequest, opAddRequest, opDeleteRequest, opRenameRequest:
		return m.op.Tag + 1, c.prepareWrite
	default:
		return 0, nil
	}
}

// unsupported refuses a critical control that the operation does not have
// (RFC 4511, section 4.1.11).
func (c *conn) unsupported(m *message) *result {
	for _, k := range m.controls {
		known := k.oid == controlManageDSA || k.oid == controlPaged && m.op.Tag == opSearchRequest || k.oid == controlPolicy
		if k.critical && !known {
			return &result{code: codeUnavailableCriticalExtension, text: "critical extension is not recognized"}
		}
	}
	return nil
}

// spawn runs an operation that an abandon can end.
func (c *conn) spawn(m *message, response ber.Tag, run func(context.Context)) {
	select {
	case c.slots <- struct{}{}:
	case <-c.ctx.Done():
		return
	}
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	c.cancels[m.id] = cancel
	c.mu.Unlock()
	c.inFlight.Add(1)
	go func() {
		defer c.inFlight.Done()
		defer func() { <-c.slots }()
		defer func() {
			cancel()
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.cancels, m.id)
		}()
		defer c.survive(func() { c.reply(m, encodeResult(response, result{code: codeOther, text: "internal error"})) })
		run(ctx)
	}()
}

// survive keeps a panic from ending the process. It is to be deferred.
func (c *conn) survive(answer func()) {
	if r := recover(); r != nil {
		c.server.opts.Log.Error("the directory failed in a request", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		if answer != nil {
			answer()
		}
	}
}

func (c *conn) abandon(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.cancels[id]; cancel != nil {
		cancel()
	}
}

func (c *conn) abandonAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cancel := range c.cancels {
		cancel()
	}
}

// reply sends the last message of an operation.
func (c *conn) reply(m *message, op *ber.Packet, controls ...control) {
	c.write(encodeMessage(m.id, op, controls...), true)
}

// goodbye sends a Notice of Disconnection (RFC 4511, section 4.4.1).
func (c *conn) goodbye(code int64, text string) {
	name := ber.NewString(ber.ClassContext, ber.TypePrimitive, 10, extensionGoodbye, "")
	c.write(encodeMessage(0, encodeResult(opExtendedResponse, result{code: code, text: text}, name)), true)
}

// write sends bytes; the last of an answer have to be flushed. A client that does
// not read loses its connection.
func (c *conn) write(b []byte, flush bool) {
	c.writing.Lock()
	defer c.writing.Unlock()
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.server.opts.WriteTimeout)) // a failure shows at the write
	_, err := c.out.Write(b)
	if err == nil && flush {
		err = c.out.Flush()
	}
	if err != nil {
		c.close()
	}
}
