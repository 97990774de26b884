package ldapstore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// TLSError is a failed handshake, explained. There is no way round it: an operator
// who trusts what the server shows adds the certificate to directory.ca_file.
type TLSError struct {
	URL string
	Err error

	host string
	now  time.Time
}

// Error says what is wrong, and what can be done.
func (e *TLSError) Error() string {
	message, hint := e.Explain()
	return fmt.Sprintf("TLS: %s; %s: %v", message, hint, e.Err)
}

// Unwrap returns the error of the handshake.
func (e *TLSError) Unwrap() error { return e.Err }

// Chain returns the certificates that the server showed, its own first, if they
// are why the handshake failed.
func (e *TLSError) Chain() []*x509.Certificate {
	var failed *tls.CertificateVerificationError
	if errors.As(e.Err, &failed) {
		return failed.UnverifiedCertificates
	}
	return nil
}

// Untrusted reports whether all that is wrong is that the authority is not known.
func (e *TLSError) Untrusted() bool {
	var unknown x509.UnknownAuthorityError
	chain := e.Chain()
	return errors.As(e.Err, &unknown) && len(chain) > 0 && chain[0].VerifyHostname(e.host) == nil
}

// Explain returns what is wrong and what an operator can do about it.
func (e *TLSError) Explain() (message, hint string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.As(e.Err, &name):
		return explainName(name.Certificate, e.host)
	case errors.As(e.Err, &invalid):
		return explainInvalid(invalid, e.now)
	case errors.As(e.Err, &unknown):
		return "the certificate is signed by an authority that is not trusted", "name it in directory.ca_file"
	case errors.As(e.Err, &record):
		return "the port does not speak TLS", "use the port for ldaps, or ldap:// with start_tls"
	case errors.Is(e.Err, errLost):
		return "the server ends the connection instead of speaking TLS", "look whether it has a certificate, and whether this is the port for TLS"
	}
	return explainAlert(e.Err.Error())
}

// explainName says why a certificate is not for a host. Names in the subject have
// not counted for twenty years (RFC 2818, section 3.1; RFC 9525, section 2).
func explainName(c *x509.Certificate, host string) (message, hint string) {
	names := namesOf(c)
	if len(names) == 0 {
		sort := "DNS"
		if net.ParseIP(host) != nil {
			sort = "IP"
		}
		return fmt.Sprintf("the certificate names no host: it has no subjectAltName, and the common name %q does not count", c.Subject.CommonName),
			fmt.Sprintf("have it issued anew with subjectAltName=%s:%s", sort, host)
	}
	return fmt.Sprintf("the certificate is for another host: it is for %s, not for %s", strings.Join(names, ", "), host),
		"use a name that it holds in directory.url, or have it issued anew for this one"
}

// namesOf returns the hosts that a certificate is for.
func namesOf(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, address := range c.IPAddresses {
		names = append(names, address.String())
	}
	return names
}

func explainInvalid(invalid x509.CertificateInvalidError, now time.Time) (message, hint string) {
	c := invalid.Cert
	switch {
	case invalid.Reason == x509.Expired && c != nil && now.After(c.NotAfter):
		return fmt.Sprintf("the certificate of %s expired on %s", subjectOf(c), dateOf(c.NotAfter)), "have it renewed"
	case invalid.Reason == x509.Expired && c != nil:
		return fmt.Sprintf("the certificate of %s is not valid before %s", subjectOf(c), dateOf(c.NotBefore)), "look at the clock of this machine"
	case invalid.Reason == x509.IncompatibleUsage:
		return "the certificate is not for servers", "have it issued anew with extendedKeyUsage=serverAuth"
	case invalid.Reason == x509.NotAuthorizedToSign:
		return "a certificate in the chain may not sign others", "look which authority signed it, and name that one in directory.ca_file"
	default:
		return "the certificate cannot be used", "see the reason that follows"
	}
}

// explainAlert knows what servers say in place of a handshake (RFC 8446, section
// 6.2); crypto/tls tells it as a text only.
func explainAlert(text string) (message, hint string) {
	const refused = "remote error: tls: "
	switch {
	case strings.Contains(text, refused+"certificate required"), strings.Contains(text, refused+"bad certificate"),
		strings.Contains(text, refused+"unknown certificate"):
		return "the server wants a client certificate, or does not like ours", "set directory.client_cert_file and client_key_file to a certificate that it trusts"
	case strings.Contains(text, refused+"protocol version"), strings.Contains(text, "unsupported versions"), strings.Contains(text, "unsupported protocol version"):
		return "the server speaks no version of TLS that is still safe", "have it speak TLS 1.2 or 1.3"
	case strings.Contains(text, refused+"handshake failure"), strings.Contains(text, refused+"insufficient security"):
		return "the server and we have no way of encrypting in common, or it has no certificate", "look at its certificate and at its list of ciphers"
	default:
		return "the handshake failed", "see the reason that follows"
	}
}

func subjectOf(c *x509.Certificate) string {
	if names := namesOf(c); len(names) > 0 {
		return names[0]
	}
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}

func dateOf(t time.Time) string { return t.UTC().Format("2 January 2006") }

// Anchor returns the certificate of a chain that an operator may decide to trust:
// the one highest up. own means that it is the server's, whose authority it did
// not show: it will have to be replaced when that is renewed.
func Anchor(chain []*x509.Certificate) (anchor *x509.Certificate, own bool) {
	if len(chain) == 0 {
		return nil, false
	}
	anchor = chain[0]
	for range chain {
		var above *x509.Certificate
		for _, c := range chain {
			if !c.Equal(anchor) && c.IsCA && bytes.Equal(c.RawSubject, anchor.RawIssuer) && anchor.CheckSignatureFrom(c) == nil {
				above = c
			}
		}
		if above == nil {
			break
		}
		anchor = above
	}
	return anchor, anchor.Equal(chain[0])
}

// PEM writes a certificate as it belongs into directory.ca_file.
func PEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
