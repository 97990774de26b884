package claims

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// textValue returns a value without blanks around it, or "" for what is blank or
// not text.
func textValue(value string) string {
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		return ""
	}
	return strings.TrimSpace(value)
}

// urlValue reads an http or https URL. In labeledURI a label may follow behind a
// blank (RFC 2079).
func urlValue(value string) string {
	text, _, _ := strings.Cut(textValue(value), " ")
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return text
}

// emailValue reads an addr-spec (RFC 5322, section 3.4.1), loosely.
func emailValue(value string) string {
	text := textValue(value)
	at := strings.LastIndexByte(text, '@')
	if at < 1 || at == len(text)-1 || strings.ContainsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }) {
		return ""
	}
	return text
}

// genderValue translates the digits of ISO 5218, which schacGender holds; 0 (not
// known) and 9 (not applicable) say nothing.
func genderValue(value string) string {
	switch text := textValue(value); text {
	case "1":
		return "male"
	case "2":
		return "female"
	case "0", "9":
		return ""
	default:
		return text
	}
}

// birthdateValue returns YYYY-MM-DD, 0000-MM-DD where the year is withheld, or
// YYYY alone (OpenID Connect Core 1.0, section 5.1). It also reads YYYYMMDD and
// generalized time.
func birthdateValue(value string) string {
	text := textValue(value)
	for _, layout := range []string{time.DateOnly, "20060102", "2006"} {
		at, err := time.Parse(layout, text)
		switch {
		case err != nil:
		case layout == "2006":
			return text
		default:
			return at.Format(time.DateOnly)
		}
	}
	if at, err := ParseGeneralizedTime(text); err == nil {
		return at.Format(time.DateOnly)
	}
	return ""
}

// zoneValue reads a name of the time zone database, by its form alone: looking
// it up would read files.
func zoneValue(value string) string {
	text := textValue(value)
	if text == "UTC" || text == "GMT" {
		return text
	}
	area, location, found := strings.Cut(text, "/")
	if !found || area == "" || location == "" {
		return ""
	}
	for part := range strings.SplitSeq(text, "/") {
		if part == "" || strings.ContainsFunc(part, func(c rune) bool {
			return !isAlphanumeric(c) && c != '_' && c != '+' && c != '-'
		}) {
			return ""
		}
	}
	return text
}

// localeValue returns the language tag (BCP 47) that preferredLanguage puts
// first. Its values look like Accept-Language: "de-ch, en;q=0.8" (RFC 2798,
// section 2.7).
func localeValue(value string) string {
	best, bestWeight := "", 0.0
	for item := range strings.SplitSeq(textValue(value), ",") {
		text, parameters, _ := strings.Cut(item, ";")
		weight := 1.0
		if q, found := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q="); found {
			var err error
			if weight, err = strconv.ParseFloat(q, 64); err != nil {
				continue
			}
		}
		if tag := languageTag(strings.TrimSpace(text)); tag != "" && weight > bestWeight {
			best, bestWeight = tag, weight
		}
	}
	return best
}

// languageTag checks the form of a language tag and writes it in the usual case:
// language lower, script with a capital, region upper (RFC 5646, section 2.1.1).
func languageTag(text string) string {
	parts := strings.Split(strings.ReplaceAll(text, "_", "-"), "-")
	singleton := false
	for i, part := range parts {
		if part == "" || len(part) > 8 || strings.ContainsFunc(part, func(c rune) bool { return !isAlphanumeric(c) }) {
			return ""
		}
		part = strings.ToLower(part)
		switch {
		case i == 0:
			if len(part) < 2 || strings.ContainsFunc(part, unicode.IsDigit) {
				return ""
			}
		case singleton:
		case len(part) == 1:
			singleton = true
		case len(part) == 2:
			part = strings.ToUpper(part)
		case len(part) == 4 && part[0] > '9':
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		parts[i] = part
	}
	return strings.Join(parts, "-")
}

func isAlphanumeric(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// postalValue turns a postal address into lines: its lines are parted by "$",
// and "$" and "\" within a line are written \24 and \5C (RFC 4517, section
// 3.3.28). Lines that are blank are dropped.
func postalValue(value string) string {
	unescape := strings.NewReplacer(`\24`, "$", `\5C`, `\`, `\5c`, `\`)
	var lines []string
	for line := range strings.SplitSeq(textValue(value), "$") {
		if line = strings.TrimSpace(unescape.Replace(line)); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
