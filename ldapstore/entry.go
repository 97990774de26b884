package ldapstore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
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

// table is a Kind with the options laid over it, and what follows from both.
type table struct {
	Kind
	userBase        string
	groupBase       string
	groupsWithin    oidc.DN
	directOnly      bool
	userAttributes  []string
	groupAttributes []string
}

func newTable(k Kind, o *Options) *table {
	if o.UserFilter != "" {
		k.UserFilter = o.UserFilter
	}
	if o.GroupFilter != "" {
		k.GroupFilter = o.GroupFilter
	}
	if len(o.LoginAttributes) > 0 {
		k.LoginAttributes = o.LoginAttributes
	}
	if o.IDAttribute != "" && !strings.EqualFold(o.IDAttribute, k.IDAttribute) {
		k.IDAttribute, k.IDFormat = o.IDAttribute, IDText
		if strings.EqualFold(o.IDAttribute, "objectGUID") {
			k.IDFormat = IDGUID
		}
	}
	t := &table{Kind: k, userBase: o.UserBaseDN, groupBase: o.GroupBaseDN, directOnly: o.DirectGroupsOnly}
	t.groupsWithin, _ = oidc.ParseDN(o.GroupBaseDN) // settle has parsed it before
	t.userAttributes = unique(o.Attributes, k.LoginAttributes, []string{k.IDAttribute, k.MemberOfAttribute, k.MemberNameSource})
	for _, rule := range k.states {
		t.userAttributes = unique(t.userAttributes, []string{rule.attribute})
	}
	t.groupAttributes = unique([]string{k.IDAttribute, k.GroupNameAttribute}, k.GroupDisplayAttributes)
	return t
}

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

// user turns an entry into a User, without groups.
func (t *table) user(e *entry, now time.Time) (*oidc.User, error) {
	if e.cut() {
		return nil, unavailable("reading an entry", errors.New("the directory sent a part of the values only"))
	}
	id, ok := t.decodeID(e.first(t.IDAttribute))
	if !ok {
		return nil, unavailable("reading an entry", fmt.Errorf("it has no %s that %s may read", t.IDAttribute, "the service account"))
	}
	state, err := t.state(e, now)
	if err != nil {
		return nil, unavailable("reading an entry", err)
	}
	u := &oidc.User{ID: id, DN: e.dn, State: state, Attributes: e.text()}
	for _, attribute := range t.LoginAttributes {
		if u.Username = e.naming(attribute); u.Username != "" {
			break
		}
	}
	return u, nil
}

// decodeID turns the stable id into its text form.
func (t *table) decodeID(raw string) (string, bool) {
	if t.IDFormat != IDGUID {
		return raw, raw != "" && isText(raw)
	}
	if len(raw) != 16 {
		return "", false
	}
	b := swapGUID([]byte(raw))
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"), true
}

// encodeID turns the text form back into the value to search for.
func (t *table) encodeID(id string) (string, bool) {
	if t.IDFormat != IDGUID {
		return id, id != "" && len(id) <= 1024 && isText(id)
	}
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return "", false
	}
	b, err := hex.DecodeString(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:])
	if err != nil {
		return "", false
	}
	return string(swapGUID(b)), true
}

// swapGUID changes between the order of bytes in which Active Directory keeps a
// GUID and the one in which it is written (MS-DTYP, section 2.3.4).
func swapGUID(b []byte) []byte {
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

// dnKey is the form to compare DNs by. What cannot be parsed is compared as it is.
func dnKey(dn string) string {
	d, err := oidc.ParseDN(dn)
	if err != nil {
		return "?" + strings.ToLower(dn)
	}
	return d.Key()
}
