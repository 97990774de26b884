package main

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/ldapstore/ldaptest"
)

// stage is a site with applications to sign in to.
type stage struct {
	*site
	apps map[string]string // address by client id
}

// startStage starts a site with the demonstration's application three times: wiki
// asks for consent every time and has another host name, notes asks once, cloud
// never. There is a television, too.
func startStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{apps: map[string]string{}}
	files := map[string]string{}
	servers := map[string]*httptest.Server{}
	for id, consent := range map[string]string{"wiki": "explicit", "notes": "remembered", "cloud": "none"} {
		servers[id] = httptest.NewUnstartedServer(nil)
		s.apps[id] = "http://" + servers[id].Listener.Addr().String()
		if id == "wiki" {
			s.apps[id] = strings.Replace(s.apps[id], "127.0.0.1", "localhost", 1)
		}
		files["clients.d/"+id+".yaml"] = strings.NewReplacer(appRedirect, s.apps[id]+"/callback", "consent: none", "consent: "+consent).
			Replace(clientYAML(id, "scopes:\n  everyone: [openid, profile, email, groups]\n"))
	}
	files["clients.d/tv.yaml"] = strings.ReplaceAll(tvYAML, "%STAFF%", ldaptest.GroupDN("cn=staff"))
	s.site = startSite(t, files)
	for id, server := range servers {
		server.Config.Handler = newDemoApp(demoAppOptions{
			Title: "The " + id, Issuer: s.URL, ClientID: id, ClientSecret: appSecret, BaseURL: s.apps[id],
		})
		server.Start()
		t.Cleanup(server.Close)
	}
	return s
}

// request is an address at which an application asks for a sign-in; pairs are
// parameters beyond the usual, or other values for them.
func (s *stage) request(pairs ...string) string {
	query := url.Values{
		"client_id": {"app"}, "redirect_uri": {appRedirect}, "response_type": {"code"}, "scope": {"openid"}, "state": {"some state"},
		"code_challenge": {strings.Repeat("c", 43)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return s.URL + "/oauth2/authorize?" + query.Encode()
}

// startDemo starts the demonstration. It ends with the test.
func startDemo(t *testing.T) (issuer, apps string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	d := demo{
		listen: "127.0.0.1:0", apps: "127.0.0.1:0", out: io.Discard, log: slog.New(slog.DiscardHandler), now: time.Now,
		ready: func(i, a string) { issuer, apps = i, a; close(ready) },
	}
	ended := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(ended)
		if err := d.run(ctx); err != nil {
			t.Errorf("the demonstration ended: %v", err)
		}
	})
	t.Cleanup(func() {
		stop()
		group.Wait()
	})
	select {
	case <-ready:
	case <-ended:
		t.FailNow()
	}
	return issuer, apps
}
