package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	defaultTimeout = 5 * time.Second
	maxHeader      = 32 << 10
	maxRedirects   = 3
	maxAtOnce      = 32
	maxOfHost      = 4 // so that one that answers slowly leaves the rest to others
)

// ErrRefused means that an address must not be asked, whoever wants it. Anything else
// that goes wrong may be different the next time.
var ErrRefused = errors.New("the address is not allowed")

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options say where requests may go. The zero value allows the public Internet.
type Options struct {
	Allow    []netip.Prefix // networks that may be reached too, also by http
	CAFile   string         // further authorities in PEM, "" for the system's alone
	Timeout  time.Duration  // of a whole request; 0 for 5 s
	Resolver Resolver       // nil for the system's
}

// Client makes requests. It is safe for concurrent use.
type Client struct {
	allow, special []netip.Prefix
	timeout        time.Duration
	resolver       Resolver
	http           *http.Client
	slots          chan struct{} // bounds what strangers can have us do at once

	mu   sync.Mutex
	busy map[string]int // requests under way, by host
}

// New returns a Client, or an error if the authorities can't be read.
func New(o Options) (*Client, error) {
	c := &Client{allow: o.Allow, special: special(), timeout: o.Timeout, resolver: o.Resolver, slots: make(chan struct{}, maxAtOnce), busy: map[string]int{}}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	if c.resolver == nil {
		c.resolver = net.DefaultResolver
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		data, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("outbound.ca_file: %w", err)
		}
		if !pool.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("outbound.ca_file: %s: no certificate in it", o.CAFile)
		}
		config.RootCAs = pool
	}
	c.http = &http.Client{
		CheckRedirect: sameOrigin,
		Transport: &http.Transport{
			// No proxy: it would do the resolving, and could reach what we must not.
			DialContext:            c.dial,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    c.timeout,
			ResponseHeaderTimeout:  c.timeout,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // a small answer must not become a large one
			DisableKeepAlives:      true, // each request is judged anew
			ForceAttemptHTTP2:      true,
		},
	}
	return c, nil
}

// sameOrigin allows few redirects, and none to another host, port or scheme: a
// client names addresses, and those it redirects to were never registered.
func sameOrigin(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: too many redirects", ErrRefused)
	case r.URL.Scheme != "https" || first.Scheme != "https" || r.URL.Host != first.Host || r.URL.User != nil:
		return fmt.Errorf("%w: a redirect to another origin", ErrRefused)
	}
	return nil
}

// Get returns the body of a successful answer, of at most limit bytes. Where the
// address isn't allowed the error wraps ErrRefused.
func (c *Client) Get(ctx context.Context, address string, limit int64) ([]byte, error) {
	body, err := c.get(ctx, address, limit)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", shown(address), withoutURL(err))
	}
	return body, nil
}

func (c *Client) get(ctx context.Context, address string, limit int64) ([]byte, error) {
	u, err := check(address)
	if err != nil {
		return nil, err
	}
	if !c.enter(u.Host) {
		return nil, errors.New("too many requests to this host are under way")
	}
	defer c.leave(u.Host)
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if u.Scheme == "http" {
		ctx = context.WithValue(ctx, plainKey{}, true)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "gatehouse")
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }() // read, or not wanted
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, err
	case ctx.Err() != nil: // a server that saw us leave may have ended its body as if it were whole
		return nil, ctx.Err()
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("the answer is larger than %d bytes", limit)
	}
	return body, nil
}

// enter takes one of the places that a host has.
func (c *Client) enter(host string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[host] >= maxOfHost {
		return false
	}
	c.busy[host]++
	return true
}

func (c *Client) leave(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy[host]--; c.busy[host] == 0 {
		delete(c.busy, host)
	}
}

// check judges an address as far as that goes without resolving it.
func check(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it is no URL", ErrRefused)
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("%w: it is not https", ErrRefused)
	case u.Hostname() == "" || u.Opaque != "" || u.User != nil:
		return nil, fmt.Errorf("%w: it has no host, or a user", ErrRefused)
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// plainKey marks requests without TLS, which the operator's networks alone get.
type plainKey struct{}

// dial resolves a name, judges every address of it, and connects to one of them.
func (c *Client) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	addresses, err := c.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	plain := ctx.Value(plainKey{}) != nil
	for _, a := range addresses { // one bad address spoils the name: it may be chosen the next time
		if err := c.judge(a, plain); err != nil {
			return nil, err
		}
	}
	dialer := net.Dialer{Control: func(_, reached string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(reached)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		return c.judge(ap.Addr(), plain)
	}}
	err = fmt.Errorf("%s has no address", host)
	for _, a := range addresses {
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (c *Client) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	found, err := c.resolver.LookupNetIP(ctx, "ip", host)
	for i := range found {
		found[i] = found[i].Unmap() // resolvers return IPv4 addresses in this form
	}
	return found, err
}

func (c *Client) judge(a netip.Addr, plain bool) error {
	if within(a.Unmap(), c.allow) && a.Zone() == "" {
		return nil
	}
	if !public(a, c.special) {
		return fmt.Errorf("%w: it leads into a network that outbound.allow does not name", ErrRefused)
	}
	if plain {
		return fmt.Errorf("%w: http is for networks that outbound.allow names", ErrRefused)
	}
	return nil
}

// shown is an address for a message: without a query, which may hold a secret.
func shown(address string) string {
	before, _, _ := strings.Cut(address, "?")
	if len(before) > 200 {
		before = before[:200]
	}
	return fmt.Sprintf("%q", before)
}

// withoutURL leaves out the address that net/http puts into its errors.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
