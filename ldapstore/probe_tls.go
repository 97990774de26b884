package ldapstore

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// renewal is how long before its end a certificate is warned about.
const renewal = 30 * 24 * time.Hour

// judgeTLS judges a handshake that succeeded.
func (p *probe) judgeTLS(state tls.ConnectionState, took time.Duration) {
	p.found(LevelOK, "tls", "", "%s in %s; the certificate is for %s", tls.VersionName(state.Version), roughly(took), some(namesOf(state.PeerCertificates[0])))
	chain := state.PeerCertificates
	if len(state.VerifiedChains) > 0 {
		chain = state.VerifiedChains[0]
	}
	p.judgeDates(chain)
}

// judgeChain tells all that is wrong with a chain, where crypto/tls ends at the
// first thing.
func (p *probe) judgeChain(chain []*x509.Certificate, failed *TLSError) {
	now := p.d.now()
	for i, c := range chain {
		signer := c.Issuer.CommonName
		if signer == "" {
			signer = c.Issuer.String()
		}
		p.found(LevelNote, "tls", "", "certificate %d of %d is for %s, signed by %s, valid until %s", i+1, len(chain), subjectOf(c), signer, dateOf(c.NotAfter))
	}
	told := false
	if chain[0].VerifyHostname(p.server.host) != nil {
		message, hint := explainName(chain[0], p.server.host)
		p.found(LevelProblem, "tls", hint, "%s", message)
		told = true
	}
	if p.judgeDates(chain) {
		told = true
	}
	within := x509.VerifyOptions{
		Roots: p.server.dialer.trust.authorities(), Intermediates: x509.NewCertPool(), CurrentTime: middleOf(chain[0], now),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, c := range chain[1:] {
		within.Intermediates.AddCert(c)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := chain[0].Verify(within); errors.As(err, &unknown) {
		p.offerAnchor(chain)
		told = true
	}
	if !told {
		message, hint := failed.Explain()
		p.found(LevelProblem, "tls", hint, "%s: %v", message, failed.Err)
	}
}

// middleOf is a time at which a certificate is valid, now if it is: so that other
// faults show beside an expired certificate.
func middleOf(c *x509.Certificate, now time.Time) time.Time {
	if now.After(c.NotBefore) && now.Before(c.NotAfter) {
		return now
	}
	return c.NotAfter.Add(-time.Second)
}

func (p *probe) offerAnchor(chain []*x509.Certificate) {
	anchor, own := Anchor(chain)
	message := fmt.Sprintf("the certificate is signed by an authority that is not trusted, %s", nameOf(anchor.Issuer.CommonName, anchor.Issuer.String()))
	hint := "compare the fingerprint with what the people say who run the directory; if it is the same, put this certificate into a file and name that in directory.ca_file"
	if own {
		message += "; the server does not show the authority's own certificate"
		hint = "ask the people who run the directory for the authority's certificate and name it in directory.ca_file; this is the server's own, which would do until it is renewed"
	}
	p.tell(Finding{
		Level: LevelProblem, Topic: "tls", Server: p.server.url, Hint: hint,
		Message: fmt.Sprintf("%s; SHA-256 fingerprint %s", message, Fingerprint(anchor)), PEM: string(PEM(anchor)),
	})
}

func nameOf(name, or string) string {
	if name == "" {
		return or
	}
	return name
}

// Fingerprint returns the SHA-256 of a certificate as openssl x509 -fingerprint
// writes it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

// judgeDates tells what has expired or soon will.
func (p *probe) judgeDates(chain []*x509.Certificate) (wrong bool) {
	now := p.d.now()
	for _, c := range chain {
		left := c.NotAfter.Sub(now)
		switch {
		case left <= 0:
			wrong = true
			p.found(LevelProblem, "tls", "have it renewed", "the certificate of %s expired on %s", subjectOf(c), dateOf(c.NotAfter))
		case now.Before(c.NotBefore):
			wrong = true
			p.found(LevelProblem, "tls", "look at the clock of this machine", "the certificate of %s is not valid before %s", subjectOf(c), dateOf(c.NotBefore))
		case left < renewal:
			p.found(LevelWarning, "tls", "have it renewed: afterwards nobody can sign in", "the certificate of %s expires in %s, on %s", subjectOf(c), roughly(left), dateOf(c.NotAfter))
		}
	}
	return wrong
}
