package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// privateParts returns the private numbers of all keys of a site, in each form that a
// number is printed in, and the server secret.
func (s *site) privateParts() map[string]string {
	s.t.Helper()
	parts := map[string]string{}
	err := filepath.WalkDir(s.config.KeysDir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if entry.Name() == "server.secret" {
			parts["the server secret"] = strings.TrimSpace(string(data))
		}
		if filepath.Ext(path) != ".json" {
			return nil
		}
		var file struct {
			Kid     string            `json:"kid"`
			Private map[string]string `json:"private_key"`
		}
		if err := json.Unmarshal(data, &file); err != nil {
			return err
		}
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi"} {
			text, there := file.Private[name]
			if !there {
				continue
			}
			raw, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				return err
			}
			number := file.Kid + " " + name
			parts[number+" as base64url"], parts[number+" as base64"] = text, base64.StdEncoding.EncodeToString(raw)
			parts[number+" as hexadecimal"] = hex.EncodeToString(raw)
			parts[number+" in decimal"] = new(big.Int).SetBytes(raw).String()
			parts[number+" as bytes"] = strings.Trim(fmt.Sprint(raw), "[]")
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return parts
}

func TestPrivateKeysAreInTheirFilesAlone(t *testing.T) { // row D4
	t.Parallel()
	s := startSite(t, map[string]string{
		"clients.d/one.yaml": ownYAML("one", "id_token_signed_response_alg: EdDSA\n"), "clients.d/two.yaml": ownYAML("two", "id_token_signed_response_alg: RS256\n"),
	})
	var seen strings.Builder
	alice := newPerson(t)
	for _, a := range []*application{s.application("openid"), s.applicationAt("one", s.issuerOf("one"), "openid"), s.applicationAt("two", s.issuerOf("two"), "openid")} {
		g := alice.get(a.address(oauth2.SetAuthURLParam("prompt", "login"))).signIn("alice")
		raw, _ := a.tokens(g).Extra("id_token").(string)
		seen.WriteString(raw)
	}
	for _, path := range []string{
		"/oauth2/jwks", "/oauth2/openid/one/jwks", "/oauth2/openid/two/public_key.jwk", "/.well-known/openid-configuration",
		"/oauth2/openid/one/.well-known/openid-configuration", "/readyz", "/keys", "/keys/server.secret", "/static/../keys/server.secret",
	} {
		g := alice.get(s.URL + path)
		seen.WriteString(g.Body + fmt.Sprint(g.Header))
	}
	parts := s.privateParts() // also those that are gone in the end
	for _, args := range [][]string{
		{"key", "list"},
		{"key", "list", "-o", "json"},
		{"key", "list", "--client", "one", "-o", "json"},
		{"key", "create", "PS256"},
		{"key", "rotate", "-o", "json"},
		{"key", "rotate", "--client", "two", "--now"},
		{"key", "rotate", "--client", "one", "--revoke", "-o", "json"},
		{"client", "get", "one", "-o", "json"},
		{"client", "list", "-o", "json"},
		{"client", "reset-secret", "two"},
		{"check"},
		{"check", "-o", "json"},
		{"doctor"},
		{"explain", "--user", "alice", "--client", "one"},
		{"key", "retire", "nonsense"},
	} {
		stdout, stderr, _ := s.command(args...)
		seen.WriteString(stdout + stderr)
	}
	maps.Copy(parts, s.privateParts())
	for _, kid := range []string{s.house.keys.List()[0].Kid, s.house.own.Known()["two"].List()[0].Kid} { // nobody quotes a damaged file
		for _, path := range []string{filepath.Join(s.config.KeysDir, kid+".json"), filepath.Join(s.config.KeysDir, "clients", "two", kid+".json")} {
			if data, err := os.ReadFile(path); err == nil {
				if err := os.WriteFile(path, data[:len(data)-12], 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	stdout, stderr, code := s.command("check")
	if seen.WriteString(stdout + stderr); code == exitOK {
		t.Error("damaged keys were taken")
	}
	s.house.reload(t.Context(), &tellOnce{})
	func() {
		defer func() { fmt.Fprintf(&seen, "%v %s", recover(), debug.Stack()) }()
		s.house.own.Known()["one"].Derive("nothing", 1) // the keys of a client have no secret
	}()
	fmt.Fprintf(&seen, "%v %+v %#v %v %+v %#v", s.house.keys, s.house.keys, s.house.keys, s.house.own, s.house.own, s.house.own.Known())
	seen.WriteString(s.Log.String())
	for _, name := range []string{"gatehouse.db", "gatehouse.db-wal"} {
		data, err := os.ReadFile(filepath.Join(s.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		seen.Write(data)
	}
	text := seen.String()
	if !strings.Contains(text, "es256-") || len(parts) < 50 {
		t.Fatalf("nothing was looked at: %d parts", len(parts))
	}
	for name, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%s is shown", name)
		}
	}
	if pem := regexp.MustCompile(`PRIVATE KEY|"(d|p|q|dp|dq|qi|k)":`).FindString(text); pem != "" {
		t.Errorf("%s is shown", pem)
	}
}
