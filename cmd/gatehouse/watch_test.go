package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc/store"
)

// watching has all directories watched.
func watching(c *config.Config) {
	c.Directory.Cache = "watch"
	for i := range c.Directories {
		c.Directories[i].Cache = "watch"
	}
}

// clubYAML is a client for staff alone.
var clubYAML = clientYAML("club", `
allowed_groups: ["`+ldaptest.GroupDN("cn=staff")+`", "cn=staff,ou=groups,o=Students"]
scopes:
  everyone: [openid]
`)

// startWatching starts the server on a directory that it watches already.
func startWatching(t *testing.T) *site {
	t.Helper()
	s := startSite(t, map[string]string{"clients.d/club.yaml": clubYAML}, watching)
	eventually(t, "the directory is watched", func() bool { return strings.Contains(s.Log.String(), "directory watched") })
	return s
}

// held returns how many grants a person has, as the store knows it.
func (s *site) held(subject, client string) int {
	s.t.Helper()
	grants, err := s.house.store.Grants(s.t.Context(), store.GrantFilter{Subject: subject, ClientID: client, Active: true}, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	return len(grants)
}

func (s *site) introspectAs(client, token string) map[string]any {
	s.t.Helper()
	var body map[string]any
	got := newPerson(s.t).post(s.URL+"/oauth2/introspect", url.Values{"token": {token}}, client, appSecret)
	if err := json.Unmarshal([]byte(got.Body), &body); err != nil {
		s.t.Fatalf("%v: %s", err, got.Body)
	}
	return body
}

// TestEveryEndpointObeysTheDirectory changes a group again and again: without a
// watch the very next answer has it, with one an answer soon after.
func TestEveryEndpointObeysTheDirectory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start func(*testing.T) *site
		old   time.Duration // how long an answer may be old
	}{
		"off":   {func(t *testing.T) *site { return startSite(t, nil) }, 0},
		"watch": {startWatching, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := c.start(t)
			app := s.application("openid", "email", "groups", "offline_access")
			token := app.tokens(newPerson(t).get(app.address()).signIn("alice"))
			endpoints := []func() bool{ // whether alice is known as staff
				func() bool { return app.userinfo(token)["email"] != nil },
				func() bool {
					scope, _ := s.introspect(token.AccessToken)["scope"].(string)
					return strings.Contains(scope, "email")
				},
				func() bool {
					fresh, err := app.config.TokenSource(t.Context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
					if err != nil {
						t.Fatal(err)
					}
					token = fresh
					scope, _ := fresh.Extra("scope").(string)
					return strings.Contains(scope, "email")
				},
			}
			old := 0
			for i := range 60 {
				in := i%2 == 1
				endpoint := endpoints[i/2%len(endpoints)]
				if in {
					s.LDAP.AddMember(ldaptest.GroupDN("cn=staff"), ldaptest.PersonDN("alice"))
				} else {
					s.LDAP.RemoveMember(ldaptest.GroupDN("cn=staff"), ldaptest.PersonDN("alice"))
				}
				changed := time.Now()
				for asked := changed; endpoint() != in; asked = time.Now() {
					if old++; asked.Sub(changed) > c.old || c.old == 0 {
						t.Fatalf("round %d: the answer is old after %v", i, asked.Sub(changed))
					}
				}
			}
			t.Logf("%d answers were old", old)
		})
	}
}

// TestADirectoryThatStandsStillCostsNoGrant stops slapd in the middle of a hundred
// refreshes: whoever asks is told within three seconds that it can't be told, and
// the token is as good as before.
func TestADirectoryThatStandsStillCostsNoGrant(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *site{
		"off":   func(t *testing.T) *site { return startSite(t, nil) },
		"watch": startWatching,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			app := s.application("openid", "offline_access")
			browser := newPerson(t)
			tokens := []string{app.tokens(browser.get(app.address()).signIn("alice")).RefreshToken}
			for len(tokens) < 100 {
				tokens = append(tokens, app.tokens(browser.get(app.address())).RefreshToken)
			}
			subject := s.LDAP.Values(ldaptest.PersonDN("alice"), "entryUUID")[0]

			s.LDAP.Pause()
			late := ldaptest.Lateness()
			var mu sync.Mutex
			var slowest time.Duration
			told := map[int]int{}
			var wg sync.WaitGroup
			for i := range tokens {
				wg.Go(func() {
					begin := time.Now()
					status, body := s.refreshHere(tokens[i])
					took := time.Since(begin)
					mu.Lock()
					defer mu.Unlock()
					told[status]++
					slowest = max(slowest, took)
					switch status {
					case http.StatusOK: // from memory, in the first moment
						tokens[i], _ = body["refresh_token"].(string)
					case http.StatusServiceUnavailable:
						if body["error"] != "temporarily_unavailable" {
							t.Errorf("told %v", body)
						}
					default:
						t.Errorf("told %d %v", status, body)
					}
				})
			}
			wg.Wait()
			stalled := late()
			t.Logf("while it stood still: %v, the slowest after %v, of which nobody here could run for %v", told, slowest, stalled)
			if slowest-stalled > 3*time.Second {
				t.Errorf("somebody waited for %v", slowest)
			}
			if name == "off" && told[http.StatusServiceUnavailable] != len(tokens) {
				t.Errorf("told %v", told)
			}
			s.LDAP.Resume()
			if n := s.held(subject, "app"); n != len(tokens) {
				t.Errorf("%d of %d grants are left", n, len(tokens))
			}
			for i, token := range tokens {
				if status, body := s.refreshHere(token); status != http.StatusOK {
					t.Errorf("refresh %d afterwards: %d %v", i, status, body)
				}
			}
			if n := s.held(subject, "app"); n != len(tokens) {
				t.Errorf("%d of %d grants are left in the end", n, len(tokens))
			}
		})
	}
}

// refreshHere refreshes without a network in between, so that only the server's own
// time is measured.
func (s *site) refreshHere(token string) (int, map[string]any) { return s.refreshAs("app", token) }

// refreshAs does so for any client.
func (s *site) refreshAs(client, token string) (int, map[string]any) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	r := httptest.NewRequest(http.MethodPost, s.URL+"/oauth2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, appSecret)
	w := httptest.NewRecorder()
	s.house.web.Handler().ServeHTTP(w, r)
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		body = map[string]any{"error": fmt.Sprint(err), "body": w.Body.String()}
	}
	return w.Code, body
}
