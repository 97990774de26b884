package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gooidc "github.com/coreos/go-oidc/v3/oidc"

	"gatehouse/config"
)

// askSocket posts JSON to the local socket, as another program does.
func askSocket(t *testing.T, socket, path, body string) (int, map[string]any) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://gatehouse"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

func TestOtherProgramsUseTheLocalSocket(t *testing.T) { // row O1
	t.Parallel()
	folder, err := os.MkdirTemp("", "gatehouse") // not t.TempDir: the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket := filepath.Join(folder, "socket")
	s := startSite(t, map[string]string{"clients.d/jwt.yaml": clientYAML("jwt", `
access_token_signed_response_alg: RS256
audience: [https://api.example.org]
scopes:
  everyone: [openid, groups]
`)}, func(c *config.Config) { c.LocalSocket.Path = socket })
	waitFor(t, socket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v %v", info, err)
	}
	status, made := askSocket(t, socket, "/token", `{"client_id":"jwt","username":"alice","scope":"openid groups","id_token":true}`)
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, made)
	}
	access, _ := made["access_token"].(string)

	// An API reads the JWT by itself, with a library of others (RFC 9068, section 4).
	provider, err := gooidc.NewProvider(t.Context(), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	verifier := provider.VerifierContext(t.Context(), &gooidc.Config{ClientID: "https://api.example.org"})
	token, err := verifier.Verify(t.Context(), access)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		ClientID string   `json:"client_id"`
		Scope    string   `json:"scope"`
		Groups   []string `json:"groups"`
	}
	if err := token.Claims(&claims); err != nil || claims.ClientID != "jwt" || claims.Scope != "openid groups" || len(claims.Groups) == 0 {
		t.Errorf("%+v %v", claims, err)
	}
	p := newPerson(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/oauth2/userinfo", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+access)
	if info := p.do(r); info.Status != http.StatusOK || !strings.Contains(info.Body, token.Subject) {
		t.Errorf("userinfo: %d %s", info.Status, info.Body)
	}

	for _, name := range []string{"access_token", "id_token"} {
		if _, v := askSocket(t, socket, "/check", fmt.Sprintf(`{"token":%q}`, made[name])); v["active"] != true || v["kind"] != name {
			t.Errorf("%s: %v", name, v)
		}
	}
	p.post(s.URL+"/oauth2/revoke", url.Values{"token": {access}}, "jwt", appSecret)
	if _, v := askSocket(t, socket, "/check", fmt.Sprintf(`{"token":%q}`, access)); v["active"] != false || v["reason"] == "" {
		t.Errorf("a revoked token: %v", v)
	}
	if status, answer := askSocket(t, socket, "/token", `{"client_id":"app","username":"nobody","scope":"openid"}`); status != http.StatusBadRequest || answer["error"] != "access_denied" {
		t.Errorf("%d %v", status, answer)
	}
	log := s.Log.String()
	if !strings.Contains(log, fmt.Sprintf(`"asked_by":"uid %d, process %d"`, os.Getuid(), os.Getpid())) || strings.Contains(log, access) {
		t.Error("the audit log does not say who asked, or holds a token")
	}
	// The socket is none of the network's: nothing of it is at the issuer.
	if got := p.post(s.URL+"/token", url.Values{}); got.Status != http.StatusNotFound {
		t.Errorf("the issuer answers /token: %d", got.Status)
	}
}

func waitFor(t *testing.T, path string) {
	t.Helper()
	eventually(t, path, func() bool { _, err := os.Stat(path); return err == nil })
}

func TestTheLocalSocketTakesNobodysPlace(t *testing.T) {
	t.Parallel()
	folder, err := os.MkdirTemp("", "gatehouse")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "socket")
	first, err := listenLocal(t.Context(), path, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenLocal(t.Context(), path, ""); err == nil || !strings.Contains(err.Error(), "another program answers") {
		t.Errorf("a second server: %v", err)
	}
	if err := first.Close(); err != nil { // as when a server is killed: the file stays
		t.Fatal(err)
	}
	var second net.Listener
	eventually(t, "what was left behind is not in the way", func() bool { // a program that a test has just forked may have it open until its exec
		second, err = listenLocal(t.Context(), path, fmt.Sprint(os.Getgid()))
		return err == nil
	})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("with a group: %v %v", info, err)
	}
	_ = second.Close()
	if _, err := listenLocal(t.Context(), path, "no-such-group-here"); err == nil || !strings.Contains(err.Error(), "group") {
		t.Errorf("an unknown group: %v", err)
	}
	plain := filepath.Join(folder, "plain")
	if err := os.WriteFile(plain, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenLocal(t.Context(), plain, ""); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
	if data, err := os.ReadFile(plain); err != nil || !bytes.Equal(data, []byte("mine")) {
		t.Errorf("the file was touched: %q %v", data, err)
	}
	left, err := os.ReadDir(folder)
	if err != nil || len(left) != 2 {
		t.Errorf("something is left behind: %v %v", left, err)
	}
}

func TestAPersonKeepsTheirPhoneNumberFromAnApplication(t *testing.T) { // row C7
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/app.yaml": strings.Replace(appYAML, "consent: none", "consent: remembered\nwithholdable_claims: [phone_number, address]", 1)})
	app := s.application("openid", "profile", "phone")
	alice := newPerson(t)
	asked := alice.get(app.address()).signIn("alice")
	for _, want := range []string{`type="checkbox"`, `name="withhold_phone_number"`, "Your phone number"} {
		if !strings.Contains(asked.Body, want) {
			t.Errorf("the consent page lacks %s: %s", want, asked.Body)
		}
	}
	if strings.Contains(asked.Body, "withhold_address") {
		t.Error("a choice about what is not asked for")
	}
	token := app.tokens(asked.submit("allow", "1", "withhold_phone_number", "1", "withhold_profile", "1"))
	info := app.userinfo(token)
	if info["phone_number"] != nil || info["phone_number_verified"] != nil || info["given_name"] != "Alice" {
		t.Errorf("%v", info)
	}
	if again := app.userinfo(app.tokens(alice.get(app.address()))); again["phone_number"] != nil { // without a page
		t.Errorf("the choice is forgotten: %v", again)
	}
}
