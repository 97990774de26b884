package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"gatehouse/ldapstore/ldaptest"
)

// diskSite is a configuration on disk for servers in processes of their own.
type diskSite struct {
	ldap           *ldaptest.Server
	config, issuer string
}

func writtenSite(t testing.TB) *diskSite {
	t.Helper()
	tt, ok := t.(*testing.T)
	if !ok {
		t.Fatal("only for tests")
	}
	s := &diskSite{ldap: ldaptest.Start(t)}
	address := freeAddress(t)
	s.issuer = "http://" + address
	s.config = writeSite(tt, s.ldap, s.issuer, address, map[string]string{"clients.d/app.yaml": appYAML})
	return s
}

func (s *diskSite) application(t *testing.T, scopes ...string) *application {
	t.Helper()
	provider, err := goidc.NewProvider(context.Background(), s.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return &application{t: t, provider: provider, verifier: oauth2.GenerateVerifier(), config: oauth2.Config{
		ClientID: "app", ClientSecret: appSecret, Endpoint: provider.Endpoint(), RedirectURL: appRedirect, Scopes: scopes,
	}}
}

// waiting reports whether a request is under way that needs the directory, which
// is paused: readiness then fails too, but only after its own time-out, so it is
// asked with less patience.
func (s *diskSite) waiting(t *testing.T) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.issuer+"/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err == nil {
		_ = response.Body.Close()
		return response.StatusCode != http.StatusOK
	}
	return true
}

// Promise 4: kill -9 at any instant loses no token that a client holds, revives
// none that was revoked, and lets no code or refresh token be used twice.
func TestKillingTheServerNeverBreaksItsWord(t *testing.T) {
	t.Parallel()
	kills := 200
	if testing.Short() {
		kills = 20
	}
	s := writtenSite(t)
	w := &word{site: s, t: t, held: map[string]*family{}, counts: map[string]int{}}
	p := startProcess(t, "serve", "--config", s.config)
	p.awaitReady(t, s.issuer)
	w.signIn()
	for n := range kills {
		ctx, stop := context.WithCancel(context.Background())
		w.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
		var group sync.WaitGroup
		for worker := range 6 {
			group.Go(func() { w.work(ctx, worker) })
		}
		w.awaitAnswers(2 + rand.IntN(14))
		p.kill()
		stop()
		group.Wait()
		p = startProcess(t, "serve", "--config", s.config)
		p.awaitReady(t, s.issuer)
		w.client.CloseIdleConnections()
		w.client = &http.Client{Transport: &http.Transport{}}
		if n%10 == 9 || n == kills-1 {
			w.check()
		}
		if t.Failed() {
			return
		}
	}
	w.check()
	t.Logf("%d kills; %s", kills, w.summary())
	if w.counts["refreshed"] < kills || w.counts["revoked"] == 0 || w.counts["codes"] < kills/4 || w.counts["unanswered"] == 0 {
		t.Errorf("the load was too thin to prove anything: %s", w.summary())
	}
	if matches, err := filepath.Glob(filepath.Join(filepath.Dir(s.config), "gatehouse.db")); err != nil || len(matches) != 1 {
		t.Errorf("%v %v", matches, err)
	}
}

// awaitAnswers lets the load run until so many answers have come, and a random
// moment more: the instant of the kill is meant to be any. What is counted is
// answers, so that a slow machine proves as much as a fast one.
func (w *word) awaitAnswers(more int) {
	goal, deadline := w.answers.Load()+int64(more), time.Now().Add(5*time.Second)
	for w.answers.Load() < goal && time.Now().Before(deadline) {
		time.Sleep(200 * time.Microsecond)
	}
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
}

// word keeps what the server has said, to hold it to.
type word struct {
	site *diskSite
	t    *testing.T
	jar  http.CookieJar
	// client is new in each life of the server: a connection to the last one would
	// only fail.
	client *http.Client

	answers atomic.Int64
	mu      sync.Mutex
	held    map[string]*family // by first refresh token
	ended   []ended
	counts  map[string]int
	retired []string // codes and refresh tokens that were answered with tokens
}

// family is the tokens of one sign-in, as the client holds them.
type family struct {
	refresh, access string
	unsure          bool // a request was cut off: the server may have gone on
	busy            bool
	revoking        bool // a revocation was cut off
}

type ended struct{ access, refresh string }

func (w *word) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *word) summary() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprintf("%v, %d families held, %d ended", w.counts, len(w.held), len(w.ended))
}

// signIn gets the session that the codes are asked for with.
func (w *word) signIn() {
	alice := newPerson(w.t)
	app := w.site.application(w.t, "openid", "offline_access")
	app.tokens(alice.get(app.address()).signIn("alice"))
	w.jar = alice.client.Jar
	if _, ok := w.jar.(*cookiejar.Jar); !ok {
		w.t.Fatal("no cookies")
	}
}

// ask posts a form; status 0 stands for no answer.
func (w *word) ask(ctx context.Context, path string, form url.Values) (status int, body map[string]any) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.site.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("app", appSecret)
	response, err := w.client.Do(r)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil || json.Unmarshal(raw, &body) != nil {
		return 0, nil
	}
	w.answers.Add(1)
	return response.StatusCode, body
}

func text(body map[string]any, name string) string {
	s, _ := body[name].(string)
	return s
}

// code asks for a code with the session; "" stands for no answer.
func (w *word) code(ctx context.Context, verifier string) string {
	client := &http.Client{Transport: w.client.Transport, Jar: w.jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	query := url.Values{
		"client_id": {"app"}, "redirect_uri": {appRedirect}, "response_type": {"code"}, "scope": {"openid offline_access"}, "state": {"s"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.site.issuer+"/oauth2/authorize?"+query.Encode(), nil)
	if err != nil {
		return ""
	}
	response, err := client.Do(r)
	if err != nil {
		return ""
	}
	_ = response.Body.Close()
	if location, err := response.Location(); err == nil {
		return location.Query().Get("code")
	}
	return ""
}

// work does what clients do until the server is killed: codes for tokens, tokens
// for tokens, revocation.
func (w *word) work(ctx context.Context, worker int) {
	for ctx.Err() == nil {
		var alive bool
		switch f := w.pick(); {
		case f == nil || worker == 0:
			w.release(f)
			alive = w.newFamily(ctx)
		case rand.IntN(8) == 0:
			alive = w.revoke(ctx, f)
		default:
			alive = w.refresh(ctx, f)
		}
		if !alive {
			w.count("unanswered")
			return
		}
	}
}

// pick takes a family that nobody works on and that is sure.
func (w *word) pick() *family {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.held {
		if !f.busy && !f.unsure && !f.revoking {
			f.busy = true
			return f
		}
	}
	return nil
}

func (w *word) release(f *family) {
	if f == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f.busy = false
}

func (w *word) newFamily(ctx context.Context) (answered bool) {
	verifier := oauth2.GenerateVerifier()
	code := w.code(ctx, verifier)
	if code == "" {
		return false
	}
	status, body := w.ask(ctx, "/oauth2/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {appRedirect}, "code_verifier": {verifier},
	})
	if status == 0 {
		return false
	}
	if status != http.StatusOK {
		w.t.Errorf("a fresh code was answered %d %v", status, body)
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held[text(body, "refresh_token")] = &family{refresh: text(body, "refresh_token"), access: text(body, "access_token")}
	w.retired = append(w.retired, "code "+code+" "+verifier)
	w.counts["codes"]++
	return true
}

func (w *word) refresh(ctx context.Context, f *family) (answered bool) {
	defer w.release(f)
	status, body := w.ask(ctx, "/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {f.refresh}})
	w.mu.Lock()
	defer w.mu.Unlock()
	switch status {
	case 0:
		f.unsure = true
		return false
	case http.StatusOK:
		f.refresh, f.access = text(body, "refresh_token"), text(body, "access_token")
		w.counts["refreshed"]++
		return true
	default:
		w.t.Errorf("a token that the client holds was answered %d %v", status, body)
		return false
	}
}

func (w *word) revoke(ctx context.Context, f *family) (answered bool) {
	defer w.release(f)
	status, body := w.ask(ctx, "/oauth2/revoke", url.Values{"token": {f.refresh}})
	w.mu.Lock()
	defer w.mu.Unlock()
	switch status {
	case 0:
		f.revoking = true
		return false
	case http.StatusOK:
		w.ended = append(w.ended, ended{f.access, f.refresh})
		for name, g := range w.held {
			if g == f {
				delete(w.held, name)
			}
		}
		w.counts["revoked"]++
		return true
	default:
		w.t.Errorf("a revocation was answered %d %v", status, body)
		return false
	}
}

// check holds the server to everything it has said so far. It runs after a
// restart, with nobody else at work.
func (w *word) check() {
	ctx := context.Background()
	w.mu.Lock()
	held, over, retired := w.held, w.ended, w.retired
	w.held, w.ended, w.retired = map[string]*family{}, nil, nil
	w.mu.Unlock()
	for name, f := range held {
		_, access := w.ask(ctx, "/oauth2/introspect", url.Values{"token": {f.access}})
		_, refresh := w.ask(ctx, "/oauth2/introspect", url.Values{"token": {f.refresh}})
		switch {
		case f.revoking: // either is right, but both tokens must agree
			if access["active"] != refresh["active"] {
				w.t.Errorf("half of a family was revoked: %v %v", access, refresh)
			}
		case access["active"] != true:
			w.t.Errorf("an access token that the client holds was lost: %v", access)
		case f.unsure: // the refresh token may have been used by the request that was cut off
		case refresh["active"] != true:
			w.t.Errorf("a refresh token that the client holds was lost: %v", refresh)
		default:
			w.mu.Lock()
			w.held[name] = f
			w.mu.Unlock()
		}
		w.count("checked")
	}
	for _, e := range over {
		for _, token := range []string{e.access, e.refresh} {
			if _, seen := w.ask(ctx, "/oauth2/introspect", url.Values{"token": {token}}); seen["active"] != false {
				w.t.Errorf("a revoked token came back: %v", seen)
			}
		}
	}
	// A few, since each try ends its family, as it should.
	for _, code := range retired[:min(len(retired), 3)] {
		parts := strings.Fields(code)
		status, body := w.ask(ctx, "/oauth2/token", url.Values{
			"grant_type": {"authorization_code"}, "code": {parts[1]}, "redirect_uri": {appRedirect}, "code_verifier": {parts[2]},
		})
		if status != http.StatusBadRequest || text(body, "error") != "invalid_grant" {
			w.t.Errorf("a code was used twice: %d %v", status, body)
		}
		w.count("replayed")
	}
	w.forgetEnded(ctx)
}

// forgetEnded drops the families that the replays have ended.
func (w *word) forgetEnded(ctx context.Context) {
	w.mu.Lock()
	names := make([]string, 0, len(w.held))
	for name := range w.held {
		names = append(names, name)
	}
	w.mu.Unlock()
	slices.Sort(names)
	for _, name := range names {
		w.mu.Lock()
		f := w.held[name]
		w.mu.Unlock()
		if _, seen := w.ask(ctx, "/oauth2/introspect", url.Values{"token": {f.refresh}}); seen["active"] != true {
			w.mu.Lock()
			delete(w.held, name)
			w.mu.Unlock()
		}
	}
}
