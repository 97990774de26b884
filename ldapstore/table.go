package ldapstore

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"gatehouse/oidc"
)

// objectSID is the attribute that Active Directory tells groups apart by.
const objectSID = "objectSid"

// changedAttribute is when an entry was changed last, with every server (RFC 4512,
// section 3.4.4).
const changedAttribute = "modifyTimestamp"

// table is a Kind with the options laid over it, and what follows from both.
type table struct {
	Kind
	userBases       []string
	groupBases      []string
	groupsWithin    []oidc.DN
	directOnly      bool
	states          []stateRule
	userAttributes  []string
	groupAttributes []string
	allAttributes   []string // of both, and what tells people and groups apart
	moreAttributes  []string // those of them that people are not asked for, in lower case
}

func newTable(k Kind, o *Options) *table {
	k = o.overlay(k)
	t := &table{Kind: k, directOnly: o.DirectGroupsOnly}
	t.userBases = basesOf(o.UserBaseDN, o.BaseDN, k.people)
	t.groupBases = basesOf(o.GroupBaseDN, o.BaseDN, k.groups)
	for _, base := range t.groupBases {
		dn, _ := oidc.ParseDN(base) // settle has parsed it before
		t.groupsWithin = append(t.groupsWithin, dn)
	}
	for _, text := range k.AccountRules {
		rule, _ := parseRule(text) // settle has parsed it before
		t.states = append(t.states, rule)
	}
	t.userAttributes = unique(o.Attributes, k.LoginAttributes,
		[]string{k.IDAttribute, k.PasswordExpiry, k.MemberOfAttribute, k.MemberNameSource, k.PrimaryGroupSource, changedAttribute})
	if k.PrimaryGroupAttribute == objectSID {
		t.userAttributes = append(t.userAttributes, objectSID)
	}
	for _, rule := range t.states {
		t.userAttributes = unique(t.userAttributes, []string{rule.attribute})
	}
	t.groupAttributes = unique([]string{k.IDAttribute, k.GroupNameAttribute}, k.GroupDisplayAttributes)
	if k.TokenGroupsAttribute != "" {
		t.groupAttributes = append(t.groupAttributes, objectSID, k.MemberOfAttribute)
	}
	t.allAttributes = unique(t.userAttributes, t.groupAttributes, []string{"objectClass"})
	for _, name := range t.allAttributes[len(unique(t.userAttributes)):] {
		t.moreAttributes = append(t.moreAttributes, strings.ToLower(name))
	}
	return t
}

// basesOf returns where to look: what is configured, or the base of everything, or
// the place below it that the kind has. A base within another one is left out, or
// what it holds would be found twice.
func basesOf(own []string, base, below string) []string {
	if len(own) == 0 {
		if below != "" && strings.HasPrefix(dnKey(base), "dc=") {
			base = below + "," + base
		}
		return []string{base}
	}
	var kept []string
	for i, one := range own {
		dn, _ := oidc.ParseDN(one)
		covered := false
		for j, other := range own {
			outer, _ := oidc.ParseDN(other)
			covered = covered || i != j && dn.Within(outer) && (dn.Key() != outer.Key() || j < i)
		}
		if !covered {
			kept = append(kept, one)
		}
	}
	return kept
}

// user turns an entry into a User, without groups.
func (t *table) user(e *entry, now time.Time) (*oidc.User, error) {
	if e.cut() {
		return nil, unavailable("reading an entry", errCut)
	}
	id, ok := t.decodeID(e.first(t.IDAttribute))
	if !ok {
		return nil, unavailable("reading an entry", fmt.Errorf("it has no %s that the service account may read", t.IDAttribute))
	}
	state, err := t.state(e, now)
	if err != nil {
		return nil, unavailable("reading an entry", err)
	}
	u := &oidc.User{ID: id, DN: e.dn, State: state, Attributes: e.text()}
	if at, err := parseGeneralizedTime(e.first(changedAttribute)); err == nil {
		u.ChangedAt = at
	}
	for _, attribute := range t.LoginAttributes {
		if u.Username = e.naming(attribute); u.Username != "" {
			break
		}
	}
	return u, nil
}

// decodeID turns the stable id into its text form.
func (t *table) decodeID(raw string) (string, bool) {
	b := []byte(raw)
	switch t.IDFormat {
	case IDGUID, IDOctets:
		if len(b) != 16 {
			return "", false
		}
		if t.IDFormat == IDGUID {
			b = swapGUID(b)
		}
		h := hex.EncodeToString(b)
		return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-"), true
	default:
		return raw, raw != "" && isText(raw)
	}
}

// encodeID turns the text form back into the value to search for. A server may
// answer with an error what is no UUID (lldap), so that is not asked for.
func (t *table) encodeID(id string) (string, bool) {
	if t.IDFormat == IDText {
		return id, id != "" && len(id) <= 1024 && isText(id)
	}
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return "", false
	}
	b, err := hex.DecodeString(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:])
	switch {
	case err != nil:
		return "", false
	case t.IDFormat == IDGUID:
		return string(swapGUID(b)), true
	case t.IDFormat == IDOctets:
		return string(b), true
	default:
		return id, true
	}
}

// swapGUID changes between the order of bytes in which Active Directory keeps a
// GUID and the one in which it is written (MS-DTYP, section 2.3.4).
func swapGUID(b []byte) []byte {
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}

func (t *table) inGroupBase(dn string) bool {
	d, err := oidc.ParseDN(dn)
	if err != nil {
		return false
	}
	for _, base := range t.groupsWithin {
		if d.Within(base) {
			return true
		}
	}
	return false
}
