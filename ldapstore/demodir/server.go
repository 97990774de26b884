package demodir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"gatehouse/oidc"
)

// Options say what a Server holds and how it behaves. The zero Options is the
// office of Office on a free port of the loopback interface.
type Options struct {
	LDIF   []byte // the entries; the first is the base of all. Default: Office
	Listen string // default 127.0.0.1:0

	// ServiceDN is the account that reads everything but passwords; default
	// cn=gatehouse,ou=services below the base. It is made if the LDIF has no such
	// entry, and given ServicePassword; default: a new random one at each start.
	ServiceDN       string
	ServicePassword string

	SizeLimit    int           // entries that a search may have without paging; default: no limit
	MaxConns     int           // default 256; those above are turned away
	IdleTimeout  time.Duration // a connection on which nothing is asked is closed; default 10 minutes
	WriteTimeout time.Duration // for a client that does not read its answers; default 10 s

	// Disguise makes it pass for another sort of server; nil for OpenLDAP.
	Disguise *Disguise

	// Observe is told of every operation before it is done. It is called from
	// several goroutines and must not block.
	Observe func(Operation)
	Faults  *Faults          // default: none, and Server.Faults to set them later
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default: nowhere
}

// Server is a running directory.
type Server struct {
	URL             string // ldap://127.0.0.1:PORT
	Addr            string // 127.0.0.1:PORT
	BaseDN          string
	ServiceDN       string
	ServicePassword string
	Faults          *Faults // may be changed while the server runs

	opts       Options
	tree       *tree
	serviceKey string
	listener   net.Listener
	ctx        context.Context // the life of the server: what it starts ends with it
	cancel     context.CancelFunc
	unlink     func() bool
	wait       sync.WaitGroup

	mu     sync.Mutex
	conns  map[*conn]struct{}
	number uint64
	closed bool
}

// Start reads the LDIF and serves it until Close, or until ctx ends.
func Start(ctx context.Context, opts Options) (*Server, error) {
	opts.setDefaults()
	s := &Server{opts: opts, Faults: opts.Faults, conns: map[*conn]struct{}{}}
	s.tree = &tree{now: opts.Now, lives: map[string]int{}}
	s.tree.current.Store(&snapshot{schema: newSchema(), byKey: map[string]*entry{}})
	if err := s.Add(opts.LDIF); err != nil {
		return nil, fmt.Errorf("the entries of the directory:\n%w", err)
	}
	s.BaseDN = s.tree.current.Load().base.String()
	if s.BaseDN == "" {
		return nil, errors.New("the directory has no entry")
	}
	if err := s.addService(); err != nil {
		return nil, fmt.Errorf("the service account of the directory: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("the directory can't listen: %w", err)
	}
	s.listener = listener
	s.Addr = listener.Addr().String()
	s.URL = "ldap://" + s.Addr
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.wait.Add(1)
	go s.accept()
	s.unlink = context.AfterFunc(ctx, s.shut)
	return s, nil
}

func (o *Options) setDefaults() {
	if o.LDIF == nil {
		o.LDIF = Office()
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.MaxConns == 0 {
		o.MaxConns = 256
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = 10 * time.Minute
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 10 * time.Second
	}
	if o.Faults == nil {
		o.Faults = &Faults{}
	}
	if o.Observe == nil {
		o.Observe = func(Operation) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// addService makes the service account, or gives the one there its password.
func (s *Server) addService() error {
	s.ServiceDN, s.ServicePassword = s.opts.ServiceDN, s.opts.ServicePassword
	if s.ServiceDN == "" {
		s.ServiceDN = "cn=gatehouse,ou=services," + s.BaseDN
	}
	if s.ServicePassword == "" {
		s.ServicePassword = oidc.NewSecret("")
	}
	dn, err := oidc.ParseDN(s.ServiceDN)
	if err != nil {
		return err
	}
	s.serviceKey = dn.Key()
	err = s.tree.edit(func(d *draft) error {
		if d.entries[dn.Key()] != nil {
			return nil
		}
		e := &entry{dn: dn, parent: parentKey(dn.Key())}
		if e, err = e.with(d.schema, "objectClass", "top", "applicationProcess", "simpleSecurityObject"); err != nil {
			return err
		}
		if e, err = e.renamed(d.schema, dn); err != nil {
			return err
		}
		return d.put(e, false)
	})
	if err != nil {
		return err
	}
	return s.SetPassword(s.ServiceDN, s.ServicePassword)
}

// Close ends all connections and returns when nothing of the server runs any more.
func (s *Server) Close() {
	s.unlink()
	s.shut()
	s.wait.Wait()
}

// shut tells everything to end, without waiting for it.
func (s *Server) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	s.cancel()
	_ = s.listener.Close() // nothing is lost by a failure
	for c := range s.conns {
		c.close()
	}
}

// CloseConnections breaks all connections, as a restart of the directory would. The
// server goes on.
func (s *Server) CloseConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.close()
	}
}

func (s *Server) accept() {
	defer s.wait.Done()
	for {
		raw, err := s.listener.Accept()
		if s.ctx.Err() != nil {
			if err == nil {
				_ = raw.Close() // nobody will read from it
			}
			return
		}
		if err != nil { // out of file descriptors, say: it may pass
			s.opts.Log.Warn("the directory could not accept a connection", "error", err)
			select {
			case <-time.After(50 * time.Millisecond):
			case <-s.ctx.Done():
			}
			continue
		}
		s.begin(raw)
	}
}

func (s *Server) begin(raw net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.number++
	c := newConn(s, raw, s.number)
	if s.closed || len(s.conns) >= s.opts.MaxConns {
		c.goodbye(codeBusy, "too many connections")
		c.close()
		return
	}
	s.conns[c] = struct{}{}
	s.wait.Add(1)
	go func() {
		defer s.wait.Done()
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, c)
		}()
		c.serve()
	}()
}
