package ldapstore

import (
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// equal is the filter for attribute=value. The value may hold anything; it
// cannot leave its place (RFC 4515, section 3).
func equal(attribute, value string) string {
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + ")"
}

// anyOf is the filter that holds if one of filters does.
func anyOf(filters ...string) string { return join('|', filters) }

// allOf is the filter that holds if all of filters do.
func allOf(filters ...string) string { return join('&', filters) }

func join(operator byte, filters []string) string {
	if len(filters) == 1 {
		return filters[0]
	}
	var b strings.Builder
	b.WriteByte('(')
	b.WriteByte(operator)
	for _, f := range filters {
		b.WriteString(f)
	}
	b.WriteByte(')')
	return b.String()
}

// matchedValues asks the server to send, of each attribute, only the values that
// one of the filters matches (RFC 3876): of a group with ten thousand members
// the one that was asked for. It is not critical: a server that does not know it
// sends everything.
func matchedValues(filters []string) (control, error) {
	items, at := open(nil, tagSequence)
	for _, f := range filters {
		var err error
		if items, err = appendFilter(items, f); err != nil {
			return control{}, err
		}
	}
	return control{oid: "1.2.826.0.1.3344810.2.3", value: shut(items, at)}, nil
}
