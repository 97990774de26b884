package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"gatehouse/config"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/web"
)

const (
	issuerTimeout = 5 * time.Second
	issuerAnswer  = 1 << 20 // bytes of an answer that are read
	issuerRenewal = 14 * 24 * time.Hour
)

// issuerProbe asks the issuer's address, as people's browsers and applications do.
type issuerProbe struct {
	*report
	env    *environment
	cfg    *config.Config
	client *http.Client
	sign   func() string // the value of web.DoctorHeader, or nil without keys
}

// examineIssuer asks the issuer's address from here. Whether it can be reached from
// where people are is beyond us.
func (e *environment) examineIssuer(ctx context.Context, r *report, cfg *config.Config, set *clients.Set) {
	p := &issuerProbe{report: r, env: e, cfg: cfg, client: &http.Client{
		Timeout:   issuerTimeout,
		Transport: &http.Transport{DisableKeepAlives: true}, // and no proxy of the environment
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
	if ring, err := keys.Load(cfg.KeysDir, e.now); err == nil {
		p.sign = func() string { return web.SignDoctor(ring.Derive, cfg.Issuer, e.now()) }
	}
	running := p.listening(ctx)
	if !p.ready(ctx, running) {
		return
	}
	p.discovery(ctx, cfg.Issuer)
	if set == nil {
		return
	}
	for _, c := range set.All() {
		if c.OwnIssuer { // one is enough to see whether a proxy passes such addresses on
			p.discovery(ctx, provider.IssuerOf(cfg.Issuer, c))
			return
		}
	}
}

// listening looks whether the server runs on this machine.
func (p *issuerProbe) listening(ctx context.Context) bool {
	host, port, err := net.SplitHostPort(p.cfg.Listen)
	if err != nil {
		return false
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	dialer := net.Dialer{Timeout: issuerTimeout}
	c, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		p.note("note", "server", "", "nothing listens on %s: the server does not run here", p.cfg.Listen)
		return false
	}
	_ = c.Close() // nothing was said
	p.ok("server", "something listens on %s", p.cfg.Listen)
	return true
}

// answer is what came back.
type answer struct {
	status      int
	body        []byte
	certificate *x509.Certificate // nil without TLS
}

func (p *issuerProbe) get(ctx context.Context, path string, header http.Header) (*answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.cfg.Issuer+path, nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("User-Agent", "gatehouse-doctor")
	if p.sign != nil {
		r.Header.Set(web.DoctorHeader, p.sign())
	}
	response, err := p.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, issuerAnswer))
	if err != nil {
		return nil, err
	}
	a := &answer{status: response.StatusCode, body: body}
	if response.TLS != nil && len(response.TLS.PeerCertificates) > 0 {
		a.certificate = response.TLS.PeerCertificates[0]
	}
	return a, nil
}

// readiness is the body of /readyz.
type readiness struct {
	Status string    `json:"status"`
	Seen   *web.Seen `json:"seen"`
}

// ready asks /readyz; false means that there is no more to ask.
func (p *issuerProbe) ready(ctx context.Context, running bool) bool {
	a, err := p.get(ctx, "/readyz", nil)
	if err != nil {
		level := "problem"
		if !running {
			level = "note" // a server that isn't there yet
		}
		message, hint := explainIssuer(err)
		p.note(level, "issuer", hint, "%s: %s", p.cfg.Issuer, message)
		return false
	}
	if a.certificate != nil && a.certificate.NotAfter.Sub(p.env.now()) < issuerRenewal {
		p.note("warning", "issuer", "have it renewed", "the certificate of %s expires on %s", p.cfg.Issuer, when(a.certificate.NotAfter))
	}
	var body readiness
	ours := json.Unmarshal(a.body, &body) == nil && body.Status != ""
	switch {
	case ours && a.status == http.StatusOK:
		p.ok("issuer", "%s answers and is ready", p.cfg.Issuer)
	case ours && a.status == http.StatusServiceUnavailable:
		p.note("problem", "issuer", "the log of the server says why", "%s answers, but is not ready: people can't sign in", p.cfg.Issuer)
	case a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout || a.status == http.StatusServiceUnavailable:
		p.note("problem", "issuer", "look whether the server runs, and whether the proxy passes requests on to "+p.cfg.Listen, "the proxy at %s answers with %d: it does not reach the server", p.cfg.Issuer, a.status)
		return false
	default:
		p.note("problem", "issuer", "look at the proxy, or correct issuer", "something else answers at %s/readyz, with %d", p.cfg.Issuer, a.status)
		return false
	}
	p.proxies(ctx, body.Seen)
	return true
}

func explainIssuer(err error) (message, hint string) {
	var name *net.DNSError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var fault *url.Error
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return "its name does not exist", "make it known to your name servers, or correct issuer"
	case errors.As(err, &name):
		return "its name cannot be looked up: " + name.Err, "look at the name servers of this machine"
	case errors.As(err, &unknown):
		return "its certificate is signed by an authority that this machine does not trust", "applications would refuse it too: install the authority on all of them, or take a certificate that everybody trusts"
	case errors.As(err, &host):
		return "its certificate is for another host: " + strings.Join(host.Certificate.DNSNames, ", "), "take a certificate for the issuer's name"
	case errors.As(err, &invalid):
		return "its certificate cannot be used: " + invalid.Error(), "renew it"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refuses the connection", "look whether the server, and the proxy before it, run"
	case errors.As(err, &fault) && fault.Timeout():
		return "it does not answer", "look for a firewall; from here people's requests would take this way"
	default:
		return "it cannot be asked: " + err.Error(), "look at the network and the proxy"
	}
}

// proxies judges how requests arrive, which the server alone can see.
func (p *issuerProbe) proxies(ctx context.Context, seen *web.Seen) {
	switch {
	case p.sign == nil:
		p.note("note", "proxies", "run doctor as the account of the server", "how requests arrive can't be asked without the keys")
		return
	case seen == nil:
		p.note("warning", "proxies", "look whether another installation answers there, and whether doctor reads the same configuration as the server", "who answers at %s does not have the keys that are here, or a proxy leaves headers out", p.cfg.Issuer)
		return
	}
	for _, fault := range seen.Problems {
		p.findings = append(p.findings, finding{Level: "problem", Area: "proxies", Key: fault.Key, Message: fault.Message, Hint: fault.Hint})
	}
	if p.cfg.TLS.Enabled() || !strings.HasPrefix(p.cfg.Issuer, "https://") || !seen.Trusted {
		if len(seen.Problems) == 0 {
			p.ok("proxies", "requests arrive as they should")
		}
		return
	}
	if p.forged(ctx, seen) && len(seen.Problems) == 0 {
		p.ok("proxies", "%s says who asks, and believes nobody else", seen.Peer)
	}
}

// forged looks what a proxy makes of headers that a stranger sends.
func (p *issuerProbe) forged(ctx context.Context, before *web.Seen) bool {
	const stranger = "192.0.2.99" // RFC 5737: nobody's
	a, err := p.get(ctx, "/readyz", http.Header{"X-Forwarded-For": {stranger}, "X-Forwarded-Proto": {"http"}})
	var body readiness
	if err != nil || json.Unmarshal(a.body, &body) != nil || body.Seen == nil {
		return false
	}
	fine := true
	if body.Seen.Client == stranger {
		fine = false
		p.note("problem", "proxies", "have the proxy set X-Forwarded-For anew, or add the address that it sees at the end",
			"the proxy %s passes X-Forwarded-For on as it comes: strangers can pretend to be elsewhere, and nothing slows their guessing down", before.Peer)
	}
	if len(body.Seen.Problems) > len(before.Problems) {
		fine = false
		p.note("problem", "proxies", "have the proxy set X-Forwarded-Proto anew", "the proxy %s passes X-Forwarded-Proto on as it comes", before.Peer)
	}
	return fine
}

// discovery looks whether the issuer's document is the issuer's.
func (p *issuerProbe) discovery(ctx context.Context, issuer string) {
	path := strings.TrimPrefix(issuer, p.cfg.Issuer) + "/.well-known/openid-configuration"
	a, err := p.get(ctx, path, nil)
	var document struct {
		Issuer string `json:"issuer"`
	}
	switch {
	case err != nil:
		message, hint := explainIssuer(err)
		p.note("problem", "issuer", hint, "%s%s: %s", p.cfg.Issuer, path, message)
	case a.status != http.StatusOK || json.Unmarshal(a.body, &document) != nil:
		p.note("problem", "issuer", "have the proxy pass all paths on", "%s%s is answered with %d by something else", p.cfg.Issuer, path, a.status)
	case document.Issuer != issuer:
		p.note("problem", "issuer", "look whether the server was restarted since issuer was changed, or whether another one answers",
			"%s", fmt.Sprintf("the server that answers at %s says that it is %s", issuer, document.Issuer))
	default:
		p.ok("issuer", "applications find their way: %s%s", p.cfg.Issuer, path)
	}
}
