package templates

import (
	"html/template"
	"net/url"
	"strings"
	"unicode"
)

// How much of what others wrote is shown, in characters and bytes.
const (
	longestName    = 80
	longestText    = 300
	longestAddress = 2048
	longestLogo    = 64 << 10
	mostMarks      = 4 // combining marks on one letter; Vietnamese needs two
)

// clean makes text from outside fit for one line of a page: valid UTF-8, no
// control characters, nothing that turns the direction of what stands around
// it (Unicode TR 36, section 2.5), nothing invisible but the joiners that
// scripts need, no towers of marks, at most limit characters.
func clean(s string, limit int) string {
	if most := 8 * limit; len(s) > most {
		s = s[:most] // bounds the work; a rune cut in half is dropped below
	}
	s = strings.ToValidUTF8(s, "")
	var b strings.Builder
	count, marks, space := 0, 0, false
	for _, r := range s {
		if unicode.IsSpace(r) || r == '\u2028' || r == '\u2029' {
			space = b.Len() > 0
			continue
		}
		if invisible(r) {
			continue
		}
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
			if marks++; marks > mostMarks {
				continue
			}
		} else {
			marks = 0
		}
		if space {
			count++
		}
		if count >= limit {
			b.WriteRune('…')
			break
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
		count++
	}
	return b.String()
}

func invisible(r rune) bool {
	switch r {
	case '\u200c', '\u200d': // the joiners
		return false
	case unicode.ReplacementChar, '\u034f', '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0': // fillers that count as letters
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

// link returns an address that a page may point to, or "".
func link(s string) string {
	if len(s) > longestAddress || strings.ContainsFunc(s, invisible) {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Opaque != "" {
		return "" // user info makes an address look like another's
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return u.String()
}

// logo returns an address that a page may show a picture from, or "". Pictures
// by plain http would be blocked by the browser, or tell the network who signs
// in where. An SVG in a data address runs no script inside an img element.
func logo(s string) template.URL {
	switch {
	case strings.HasPrefix(s, "data:"):
		if len(s) <= longestLogo && picture(s) {
			return template.URL(s) //nolint:gosec // checked to the last character above
		}
		return ""
	case len(s) > longestAddress || strings.ContainsFunc(s, invisible):
		return ""
	case strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.Contains(s, `\`):
		u, err := url.Parse(s)
		if err != nil || u.Host != "" {
			return ""
		}
		return template.URL(u.String()) //nolint:gosec // a path of this server
	case strings.HasPrefix(s, "https://"):
		return template.URL(link(s)) //nolint:gosec // link lets only web addresses pass
	}
	return ""
}

// picture reports whether s is a data address of a picture in base64, and
// nothing else.
func picture(s string) bool {
	kind, data, ok := strings.Cut(strings.TrimPrefix(s, "data:"), ",")
	if !ok || data == "" {
		return false
	}
	switch kind {
	case "image/png;base64", "image/jpeg;base64", "image/gif;base64", "image/webp;base64", "image/svg+xml;base64":
	default:
		return false
	}
	data = strings.TrimRight(data, "=")
	return !strings.ContainsFunc(data, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '+' && r != '/'
	})
}
