package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
)

// atOnce is how many windows work at the same time: more would only wait for each
// other on a small machine.
const atOnce = 2

// TestInABrowser does what people do, with one real browser for all of them.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a browser is long at work")
	}
	c := startChromium(t, "{}")
	s := startStage(t)
	turns := make(chan struct{}, atOnce)
	for name, does := range map[string]func(t *testing.T, c *chromium, s *stage){
		"a first sign-in, and a second application without a password": signInTwice,
		"a wrong password is told where the next try is typed":         wrongPassword,
		"consent is asked, refused, given and remembered":              consent,
		"who may not use an application reads so there":                refusal,
		"everything works without scripts":                             withoutScripts,
		"pages speak the person's language":                            languages,
		"a reload after signing in sends no password":                  reloading,
		"nothing personal is left when going back after signing out":   backAfterSignOut,
		"sign-in and consent fit a small phone":                        smallPhone,
		"the pages of a sign-in are accessible":                        accessibleSignIn,
		"the pages of errors are accessible":                           accessibleErrors,
		"the pages of signing out are accessible":                      accessibleSignOut,
		"a television is signed in from a phone":                       signInTelevision,
		"the demonstration's television shows who said yes":            demoTelevision,
		"a directory that is down is told, and loses nothing":          directoryDown,
		"a browser that keeps no cookies is told so":                   withoutCookies,
		"a policy that stops a form would be noticed":                  stoppedForm,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turns <- struct{}{}
			defer func() { <-turns }()
			does(t, c, s)
		})
	}
}

func signInTwice(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.goTo(s.apps["cloud"], "#login")
	b.click("login", "#username")
	b.tells("Sign in to The cloud")
	if at := read[string](b, `document.activeElement.id`); at != "username" {
		t.Errorf("typing begins in %q", at)
	}
	if scripts := read[int](b, `document.scripts.length`); scripts != 0 {
		t.Errorf("%d scripts on the sign-in page", scripts)
	}
	b.signIn("alice", ldaptest.Password("alice"), "#name")
	if at := read[string](b, `location.origin`); at != s.apps["cloud"] || b.text("name") != "Alice Adams" {
		t.Errorf("%s knows %q", at, b.text("name"))
	}
	if groups := b.text("groups"); !strings.Contains(groups, "developers") || !strings.Contains(groups, "company") {
		t.Errorf("the cloud knows groups %q", groups)
	}

	b.goTo(s.apps["notes"], "#login")
	b.click("login", "#allow") // no password
	b.tells("The notes", "Alice Adams")
	b.click("allow", "#name")
	if n := b.sent(s.URL + "/signin"); n != 1 {
		t.Errorf("the password was sent %d times for two applications", n)
	}
	cookies, err := chromedp.Call(b.ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, cookie := range cookies.Cookies {
		if strings.HasPrefix(cookie.Name, "gatehouse_") {
			ours++
			if !cookie.HTTPOnly || cookie.SameSite != network.CookieSameSiteLax || cookie.Session == (cookie.Name == "gatehouse_device") {
				t.Errorf("the cookie %s: HttpOnly %v, SameSite %q, until %v", cookie.Name, cookie.HTTPOnly, cookie.SameSite, cookie.Expires)
			}
		}
	}
	if ours != 3 {
		t.Errorf("%d cookies of ours, want 3: the session, the form and the browser that knows her", ours)
	}
}

func wrongPassword(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.goTo(s.apps["cloud"]+"/signin", "#username")
	b.signIn("bob", "not his password", "#problem")
	b.tells("Problem: Sign in", "The user name or the password isn’t right")
	for expression, want := range map[string]string{
		`document.activeElement.id`:                       "password",
		`document.getElementById('username').value`:       "bob",
		`document.getElementById('password').value`:       "",
		`document.getElementById('username').ariaInvalid`: "true",
		`document.getElementById('password').ariaInvalid`: "true",
		`document.querySelector('#password[aria-describedby]') && document.getElementById(document.getElementById('password').getAttribute('aria-describedby')).id`: "problem",
		`document.getElementById('problem').role`: "alert",
	} {
		if got := read[string](b, expression); got != want {
			t.Errorf("%s is %q, not %q", expression, got, want)
		}
	}
	// The name is there still and typing goes on in the password.
	b.depart()
	b.do(chromedp.KeyEvent(ldaptest.Password("bob")), chromedp.KeyEvent("\r"))
	b.arrive("#name")
	if got := b.text("name"); got != "Bob Brown" {
		t.Errorf("the cloud knows %q", got)
	}
}

// consent crosses from one host name to another, so that the page's form-action
// would stop the way back if it didn't name the application.
func consent(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.goTo(s.apps["wiki"], "#login")
	b.click("login", "#username")
	b.signIn("carol", ldaptest.Password("carol"), "#allow")
	b.tells("Give The wiki access?", "Signed in as Cärôl Müßiggänger", "Recognise you", "See your groups", "Stay connected", "localhost:")
	b.click("deny", "#error")
	b.tells("You were not let in to The wiki", "access_denied")
	b.click("retry", "#allow")
	b.click("allow", "#name")
	if at := read[string](b, `location.origin`); at != s.apps["wiki"] || b.text("name") != "Cärôl Müßiggänger" {
		t.Errorf("%s knows %q", at, b.text("name"))
	}
	b.goTo(s.apps["wiki"]+"/signin", "#allow") // asks every time

	b.goTo(s.apps["notes"]+"/signin", "#allow")
	b.click("allow", "#name")
	b.click("signout", "#provider_signout")
	b.goTo(s.apps["notes"]+"/signin", "#name") // remembers
	if n := b.sent(s.URL + "/consent"); n != 3 {
		t.Errorf("%d decisions were sent, want 3", n)
	}
}

// refusal is shown on the demonstration, whose accounts are for the book-keepers.
func refusal(t *testing.T, c *chromium, _ *stage) {
	issuer, apps := startDemo(t)
	passwords := map[string]string{}
	for _, a := range demodir.Accounts() {
		passwords[a.Username] = a.Password
	}
	b := c.window(t)
	b.goTo(apps+"/", "#login")
	b.tells("People to sign in as", "tomasz", passwords["tomasz"])
	b.examine("the demonstration")
	b.goTo(apps+"/accounts/", "#login")
	b.click("login", "#username")
	b.signIn("tomasz", passwords["tomasz"], "#error")
	if got := b.text("error"); got != "access_denied" {
		t.Errorf("the application is told %q", got)
	}
	b.tells("You were not let in to Accounts", "An administrator gives access by adding you to a group", "may not use this application")
	b.examine("the refusal")
	b.reload("#error")
	b.tells("You were not let in to Accounts")

	b.goTo(apps+"/wiki/signin", "#allow") // signed in all the same
	b.click("allow", "#name")
	b.examine("the wiki")
	b.goTo(apps+"/accounts/signin?prompt=login", "#username")
	b.signIn("siobhan", passwords["siobhan"], "#name")
	if got := b.text("name"); got != "Siobhán O'Neill" {
		t.Errorf("the application knows %q", got)
	}
	if n := b.sent(issuer + "/signin"); n != 2 {
		t.Errorf("%d passwords were sent, want 2", n)
	}
	for uid, tells := range map[string]string{
		"bjorn": "isn’t right", "elena": "Your password has expired", "pieter": "Choose a new password", "lea": "profile email groups",
	} {
		b := c.window(t)
		b.goTo(apps+"/wiki/signin", "#username")
		b.signIn(uid, passwords[uid], "#problem, #error, #new_password")
		b.tells(tells)
		if uid == "pieter" {
			b.examine("choosing a password")
		}
	}
}

func withoutScripts(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.do(command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
	b.goTo("data:text/html,<title>off</title><script>document.title='on'</script><p id=shown>shown", "#shown")
	if title, err := within(b, chromedp.Title()); err != nil || title != "off" {
		t.Fatalf("scripts are %s: %v", title, err)
	}
	b.goTo(s.apps["wiki"], "#login")
	b.click("login", "#username")
	b.signIn("alice", "wrong", "#problem")
	b.signIn("alice", ldaptest.Password("alice"), "#allow")
	b.click("deny", "#error")
	b.click("retry", "#allow")
	b.click("allow", "#name")
	if got := b.text("name"); got != "Alice Adams" {
		t.Errorf("the wiki knows %q", got)
	}
	b.goTo(s.apps["cloud"]+"/signin", "#name")
	b.goTo(s.URL+"/signout", "#signout")
	b.click("signout", ".sign-done")
	b.goTo(s.apps["cloud"]+"/signin", "#username")
}

func languages(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.prefer("de-AT,de;q=0.9,en;q=0.5")
	b.goTo(s.apps["wiki"]+"/signin", "#username")
	if lang := b.lang(); lang != "de" {
		t.Errorf("the sign-in page is in %q", lang)
	}
	b.tells("Bei The wiki anmelden", "Benutzername", "Passwort")
	b.signIn("alice", "falsch", "#problem")
	b.tells("Benutzername oder Passwort")
	b.signIn("alice", ldaptest.Password("alice"), "#allow")
	b.tells("Nicht erlauben", "Ihre Gruppen sehen")
	if lang := b.lang(); lang != "de" {
		t.Errorf("the consent page is in %q", lang)
	}
	b.goTo(s.URL+"/oauth2/authorize", "#reference")
	if lang := b.lang(); lang != "de" {
		t.Errorf("the error page is in %q", lang)
	}

	// What the application asks for goes before what the browser says.
	b = c.window(t)
	b.prefer("de")
	b.goTo(s.request("ui_locales", "xx fr-CA en"), "#username")
	b.tells("Se connecter à", "Mot de passe")
	b.signIn("alice", "faux", "#problem")
	if lang := b.lang(); lang != "fr" {
		t.Errorf("the sign-in page after a wrong password is in %q", lang)
	}
}

func reloading(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.goTo(s.apps["wiki"]+"/signin", "#username")
	b.signIn("alice", ldaptest.Password("alice"), "#allow")
	b.reload("#allow")
	b.tells("Signed in as Alice Adams")
	b.click("allow", "#name")
	b.reload("#name")
	if n := b.sent(s.URL + "/signin"); n != 1 {
		t.Errorf("the password was sent %d times", n)
	}
	if n := b.sent(s.URL + "/consent"); n != 1 {
		t.Errorf("the decision was sent %d times", n)
	}
}

// backAfterSignOut goes all the way back: no page of ours says who was there.
func backAfterSignOut(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.goTo(s.apps["wiki"]+"/signin", "#username")
	b.signIn("alice", ldaptest.Password("alice"), "#allow")
	b.tells("Alice Adams")
	b.goTo(s.URL+"/signout", "#signout")
	b.click("signout", ".sign-done")
	for b.back() {
		shown := read[string](b, `document.documentElement.outerHTML`)
		for _, personal := range []string{"Alice", "Adams", "alice"} {
			if strings.Contains(shown, personal) {
				t.Errorf("%s still shows %q", read[string](b, `location.pathname`), personal)
			}
		}
	}
	b.tells("Sign in to The wiki") // got as far as that
	if password := read[string](b, `document.getElementById('password').value`); password != "" {
		t.Error("the password is there still")
	}
	if n := b.sent(s.URL + "/signin"); n != 1 {
		t.Errorf("the password was sent %d times", n)
	}
}

func smallPhone(t *testing.T, c *chromium, s *stage) {
	b := c.window(t)
	b.show(320, 568, "light", chromedp.EmulateMobile, chromedp.EmulateTouch)
	fits := func(what string) {
		t.Helper()
		if wide := read[int](b, `Math.max(document.documentElement.scrollWidth, window.innerWidth)`); wide != 320 {
			t.Errorf("%s is %d pixels wide", what, wide)
		}
		for _, bad := range read[[]string](b, `[...document.querySelectorAll('button, .input, h1, .notice, .scope, a')].filter(e => {
			const r = e.getBoundingClientRect();
			return r.left < 0 || r.right > 320 || e.matches('button, .input') && r.height < 44 || e.matches('a') && r.height < 24;
		}).map(e => e.outerHTML)`) {
			t.Errorf("%s: too wide or too small for a finger: %s", what, bad)
		}
	}
	b.goTo(s.apps["wiki"]+"/signin", "#username")
	fits("sign-in")
	b.signIn("bob", "wrong", "#problem")
	fits("a wrong password")
	b.do(chromedp.KeyEvent(ldaptest.Password("bob")))
	b.tap("login", "#allow")
	fits("consent")
	b.tap("allow", "#name")
}

// directoryDown has a directory of its own to stop.
func directoryDown(t *testing.T, c *chromium, _ *stage) {
	s := startStage(t)
	known, stranger := c.window(t), c.window(t)
	known.goTo(s.apps["cloud"]+"/signin", "#username")
	known.signIn("alice", ldaptest.Password("alice"), "#name")
	stranger.goTo(s.apps["cloud"]+"/signin", "#username")

	s.LDAP.Stop()
	stranger.signIn("bob", ldaptest.Password("bob"), "#problem")
	stranger.tells("Passwords can’t be checked at the moment.")
	stranger.examine("sign-in without a directory")
	known.goTo(s.apps["wiki"]+"/signin", "#reference")
	known.tells("Please try again shortly", "directory can’t be reached")
	known.examine("the page without a directory")

	s.LDAP.Restart()
	eventually(t, "the directory is back", func() bool { return s.house.directory.Ping(context.Background()) == nil })
	known.reload("#allow")
	known.click("allow", "#name")
	stranger.signIn("bob", ldaptest.Password("bob"), "#name")
}

func withoutCookies(t *testing.T, _ *chromium, s *stage) {
	c := startChromium(t, `{"profile": {"default_content_setting_values": {"cookies": 2}}}`)
	b := c.open(t)
	b.goTo(s.request(), "#username")
	b.signIn("alice", ldaptest.Password("alice"), "#reference")
	b.tells("Cookies are needed", "Allow cookies for this site")
	b.examine("the page about cookies")
}

// stoppedForm shows that a window would notice what the others say never happens.
func stoppedForm(t *testing.T, c *chromium, _ *stage) {
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			http.Redirect(w, r, elsewhere.URL, http.StatusSeeOther)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "form-action 'self'")
		_, _ = io.WriteString(w, `<form method="post"><button id="go">go</button></form>`)
	}))
	t.Cleanup(server.Close)
	b := c.open(t, chromedp.WithNewBrowserContext())
	b.goTo(server.URL, "#go")
	x, y := b.middle("go")
	b.do(chromedp.MouseClickXY(x, y))
	eventually(t, "the browser tells that it stopped the form", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return len(b.stopped) > 0 && strings.HasPrefix(b.stopped[0], "form-action")
	})
}
