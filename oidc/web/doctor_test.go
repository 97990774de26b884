package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestOnlyTheDoctorLearnsHowRequestsArrive(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.TrustedProxies = prefixes(t, "10.0.0.0/8") })
	ask := func(value string) (seen *Seen) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, testIssuer+"/readyz", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.TLS = nil
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
		r.Header.Set("X-Forwarded-Proto", "http")
		if value != "" {
			r.Header.Set(DoctorHeader, value)
		}
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, r)
		var body struct {
			Status string
			Seen   *Seen
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusOK || body.Status != "ready" {
			t.Fatalf("%d %s %v", w.Code, w.Body, err)
		}
		return body.Seen
	}
	now := h.clock.Now()
	good := SignDoctor(h.Options.Derive, testIssuer, now)
	seen := ask(good)
	if seen == nil || seen.Peer != "10.0.0.1" || !seen.Trusted || seen.Client != "192.0.2.1" || len(seen.Problems) != 1 || seen.Problems[0].Hint == "" {
		t.Errorf("the doctor learns %+v", seen)
	}
	for name, value := range map[string]string{
		"nobody":           "",
		"an old question":  SignDoctor(h.Options.Derive, testIssuer, now.Add(-2*time.Minute)),
		"a future one":     SignDoctor(h.Options.Derive, testIssuer, now.Add(2*time.Minute)),
		"another issuer's": SignDoctor(h.Options.Derive, "https://other.example.org", now),
		"another secret's": SignDoctor(func(string, int) []byte { return make([]byte, 32) }, testIssuer, now),
		"a changed one":    good[:len(good)-1] + "x",
		"a longer one":     good + "0",
		"no time":          "x.y",
		"no signature":     "1",
		"an empty one":     ".",
	} {
		if seen := ask(value); seen != nil {
			t.Errorf("%s learns %+v", name, seen)
		}
	}
}
