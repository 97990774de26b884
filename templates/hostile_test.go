package templates_test

import (
	"bytes"
	"html"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gatehouse/templates"
)

func TestNothingThatAClientNamesBreaksOut(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for _, text := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onfocus='alert(1)' autofocus='`, `{{.T "brand"}}`,
		"</title><script>alert(1)</script>", "<!--", "]]>", "&lt;script&gt;", "\x00\x01\x7f", "\xff\xfe<b>", "javascript:alert(1)",
	} {
		client := templates.ClientInfo{ID: text, Name: text, URI: text, LogoURI: text, PolicyURI: text, TosURI: text}
		var b bytes.Buffer
		for _, err := range []error{
			set.SignIn(&b, "en", templates.SignIn{Client: client, Username: text, Request: text, Problem: templates.Problem(text)}),
			set.SignIn(&b, "en", templates.SignIn{Client: client, Again: true}),
			set.Consent(&b, "de", templates.Consent{Client: client, Person: text, Scopes: []string{text}, ReturnTo: text, Request: text}),
			set.SignOut(&b, "fr", templates.SignOut{Client: client, Person: text, Request: text, Cancel: text}),
			set.SignedOut(&b, text, templates.SignedOut{Client: client}),
			set.Error(&b, "en", templates.Error{Kind: templates.ErrorKind(text), Client: client, Detail: text, RequestID: text}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		pages := b.String()
		lacks(t, pages, "<script", "<img src=x", "<b>", "<!--", `href="javascript:`, `src="javascript:`, "\x00")
		if !utf8.ValidString(pages) {
			t.Errorf("%q makes a page that is no UTF-8", text)
		}
		if found := regexp.MustCompile(`<[^>"]*("[^"]*"[^>"]*)* on[a-z]+=`).FindString(pages); found != "" {
			t.Errorf("%q makes a handler: %s", text, found)
		}
	}
}

func TestALinkIsShownOnlyIfItIsAWebAddress(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for address, shown := range map[string]bool{
		"https://app.example/policy?a=b":                   true,
		"http://app.example/policy":                        true,
		"HTTPS://app.example/policy":                       true,
		"":                                                 false,
		"javascript:alert(1)":                              false,
		" javascript:alert(1)":                             false,
		"JaVaScRiPt://app.example/%0aalert":                false,
		"data:text/html,hi":                                false,
		"//app.example/policy":                             false,
		"/policy":                                          false,
		"https:///policy":                                  false,
		"https:app.example":                                false,
		"https://bank.example@app.example/":                false,
		"https://app.example/\u202egpj":                    false,
		"https://app.example/\n":                           false,
		"https://app.example:port/":                        false,
		"mailto:someone@app.example":                       false,
		"https://app.example/" + strings.Repeat("a", 3000): false,
	} {
		page := signIn(t, set, "en", templates.SignIn{Client: templates.ClientInfo{Name: "App", PolicyURI: address}})
		if got := strings.Contains(page, `id="policy"`); got != shown {
			t.Errorf("%q is shown: %v, want %v", address, got, shown)
		}
	}
}

func TestALogoIsShownOnlyFromWhereItMayComeFrom(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for address, shown := range map[string]bool{
		"https://app.example/logo.svg":             true,
		"/static/company.svg":                      true,
		picture:                                    true,
		"data:image/png;base64,AAAA":               true,
		"":                                         false,
		"http://app.example/logo.svg":              false,
		"//app.example/logo.svg":                   false,
		`/\app.example/logo.svg`:                   false,
		"javascript:alert(1)":                      false,
		"data:text/html;base64,AAAA":               false,
		"data:image/svg+xml,<svg onload=alert(1)>": false,
		`data:image/png;base64,AAAA" onerror="alert(1)`:             false,
		"data:image/png;base64,":                                    false,
		"data:image/png;base64," + strings.Repeat("A", 100_000):     false,
		"https://user@app.example/logo.svg":                         false,
		"https://app.example/\u2066logo.svg":                        false,
		"https://app.example/" + strings.Repeat("a", 3000) + ".png": false,
	} {
		page := signIn(t, set, "en", templates.SignIn{Client: templates.ClientInfo{Name: "App", LogoURI: address}})
		if got := strings.Contains(page, "tile-logo"); got != shown {
			t.Errorf("%q is shown: %v, want %v", address, got, shown)
		}
		if !shown {
			has(t, page, `aria-hidden="true">A</span>`)
		}
	}
}

// heading returns the text of the page's first heading.
func heading(page string) string {
	match := regexp.MustCompile(`(?s)<h1>(.*?)</h1>`).FindStringSubmatch(page)
	return html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(match[1], ""))
}

func TestNamesAreCutAndStripped(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	for _, c := range []struct{ name, id, want string }{
		{"Nextcloud", "cloud", "Sign in to Nextcloud"},
		{"", "cloud", "Sign in to cloud"},
		{" \u200b\u3164\u00ad ", "cloud", "Sign in to cloud"},
		{"", "", "Sign in"},
		{"a\u202egnp.exe", "", "Sign in to agnp.exe"},
		{"\u2066a\u2069 \t\r\n b\u2028c", "", "Sign in to a b c"},
		{"a\x00\x1b[31mb", "", "Sign in to a[31mb"},
		{"a\xff\xc3b", "", "Sign in to ab"},
		{"مكتب \u200fالبريد", "", "Sign in to مكتب البريد"},
		{"می\u200cخواهم", "", "Sign in to می\u200cخواهم"},
		{"e" + strings.Repeat("\u0301", 100) + "f", "", "Sign in to e" + strings.Repeat("\u0301", 4) + "f"},
		{strings.Repeat("ab", 5000), "", "Sign in to " + strings.Repeat("ab", 40) + "…"},
		{strings.Repeat("\u202e", 5000) + "x", "", "Sign in"},
		{strings.Repeat("語", 5000), "", "Sign in to " + strings.Repeat("語", 80) + "…"},
	} {
		page := signIn(t, set, "en", templates.SignIn{Client: templates.ClientInfo{Name: c.name, ID: c.id}})
		if got := heading(page); got != c.want {
			t.Errorf("%.40q: heading %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAHugePageStaysSmall(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("<", 10<<10)
	client := templates.ClientInfo{ID: text, Name: text, URI: text, LogoURI: text, PolicyURI: text, TosURI: text}
	page := consent(t, load(t, ""), "en", templates.Consent{Client: client, Person: text, Scopes: []string{text}, ReturnTo: text})
	if len(page) > 12<<10 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

func FuzzNames(f *testing.F) {
	set := load(f, "")
	f.Add("Nextcloud", "https://cloud.example.org/logo.svg")
	f.Add("<b>\u202e\xff", "data:image/png;base64,AA==")
	f.Add("", "javascript:alert(1)")
	f.Fuzz(func(t *testing.T, name, address string) {
		client := templates.ClientInfo{Name: name, URI: address, LogoURI: address, PolicyURI: address, TosURI: address}
		var b bytes.Buffer
		if err := set.Consent(&b, "en", templates.Consent{Client: client, Person: name, Scopes: []string{name}, ReturnTo: address}); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		if !utf8.ValidString(page) || strings.Contains(page, "ZgotmplZ") {
			t.Fatalf("page: %q", page)
		}
		if strings.Count(page, "<h1>") != 1 || strings.Count(page, "</main>") != 1 || strings.Count(page, "<form") != 1 {
			t.Fatalf("the page is not whole: %q", page)
		}
		for _, r := range page {
			if r != '\n' && (unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069') {
				t.Fatalf("%U is in the page: %q", r, page)
			}
		}
	})
}
