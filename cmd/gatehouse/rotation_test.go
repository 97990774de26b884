package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

func TestTheServerRotatesItsKeysAndThoseOfClientsByTime(t *testing.T) { // row D3
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/one.yaml": ownYAML("one", "")}, func(c *config.Config) {
		c.Keys = config.Keys{RotateAfter: 7 * 24 * time.Hour, PublishBefore: 24 * time.Hour}
	})
	kids := func(path string) (all []string) {
		var document struct{ Keys []struct{ Kid string } }
		g := newPerson(t).get(s.URL + path)
		if err := json.Unmarshal([]byte(g.Body), &document); err != nil || g.Status != http.StatusOK {
			t.Fatalf("%d %s", g.Status, g.Body)
		}
		for _, k := range document.Keys {
			all = append(all, k.Kid)
		}
		return all
	}
	const own, ours = "/oauth2/openid/one/public_key.jwk", "/oauth2/jwks"
	// The shortest keys.publish_before is ten minutes; the rotation of oidc/keys is
	// tested with copies that are kept for five.
	for _, path := range []string{own, ours} {
		if got := newPerson(t).get(s.URL + path).Header.Get("Cache-Control"); got != "public, max-age=300" {
			t.Errorf("%s may be kept for %s", path, got)
		}
	}
	before := map[string][]string{own: kids(own), ours: kids(ours)}
	if len(before[own]) != 1 || len(before[ours]) != 2 {
		t.Fatalf("%v", before)
	}
	// Six days on, another server does what is due, on the same folder.
	later := func() time.Time { return time.Now().Add(6*24*time.Hour + time.Minute) }
	other := *s.house
	var err error
	if other.keys, err = keys.Load(s.config.KeysDir, later); err != nil {
		t.Fatal(err)
	}
	other.now, other.own = later, keys.NewClients(s.config.KeysDir, later)
	if err := other.makeOwnKeys(); err != nil {
		t.Fatal(err)
	}
	var told tellOnce
	for range 2 { // once is enough
		other.rotate(t.Context(), &told)
	}
	if told.rotation != "" {
		t.Error(told.rotation)
	}
	for path, old := range before {
		eventually(t, path+" has the next keys, too", func() bool { return len(kids(path)) == 2*len(old) })
		for _, kid := range old {
			if !slices.Contains(kids(path), kid) {
				t.Errorf("%s lacks %s, which signs", path, kid)
			}
		}
	}
	if n := strings.Count(s.Log.String(), `"event":"`+string(oidc.EventKeyRotated)); n != 3 {
		t.Errorf("%d lines in the audit log", n)
	}
}

func TestKeysAreKeptAsLongAsWhatTheyHaveSigned(t *testing.T) {
	t.Parallel()
	cfg := &config.Config{
		Lifespans: config.Lifespans{Access: time.Hour, ID: 2 * time.Hour, Refresh: 30 * 24 * time.Hour},
		Keys:      config.Keys{RotateAfter: 90 * 24 * time.Hour, PublishBefore: 24 * time.Hour},
	}
	server := oidc.Lifespans{}
	for name, c := range map[string]struct {
		rotate time.Duration
		of     []oidc.Lifespans
		want   time.Duration
	}{
		"for id_token_hint as long as refresh tokens":  {90 * 24 * time.Hour, []oidc.Lifespans{server}, 30 * 24 * time.Hour},
		"a client's longer life counts":                {90 * 24 * time.Hour, []oidc.Lifespans{server, {Refresh: 60 * 24 * time.Hour}}, 60 * 24 * time.Hour},
		"two rotations at most for hints":              {24 * time.Hour, []oidc.Lifespans{server}, 2 * 24 * time.Hour},
		"but always as long as an access token can be": {24 * time.Hour, []oidc.Lifespans{server, {Access: 7 * 24 * time.Hour}}, 7 * 24 * time.Hour},
	} {
		cfg.Keys.RotateAfter = c.rotate
		if got := keyPolicy(cfg, c.of...).KeepFor; got != c.want+keyMargin {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAnEd25519KeyIsPublishedWhileAClientAsks(t *testing.T) {
	t.Parallel()
	s := startSite(t, map[string]string{"clients.d/one.yaml": ownYAML("one", "id_token_signed_response_alg: EdDSA\n")})
	s.must("key", "create", "EdDSA")
	s.must("key", "create", "ES384")
	shows := func(path, text string) bool { return strings.Contains(newPerson(t).get(s.URL+path).Body, text) }
	eventually(t, "the ES384 key is published", func() bool { return shows("/oauth2/jwks", "ES384") })
	if shows("/oauth2/jwks", "Ed25519") || shows("/.well-known/openid-configuration", `"ES384","EdDSA"`) {
		t.Error("the EdDSA key is published, and nobody has asked")
	}
	if !shows("/oauth2/openid/one/jwks", "Ed25519") {
		t.Error("a client with an issuer of its own does not find its key")
	}
	if _, stderr, _ := s.command("client", "set", "app", "id_token_signed_response_alg", "EdDSA"); !strings.Contains(stderr, "some give up on a set with one") {
		t.Errorf("no warning: %s", stderr)
	}
	eventually(t, "it is published", func() bool { return shows("/oauth2/jwks", "Ed25519") })
}
