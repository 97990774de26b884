package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

//go:generate go test -run TestCertificationPagesAreThoseOfTheTable -update .

// profilePage is one page of docs/certification.
type profilePage struct{ file, title, about string }

func profilePages() []profilePage {
	return []profilePage{
		{"basic", "Basic OP", "`response_type=code`. The plan is `oidcc-basic-certification-test-plan`."},
		{"implicit", "Implicit OP", "`response_type=id_token` and `id_token token`, each rule with both; clients need the grant type `implicit` and these response types. The plan is `oidcc-implicit-certification-test-plan`."},
		{"hybrid", "Hybrid OP", "`response_type=code id_token`, `code token` and `code id_token token`, each rule with all three. The plan is `oidcc-hybrid-certification-test-plan`."},
		{"form-post", "Form Post OP", "The three profiles once more with `response_mode=form_post`: every rule of [Basic](basic.md), [Implicit](implicit.md) and [Hybrid](hybrid.md), with every response type that it has there. The plans are `oidcc-formpost-basic-`, `-implicit-` and `-hybrid-certification-test-plan`."},
		{profileConfig, "Config OP", "Discovery and keys. The plan is `oidcc-config-certification-test-plan`."},
		{profileDynamic, "Dynamic OP", "Discovery, registration, keys that change on both sides. The plan is `oidcc-dynamic-certification-test-plan`."},
		{profileThirdParty, "Third-Party-Initiated Login OP", "The plan is `oidcc-3rdparty-init-login-certification-test-plan`."},
		{profileBeyond, "Beyond certification", "What the RFCs ask and no OpenID certification of a provider looks at: further grants, client authentication, pushed requests, introspection, revocation."},
	}
}

const pagesNote = "<!-- Made from the table in cmd/gatehouse/certify_rules_test.go by go generate ./cmd/gatehouse. -->\n\n"

// markdown is the page of a profile.
func (p profilePage) markdown() string {
	var b, missing strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s%s\n\n", p.title, pagesNote, p.about)
	fmt.Fprintf(&b, "| What is so | By | Test |\n| --- | --- | --- |\n")
	for _, r := range certifyRules() {
		switch {
		case !r.in(p.file):
		case r.check == nil:
			fmt.Fprintf(&missing, "- %s (%s): %s\n", strings.TrimSuffix(r.shows, "."), r.section, r.missing)
		default:
			fmt.Fprintf(&b, "| %s | %s | `%s` |\n", r.shows, r.section, r.id)
		}
	}
	b.WriteString("\n## Not met\n\n")
	if missing.Len() == 0 {
		missing.WriteString("Nothing that we know of.\n")
	}
	return b.String() + missing.String()
}

// overview is the page that leads to the others.
func overview() string {
	var b strings.Builder
	b.WriteString("# What OpenID certification asks of a provider\n\n" + pagesNote +
		"Gatehouse has not been certified, and the OpenID Foundation's conformance suite has not been run on it. " +
		"These pages say, profile by profile, which of the rules that the suite checks are met, by which test of ours. " +
		"The tests run the server as `gatehouse serve` does, on a real OpenLDAP, and talk to it over HTTP: with go-oidc and as raw requests where the rule is about what no client sends.\n\n" +
		"| Profile | Rules met | Not met |\n| --- | --- | --- |\n")
	for _, p := range profilePages() {
		met, not := 0, 0
		for _, r := range certifyRules() {
			switch {
			case !r.in(p.file):
			case r.check == nil:
				not++
			default:
				met++
			}
		}
		fmt.Fprintf(&b, "| [%s](%s.md) | %d | %d |\n", p.title, p.file, met, not)
	}
	b.WriteString("\nTo run them all: `go test ./cmd/gatehouse -run TestCertification`; one of them: `-run 'TestCertification/.*/scope-profile'`.\n\n" +
		"What the suite asks of a client in a client file: `require_pkce: false`, since its older modules send no challenge; `id_token_signed_response_alg: RS256`; " +
		"the response types and the grant type `implicit` for the Implicit and Hybrid profiles; `request_object_signing_alg: none` for the modules with unsigned request objects; " +
		"scopes `openid profile email address phone offline_access` for everyone. None of this is the default, since all of it is weaker. " +
		"The Dynamic and Third-Party-Initiated Login plans register their clients themselves: `registration.mode: open`, the same scopes beneath `registration.scopes.everyone`, " +
		"and in `registration.grant_types` and `registration.response_types` what the plan is run with.\n\n" +
		"The logout profiles are not met yet.\n")
	return b.String()
}

func TestCertificationPagesAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "docs", "certification")
	pages := map[string]string{"README.md": overview()}
	for _, p := range profilePages() {
		pages[p.file+".md"] = p.markdown()
	}
	for name, want := range pages {
		path := filepath.Join(dir, name)
		if *update {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s is not what the table says; run go generate ./cmd/gatehouse: %v", path, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(pages) {
		t.Errorf("%d pages, and %d files in %s: %v", len(pages), len(entries), dir, err)
	}
}
