package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// oldYAML is a client that takes passwords itself.
var oldYAML = strings.Replace(clientYAML("old", "scopes:\n  everyone: [openid, profile]\n"), "[authorization_code, refresh_token, client_credentials]", "[password, refresh_token]", 1)

// errorCode is what the token endpoint refused with.
func errorCode(err error) (code string, status int) {
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) {
		return "", 0
	}
	return answer.ErrorCode, answer.Response.StatusCode
}

// RFC 6749, section 4.3, with the client of golang.org/x/oauth2 and people in slapd.
func TestAnOldApplicationTakesPasswordsByTheRulesOfTheSignInPage(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/old.yaml": oldYAML})
	old := s.application("openid", "profile", "offline_access")
	old.config.ClientID = "old"
	try := func(uid, password string) (*oauth2.Token, string, int) {
		token, err := old.config.PasswordCredentialsToken(context.Background(), uid, password)
		code, status := errorCode(err)
		return token, code, status
	}
	token, code, _ := try("alice", ldaptest.Password("alice"))
	if code != "" || token.RefreshToken == "" {
		t.Fatalf("%v %s", token, code)
	}
	if info := old.userinfo(token); info["preferred_username"] != "alice" {
		t.Errorf("%v", info)
	}
	// Who could sign in nowhere can't here, and the application doesn't learn why.
	for _, uid := range []string{"dave", "erin", "frank", "judy", "nobody"} {
		if _, code, status := try(uid, ldaptest.Password(uid)); code != "invalid_grant" || status != http.StatusBadRequest {
			t.Errorf("%s: %s %d", uid, code, status)
		}
	}
	for _, reason := range []string{"password_expired", "must_change", "account_expired", "unknown_user"} {
		if !strings.Contains(s.Log.String(), `"reason":"`+reason+`"`) {
			t.Errorf("no audit line says %s", reason)
		}
	}
	// Row A7: this door and the sign-in page count together, and the directory's own
	// lock-out, at 5, is not reached.
	page := newPerson(t).get(s.application("openid").address())
	for i := range 2 {
		page.submit("username", "bob", "password", fmt.Sprint("guess ", i))
	}
	throttled := 0
	for i := range 20 {
		if _, code, status := try("bob", fmt.Sprint("another guess ", i)); code != "invalid_grant" {
			t.Errorf("%s %d", code, status)
		} else if status == http.StatusTooManyRequests {
			throttled++
		}
	}
	if n := len(s.LDAP.Values(ldaptest.PersonDN("bob"), "pwdFailureTime")); n == 0 || n >= 5 || throttled < 15 {
		t.Errorf("the directory counted %d failures, and %d tries were kept from it", n, throttled)
	}
	// A directory that is away costs nothing: the right password is taken afterwards.
	s.LDAP.Stop()
	if _, code, status := try("carol", ldaptest.Password("carol")); code != "temporarily_unavailable" || status != http.StatusServiceUnavailable {
		t.Errorf("%s %d", code, status)
	}
	s.LDAP.Restart()
	eventually(t, "the directory is back", func() bool {
		_, code, _ := try("carol", ldaptest.Password("carol"))
		return code == ""
	})
	if strings.Contains(s.Log.String(), ldaptest.Password("alice")) || strings.Contains(s.Log.String(), "guess") {
		t.Error("the log holds a password")
	}
}

// RFC 7523, section 2.1: a build server acts for the people of slapd.
func TestABuildServerActsForPeopleByItsOwnWord(t *testing.T) {
	t.Parallel()
	ring, err := keys.Open(filepath.Join(t.TempDir(), "ci"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ci := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(ring.JWKS()) }))
	t.Cleanup(ci.Close)
	job := strings.Replace(clientYAML("job", `scopes:
  everyone: [openid]
  groups:
    `+ldaptest.GroupDN("cn=developers")+`: [profile, groups]
assertion_issuers:
  `+ci.URL+`:
    jwks_uri: `+ci.URL+`/jwks
    subject: mail
`), "[authorization_code, refresh_token, client_credentials]", `["urn:ietf:params:oauth:grant-type:jwt-bearer"]`, 1)
	s := startSite(t, map[string]string{"clients.d/job.yaml": job}, func(c *config.Config) {
		c.Outbound.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	machine := newPerson(t)
	bring := func(mail, scope string) page {
		t.Helper()
		now := time.Now().Unix()
		assertion, err := ring.Sign(keys.ES256, "", map[string]any{
			"iss": ci.URL, "sub": mail, "aud": s.URL, "iat": now, "exp": now + 60, "jti": oidc.NewID(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return machine.post(s.URL+"/oauth2/token", url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}, "scope": {scope},
		}, "job", appSecret)
	}
	got := bring("alice@example.org", "openid groups")
	if got.Status != http.StatusOK || strings.Contains(got.Body, "id_token") || strings.Contains(got.Body, "refresh_token") {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	for what, c := range map[string]struct{ mail, scope, code string }{
		"nobody":                    {"nobody@example.org", "openid", "invalid_grant"},
		"two people":                {"twins@example.org", "openid", "invalid_grant"},
		"somebody disabled":         {"dave@example.org", "openid", "invalid_grant"},
		"a filter":                  {"alice@example.org)(mail=*", "openid", "invalid_grant"},
		"everybody":                 {"*", "openid", "invalid_grant"},
		"somebody without the role": {"bob@example.org", "openid groups", "invalid_scope"},
	} {
		if got := bring(c.mail, c.scope); got.Status != http.StatusBadRequest || !strings.Contains(got.Body, `"`+c.code+`"`) {
			t.Errorf("%s: %d %s", what, got.Status, got.Body)
		}
	}
	s.LDAP.Stop()
	if got := bring("alice@example.org", "openid"); got.Status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}
