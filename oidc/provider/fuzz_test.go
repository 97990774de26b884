package provider

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func FuzzParseClaims(f *testing.F) {
	for _, s := range []string{"", "{}", `{"userinfo":{"email":{"essential":true}},"id_token":{"sub":{"value":"x"}}}`, `{"userinfo":[]}`, `{"id_token":{"sub":{"value":1}}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseClaims(s, func(name string) bool { return name == "email" })
		if err != nil {
			return
		}
		for _, name := range append(got.names.IDToken, got.names.UserInfo...) {
			if name != "email" {
				t.Fatalf("%q: kept %q", s, name)
			}
		}
	})
}

func FuzzParseScopes(f *testing.F) {
	f.Add("openid profile")
	f.Fuzz(func(t *testing.T, s string) {
		scopes, err := parseScopes(s)
		if err != nil {
			return
		}
		again, err := parseScopes(strings.Join(scopes, " "))
		if err != nil || len(again) != len(scopes) {
			t.Fatalf("%q: %q then %q, %v", s, scopes, again, err)
		}
	})
}

func FuzzMatchRedirectURI(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:9/cb", "https://a.example/cb", "http://127.0.0.1@evil/cb", "http://127.0.0.1:9/cb?x", "http://[::1]:1/cb"} {
		f.Add(s)
	}
	registered := []string{"http://127.0.0.1/cb", "https://a.example/cb"}
	f.Fuzz(func(t *testing.T, s string) {
		if !matchRedirectURI(registered, s) || s == registered[1] {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" || u.Hostname() != "127.0.0.1" || u.Path != "/cb" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q passed", s)
		}
	})
}

func FuzzCredentials(f *testing.F) {
	f.Add("Basic YTpi")
	f.Add("Bearer x")
	f.Add("Basic %%")
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Method: http.MethodPost, Header: http.Header{"Authorization": {header}}}
		if got, err := basicCredentials(r); err == nil && header != "" && got == nil {
			t.Fatalf("%q passed for no credentials", header)
		}
		if token, err := bearerToken(r); err == nil && token == "" {
			t.Fatalf("%q gave an empty token", header)
		}
	})
}

func FuzzWebFingerResource(f *testing.F) {
	for _, s := range []string{"acct:alice@example.org", "https://example.org/alice", "acct:a%40b@c", "acct:@", "https:", "acct:a@b?x#y"} {
		f.Add(s)
	}
	p := &Provider{Options: Options{Issuer: "https://sso.example.org", Log: slog.New(slog.DiscardHandler)}}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest(http.MethodGet, PathWebFinger, nil)
		r.URL.RawQuery = url.Values{"resource": {s}}.Encode()
		w := httptest.NewRecorder()
		p.WebFinger().ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || (w.Code == http.StatusOK) != wellFormed(s) || w.Code != http.StatusOK && w.Code != http.StatusBadRequest {
			t.Fatalf("%q: %d %s", s, w.Code, w.Body)
		}
	})
}

func FuzzReadOrder(f *testing.F) {
	for _, s := range []string{`{"client_id":"app","username":"alice","scope":"openid","resource":["a"],"id_token":true}`, `{}`, `{"scope":1}`, `{"client_id":"a"}{}`, `[]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(s))
		r.Header.Set("Content-Type", "application/json")
		var body orderBody
		if err := readOrder(r, &body); err == nil && !json.Valid([]byte(s)) {
			t.Fatalf("%q passed", s)
		}
	})
}

func FuzzSeveralTexts(f *testing.F) {
	for _, s := range []string{`"a"`, `["a","b"]`, `""`, `[""]`, `null`, `7`, `{"a":"b"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		values, err := severalTexts(json.RawMessage(s))
		for _, v := range values {
			if v == "" || err != nil {
				t.Fatalf("%q: %q, %v", s, values, err)
			}
		}
	})
}
