package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/ldapstore/ldaptest"
)

// scriptApp is an application that is a script in a page and nothing else: code flow
// with PKCE by fetch, as a public client.
const scriptApp = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A script</title></head><body>
<button id="login" type="button">Sign in</button><p id="name" hidden></p><p id="error" hidden></p>
<script>
const issuer = %q, client = %q, self = location.origin + "/cb";
const b64 = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
const show = (id, text) => { const e = document.getElementById(id); e.textContent = text; e.hidden = false; };
const find = async () => (await fetch(issuer + "/.well-known/openid-configuration")).json();
const post = (url, form) => fetch(url, {method: "POST", body: new URLSearchParams(form), credentials: "omit"});
async function begin() {
  const verifier = b64(crypto.getRandomValues(new Uint8Array(32)));
  sessionStorage.setItem("verifier", verifier);
  const challenge = b64(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier)));
  location = (await find()).authorization_endpoint + "?" + new URLSearchParams({client_id: client, redirect_uri: self, response_type: "code",
    scope: "openid profile", state: "s", code_challenge: challenge, code_challenge_method: "S256"});
}
async function finish(code) {
  const at = await find();
  await (await fetch(at.jwks_uri)).json();
  const answer = await post(at.token_endpoint, {grant_type: "authorization_code", code, redirect_uri: self, client_id: client, code_verifier: sessionStorage.getItem("verifier")});
  const tokens = await answer.json();
  const bearer = {headers: {Authorization: "Bearer " + tokens.access_token}};
  const who = await (await fetch(at.userinfo_endpoint, bearer)).json();
  await post(at.revocation_endpoint, {token: tokens.access_token, client_id: client});
  const after = await fetch(at.userinfo_endpoint, bearer);
  const again = await (await post(at.token_endpoint, {grant_type: "authorization_code", code, redirect_uri: self, client_id: client, code_verifier: "x"})).json();
  show("name", who.name + " " + after.status + " " + again.error);
}
document.getElementById("login").onclick = () => begin().catch(e => show("error", String(e)));
const code = new URLSearchParams(location.search).get("code");
if (code) finish(code).catch(e => show("error", String(e)));
</script></body></html>`

// nosyPage asks what it can in the name of somebody who looks at it.
const nosyPage = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Nosy</title></head><body><p id="done" hidden></p>
<script>
const issuer = %q;
const tries = {
  discovery: () => fetch(issuer + "/.well-known/openid-configuration"),
  webfinger: () => fetch(issuer + "/.well-known/webfinger?resource=acct:a@example.org"),
  token: () => fetch(issuer + "/oauth2/token", {method: "POST", body: new URLSearchParams({grant_type: "authorization_code", client_id: "script"})}),
  userinfo: () => fetch(issuer + "/oauth2/userinfo", {headers: {Authorization: "Bearer x"}}),
  cookies: () => fetch(issuer + "/.well-known/openid-configuration", {credentials: "include"}),
  authorize: () => fetch(issuer + "/oauth2/authorize?client_id=script", {credentials: "include"}),
  register: () => fetch(issuer + "/oauth2/register", {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"}),
};
(async () => {
  const out = [];
  for (const [name, ask] of Object.entries(tries)) out.push(name + " " + await ask().then(r => "read", e => "kept"));
  const e = document.getElementById("done"); e.textContent = out.join(", "); e.hidden = false;
})();
</script></body></html>`

// A script in a page of another origin signs people in by itself, and a page of
// somebody else reads nothing but what is for everybody.
func TestAScriptInAPageSignsPeopleIn(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a browser is long at work")
	}
	c := startChromium(t, "{}")
	pages := map[string]*httptest.Server{}
	for _, name := range []string{"script", "nosy"} {
		pages[name] = httptest.NewUnstartedServer(nil)
	}
	app := "http://" + pages["script"].Listener.Addr().String()
	s := startSite(t, map[string]string{"clients.d/script.yaml": "client_id: script\ntoken_endpoint_auth_method: none\nredirect_uris: [" + app + "/cb]\nconsent: none\nscopes: {everyone: [openid, profile]}\n"}, openRegistration)
	for name, page := range map[string]string{"script": fmt.Sprintf(scriptApp, s.URL, "script"), "nosy": fmt.Sprintf(nosyPage, s.URL)} {
		pages[name].Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte(page))
		})
		pages[name].Start()
		t.Cleanup(pages[name].Close)
	}
	b := c.window(t)
	b.goTo(app+"/", "#login")
	b.click("login", "#username")
	b.signIn("alice", ldaptest.Password("alice"), "#name, #error")
	if got := b.text("name"); got != "Alice Adams 401 invalid_grant" {
		b.fail("the script knows " + got)
	}
	b.goTo(strings.Replace(pages["nosy"].URL, "127.0.0.1", "localhost", 1)+"/", "#done")
	if got := b.text("done"); got != "discovery read, webfinger read, token kept, userinfo kept, cookies kept, authorize kept, register kept" {
		t.Errorf("a page of somebody else: %s", got)
	}
}
