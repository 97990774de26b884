package ldapstore

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"

	"gatehouse/oidc"
)

// endpoint is one server, or a domain whose servers have to be asked for.
type endpoint struct {
	url      string
	network  string // tcp or unix
	host     string // whom the certificate has to name
	address  string
	tls      bool   // from the first byte
	startTLS bool   // after one request
	domain   string // of ldap+srv:// and ldaps+srv://
}

func (e endpoint) encrypted() bool { return e.tls || e.startTLS }

const urlForm = "write it as in ldaps://ldap.example.org, ldap://ldap.example.org:389, ldapi://%2Frun%2Fslapd%2Fldapi or ldaps+srv://example.org"

func urlProblem(hint, format string, args ...any) *oidc.Problem {
	return &oidc.Problem{Key: "directory.url", Message: fmt.Sprintf(format, args...), Hint: hint}
}

// parseURL reads one server's address and refuses to send passwords in the clear
// to another machine.
func parseURL(text string, startTLS bool) (endpoint, *oidc.Problem) {
	if path, found := strings.CutPrefix(text, "ldapi://"); found {
		return parseSocket(text, path)
	}
	u, err := url.Parse(text)
	if err != nil {
		return endpoint{}, urlProblem(urlForm, "not a URL")
	}
	if u.User != nil {
		return endpoint{}, urlProblem("put the account into bind_dn and its password into bind_password_file", "%s holds a name or a password", u.Redacted())
	}
	sort, srv := strings.CutSuffix(u.Scheme, "+srv")
	if sort != "ldap" && sort != "ldaps" {
		return endpoint{}, urlProblem(urlForm, "%s starts with neither ldap:// nor ldaps://", text)
	}
	if u.Hostname() == "" {
		return endpoint{}, urlProblem(urlForm, "%s names no host", text)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return endpoint{}, urlProblem("put the base into base_dn", "%s holds more than a host and a port", text)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ldap": "389", "ldaps": "636"}[sort]
	}
	e := endpoint{
		url:      u.Scheme + "://" + u.Host,
		network:  "tcp",
		host:     u.Hostname(),
		address:  net.JoinHostPort(u.Hostname(), port),
		tls:      sort == "ldaps",
		startTLS: startTLS,
	}
	if srv {
		if _, err := netip.ParseAddr(e.host); err == nil || u.Port() != "" {
			return endpoint{}, urlProblem("write it as in ldaps+srv://example.org", "%s has to hold a domain alone: hosts and ports come from its SRV records", text)
		}
		e.domain, e.host, e.address = strings.TrimSuffix(e.host, "."), "", ""
	}
	if e.tls && e.startTLS {
		return endpoint{}, urlProblem("write ldap:// or leave start_tls out", "%s is encrypted from the start, so start_tls does not fit", text)
	}
	if !e.encrypted() && !isLoopback(e.host) {
		return endpoint{}, urlProblem("use ldaps://, or set start_tls: true", "%s would send passwords unencrypted over the network", text)
	}
	return e, nil
}

// parseSocket reads the path of a socket, written as OpenLDAP's tools do
// (ldapi://%2Frun%2Fldapi) or plainly (ldapi:///run/ldapi).
func parseSocket(text, path string) (endpoint, *oidc.Problem) {
	const form = "write it as in ldapi://%2Frun%2Fslapd%2Fldapi"
	path, err := url.PathUnescape(path)
	clean := filepath.Clean(path)
	if err != nil || !filepath.IsAbs(path) || clean == "/" || strings.ContainsAny(path, "?#\x00") {
		return endpoint{}, urlProblem(form, "%q names no socket", text)
	}
	return endpoint{url: "ldapi://" + url.PathEscape(clean), network: "unix", address: clean}, nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// at returns the endpoint of one SRV record of the domain. DNS can be forged, so
// a name of its choice must not be enough: a server outside of the domain has to
// show a certificate for the domain itself.
func (e endpoint) at(record *net.SRV, port uint16) endpoint {
	host := strings.TrimSuffix(record.Target, ".")
	address := net.JoinHostPort(host, fmt.Sprint(port))
	scheme := "ldap://"
	if e.tls {
		scheme = "ldaps://"
	}
	named := host
	if !strings.HasSuffix(strings.ToLower("."+host), strings.ToLower("."+e.domain)) {
		named = e.domain
	}
	return endpoint{url: scheme + address, network: "tcp", host: named, address: address, tls: e.tls, startTLS: e.startTLS}
}
