package ldapstore

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// entry is one entry as it came, values untouched; attribute names in lower case
// (RFC 4512, section 2.5: their case does not matter).
type entry struct {
	dn         string
	attributes map[string][]string
}

func newEntry(e *ldap.Entry) *entry {
	n := &entry{dn: e.DN, attributes: make(map[string][]string, len(e.Attributes))}
	for _, a := range e.Attributes {
		name := strings.ToLower(a.Name)
		n.attributes[name] = append(n.attributes[name], a.Values...)
	}
	return n
}

func (e *entry) values(attribute string) []string { return e.attributes[strings.ToLower(attribute)] }

func (e *entry) first(attribute string) string {
	if v := e.values(attribute); len(v) > 0 {
		return v[0]
	}
	return ""
}

// naming returns the value of attribute that the entry's own name begins with,
// or else its first: the order of values means nothing.
func (e *entry) naming(attribute string) string {
	dn := strings.ToLower(e.dn)
	for _, v := range e.values(attribute) {
		if strings.HasPrefix(dn, strings.ToLower(attribute+"="+v)+",") {
			return v
		}
	}
	return e.first(attribute)
}

// cut reports whether the server sent only some values of an attribute, as Active
// Directory does beyond 1,500 (member;range=0-1499).
func (e *entry) cut() bool {
	for name := range e.attributes {
		if strings.Contains(name, ";range=") {
			return true
		}
	}
	return false
}

// text returns the attributes without the values that are no text.
func (e *entry) text() map[string][]string {
	out := make(map[string][]string, len(e.attributes))
	for name, values := range e.attributes {
		if strings.Contains(name, ";binary") {
			continue
		}
		kept := values[:0:0]
		for _, v := range values {
			if isText(v) {
				kept = append(kept, v)
			}
		}
		if len(kept) > 0 {
			out[name] = kept
		}
	}
	return out
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// unique joins lists of attribute names and leaves out empty and repeated ones.
func unique(lists ...[]string) []string {
	var out []string
	for _, name := range slices.Concat(lists...) {
		if name != "" && !slices.ContainsFunc(out, func(n string) bool { return strings.EqualFold(n, name) }) {
			out = append(out, name)
		}
	}
	return out
}

// dnKey is the form to compare DNs by. What cannot be parsed is compared as it is.
func dnKey(dn string) string {
	d, err := oidc.ParseDN(dn)
	if err != nil {
		return "?" + strings.ToLower(dn)
	}
	return d.Key()
}
