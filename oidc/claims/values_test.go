package claims

import "testing"

func TestValuesAreReadAsTheirStandardsSay(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		read        func(string) string
		value, want string
	}{
		{localeValue, "de", "de"},
		{localeValue, "de-CH", "de-CH"},
		{localeValue, "de_ch", "de-CH"},
		{localeValue, "zh-hant-tw", "zh-Hant-TW"},
		{localeValue, "en-x-us-ca", "en-x-us-ca"},
		{localeValue, "sl-rozaj-1994", "sl-rozaj-1994"},
		{localeValue, "en; q=0.5, fr;q=0.9,de;q=oops", "fr"},
		{localeValue, "fr;q=0", ""},
		{localeValue, "*", ""},
		{localeValue, "d", ""},
		{localeValue, "english please", ""},
		{birthdateValue, "1999-05-04", "1999-05-04"},
		{birthdateValue, "0000-05-04", "0000-05-04"},
		{birthdateValue, "1999", "1999"},
		{birthdateValue, "19990504", "1999-05-04"},
		{birthdateValue, "19990504000000Z", "1999-05-04"},
		{birthdateValue, "4.5.1999", ""},
		{birthdateValue, "1999-13-04", ""},
		{zoneValue, "America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"},
		{zoneValue, "Etc/GMT+1", "Etc/GMT+1"},
		{zoneValue, "UTC", "UTC"},
		{zoneValue, "CET", ""},
		{zoneValue, "../../etc/passwd", ""},
		{genderValue, "1", "male"},
		{genderValue, "9", ""},
		{genderValue, "nonbinary", "nonbinary"},
		{urlValue, "https://x.example/ A label", "https://x.example/"},
		{urlValue, "ftp://x.example/", ""},
		{urlValue, "www.x.example", ""},
		{emailValue, " a@b ", "a@b"},
		{emailValue, "a@", ""},
		{emailValue, "a b@c", ""},
		{postalValue, `1 Main St.$Anytown$Country`, "1 Main St.\nAnytown\nCountry"},
		{postalValue, `\241,000,000 Sweepstakes$PO Box 1000000`, "$1,000,000 Sweepstakes\nPO Box 1000000"},
		{postalValue, `a\5Cb\5c24`, `a\b\24`},
		{textValue, "a\x00b", ""},
	} {
		if got := tc.read(tc.value); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.value, got, tc.want)
		}
	}
}
