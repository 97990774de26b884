package templates_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gatehouse/static"
	"gatehouse/templates"
)

func TestAnOverrideReplacesAPageAndSingleWords(t *testing.T) {
	t.Parallel()
	set := load(t, folder(t, map[string]string{
		"signedout.html":  `{{define "title"}}Bye{{end}}{{define "main"}}<h1>Bye from {{.T "brand"}}</h1>{{end}}`,
		"words/en.json":   `{"brand": "Example Ltd", "signin.help": "Forgot it? Call 1234.", "scope.quota": "See your quota"}`,
		"words/de.json":   `{"signin.title.client": "Willkommen bei {client}"}`,
		"gatehouse.css":   "not for this room",
		".signin.html":    "{{an editor's own",
		"notes/other.txt": "",
	}))
	var b bytes.Buffer
	if err := set.SignedOut(&b, "en", templates.SignedOut{}); err != nil {
		t.Fatal(err)
	}
	has(t, b.String(), "<title>Bye – Example Ltd</title>", "<h1>Bye from Example Ltd</h1>", `<main class="card"`)
	has(t, signIn(t, set, "en", templates.SignIn{}), "Forgot it? Call 1234.", "User name")
	has(t, signIn(t, set, "de", templates.SignIn{Client: cloud()}), "Willkommen bei <bdi>Nextcloud</bdi>", "Benutzername")
	page := consent(t, set, "en", templates.Consent{Client: cloud(), Scopes: []string{"quota"}})
	has(t, page, "See your quota")
	lacks(t, page, "scope-more")
	has(t, consent(t, set, "fr", templates.Consent{Client: cloud(), Scopes: []string{"quota"}}), "See your quota")
}

func TestAnOverrideAddsALanguage(t *testing.T) {
	t.Parallel()
	set := load(t, folder(t, map[string]string{
		"words/ar.json": `{"dir": "rtl", "signin.title.client": "تسجيل الدخول إلى {client}", "signin.username": "اسم المستخدم"}`,
	}))
	lang := set.Language("ar-EG,en;q=0.5", "")
	if lang != "ar" {
		t.Fatalf("language %q, want ar", lang)
	}
	page := signIn(t, set, lang, templates.SignIn{Client: cloud()})
	has(t, page, `<html lang="ar" dir="rtl">`, "اسم المستخدم", "Password")
}

func TestABadOverrideStopsTheStartAndNamesFileAndLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"a template that can't be parsed", map[string]string{"signin.html": "\n\n{{if}}"}, []string{"signin.html:3:"}},
		{"two that can't", map[string]string{"signin.html": "{{if}}", "error.html": "\n{{end}}"}, []string{"signin.html:1:", "error.html:2:"}},
		{
			"a field that doesn't exist",
			map[string]string{"signin.html": `{{define "title"}}{{end}}` + "\n" + `{{define "main"}}{{.Pasword}}{{end}}`},
			[]string{"signin.html:2:", "Pasword"},
		},
		{
			"words that don't exist",
			map[string]string{"error.html": `{{define "title"}}{{end}}{{define "main"}}{{.T "eror.title"}}{{end}}`},
			[]string{"error.html:1:", "eror.title"},
		},
		{
			"a placeholder without a value",
			map[string]string{"signedout.html": `{{define "title"}}{{end}}{{define "main"}}{{.T "back"}}{{end}}`},
			[]string{"signedout.html:1:", "{client}"},
		},
		{"a page without its parts", map[string]string{"consent.html": "<h1>Hello</h1>"}, []string{"consent.html", `"title"`, `"main"`}},
		{"a layout that isn't one", map[string]string{"layout.html": "<p>"}, []string{`"layout"`}},
		{
			"markup that can't be escaped",
			map[string]string{"signedout.html": `{{define "title"}}{{end}}{{define "main"}}<p title="{{end}}`},
			[]string{"signedout.html"},
		},
		{"parts that are missing", map[string]string{"parts.html": `{{define "sentence"}}{{end}}`}, []string{"parts.html", `"icon"`}},
		{"a page that nobody shows", map[string]string{"sign-in.html": ""}, []string{"sign-in.html", "signin.html"}},
		{"words that are no JSON", map[string]string{"words/de.json": "{\n\"brand\": \"x\",\n}"}, []string{"de.json:3:"}},
		{"words that are no text", map[string]string{"words/de.json": "{\n\"brand\": 1\n}"}, []string{"de.json:2:"}},
		{"a key that no page uses", map[string]string{"words/en.json": "{\n\n\"signin.titel\": \"x\"}"}, []string{"en.json:3:", "signin.titel"}},
		{"an unknown placeholder", map[string]string{"words/en.json": `{"about": "{clinet}"}`}, []string{"en.json:1:", "{clinet}"}},
		{"a direction that isn't one", map[string]string{"words/he.json": `{"dir": "left"}`}, []string{"he.json:1:", "ltr or rtl"}},
		{"a language that isn't one", map[string]string{"words/deutsch_at.json": `{}`}, []string{"deutsch_at.json"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, c.files)
			_, err := templates.Load(dir)
			if err == nil {
				t.Fatal("the set was loaded")
			}
			for _, want := range append(c.want, dir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error names no %s: %v", want, err)
				}
			}
		})
	}
}

func TestAnOverrideFolderThatIsMissingStopsTheStart(t *testing.T) {
	t.Parallel()
	if _, err := templates.Load(t.TempDir() + "/missing"); err == nil {
		t.Error("the set was loaded")
	}
}

func TestStaticFilesAreWhereTheyAreSaidToBe(t *testing.T) {
	t.Parallel()
	set, err := templates.Load("", templates.WithAssets(func(name string) string { return "/elsewhere/" + name }))
	if err != nil {
		t.Fatal(err)
	}
	has(t, signIn(t, set, "en", templates.SignIn{}), `<link rel="stylesheet" href="/elsewhere/gatehouse.css">`)
}

func TestTheExamplesOfTheManualLoad(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile(filepath.Join("..", "docs", "customising-pages.md"))
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(manual), -1)
	if len(examples) == 0 {
		t.Fatal("the manual has no examples")
	}
	for _, example := range examples {
		load(t, folder(t, map[string]string{"words/en.json": example[1]}))
	}
}

func TestOneFolderMayServeForPagesAndStaticFiles(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"custom.css": ":root { --accent: #123456 }", "mark.svg": "<svg/>", "words/en.json": `{"brand": "Example Ltd"}`,
	})
	assets, err := static.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	set, err := templates.Load(dir, templates.WithAssets(assets.URL))
	if err != nil {
		t.Fatal(err)
	}
	has(t, signIn(t, set, "en", templates.SignIn{}), "Example Ltd", assets.URL("mark.svg"), assets.URL("gatehouse.css"))
}
