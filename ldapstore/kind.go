package ldapstore

import (
	"slices"
	"strings"

	"gatehouse/oidc"
)

// Kind is what has to be known about one sort of directory server: a table of
// filters and attribute names. Options override it key by key.
type Kind struct {
	Name string
	// UserFilter and GroupFilter say which entries are people and groups.
	UserFilter  string
	GroupFilter string
	// LoginAttributes are compared with a typed name; the first one names the person.
	LoginAttributes []string
	// IDAttribute holds the stable id, IDFormat says how.
	IDAttribute string
	IDFormat    IDFormat
	// MemberAttributes of a group hold the DNs of its members.
	MemberAttributes []string
	// MemberNameAttribute of a group holds bare names, those that a person's
	// MemberNameSource has; "" if there is no such thing.
	MemberNameAttribute string
	MemberNameSource    string
	// MemberOfAttribute of a person or group holds the DNs of its groups, as far
	// as the server keeps it.
	MemberOfAttribute string
	// EntryDNAttribute can be searched for an entry's own DN; "" if nothing can.
	EntryDNAttribute string
	// GroupNameAttribute and GroupDisplayAttributes name a group.
	GroupNameAttribute     string
	GroupDisplayAttributes []string
	// IgnoreReferences takes an answer for whole although it names other places
	// to search. Active Directory does so at the root of every domain.
	IgnoreReferences bool

	states  []stateRule
	results map[uint16]refusal
	subCode func(diagnostic string) (refusal, bool)
}

// IDFormat says how a directory keeps the stable id.
type IDFormat int

// The formats of stable ids.
const (
	IDText IDFormat = iota // as it is
	IDGUID                 // 16 bytes, the first three groups with the lowest byte first
)

// Kinds lists the names that Options.Kind may have.
func Kinds() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.Name)
	}
	return names
}

func kindNamed(name string) (Kind, bool) {
	all := kinds()
	i := slices.IndexFunc(all, func(k Kind) bool { return k.Name == name })
	if i < 0 {
		return Kind{}, false
	}
	return all[i], true
}

const groupClasses = "(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=groupOfURLs)(objectClass=posixGroup)"

// openldap is the kind that the others are described against: standard schemas,
// entryUUID (RFC 4530), entryDN (RFC 5020), the password policy draft.
func openldap() Kind {
	return Kind{
		Name:                   "openldap",
		UserFilter:             "(|(objectClass=person)(objectClass=posixAccount))",
		GroupFilter:            "(|" + groupClasses + ")",
		LoginAttributes:        []string{"uid"},
		IDAttribute:            "entryUUID",
		MemberAttributes:       []string{"member", "uniqueMember"},
		MemberNameAttribute:    "memberUid",
		MemberNameSource:       "uid",
		MemberOfAttribute:      "memberOf",
		EntryDNAttribute:       "entryDN",
		GroupNameAttribute:     "cn",
		GroupDisplayAttributes: []string{"displayName", "description"},
		states: []stateRule{
			{"pwdAccountLockedTime", lockedForGood},
			{"pwdEndTime", expiredAtTime},
			{"pwdStartTime", disabledUntilTime},
			{"shadowExpire", expiredAtDay},
		},
		results: map[uint16]refusal{},
	}
}

// kinds is the table of all kinds. A server that is none of them is "custom".
func kinds() []Kind {
	custom := openldap()
	custom.Name = "custom"
	custom.states = append(custom.states,
		stateRule{"nsAccountLock", disabledIfTrue},
		stateRule{"loginDisabled", disabledIfTrue},
		stateRule{"loginExpirationTime", expiredAtTime},
	)
	return []Kind{openldap(), activeDirectory(), dirsrv(), freeipa(), lldap(), custom}
}

func activeDirectory() Kind {
	k := openldap()
	k.Name = "ad"
	k.UserFilter = "(&(objectCategory=person)(objectClass=user))"
	k.GroupFilter = "(objectClass=group)"
	k.LoginAttributes = []string{"sAMAccountName", "userPrincipalName"}
	k.IDAttribute, k.IDFormat = "objectGUID", IDGUID
	k.MemberAttributes = []string{"member"}
	k.MemberNameAttribute, k.MemberNameSource = "", ""
	k.EntryDNAttribute = "distinguishedName"
	k.IgnoreReferences = true
	k.states = []stateRule{
		{"userAccountControl", disabledByControl},
		{"accountExpires", expiredAtFileTime},
	}
	k.subCode = adSubCode
	return k
}

func dirsrv() Kind {
	k := openldap()
	k.Name = "389ds"
	k.IDAttribute = "nsUniqueId"
	k.states = []stateRule{{"nsAccountLock", disabledIfTrue}}
	k.results = map[uint16]refusal{
		19: {reason: oidc.ReasonLocked}, // too many failures, whatever the password
		53: {reason: oidc.ReasonDisabled, unproven: true},
	}
	return k
}

func freeipa() Kind {
	k := dirsrv()
	k.Name = "freeipa"
	k.UserFilter = "(objectClass=posixAccount)"
	k.GroupFilter = "(|(objectClass=ipaUserGroup)" + groupClasses + ")"
	k.IDAttribute = "ipaUniqueID"
	k.states = append(k.states, stateRule{"krbPrincipalExpiration", expiredAtTime})
	return k
}

func lldap() Kind {
	k := openldap()
	k.Name = "lldap"
	k.UserFilter = "(objectClass=person)"
	k.GroupFilter = "(objectClass=groupOfUniqueNames)"
	k.MemberAttributes = []string{"member", "uniqueMember"}
	k.MemberNameAttribute, k.MemberNameSource = "", ""
	k.EntryDNAttribute = ""
	k.states = nil
	return k
}

// rootAttributes are what recogniseKind looks at in the root DSE (RFC 4512,
// section 5.1). Operational attributes come only if they are named.
func rootAttributes() []string {
	return []string{
		"objectClass", "structuralObjectClass", "vendorName", "vendorVersion",
		"supportedCapabilities", "ipaTopologyPluginVersion", "ipaDomainLevel",
	}
}

// recogniseKind says which kind of server a root DSE belongs to.
func recogniseKind(root *entry) string {
	vendor := strings.ToLower(strings.Join(root.values("vendorName"), " "))
	has := func(attribute, value string) bool {
		return slices.ContainsFunc(root.values(attribute), func(v string) bool { return strings.EqualFold(v, value) })
	}
	switch {
	case has("supportedCapabilities", "1.2.840.113556.1.4.800"): // Active Directory, Samba
		return "ad"
	case len(root.values("ipaTopologyPluginVersion")) > 0 || len(root.values("ipaDomainLevel")) > 0:
		return "freeipa"
	case strings.Contains(vendor, "389 project"):
		return "389ds"
	case strings.Contains(vendor, "lldap"):
		return "lldap"
	case has("objectClass", "OpenLDAProotDSE") || has("structuralObjectClass", "OpenLDAProotDSE"):
		return "openldap"
	default:
		return "custom"
	}
}
