package demodir

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/oidc"
)

// syntax is what kind of value an attribute has, and with it how values are
// compared (RFC 4517, section 4).
type syntax uint8

const (
	text    syntax = iota // case and runs of blanks make no difference
	exact                 // case does
	named                 // a distinguished name
	phone                 // blanks and hyphens make no difference
	integer               // has an order
	truth                 // TRUE or FALSE
	stamp                 // generalized time; has an order
	unique                // a UUID; has an order
	serial                // a change sequence number; has an order
	octets                // compared byte by byte
	class                 // an object class; its subclasses count as it
)

// attributeType is one attribute that can be asked for.
type attributeType struct {
	name        string // as OpenLDAP spells it
	syntax      syntax
	operational bool // only sent when asked for by name or "+"
	super       *attributeType
}

// schema knows attributes by every name they have, in lower case.
type schema struct{ types map[string]*attributeType }

// newSchema returns the attributes of the schemas core, cosine, inetorgperson and
// nis, and of the overlays memberof and ppolicy, that matter to a sign-in.
func newSchema() *schema {
	s := &schema{types: map[string]*attributeType{}}
	super := s.define(nil, text, false, "name 2.5.4.41")
	for _, names := range []string{
		"cn commonName 2.5.4.3", "sn surname 2.5.4.4", "givenName gn 2.5.4.42", "l localityName 2.5.4.7", "st stateOrProvinceName 2.5.4.8",
		"o organizationName 2.5.4.10", "ou organizationalUnitName 2.5.4.11", "title 2.5.4.12", "c countryName 2.5.4.6", "initials 2.5.4.43",
		"generationQualifier 2.5.4.44",
	} {
		s.define(super, text, false, names)
	}
	for kind, lines := range map[syntax][]string{
		text: {
			"uid userid 0.9.2342.19200300.100.1.1", "mail rfc822Mailbox 0.9.2342.19200300.100.1.3", "dc domainComponent", "displayName 2.16.840.1.113730.3.1.241",
			"description 2.5.4.13", "street streetAddress 2.5.4.9", "postalCode 2.5.4.17", "postalAddress 2.5.4.16", "postOfficeBox 2.5.4.18",
			"employeeNumber", "employeeType", "departmentNumber", "preferredLanguage", "roomNumber", "carLicense", "businessCategory", "info", "gecos",
			"physicalDeliveryOfficeName", "destinationIndicator", "co friendlyCountryName", "host", "houseIdentifier",
		},
		exact:   {"labeledURI", "homeDirectory", "loginShell", "memberUid", "serialNumber", "sshPublicKey", "pwdAttribute"},
		phone:   {"telephoneNumber 2.5.4.20", "mobile mobileTelephoneNumber", "homePhone homeTelephoneNumber", "pager pagerTelephoneNumber", "facsimileTelephoneNumber fax"},
		integer: {"uidNumber", "gidNumber", "pwdMaxAge", "pwdExpireWarning", "pwdGraceAuthNLimit", "pwdLockoutDuration", "pwdMaxFailure", "pwdMinLength", "pwdCheckQuality"},
		truth:   {"pwdLockout", "pwdMustChange", "pwdAllowUserChange"},
		octets:  {"userPassword 2.5.4.35", "jpegPhoto", "photo", "userCertificate", "objectGUID", "objectSid", "tokenGroups", "GUID"},
		class:   {"objectClass 2.5.4.0"},
	} {
		for _, names := range lines {
			s.define(nil, kind, false, names)
		}
	}
	super = s.define(nil, named, false, "distinguishedName 2.5.4.49")
	for _, names := range []string{"member 2.5.4.31", "owner 2.5.4.32", "roleOccupant 2.5.4.33", "seeAlso 2.5.4.34"} {
		s.define(super, named, false, names)
	}
	for _, names := range []string{"uniqueMember 2.5.4.50", "manager", "secretary"} {
		s.define(nil, named, false, names)
	}
	for kind, lines := range map[syntax][]string{
		named:  {"entryDN", "memberOf", "creatorsName", "modifiersName", "pwdPolicySubentry", "subschemaSubentry", "namingContexts"},
		stamp:  {"createTimestamp 2.5.18.1", "modifyTimestamp 2.5.18.2", "pwdChangedTime", "pwdAccountLockedTime", "pwdStartTime", "pwdEndTime", "pwdFailureTime", "pwdGraceUseTime", "pwdLastSuccess", "authTimestamp"},
		truth:  {"hasSubordinates 2.5.18.9", "pwdReset"},
		unique: {"entryUUID 1.3.6.1.1.16.4"},
		serial: {"entryCSN", "contextCSN"},
		class:  {"structuralObjectClass 2.5.21.9"},
		exact:  {"supportedControl", "supportedExtension", "supportedFeatures", "supportedLDAPVersion", "supportedSASLMechanisms", "vendorName"},
	} {
		for _, names := range lines {
			s.define(nil, kind, true, names)
		}
	}
	return s
}

func (s *schema) define(super *attributeType, kind syntax, operational bool, names string) *attributeType {
	all := strings.Fields(names)
	t := &attributeType{name: all[0], syntax: kind, operational: operational, super: super}
	for _, name := range all {
		s.types[strings.ToLower(name)] = t
	}
	return t
}

// find returns the type that an attribute description names, and its options in
// lower case; nil if there is no such attribute.
func (s *schema) find(description string) (*attributeType, []string) {
	name, options, found := strings.Cut(strings.ToLower(description), ";")
	if !found {
		return s.types[name], nil
	}
	return s.types[name], strings.Split(options, ";")
}

// with returns s, or a copy of it that knows the attribute as text.
func (s *schema) with(description string) *schema {
	if t, _ := s.find(description); t != nil {
		return s
	}
	c := &schema{types: make(map[string]*attributeType, len(s.types)+1)}
	for name, t := range s.types {
		c.types[name] = t
	}
	name, _, _ := strings.Cut(description, ";")
	c.define(nil, text, false, name)
	return c
}

// is reports whether t is of the type asked for, or a subtype of it.
func (t *attributeType) is(asked *attributeType) bool { return t == asked || t.super == asked }

// normal returns the form in which two equal values are the same, and false for
// what is no value of this syntax.
func (k syntax) normal(value string) (string, bool) {
	switch k {
	case named:
		dn, err := oidc.ParseDN(value)
		return dn.Key(), err == nil
	case phone:
		return strings.ToLower(strings.NewReplacer(" ", "", "-", "").Replace(value)), true
	case integer:
		n, err := strconv.ParseInt(value, 10, 64)
		return strconv.FormatInt(n, 10), err == nil
	case truth:
		return value, value == "TRUE" || value == "FALSE"
	case stamp:
		t, ok := parseStamp(value)
		return t.UTC().Format("20060102150405.000000000"), ok
	case unique:
		return strings.ToLower(value), isUUID(value)
	case octets:
		return value, true
	case exact, serial:
		return strings.Join(strings.Fields(value), " "), utf8.ValidString(value)
	default:
		return fold(value), utf8.ValidString(value)
	}
}

// piece is normal for a part of a value: a blank at its edge stays, once.
func (k syntax) piece(value string) (string, bool) {
	if !utf8.ValidString(value) {
		return "", false
	}
	switch k {
	case phone:
		n, _ := k.normal(value)
		return n, true
	case text, exact:
		folded := strings.Join(strings.Fields(value), " ")
		if folded == "" {
			return strings.Repeat(" ", min(1, len(value))), true
		}
		if strings.TrimLeft(value, " ") != value {
			folded = " " + folded
		}
		if strings.TrimRight(value, " ") != value {
			folded += " "
		}
		if k == text {
			folded = strings.ToLower(folded)
		}
		return folded, true
	default: // no substrings rule
		return "", false
	}
}

// ordered reports whether values have an order. The strings of OpenLDAP's schema
// have none.
func (k syntax) ordered() bool { return k == integer || k == stamp || k == unique || k == serial }

// compare orders two normal values of an ordered syntax.
func (k syntax) compare(a, b string) int {
	if k != integer {
		return strings.Compare(a, b)
	}
	x, _ := strconv.ParseInt(a, 10, 64) // normal has read it before
	y, _ := strconv.ParseInt(b, 10, 64)
	return cmp.Compare(x, y)
}

func fold(value string) string {
	return strings.ToLower(strings.Join(strings.Fields(value), " "))
}

// parseStamp reads a generalized time (RFC 4517, section 3.3.13).
func parseStamp(value string) (time.Time, bool) {
	for _, layout := range []string{"20060102150405Z0700", "200601021504Z0700", "2006010215Z0700"} {
		if t, err := time.Parse(layout, value); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func formatStamp(t time.Time) string { return t.UTC().Format("20060102150405Z") }

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
		if dash && c != '-' || !dash && !hex {
			return false
		}
	}
	return true
}

// superclasses returns the object classes that a class is a kind of, in lower case
// and without itself, nearest first; nil for one that is not known.
func superclasses(name string) []string {
	var parent string
	switch strings.ToLower(name) {
	case "inetorgperson":
		parent = "organizationalPerson"
	case "organizationalperson", "residentialperson":
		parent = "person"
	case "rfc822localpart", "dnsdomain":
		parent = "domain"
	case "person", "organization", "organizationalunit", "organizationalrole", "groupofnames", "groupofuniquenames", "applicationprocess", "account",
		"device", "domain", "locality", "country", "posixgroup", "groupofurls", "groupofmembers", "namedobject", "namedpolicy", "document":
		return []string{"top"}
	default:
		return nil
	}
	return append([]string{strings.ToLower(parent)}, superclasses(parent)...)
}

// structural returns the class of an entry that is a kind of the most others, by
// the spelling given; "" if none is known. Auxiliary classes have no superclass
// in the table and never win.
func structural(classes []string) string {
	best, depth := "", 0
	for _, c := range classes {
		if d := len(superclasses(c)); d > depth {
			best, depth = c, d
		}
	}
	return best
}

// kindOf reports whether an entry's object class value is the class asked for or
// a subclass of it.
func kindOf(value, asked string) bool {
	return value == asked || slices.Contains(superclasses(value), asked)
}
