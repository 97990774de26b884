package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// site is the production server on a real OpenLDAP, in this process.
type site struct {
	t      *testing.T
	URL    string // the issuer
	Dir    string // configuration, client files, keys and database
	LDAP   *ldaptest.Server
	Log    *buffer
	house  *house
	config *config.Config
}

// buffer collects what is logged.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const (
	appRedirect = "https://app.example.org/cb"
	appSecret   = "SecretOfTheApplicationForTests0123456789"
)

// appYAML is a client that asks for nothing special; staff and admins have the
// scopes that tell who they are.
var appYAML = clientYAML("app", `
scopes:
  everyone: [openid]
  groups:
    `+ldaptest.GroupDN("cn=staff")+`: [profile, email, groups, phone]
`)

// clientYAML is the file of a confidential client.
func clientYAML(id, rest string) string {
	sum := sha256.Sum256([]byte(appSecret))
	return fmt.Sprintf("client_id: %s\nclient_name: The %s\nclient_secret_hash: sha256:%s\nredirect_uris: [%s]\n"+
		"grant_types: [authorization_code, refresh_token, client_credentials]\nconsent: none\n%s", id, id, hex.EncodeToString(sum[:]), appRedirect, rest)
}

// writeSite writes a configuration for slapd into a new folder and returns its
// path. Clients maps ids to files.
func writeSite(t *testing.T, ldap *ldaptest.Server, issuer, listen string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("bind.pw", ldap.ServicePassword+"\n")
	write("gatehouse.yaml", fmt.Sprintf(`issuer: %s
listen: %s
database: gatehouse.db
clients_dir: clients.d
keys_dir: keys
directory:
  url: [%s]
  ca_file: %s
  bind_dn: %s
  bind_password_file: bind.pw
  base_dn: %s
`, issuer, listen, ldap.LDAPSURL, ldap.CAFile, ldap.ServiceDN, ldaptest.BaseDN))
	for name, text := range files {
		write(name, text)
	}
	return filepath.Join(dir, "gatehouse.yaml")
}

// startSite starts slapd and the server. Files go into the configuration's folder
// beside the client app.
func startSite(t *testing.T, files map[string]string, change ...func(*config.Config)) *site {
	t.Helper()
	return startSiteOn(t, ldaptest.Start(t), files, change...)
}

// startSiteOn starts the server on a directory that runs already.
func startSiteOn(t *testing.T, ldap *ldaptest.Server, files map[string]string, change ...func(*config.Config)) *site {
	t.Helper()
	return startSiteAt(t, ldap, time.Now, files, change...)
}

// startSiteAt starts the server with a clock of its own.
func startSiteAt(t *testing.T, ldap *ldaptest.Server, now func() time.Time, files map[string]string, change ...func(*config.Config)) *site {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, LDAP: ldap, Log: &buffer{}, URL: "http://" + listener.Addr().String()}
	all := map[string]string{"clients.d/app.yaml": appYAML}
	for name, text := range files {
		all[name] = text
	}
	path := writeSite(t, ldap, s.URL, listener.Addr().String(), all)
	s.Dir = filepath.Dir(path)
	if s.config, err = config.Load(path, nil); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(s.config)
	}
	if s.house, err = newHouse(context.Background(), s.config, slog.New(slog.NewJSONHandler(s.Log, &slog.HandlerOptions{Level: slog.LevelDebug})), now); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.house.serveOn(ctx, listener); err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		group.Wait()
		if err := s.house.close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// person is a browser without scripts, driven by hand.
type person struct {
	t      *testing.T
	client *http.Client
}

// newPerson returns a fresh browser. It stops at redirects that lead away from
// hosts on this machine, as to an application.
func newPerson(t *testing.T) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &person{t: t, client: &http.Client{
		Jar: jar, Timeout: 20 * time.Second,
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.URL.Hostname() != "127.0.0.1" && r.URL.Hostname() != "localhost" {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}}
}

// page is what the person sees, or where the application was answered.
type page struct {
	person   *person
	Status   int
	Header   http.Header
	Location *url.URL // set if the browser was sent to an application elsewhere
	URL      *url.URL
	Body     string
}

func (p *person) do(r *http.Request) page {
	p.t.Helper()
	response, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	out := page{person: p, Status: response.StatusCode, Header: response.Header, URL: response.Request.URL, Body: string(body)}
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		if out.Location, err = response.Location(); err != nil {
			p.t.Fatal(err)
		}
	}
	return out
}

func (p *person) get(address string) page {
	p.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.do(r)
}

func (p *person) post(address string, form url.Values, auth ...string) page {
	p.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if len(auth) == 2 {
		r.SetBasicAuth(auth[0], auth[1])
	}
	return p.do(r)
}

// form returns the page's first form: where it goes and what it holds already.
func (g page) form() (action string, fields url.Values) {
	g.person.t.Helper()
	root, err := html.Parse(strings.NewReader(g.Body))
	if err != nil {
		g.person.t.Fatal(err)
	}
	fields = url.Values{}
	attr := func(n *html.Node, name string) string {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
		return ""
	}
	for n := range root.Descendants() {
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "form" && action == "":
			action = attr(n, "action")
		case n.Data == "input" && attr(n, "type") != "checkbox":
			fields.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	if action == "" {
		g.person.t.Fatalf("no form on %s (%d): %s", g.URL, g.Status, g.Body)
	}
	return g.URL.ResolveReference(&url.URL{Path: action}).String(), fields
}

// submit fills the form in and sends it.
func (g page) submit(pairs ...string) page {
	g.person.t.Helper()
	action, fields := g.form()
	for i := 0; i < len(pairs); i += 2 {
		fields.Set(pairs[i], pairs[i+1])
	}
	return g.person.post(action, fields)
}

// signIn types name and the seeded password into the sign-in page.
func (g page) signIn(uid string) page {
	g.person.t.Helper()
	return g.submit("username", uid, "password", ldaptest.Password(uid))
}
