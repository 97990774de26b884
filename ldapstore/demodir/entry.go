package demodir

import (
	"crypto/sha1" //nolint:gosec // UUIDs made of names are SHA-1 by definition (RFC 9562, section 5.5); nothing is kept secret by it
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gatehouse/oidc"
)

// entry is one entry. It never changes once a snapshot holds it: an edit puts
// another in its place.
type entry struct {
	seq    uint64 // orders entries; never used again
	dn     oidc.DN
	parent string // key of the entry above
	attrs  []attribute
}

type attribute struct {
	name    string // as it is sent, with options
	kind    *attributeType
	options []string // in lower case
	values  []string
	normals []string // of values, one each
}

// hasOptions reports whether the attribute has all of the options asked for
// (RFC 4512, section 2.5.2).
func (a *attribute) hasOptions(asked []string) bool {
	for _, o := range asked {
		if !slices.Contains(a.options, o) {
			return false
		}
	}
	return true
}

// values returns the stored values of an attribute without options.
func (e *entry) values(name string) []string {
	for i := range e.attrs {
		if strings.EqualFold(e.attrs[i].name, name) {
			return e.attrs[i].values
		}
	}
	return nil
}

func (e *entry) first(name string) string {
	if v := e.values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// valueError says which of several values is bad, and why.
type valueError struct {
	index   int
	message string
}

// Error returns the message.
func (e *valueError) Error() string { return e.message }

// newAttribute checks and normalises values. A bad one is a *valueError.
func newAttribute(s *schema, name string, values []string) (attribute, error) {
	kind, options := s.find(name)
	if kind == nil {
		return attribute{}, fmt.Errorf("%q is no attribute name", name)
	}
	a := attribute{name: kind.name, kind: kind, options: options, values: slices.Clone(values), normals: make([]string, len(values))}
	if len(options) > 0 {
		_, spelt, _ := strings.Cut(name, ";")
		a.name += ";" + spelt
	}
	if kind.syntax == named {
		for i, v := range a.values {
			a.values[i] = pretty(v)
		}
	}
	seen := make(map[string]bool, len(values))
	for i, v := range values {
		n, ok := kind.syntax.normal(v)
		if !ok {
			return attribute{}, &valueError{i, "the value is not what " + kind.name + " takes"}
		}
		if seen[n] {
			return attribute{}, &valueError{i, "the value of " + kind.name + " is there twice"}
		}
		seen[n] = true
		a.normals[i] = n
	}
	return a, nil
}

// with returns the entry with an attribute put in, replaced, or, without values,
// taken out.
func (e *entry) with(s *schema, name string, values ...string) (*entry, error) {
	a, err := newAttribute(s, name, values)
	if err != nil {
		return nil, err
	}
	c := *e
	c.attrs = slices.Clone(e.attrs)
	at := slices.IndexFunc(c.attrs, func(b attribute) bool { return strings.EqualFold(a.name, b.name) })
	switch {
	case len(values) == 0 && at >= 0:
		c.attrs = slices.Delete(c.attrs, at, at+1)
	case len(values) == 0:
	case at >= 0:
		c.attrs[at] = a
	default:
		c.attrs = append(c.attrs, a)
	}
	return &c, nil
}

// check says what keeps an entry from being one: no object class, or a naming
// value that it lacks (RFC 4512, section 2.3).
func (e *entry) check(s *schema) error {
	if len(e.values("objectClass")) == 0 {
		return errors.New("the entry has no objectClass")
	}
	rdn, _, _ := strings.Cut(e.dn.Key(), ",")
	for _, part := range rdnParts(rdn) {
		kind, _ := s.find(part.attribute)
		found := false
		for _, a := range e.attrs {
			n, ok := a.kind.syntax.normal(part.value)
			found = found || kind != nil && a.kind == kind && ok && slices.ContainsFunc(a.normals, func(v string) bool { return fold(v) == fold(n) })
		}
		if !found {
			return fmt.Errorf("the entry has no %s with the value in its own name", part.attribute)
		}
	}
	return nil
}

// pretty writes the special characters of a distinguished name as hex, as OpenLDAP
// sends them: what is configured as cn=a\, b comes back as cn=a\2C b.
func pretty(dn string) string {
	var b strings.Builder
	for i := 0; i < len(dn); i++ {
		b.WriteByte(dn[i])
		if dn[i] != '\\' || i+1 == len(dn) {
			continue
		}
		i++
		if strings.IndexByte(`,+";<>=\`, dn[i]) >= 0 {
			b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{dn[i]})))
		} else {
			b.WriteByte(dn[i])
		}
	}
	return b.String()
}

// namePart is one attribute and value of a distinguished name, in lower case.
type namePart struct{ attribute, value string }

// rdnParts splits one relative name of an oidc.DN key, in which separators inside
// values are written as hex.
func rdnParts(rdn string) []namePart {
	var parts []namePart
	for _, p := range strings.Split(rdn, "+") {
		attribute, value, _ := strings.Cut(p, "=")
		parts = append(parts, namePart{attribute, keyValue(value)})
	}
	return parts
}

func keyValue(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		if i+2 < len(s) && s[i+1] != '\\' {
			if raw, err := hex.DecodeString(s[i+1 : i+3]); err == nil {
				b.Write(raw)
				i += 2
				continue
			}
		}
		i++
		b.WriteByte(s[i])
	}
	return b.String()
}

// spelt returns a value of the first relative name of a distinguished name in the
// spelling it has there, for the same value as a key has it; that itself if the
// name is written in a way of which this makes nothing, such as with quotes.
func spelt(dn, folded string) string {
	var value []byte
	inValue := false // behind the = of an attribute
	for i := 0; i <= len(dn); i++ {
		switch {
		case i == len(dn) || dn[i] == ',' || dn[i] == ';' || dn[i] == '+':
			if text := strings.TrimSpace(string(value)); fold(text) == folded {
				return text
			}
			if i == len(dn) || dn[i] != '+' {
				return folded
			}
			value, inValue = nil, false
		case dn[i] == '=' && !inValue:
			value, inValue = nil, true
		case dn[i] == '\\' && i+1 < len(dn):
			if raw, err := hex.DecodeString(dn[i+1 : min(i+3, len(dn))]); err == nil && len(raw) == 1 {
				value = append(value, raw...)
				i += 2
				continue
			}
			i++
			value = append(value, dn[i])
		default:
			value = append(value, dn[i])
		}
	}
	return folded
}

func parentKey(key string) string {
	_, parent, _ := strings.Cut(key, ",")
	return parent
}

// nameUUID makes the UUID of a distinguished name (RFC 9562, sections 5.5 and
// 6.6). An entry that is made anew under a name that was deleted has another:
// life counts the deletions.
func nameUUID(key string, life int) string {
	if life > 0 {
		key += "\x00" + strconv.Itoa(life)
	}
	space := []byte{0x6b, 0xa7, 0xb8, 0x14, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	sum := sha1.Sum(append(space, key...)) //nolint:gosec // see the import
	sum[6] = sum[6]&0x0f | 0x50
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
