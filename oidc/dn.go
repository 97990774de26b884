package oidc

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// DN is a distinguished name that can be compared: two DNs name the same entry
// when their keys are equal. Upper and lower case, letters of one character or two,
// blanks around separators and the ways of escaping make no difference (RFC 4514;
// RFC 4518 for the letters).
type DN struct {
	text string
	key  string
}

// String returns the DN as it was given.
func (d DN) String() string { return d.text }

// Key returns the form to compare by. It is not a DN to send to a server.
func (d DN) Key() string { return d.key }

// IsZero reports whether d was never parsed.
func (d DN) IsZero() bool { return d.text == "" }

// Within reports whether d is base or lies beneath it.
func (d DN) Within(base DN) bool {
	return d.key == base.key || base.key == "" || strings.HasSuffix(d.key, ","+base.key)
}

// ParseDN reads the string form of a distinguished name (RFC 4514, section 3),
// and the quoted values of RFC 1779 that older tools still write. The error says
// what is wrong in words for an operator.
func ParseDN(text string) (DN, error) {
	key, err := dnKey(text)
	if err != nil {
		return DN{}, fmt.Errorf("not a distinguished name: %w", err)
	}
	return DN{text: text, key: key}, nil
}

// MustParseDN is ParseDN for constants in tests; it panics on an error.
func MustParseDN(text string) DN {
	d, err := ParseDN(text)
	if err != nil {
		panic(err)
	}
	return d
}

func dnKey(text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", errors.New("it is empty")
	}
	// NUL has to be escaped (RFC 4514, section 2.4); in a value it is a letter.
	if strings.ContainsRune(text, 0) {
		return "", errors.New("it has a NUL that is not escaped")
	}
	var rdns []string
	var parts []string // of the RDN being read; several for a=1+b=2
	rest := text
	for {
		attribute, value, separator, after, err := dnPart(rest)
		if err != nil {
			return "", err
		}
		if !utf8.ValidString(value) {
			return "", errors.New("a value is not UTF-8 text")
		}
		parts = append(parts, attribute+"="+dnFold(value))
		if separator != '+' {
			slices.Sort(parts)
			rdns = append(rdns, strings.Join(parts, "+"))
			parts = parts[:0]
		}
		if separator == 0 {
			return strings.Join(rdns, ","), nil
		}
		rest = after
	}
}

// dnPart reads one attribute=value and the separator behind it, 0 at the end.
func dnPart(s string) (attribute, value string, separator byte, rest string, err error) {
	attribute, s, found := strings.Cut(s, "=")
	attribute = strings.ToLower(strings.TrimSpace(attribute))
	if !found {
		return "", "", 0, "", errors.New(`a part has no "=", as in cn=staff`)
	}
	if attribute == "" || strings.Trim(attribute, "abcdefghijklmnopqrstuvwxyz0123456789-.;_") != "" {
		return "", "", 0, "", errors.New(`a part has no attribute name before its "="`)
	}
	s = strings.TrimLeft(s, " ")
	var raw []byte
	keep := 0 // length of raw up to which trailing blanks are meant
	quoted := strings.HasPrefix(s, `"`)
	i := 0
	if quoted {
		i = 1
	}
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\':
			b, n, err := dnEscape(s[i+1:])
			if err != nil {
				return "", "", 0, "", err
			}
			raw = append(raw, b)
			keep = len(raw)
			i += n
			continue
		case quoted && c == '"':
			after := strings.TrimLeft(s[i+1:], " ")
			if after == "" {
				return attribute, string(raw), 0, "", nil
			}
			if !strings.ContainsRune(",;+", rune(after[0])) {
				return "", "", 0, "", errors.New("text follows a closing quote")
			}
			return attribute, string(raw), normalSeparator(after[0]), after[1:], nil
		case !quoted && (c == ',' || c == ';' || c == '+'):
			return attribute, string(trimBlanks(raw, keep)), normalSeparator(c), s[i+1:], nil
		}
		raw = append(raw, c)
	}
	if quoted {
		return "", "", 0, "", errors.New("a quote is not closed")
	}
	return attribute, string(trimBlanks(raw, keep)), 0, "", nil
}

func normalSeparator(c byte) byte {
	if c == ';' { // RFC 2253, section 4
		return ','
	}
	return c
}

func trimBlanks(raw []byte, keep int) []byte {
	for len(raw) > keep && raw[len(raw)-1] == ' ' {
		raw = raw[:len(raw)-1]
	}
	return raw
}

// dnEscape reads what follows a backslash: two hex digits or one character.
func dnEscape(s string) (b byte, n int, err error) {
	if len(s) >= 2 {
		if h, err := hex.DecodeString(s[:2]); err == nil {
			return h[0], 2, nil
		}
	}
	if s == "" {
		return 0, 0, errors.New("it ends in a backslash")
	}
	return s[0], 1, nil
}

// dnFold lowers the case, squeezes blanks (RFC 4518, sections 2.2 and 2.6.1), makes
// one letter of an ö that is written as two (section 2.3) and escapes what separates
// parts, so that a key can be read one way only. Letters that look different stay
// different, which section 2.3 has not: not every server takes them for the same.
func dnFold(value string) string {
	value = norm.NFC.String(strings.ToLower(strings.Join(strings.Fields(value), " ")))
	return dnEscaper.Replace(value)
}

var dnEscaper = strings.NewReplacer(`\`, `\\`, `,`, `\2c`, `;`, `\3b`, `+`, `\2b`, `=`, `\3d`, `"`, `\22`)
