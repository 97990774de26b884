//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

const (
	clientID     = "bench"
	clientSecret = "zKq4vX8bN2mW7cR5tY9dL3fH6jG1pS0aQeUiOkVxBnMwCrTy"
	redirectURI  = "https://app.example.org/callback"
	scope        = "openid profile email groups offline_access"
)

// files are a configuration as an operator would write it.
type files struct {
	dir     string
	config  string
	issuer  string
	address string
}

// writeConfiguration writes the server's configuration and one client that may
// do all that is measured.
func writeConfiguration(dir string, d *directory) (*files, error) {
	address, err := freeAddress(context.Background())
	if err != nil {
		return nil, err
	}
	f := &files{dir: dir, config: filepath.Join(dir, "gatehouse.yaml"), issuer: "http://" + address, address: address}
	sum := sha256.Sum256([]byte(clientSecret))
	if err := os.MkdirAll(filepath.Join(dir, "clients.d"), 0o700); err != nil {
		return nil, err
	}
	for name, text := range map[string]string{
		"bind.pw": servicePW + "\n",
		"gatehouse.yaml": fmt.Sprintf(`issuer: %s
listen: %s
database: %s/gatehouse.db
clients_dir: %s/clients.d
keys_dir: %s/keys
directory:
  url: [%s]
  bind_dn: %s
  bind_password_file: %s/bind.pw
  base_dn: %s
`, f.issuer, address, dir, dir, dir, d.url, serviceDN, dir, base),
		"clients.d/bench.yaml": fmt.Sprintf(`client_id: %s
client_name: Bench
client_secret_hash: sha256:%s
redirect_uris: [%s]
grant_types: [authorization_code, refresh_token, client_credentials]
consent: none
scopes:
  everyone: [openid, profile, email]
  groups:
    %s: [groups]
`, clientID, hex.EncodeToString(sum[:]), redirectURI, staffDN),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// startServer starts Gatehouse and waits for its first right answer.
func startServer(ctx context.Context, program string, f *files) (*process, error) {
	p, err := startProcess(filepath.Join(f.dir, "gatehouse.log"), program, "serve", "--config", f.config)
	if err != nil {
		return nil, err
	}
	err = p.until(ctx, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.issuer+"/.well-known/openid-configuration", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("discovery: %s", resp.Status)
		}
		return nil
	})
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}
