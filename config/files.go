package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// renewal is how long before its end a certificate is warned about.
const renewal = 14 * 24 * time.Hour

// checkPaths looks whether the folders are there that the server doesn't make.
func (l *loader) checkPaths(c *Config) {
	for _, f := range []struct{ key, path string }{{"clients_dir", c.ClientsDir}, {"templates_dir", c.TemplatesDir}, {"static_dir", c.StaticDir}} {
		if f.path != "" {
			l.checkFolder(f.key, f.path, "mkdir "+f.path)
		}
	}
	for _, f := range []struct{ key, path string }{{"clients_dir", c.ClientsDir}, {"keys_dir", c.KeysDir}, {"database", c.Database}} {
		if f.path == "" {
			l.problem(f.key, "it is empty", "write a path, or leave it out for "+find(f.key).def)
		}
	}
	if c.Database != "" {
		l.checkFolder("database", filepath.Dir(c.Database), "make it, owned by the server's account")
		if info, err := os.Stat(c.Database); err == nil && !info.Mode().IsRegular() {
			l.problem("database", c.Database+" is not a plain file", "name the file of the database, not its folder")
		}
	}
	if c.KeysDir != "" {
		if info, err := os.Stat(c.KeysDir); err != nil {
			l.checkFolder("keys_dir", filepath.Dir(c.KeysDir), "make it, owned by the server's account")
		} else if !info.IsDir() {
			l.problem("keys_dir", c.KeysDir+" is not a folder", "name a folder")
		}
	}
}

// checkLocalSocket looks whether the socket can be made, and by nobody else: who can
// write to its folder could put another one in its place.
func (l *loader) checkLocalSocket(c *Config) {
	s := c.LocalSocket
	const key = "local_socket.path"
	if s.Path == "" {
		if s.Group != "" {
			l.problem("local_socket.group", "it is there, but local_socket.path is not", "set local_socket.path, or leave it out")
		}
		return
	}
	folder := filepath.Dir(s.Path)
	l.checkFolder(key, folder, "make it, owned by the server's account")
	if info, err := os.Stat(folder); err == nil && info.IsDir() && info.Mode().Perm()&0o002 != 0 {
		l.problem(key, "everybody on the machine can write to "+folder, "choose another folder, such as /run/gatehouse")
	}
	if len(s.Path) > maxSocketPath {
		l.problem(key, fmt.Sprintf("it is longer than %d characters, which sockets can't be", maxSocketPath), "choose a folder with a shorter name")
	}
}

// maxSocketPath is what systems take (108 with a NUL on Linux, 104 elsewhere), less
// the name that the socket has while it is made.
const maxSocketPath = 75

// checkClientCertificate looks whether certificate and key can be read; the
// directory's own package looks whether they belong together.
func (l *loader) checkClientCertificate(d Directory) {
	if (d.ClientCertFile == "") != (d.ClientKeyFile == "") {
		missing := "directory.client_key_file"
		if d.ClientCertFile == "" {
			missing = "directory.client_cert_file"
		}
		l.problem(missing, "it is missing: the other half of the client certificate is there", "name the PEM files of both, certificate and private key")
	}
	for _, f := range []struct{ key, path string }{{"directory.client_cert_file", d.ClientCertFile}, {"directory.client_key_file", d.ClientKeyFile}} {
		if f.path == "" {
			continue
		}
		if _, err := readRegular(f.path); err != nil {
			l.problem(f.key, f.path+": "+reason(err), "name a PEM file that the server's account can read")
		} else if f.key == "directory.client_key_file" {
			l.checkPrivate(f.key, f.path, "")
		}
	}
}

func (l *loader) checkFolder(key, path, mend string) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		l.problem(key, "the folder "+path+" is missing", mend)
	case err != nil:
		l.problem(key, path+": "+reason(err), "let the server's account read it")
	case !info.IsDir():
		l.problem(key, path+" is not a folder", "name a folder")
	}
}

func (l *loader) checkAuthorities(path string) {
	const key, hint = "directory.ca_file", "name a PEM file with the certificate of the authority that signed the directory's"
	data, err := readRegular(path)
	if err != nil {
		l.problem(key, path+": "+reason(err), hint)
		return
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		l.problem(key, path+" holds no certificate in PEM", hint)
	}
}

// checkTLS looks whether the server's certificate can be used.
func (l *loader) checkTLS(c *Config, issuer *url.URL, now time.Time) {
	if !c.TLS.Enabled() {
		return
	}
	if issuer != nil && issuer.Scheme == "http" {
		l.problem("issuer", "it is http, but the server has a certificate and speaks https", "write https://"+issuer.Host+", or leave tls out")
	}
	files := []struct{ key, path, what string }{{"tls.cert_file", c.TLS.CertFile, "certificate"}, {"tls.key_file", c.TLS.KeyFile, "private key"}}
	var pem [2][]byte
	complete := true
	for i, f := range files {
		if f.path == "" {
			l.problem(f.key, "it is missing: the other half of tls is there", "name the file with the "+f.what)
			complete = false
			continue
		}
		data, err := readRegular(f.path)
		if err != nil {
			l.problem(f.key, f.path+": "+reason(err), "name the file with the "+f.what+", readable for the server's account")
			complete = false
			continue
		}
		pem[i] = data
	}
	if pem[1] != nil {
		l.checkPrivate("tls.key_file", c.TLS.KeyFile, "")
	}
	if complete {
		l.checkPair(c, issuer, pem[0], pem[1], now)
	}
}

func (l *loader) checkPair(c *Config, issuer *url.URL, certificate, key []byte, now time.Time) {
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		l.problem("tls.cert_file", "certificate and key can't be used: "+strings.TrimPrefix(err.Error(), "tls: "), "name a certificate in PEM and the private key that was made for it")
		return
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			l.problem("tls.cert_file", "the certificate can't be read: "+err.Error(), "name a certificate in PEM")
			return
		}
	}
	const date = "2 January 2006 15:04 MST"
	switch {
	case now.After(leaf.NotAfter):
		l.problem("tls.cert_file", "the certificate expired on "+leaf.NotAfter.UTC().Format(date), "renew it")
	case now.Before(leaf.NotBefore):
		l.problem("tls.cert_file", "the certificate is not valid before "+leaf.NotBefore.UTC().Format(date), "look at the machine's clock")
	case leaf.NotAfter.Sub(now) < renewal:
		l.warn("tls.cert_file", "the certificate expires on "+leaf.NotAfter.UTC().Format(date), "renew it")
	}
	// Between a proxy and the server, another name is nobody's business but theirs.
	if issuer != nil && len(c.TrustedProxies) == 0 && leaf.VerifyHostname(issuer.Hostname()) != nil {
		l.problem("tls.cert_file", "the certificate is not for "+issuer.Hostname()+", the host of the issuer", "take a certificate for that name; a proxy before the server belongs into trusted_proxies")
	}
}

// checkPrivate refuses a file with a secret that others than its owner may read.
//
// Credentials of systemd are the exception: it grants its unit access with an
// access control list, which shows as readable for the group, in a folder that
// nobody else can enter.
func (l *loader) checkPrivate(key, path, prelude string) {
	info, err := os.Stat(path)
	if err != nil {
		return // told by whoever reads it
	}
	others := info.Mode().Perm() & 0o077
	if dir := l.env["CREDENTIALS_DIRECTORY"]; dir != "" && filepath.Dir(path) == filepath.Clean(dir) {
		others &^= 0o040
	}
	if others != 0 {
		l.problem(key, fmt.Sprintf("%s%s may be used by others than its owner (mode %04o)", prelude, path, info.Mode().Perm()), "chmod 600 "+path+", owned by the server's account")
	}
}

// readSecret reads a secret from its file. Editors end a file with a line break;
// it is no part of the secret.
func readSecret(path string) (Secret, error) {
	data, err := readRegular(path)
	if err != nil {
		return "", fmt.Errorf("reading the secret in %s: %w", path, err)
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	switch {
	case text == "":
		return "", errors.New("it is empty")
	case strings.ContainsAny(text, "\n\x00"):
		return "", errors.New("it holds more than one line")
	}
	return Secret(text), nil
}
