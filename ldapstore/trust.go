package ldapstore

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// trust holds what TLS stands on: the authorities and our own certificate. Both
// are read again when their files change, for certificates are renewed while the
// server runs. A file that can't be used leaves what was there before in force.
type trust struct {
	caFile, certFile, keyFile string
	log                       *slog.Logger
	now                       func() time.Time

	mu        sync.Mutex
	roots     *x509.CertPool // nil for the system's
	rootsAt   stamp
	pair      *tls.Certificate
	pairAt    [2]stamp
	authority []byte // what roots was read from
}

// stamp tells one state of a file from the next.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{modified: info.ModTime(), size: info.Size()}
}

// readAuthorities reads the CA file if it has changed.
func (t *trust) readAuthorities() error {
	if t.caFile == "" {
		return nil // nil is what crypto/tls takes for the system's
	}
	at := stampOf(t.caFile)
	if t.roots != nil && at == t.rootsAt {
		return nil
	}
	t.rootsAt = at
	text, err := os.ReadFile(t.caFile)
	if err != nil {
		return fmt.Errorf("the file cannot be read: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s holds no certificate in PEM form", t.caFile)
	}
	if t.roots != nil && !bytes.Equal(text, t.authority) {
		t.log.Info("the authorities of the directory's certificate were read again", slog.String("file", t.caFile))
	}
	t.roots, t.authority = roots, text
	return nil
}

// readPair reads our own certificate if it has changed.
func (t *trust) readPair() error {
	if t.certFile == "" {
		return nil
	}
	at := [2]stamp{stampOf(t.certFile), stampOf(t.keyFile)}
	if t.pair != nil && at == t.pairAt {
		return nil
	}
	t.pairAt = at
	pair, err := tls.LoadX509KeyPair(t.certFile, t.keyFile)
	if err != nil {
		return fmt.Errorf("certificate and key can't be used: %w", err)
	}
	t.pair = &pair
	return nil
}

// authorities returns those that are trusted now; nil for the system's.
func (t *trust) authorities() *x509.CertPool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.roots
}

// config returns the settings of one handshake with a server of this name.
func (t *trust) config(host string) *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := errors.Join(t.readAuthorities(), t.readPair()); err != nil {
		t.log.Error("cannot read a file of directory TLS again, what was there before stays", slog.String("error", err.Error()))
	}
	config := &tls.Config{RootCAs: t.roots, ServerName: host, MinVersion: tls.VersionTLS12, Time: t.now}
	if t.pair != nil {
		// Shown also where the server's list of authorities is wrong or empty.
		pair := t.pair
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
	}
	return config
}
