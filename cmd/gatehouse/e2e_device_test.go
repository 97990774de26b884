package main

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
)

const tvYAML = `client_id: tv
client_name: The television
token_endpoint_auth_method: none
grant_types: ["urn:ietf:params:oauth:grant-type:device_code", refresh_token]
consent: none
scopes:
  everyone: [openid]
  groups:
    %STAFF%: [profile, groups]
`

// television is the site's device, made of the library that Go programs use.
func (s *site) television(scopes ...string) (*application, *oauth2.DeviceAuthResponse) {
	s.t.Helper()
	tv := s.application(scopes...)
	tv.config.ClientID, tv.config.ClientSecret = "tv", ""
	if tv.config.Endpoint.DeviceAuthURL != s.URL+"/oauth2/device_authorization" {
		s.t.Fatalf("discovery names %q", tv.config.Endpoint.DeviceAuthURL)
	}
	codes, err := tv.config.DeviceAuth(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return tv, codes
}

// RFC 8628 with the client of golang.org/x/oauth2, people in slapd, and a browser that
// runs no scripts.
func TestATelevisionIsSignedInByAPhone(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/tv.yaml": strings.ReplaceAll(tvYAML, "%STAFF%", ldaptest.GroupDN("cn=staff"))})
	tv, codes := s.television("openid", "profile", "offline_access")
	phone := newPerson(t)
	page := phone.get(codes.VerificationURIComplete).submit().signIn("alice")
	if !strings.Contains(page.Body, codes.UserCode) || !strings.Contains(page.Body, "Alice Adams") {
		t.Fatalf("%d %s", page.Status, page.Body)
	}
	if done := page.submit("allow", "1"); !strings.Contains(done.Body, "Your device is being signed in") {
		t.Fatalf("%d %s", done.Status, done.Body)
	}
	token, err := tv.config.DeviceAccessToken(context.Background(), codes)
	if err != nil {
		t.Fatal(err)
	}
	if info := tv.userinfo(token); info["sub"] != s.LDAP.Values(ldaptest.PersonDN("alice"), "entryUUID")[0] || info["preferred_username"] != "alice" {
		t.Errorf("%v", info)
	}
	refreshed, err := tv.config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		t.Fatal(err)
	}
	if picture := phone.get(s.URL + "/device/qr.svg?user_code=" + codes.UserCode); picture.Status != http.StatusOK || !strings.HasPrefix(picture.Body, "<svg ") {
		t.Errorf("%d %s", picture.Status, picture.Body)
	}

	// Nina is no member of staff, and the set asks for what staff alone has.
	tv, codes = s.television("openid", "groups")
	other := newPerson(t)
	refused := other.get(codes.VerificationURI).submit("user_code", strings.ToLower(strings.ReplaceAll(codes.UserCode, "-", " "))).signIn("nina")
	if refused.Status != http.StatusForbidden {
		t.Fatalf("%d %s", refused.Status, refused.Body)
	}
	var answer *oauth2.RetrieveError
	if _, err := tv.config.DeviceAccessToken(context.Background(), codes); !errors.As(err, &answer) || answer.ErrorCode != "access_denied" {
		t.Errorf("got %v", err)
	}

	// Promise 1: who is disabled between yes and the next poll gets nothing, and what
	// the first set holds ends too.
	tv, codes = s.television("openid")
	if done := phone.get(codes.VerificationURIComplete).submit().submit("allow", "1"); done.Status != http.StatusOK {
		t.Fatalf("%d %s", done.Status, done.Body)
	}
	s.LDAP.Disable("alice")
	if _, err := tv.config.DeviceAccessToken(context.Background(), codes); !errors.As(err, &answer) || answer.ErrorCode != "invalid_grant" {
		t.Errorf("got %v", err)
	}
	if _, err := tv.config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: refreshed.RefreshToken}).Token(); err == nil {
		t.Error("the token of somebody disabled was renewed")
	}
}

func TestTheDemonstrationsTelevisionGreetsWhoSaidYes(t *testing.T) {
	t.Parallel()
	issuer, apps := startDemo(t)
	account := demodir.Accounts()[0]
	screen, phone := newPerson(t), newPerson(t)
	waiting := screen.get(apps + "/tv/").submit()
	found := regexp.MustCompile(`id="user_code">([A-Z-]{9})<`).FindStringSubmatch(waiting.Body)
	if found == nil || waiting.Header.Get("Refresh") == "" || !strings.Contains(waiting.Body, issuer+"/device/qr.svg?user_code="+found[1]) ||
		!strings.Contains(waiting.Header.Get("Content-Security-Policy"), "img-src "+issuer) {
		t.Fatalf("%d %v %s", waiting.Status, waiting.Header, waiting.Body)
	}
	asked := phone.get(issuer+"/device").submit("user_code", found[1]).submit("username", account.Username, "password", account.Password)
	if done := asked.submit("allow", "1"); done.Status != http.StatusOK {
		t.Fatalf("%d %s", done.Status, done.Body)
	}
	eventually(t, "the television knows who said yes", func() bool {
		return strings.Contains(screen.get(apps+"/tv/").Body, `<span id="name">`+account.Name+`</span>`)
	})
	if off := screen.get(apps + "/tv/").submit(); strings.Contains(off.Body, account.Name) {
		t.Errorf("signed out, it still says %s", off.Body)
	}
}
