package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc/keys"
)

// command runs a command line as an operator of this site would.
func (s *site) command(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	var out, problems bytes.Buffer
	env := &environment{stdin: strings.NewReader(""), stdout: &out, stderr: &problems, now: time.Now}
	code = run(context.Background(), append(args, "--config", filepath.Join(s.Dir, "gatehouse.yaml")), env)
	return out.String(), problems.String(), code
}

// must is command for what has to succeed.
func (s *site) must(args ...string) (stdout string) {
	s.t.Helper()
	stdout, stderr, code := s.command(args...)
	if code != exitOK {
		s.t.Fatalf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// kidOf returns the key that signed a token.
func kidOf(t *testing.T, token string) string {
	t.Helper()
	head, _, _ := strings.Cut(token, ".")
	var header struct {
		Kid string `json:"kid"`
	}
	if err := json.Unmarshal(decodePart(t, head), &header); err != nil {
		t.Fatal(err)
	}
	return header.Kid
}

func TestKeysRotateUnderARunningServer(t *testing.T) { // row D3
	t.Parallel()
	s := startSite(t, nil)
	app, alice := s.application("openid"), newPerson(t)
	first := app.tokens(alice.get(app.address()).signIn("alice"))
	old, _ := first.Extra("id_token").(string)

	var made []keys.Info
	if err := json.Unmarshal([]byte(s.must("key", "rotate", "ES256", "--now", "-o", "json")), &made); err != nil || len(made) != 1 {
		t.Fatalf("%v %v", made, err)
	}
	var latest string
	eventually(t, "the new key signs", func() bool {
		latest, _ = app.tokens(alice.get(app.address())).Extra("id_token").(string)
		return kidOf(t, latest) == made[0].Kid
	})
	verify := func(token string) error { // by an application that has just started
		_, err := s.application("openid").provider.Verifier(&goidc.Config{ClientID: "app"}).Verify(context.Background(), token)
		return err
	}
	if err := verify(old); err != nil {
		t.Errorf("a token from before the rotation: %v", err)
	}
	if err := verify(latest); err != nil {
		t.Errorf("a token from after the rotation: %v", err)
	}

	if _, stderr, code := s.command("key", "retire", kidOf(t, old)); code != exitFailed || !strings.Contains(stderr, "may be valid until") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	s.must("key", "retire", kidOf(t, old), "--now")
	eventually(t, "the old key is no longer published", func() bool { return verify(old) != nil })
	if err := verify(latest); err != nil {
		t.Errorf("a token of the key that stays: %v", err)
	}
}

func TestResetSecretEndsThatClientsTokensAndNoOthers(t *testing.T) { // row L6
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/other.yaml": strings.ReplaceAll(appYAML, "client_id: app", "client_id: other")})
	alice := newPerson(t)
	app, other := s.application("openid", "offline_access"), s.application("openid")
	other.config.ClientID = "other"
	mine := app.tokens(alice.get(app.address()).signIn("alice"))
	theirs := other.tokens(alice.get(other.address()))

	stdout := s.must("client", "reset-secret", "app")
	if !strings.Contains(stdout, "grants ended: 1") {
		t.Error(stdout)
	}
	if got := newPerson(t).bearer(s.URL+"/oauth2/userinfo", mine.AccessToken); got != http.StatusUnauthorized {
		t.Errorf("the client's access token: %d", got)
	}
	if got := newPerson(t).bearer(s.URL+"/oauth2/userinfo", theirs.AccessToken); got != http.StatusOK {
		t.Errorf("another client's access token: %d", got)
	}
	var secret string
	for line := range strings.Lines(stdout) {
		if rest, found := strings.CutPrefix(line, "client secret "); found {
			secret = strings.TrimSpace(rest)
		}
	}
	eventually(t, "the new secret counts, and the old one does not", func() bool {
		app.config.ClientSecret = secret
		token, err := app.config.Exchange(context.Background(), "no code")
		return token == nil && strings.Contains(err.Error(), "invalid_grant")
	})
	if got := s.refresh(mine.RefreshToken); !strings.Contains(got.Body, "invalid_client") {
		t.Errorf("with the old secret: %d %s", got.Status, got.Body)
	}
}

func TestExplainSaysWhatTheServerDoes(t *testing.T) { // row S10
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid", "profile", "email", "groups", "phone")
	info := app.userinfo(app.tokens(newPerson(t).get(app.address()).signIn("alice")))
	var x explanation
	if err := json.Unmarshal([]byte(s.must("explain", "--user", "alice", "--client", "app", "--scope", "openid profile email groups phone", "-o", "json")), &x); err != nil {
		t.Fatal(err)
	}
	said, err := json.Marshal(x.Claims)
	if err != nil {
		t.Fatal(err)
	}
	served, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(said, served) {
		t.Errorf("explain says %s\nuserinfo says %s", said, served)
	}
	for name, want := range map[string]string{
		"dave": "the account is disabled", "nobody": "nobody in the directory",
	} {
		if stdout, _, code := s.command("explain", "--user", name, "--client", "app"); code != exitNoAccess || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d\n%s", name, code, stdout)
		}
	}
}

func TestCheckLiveOnARealDirectory(t *testing.T) { // row O2
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/second.yaml": clientYAML("second", `
scopes:
  everyone: [openid]
  groups:
    `+ldaptest.GroupDN("cn=nobody-made-this")+`: [profile]
`)})
	stdout := s.must("check", "--live", "-o", "json")
	var findings []finding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil {
		t.Fatal(err)
	}
	missing := slices.IndexFunc(findings, func(f finding) bool {
		return f.Level == "warning" && f.Key == "client second" && strings.Contains(f.Message, "nobody-made-this")
	})
	problem := slices.IndexFunc(findings, func(f finding) bool { return f.Level == "problem" || f.Key == "client app" })
	if missing < 0 || problem >= 0 {
		t.Error(stdout)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "gatehouse.db")); err != nil {
		t.Error(err)
	}
	s.LDAP.Stop()
	if stdout, _, code := s.command("check", "--live"); code != exitProblems || !strings.Contains(stdout, "people can't be looked up") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

func TestGrantRevokeEndsATokenAtOnce(t *testing.T) {
	t.Parallel()
	s := startSite(t, nil)
	app := s.application("openid")
	token := app.tokens(newPerson(t).get(app.address()).signIn("alice"))
	var grants []listedGrant
	if err := json.Unmarshal([]byte(s.must("grant", "list", "--user", "alice", "-o", "json")), &grants); err != nil || len(grants) != 1 {
		t.Fatalf("%v %v", grants, err)
	}
	if got := s.introspect(token.AccessToken); got["active"] != true {
		t.Fatal(got)
	}
	s.must("grant", "revoke", grants[0].ID)
	if got := s.introspect(token.AccessToken); got["active"] != false {
		t.Error(got)
	}
}

func decodePart(t *testing.T, part string) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// bearer asks for an address with an access token, and returns the status.
func (p *person) bearer(address, token string) int {
	p.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return p.do(r).Status
}
