package templates_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/templates"
)

var usedKey = regexp.MustCompile(`\.(?:T|Say|text|parts|counted) \(?"([a-z0-9_.]+)"|(?:T|Say|text|parts|counted)\("([a-z0-9_.]+)"`)

// keysInUse are the keys that templates and code name, and those that problems,
// kinds of error and scopes make.
func keysInUse(t *testing.T) map[string]bool {
	t.Helper()
	used := map[string]bool{"dir": true, "scope.other": true, "scope.other.more": true}
	files, err := filepath.Glob("*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "views.go") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range usedKey.FindAllStringSubmatch(string(text), -1) {
			used[match[1]+match[2]] = true
		}
	}
	delete(used, "problem.throttled.minutes")
	delete(used, "problem.")
	delete(used, "password.problem.")
	delete(used, "error.")
	delete(used, "device.")
	delete(used, "withhold.")
	for _, claim := range []string{"picture", "address", "phone_number", "website"} {
		used["withhold."+claim] = true
	}
	for _, outcome := range templates.DeviceOutcomes() {
		used["device."+string(outcome)+".title"], used["device."+string(outcome)+".text"] = true, true
	}
	used["problem.throttled.minutes.one"], used["problem.throttled.minutes.other"] = true, true
	for _, problem := range templates.Problems() {
		used["problem."+string(problem)] = true
	}
	for _, problem := range templates.PasswordProblems() {
		if problem != templates.PasswordProblemThrottled && problem != templates.PasswordProblemUnavailable { // said as at sign-in
			used["password.problem."+string(problem)] = true
		}
	}
	for _, lead := range []string{"must_change", "expired", "later"} {
		used["password.lead."+lead] = true
	}
	for _, kind := range templates.ErrorKinds() {
		for _, part := range []string{".title", ".text", ".advice"} {
			used["error."+string(kind)+part] = true
		}
	}
	for _, scope := range []string{"openid", "profile", "email", "address", "phone", "groups", "roles", "offline_access"} {
		used["scope."+scope], used["scope."+scope+".more"] = true, true
	}
	return used
}

func TestEveryLanguageHasEveryKeyAndNoOther(t *testing.T) {
	t.Parallel()
	used := keysInUse(t)
	placeholders := regexp.MustCompile(`\{[a-z_]+\}`)
	tables := map[string]map[string]string{}
	for _, lang := range load(t, "").Languages() {
		text, err := os.ReadFile(filepath.Join("words", lang+".json"))
		if err != nil {
			t.Fatal(err)
		}
		table := map[string]string{}
		if err := json.Unmarshal(text, &table); err != nil {
			t.Fatal(err)
		}
		tables[lang] = table
	}
	if len(tables) != 3 {
		t.Errorf("%d languages, want en, de and fr", len(tables))
	}
	for lang, table := range tables {
		for key := range used {
			if _, ok := table[key]; !ok {
				t.Errorf("%s lacks %q", lang, key)
			}
		}
		for key, text := range table {
			if !used[key] {
				t.Errorf("%s: nothing uses %q", lang, key)
			}
			if text == "" && key != "signin.help" {
				t.Errorf("%s: %q is empty", lang, key)
			}
			if text != strings.TrimSpace(text) || strings.Contains(text, "  ") || strings.Contains(text, "'") {
				t.Errorf("%s: %q has a stray space or a straight apostrophe: %q", lang, key, text)
			}
			got, want := placeholders.FindAllString(text, -1), placeholders.FindAllString(tables["en"][key], -1)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(slices.Compact(got), slices.Compact(want)) {
				t.Errorf("%s: %q has the placeholders %v, English has %v", lang, key, got, want)
			}
		}
	}
}
