package main

import (
	"net/http"
	"net/url"
	"sync"
	"testing"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc/keys"
)

// hundred sends the same request a hundred times, all of them under way before the
// first is answered, and returns how often it was answered with this status.
func hundred(t *testing.T, status int, send func() *http.Request) int {
	t.Helper()
	const n = 100
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	got := make(chan int, n)
	for range n {
		r := send()
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			response, err := client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
			got <- response.StatusCode
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	close(got)
	won := 0
	for is := range got {
		if is == status {
			won++
		}
		if is >= http.StatusInternalServerError && is != http.StatusServiceUnavailable {
			t.Errorf("one is answered with %d", is)
		}
	}
	return won
}

// Of a hundred uses of what may be used once exactly one wins (promise 4; RFC 6749,
// sections 4.1.2 and 10.4; RFC 7523, section 3; RFC 9126, section 7.3).
func TestOfAHundredUsesAtOnceExactlyOneWins(t *testing.T) {
	t.Parallel()
	op := startCertSite(t, ldaptest.Start(t), certFiles(), func(c *config.Config) { c.RefreshGrace = 0 })
	p := newParty(t, op, "code", "")
	post := func(path string, form url.Values, id string) func() *http.Request {
		return func() *http.Request {
			r := formRequest(t, op.URL+path, form)
			if id != "" {
				r.SetBasicAuth(id, appSecret)
			}
			return r
		}
	}
	code := p.redeem(p.signIn("alice", p.request()))
	if won := hundred(t, http.StatusOK, post("/oauth2/token", code, p.id)); won != 1 {
		t.Errorf("one code was taken %d times", won)
	}
	k := p.all("alice", "scope", "openid offline_access")
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {k.refresh}}
	if won := hundred(t, http.StatusOK, post("/oauth2/token", refresh, p.id)); won != 1 {
		t.Errorf("one refresh token was taken %d times", won)
	}
	if _, body := p.at("/oauth2/introspect", url.Values{"token": {k.access}}); body["active"] != false {
		t.Errorf("the family of a refresh token that was used %d times lives on", 100)
	}
	q := p.as("asserts")
	assertion := q.assertion(func(claims map[string]any) string { return q.signed(keys.RS256, claims) }, op.URL)
	assertion.Set("grant_type", "client_credentials")
	if won := hundred(t, http.StatusOK, post("/oauth2/token", assertion, "")); won != 1 {
		t.Errorf("one assertion was taken %d times", won)
	}
	// One pushed request, a hundred sign-ins that end at once: all in one browser
	// that is signed in, each would give a code.
	visit := op.URL + "/oauth2/authorize?" + p.push(p.request()).Encode()
	codes := hundredIn(t, p.browser, visit)
	if codes != 1 {
		t.Errorf("one pushed request gave %d codes", codes)
	}
}

func formRequest(t *testing.T, address string, form url.Values) *http.Request {
	t.Helper()
	return newFormRequest(t, http.MethodPost, address, form.Encode())
}

// hundredIn visits an address a hundred times in one browser and counts the codes.
func hundredIn(t *testing.T, browser *person, address string) int {
	t.Helper()
	var group sync.WaitGroup
	var mu sync.Mutex
	codes := 0
	for range 100 {
		group.Go(func() {
			p := &person{t: t, client: browser.client}
			if g := p.get(address); g.Location != nil && g.Location.Query().Has("code") {
				mu.Lock()
				codes++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return codes
}
