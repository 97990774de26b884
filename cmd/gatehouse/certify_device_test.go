package main

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The device authorization grant (RFC 8628).

const grantDevice = "urn:ietf:params:oauth:grant-type:device_code"

// device asks for codes as a device does.
func (p *party) device(scope string) (deviceCode, userCode string) {
	p.Helper()
	g := newPerson(p.T).post(p.op.URL+"/oauth2/device_authorization", url.Values{"client_id": {p.id}, "scope": {scope}})
	body := p.json(g)
	deviceCode, _ = body["device_code"].(string)
	userCode, _ = body["user_code"].(string)
	uri, _ := body["verification_uri"].(string)
	complete, _ := body["verification_uri_complete"].(string)
	lives, _ := body["expires_in"].(float64)
	if g.Status != http.StatusOK || deviceCode == "" || userCode == "" || lives < 60 || !strings.HasPrefix(uri, p.op.URL) || !strings.Contains(complete, userCode) {
		p.Fatalf("%d %v", g.Status, body)
	}
	return deviceCode, userCode
}

// poll asks for tokens as a device does.
func (p *party) poll(deviceCode string) (int, map[string]any) {
	p.Helper()
	g := newPerson(p.T).post(p.op.URL+"/oauth2/token", url.Values{"grant_type": {grantDevice}, "device_code": {deviceCode}, "client_id": {p.id}})
	return g.Status, p.json(g)
}

// polled wants an error.
func (p *party) polled(deviceCode, want string) {
	p.Helper()
	if status, body := p.poll(deviceCode); status != http.StatusBadRequest || body["error"] != want {
		p.Errorf("want %s: %d %v", want, status, body)
	}
}

func certDevice(p *party) {
	p = p.as("tv")
	code, user := p.device("openid email offline_access")
	p.polled(code, "authorization_pending")
	p.as("tv-2").polled(code, "invalid_grant")
	// As somebody may type it (section 6.1).
	g := p.browser.get(p.op.URL+"/device").submit("user_code", " "+strings.ToLower(strings.ReplaceAll(user, "-", " "))+" ")
	if !asksToSignIn(g) {
		p.Fatalf("%d %s", g.Status, g.Body)
	}
	g = g.signIn("alice")
	if !strings.Contains(g.Body, `id="allow"`) || !strings.Contains(g.Body, user) {
		p.Fatalf("the person is not asked, or not shown the code: %d %s", g.Status, g.Body)
	}
	if done := g.submit("allow", "1"); done.Status != http.StatusOK {
		p.Fatalf("%d %s", done.Status, done.Body)
	}
	var k tokens
	status, body := p.poll(code)
	if status != http.StatusOK {
		p.Fatalf("%d %v", status, body)
	}
	k.take(p, body, "")
	if info := p.userinfo(k.access); info["email"] != "alice@example.org" || k.refresh == "" {
		p.Errorf("%v %v", info, body)
	}
	p.polled(code, "invalid_grant")
	if g := p.browser.get(p.op.URL+"/device").submit("user_code", user); g.Status != http.StatusUnprocessableEntity {
		p.Errorf("a user code twice: %d", g.Status)
	}
}

func certDeviceDenied(p *party) {
	p = p.as("tv")
	p.browser = p.op.signedIn("alice")
	code, user := p.device("openid")
	link := p.op.URL + "/device?" + url.Values{"user_code": {user}}.Encode()
	g := p.browser.get(link)
	p.polled(code, "authorization_pending") // a link alone does nothing: section 3.3.1
	g = g.submit()
	if !strings.Contains(g.Body, `id="deny"`) { // although the client needs no consent: section 5.4
		p.Fatalf("%d %s", g.Status, g.Body)
	}
	p.polled(code, "slow_down")
	if done := g.submit("deny", "1"); done.Status >= http.StatusBadRequest {
		p.Errorf("%d", done.Status)
	}
	p.polled(code, "access_denied")
}

func certDeviceExpired(p *party) {
	p = p.as("tv")
	code, user := p.device("openid")
	p.op.clock.advance(11 * time.Minute)
	p.polled(code, "expired_token")
	if g := p.browser.get(p.op.URL+"/device").submit("user_code", user); g.Status != http.StatusUnprocessableEntity {
		p.Errorf("%d %s", g.Status, g.Body)
	}
}
