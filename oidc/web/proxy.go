package web

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"gatehouse/oidc"
)

// maxHops is how many addresses of X-Forwarded-For are looked at.
const maxHops = 32

// remote is where a request comes from.
type remote struct {
	peer    netip.Addr // the other end of the connection; zero on a Unix socket
	trusted bool       // peer is one of our proxies
	client  netip.Addr // the browser or application, as far as it can be told
}

// resolveRemote finds the client behind our own proxies: the rightmost address of
// X-Forwarded-For that is not a proxy of ours, since everything to the left of it
// was written by strangers.
func resolveRemote(r *http.Request, proxies []netip.Prefix) remote {
	peer := hostAddr(r.RemoteAddr)
	from := remote{peer: peer, trusted: isTrusted(peer, proxies), client: peer}
	if !from.trusted {
		return from
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := 0; i < min(len(hops), maxHops); i++ {
		hop := hostAddr(strings.TrimSpace(hops[len(hops)-1-i]))
		if !hop.IsValid() {
			break // whoever wrote this is not one of our proxies
		}
		from.client = hop
		if !isTrusted(hop, proxies) {
			break
		}
	}
	return from
}

func isTrusted(a netip.Addr, proxies []netip.Prefix) bool {
	return a.IsValid() && slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// hostAddr reads an address with or without port; the zero Addr stands for none.
func hostAddr(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// CheckForwarding says what is wrong with the way a request reached us: the
// scheme, the host, or a proxy that nobody told us to trust. A request that came
// right gives nothing. The messages name header and proxy for an operator.
func CheckForwarding(issuer *url.URL, proxies []netip.Prefix, r *http.Request) oidc.Problems {
	from := resolveRemote(r, proxies)
	var found oidc.Problems
	report := func(message, hint string) {
		found = append(found, oidc.Problem{Key: "trusted_proxies", Message: message, Hint: hint})
	}
	forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("X-Forwarded-Proto") != ""
	proto := strings.ToLower(strings.TrimSpace(r.Header.Get("X-Forwarded-Proto")))
	switch {
	case !from.trusted && forwarded:
		report(fmt.Sprintf("X-Forwarded headers come from %s, which is not in trusted_proxies, and are ignored", name(from.peer)),
			"add the proxy's address to trusted_proxies, or every person behind it counts as one for the throttle")
	case issuer.Scheme != "https" || r.TLS != nil || proto == "https":
	case from.trusted && proto == "":
		report(fmt.Sprintf("the proxy %s sends no X-Forwarded-Proto, but the issuer is https", name(from.peer)),
			`have the proxy set "X-Forwarded-Proto: https"`)
	case from.trusted:
		report(fmt.Sprintf("the proxy %s sends X-Forwarded-Proto: %s, but the issuer is https", name(from.peer), shorten(proto)),
			"have the proxy set the scheme that the browser used, and not pass on what it was sent")
	default:
		report(fmt.Sprintf("a request came from %s by plain http, but the issuer is https", name(from.peer)),
			"send people to the proxy, or add its address to trusted_proxies if this is it")
	}
	host := r.Host
	if h := r.Header.Get("X-Forwarded-Host"); h != "" && from.trusted {
		host = h
	}
	if !sameHost(host, issuer) {
		found = append(found, oidc.Problem{
			Key:     "issuer",
			Message: fmt.Sprintf("a request from %s is for the host %s, but the issuer is %s", name(from.peer), shorten(host), issuer),
			Hint:    "have the proxy pass the Host header on, or set issuer to the address that people use",
		})
	}
	return found
}

// sameHost compares host and port; the scheme's own port may be left out.
func sameHost(host string, issuer *url.URL) bool {
	port := map[string]string{"https": ":443", "http": ":80"}[issuer.Scheme]
	trim := func(h string) string { return strings.ToLower(strings.TrimSuffix(h, port)) }
	return trim(host) == trim(issuer.Host)
}

func name(a netip.Addr) string {
	if !a.IsValid() {
		return "unknown"
	}
	return a.String()
}

// shorten makes a text from outside fit for a log line.
func shorten(s string) string {
	const most = 80
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), most)])
	return s
}

// forwardWatch logs what CheckForwarding finds, once a minute for each kind.
type forwardWatch struct {
	issuer  *url.URL
	proxies []netip.Prefix
	log     *slog.Logger
	now     func() time.Time

	mu   sync.Mutex
	last map[string]time.Time // by Problem.Key, of which there are two
}

func (w *forwardWatch) look(r *http.Request) {
	for _, p := range CheckForwarding(w.issuer, w.proxies, r) {
		if w.due(p.Key) {
			w.log.LogAttrs(r.Context(), slog.LevelWarn, p.Message, slog.String("setting", p.Key), slog.String("hint", p.Hint))
		}
	}
}

func (w *forwardWatch) due(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	if last, ok := w.last[key]; ok && now.Sub(last) < time.Minute {
		return false
	}
	w.last[key] = now
	return true
}

// hostOf returns the host and, unless it is the scheme's own, the port.
func hostOf(u *url.URL) string {
	if u.Port() == "" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}
