package templates_test

import (
	"slices"
	"strings"
	"testing"
)

func TestTheLanguageIsTheBestThatWeSpeak(t *testing.T) {
	t.Parallel()
	set := load(t, "")
	if got := set.Languages(); !slices.Equal(got, []string{"en", "de", "fr"}) {
		t.Errorf("languages %v", got)
	}
	for _, c := range []struct{ header, locales, want string }{
		{"", "", "en"},
		{"de", "", "de"},
		{"de-CH,de;q=0.9,en;q=0.8", "", "de"},
		{"fr-CA, en;q=0.5", "", "fr"},
		{"en;q=0.2, fr;q=0.9", "", "fr"},
		{"ja, ko;q=0.9", "", "en"},
		{"ja, de;q=0.1", "", "de"},
		{"*", "", "en"},
		{"fr", "de", "de"},
		{"fr", "ja de-AT en", "de"},
		{"fr", "ja", "fr"},
		{"de;q=x, fr", "", "de"},
		{"!!, fr;q=0.5", "", "fr"},
		{"\xff\x00", "\xff\x00", "en"},
		{"de_DE", "", "de"},
		{"", "fr_FR.UTF-8", "en"},
		{strings.Repeat("xx-", 5000), strings.Repeat("a ", 5000), "en"},
		{strings.Repeat("ja,", 5000) + "de", "", "en"},
	} {
		if got := set.Language(c.header, c.locales); got != c.want {
			t.Errorf("Accept-Language %.30q, ui_locales %.30q: %s, want %s", c.header, c.locales, got, c.want)
		}
	}
}

func FuzzLanguage(f *testing.F) {
	set := load(f, "")
	f.Add("de-CH,de;q=0.9,en;q=0.8", "fr de")
	f.Add("*;q=0", "und x-private i-klingon")
	f.Add("-,;q=,,", "\xff")
	f.Fuzz(func(t *testing.T, header, locales string) {
		if got := set.Language(header, locales); !slices.Contains(set.Languages(), got) {
			t.Errorf("language %q", got)
		}
	})
}
