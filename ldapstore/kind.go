package ldapstore

import (
	"slices"

	"gatehouse/oidc"
)

// Kind is what has to be known about one sort of directory server: a table of
// filters and attribute names. Options.Table overrides it key by key; see keys for
// what each of them means.
type Kind struct {
	Name string

	UserFilter      string
	LoginAttributes []string
	QualifiedNames  bool
	IDAttribute     string
	IDFormat        IDFormat
	AccountRules    []string
	PasswordExpiry  string

	GroupFilter            string
	MemberAttributes       []string
	MemberNameAttribute    string
	MemberNameSource       string
	MemberOfAttribute      string
	TokenGroupsAttribute   string
	PrimaryGroupSource     string
	PrimaryGroupAttribute  string
	EntryDNAttribute       string
	GroupNameAttribute     string
	GroupDisplayAttributes []string
	IgnoreReferences       bool

	// people and groups are the places of both below the base of everything, where
	// the kind has the same ones everywhere.
	people, groups string
	notes          []noteRule
	results        map[uint16]refusal
	subCode        func(diagnostic string) (refusal, bool)
}

// IDFormat says how a directory keeps the stable id.
type IDFormat string

// The formats of stable ids.
const (
	IDText   IDFormat = "text"   // as it is
	IDUUID   IDFormat = "uuid"   // as it is, and what is no UUID can be nobody's
	IDGUID   IDFormat = "guid"   // 16 bytes, the first three groups with the lowest byte first
	IDOctets IDFormat = "octets" // 16 bytes in the order of the text
)

func idFormats() []string {
	return []string{string(IDText), string(IDUUID), string(IDGUID), string(IDOctets)}
}

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

// kinds is the table of all kinds. A server that is none of them is "custom".
func kinds() []Kind {
	return []Kind{
		openldap(), activeDirectory(), dirsrv(), freeipa(), lldap(), glauth(), apacheds(), edirectory(), custom(),
	}
}

// openldap is the kind that the others are described against: standard schemas,
// entryUUID (RFC 4530), entryDN (RFC 5020), the password policy draft.
func openldap() Kind {
	return Kind{
		Name:            "openldap",
		UserFilter:      "(|(objectClass=person)(objectClass=posixAccount))",
		LoginAttributes: []string{"uid"},
		IDAttribute:     "entryUUID",
		IDFormat:        IDUUID,
		AccountRules: []string{
			"pwdAccountLockedTime disabled_if:000001010000Z", // the one time that only an administrator sets
			"pwdEndTime expired_at_time",
			"pwdStartTime disabled_until_time",
			"shadowExpire expired_at_day",
		},
		GroupFilter: "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=groupOfMembers)" +
			"(objectClass=groupOfURLs)(objectClass=posixGroup))",
		MemberAttributes:       []string{"member", "uniqueMember"},
		MemberNameAttribute:    "memberUid",
		MemberNameSource:       "uid",
		MemberOfAttribute:      "memberOf",
		PrimaryGroupSource:     "gidNumber",
		PrimaryGroupAttribute:  "gidNumber",
		EntryDNAttribute:       "entryDN",
		GroupNameAttribute:     "cn",
		GroupDisplayAttributes: []string{"displayName", "description"},
		notes: []noteRule{
			{"pwdReset", "TRUE", "the password has to be changed"},
			{"pwdAccountLockedTime", "", "failed sign-ins have locked the password for a while, or for good"},
		},
	}
}

// activeDirectory is Microsoft's, Samba's, and AD LDS.
func activeDirectory() Kind {
	return Kind{
		Name:            "ad",
		UserFilter:      "(&(objectCategory=person)(objectClass=user))",
		LoginAttributes: []string{"sAMAccountName", "userPrincipalName"},
		QualifiedNames:  true,
		IDAttribute:     "objectGUID",
		IDFormat:        IDGUID,
		AccountRules: []string{
			"userAccountControl disabled_by_flag:2",
			"msDS-UserAccountDisabled disabled_if:TRUE", // AD LDS
			"accountExpires expired_at_filetime",
		},
		GroupFilter:            "(objectClass=group)",
		MemberAttributes:       []string{"member"},
		MemberOfAttribute:      "memberOf",
		TokenGroupsAttribute:   "tokenGroups",
		PrimaryGroupSource:     "primaryGroupID",
		PrimaryGroupAttribute:  objectSID,
		EntryDNAttribute:       "distinguishedName",
		GroupNameAttribute:     "cn",
		GroupDisplayAttributes: []string{"displayName", "description"},
		// Every domain names its other partitions at its root.
		IgnoreReferences: true,
		notes: []noteRule{
			{"pwdLastSet", "0", "the password has to be changed"},
			{"lockoutTime", "", "failed sign-ins have locked the password for a while, or did so"},
		},
		subCode: adSubCode,
	}
}

func dirsrv() Kind {
	k := openldap()
	k.Name = "389ds"
	k.IDAttribute, k.IDFormat = "nsUniqueId", IDText
	k.AccountRules = []string{"nsAccountLock disabled_if:true", "shadowExpire expired_at_day"}
	k.notes = []noteRule{
		{"accountUnlockTime", "", "failed sign-ins have locked the password for a while, or did so"},
	}
	k.results = map[uint16]refusal{
		19: {reason: oidc.ReasonLocked}, // too many failures, whatever the password
		53: {reason: oidc.ReasonDisabled, unproven: true},
	}
	return k
}

// freeipa looks at the real tree only: there is a second one beside it for old
// clients, and places for people who are gone or not there yet.
func freeipa() Kind {
	k := dirsrv()
	k.Name = "freeipa"
	k.people, k.groups = "cn=users,cn=accounts", "cn=groups,cn=accounts"
	k.UserFilter = "(objectClass=person)"
	k.GroupFilter = "(objectClass=ipaUserGroup)"
	k.IDAttribute, k.IDFormat = "ipaUniqueID", IDUUID
	k.MemberAttributes = []string{"member"}
	k.MemberNameAttribute, k.MemberNameSource = "", ""
	k.AccountRules = []string{"nsAccountLock disabled_if:true", "krbPrincipalExpiration expired_at_time"}
	k.PasswordExpiry = "krbPasswordExpiration" // which not every version looks at when somebody binds
	k.notes = nil
	k.subCode = ipaSubCode
	return k
}

func lldap() Kind {
	k := openldap()
	k.Name = "lldap"
	k.UserFilter = "(objectClass=person)"
	k.GroupFilter = "(objectClass=groupOfUniqueNames)"
	k.MemberAttributes = []string{"member"}
	k.MemberNameAttribute, k.MemberNameSource = "", ""
	k.PrimaryGroupSource, k.PrimaryGroupAttribute = "", ""
	k.EntryDNAttribute = ""
	k.AccountRules, k.notes = nil, nil
	return k
}

// glauth knows no stable id but the number that its configuration gives a person.
// Its DNs depend on where one searches; so names hold people and groups together.
func glauth() Kind {
	k := openldap()
	k.Name = "glauth"
	k.UserFilter = "(objectClass=posixAccount)"
	k.GroupFilter = "(objectClass=posixGroup)"
	k.IDAttribute, k.IDFormat = "uidNumber", IDText
	k.MemberAttributes = nil
	k.MemberOfAttribute, k.EntryDNAttribute = "", ""
	k.AccountRules, k.notes = []string{"accountStatus disabled_if:inactive"}, nil
	return k
}

func apacheds() Kind {
	k := openldap()
	k.Name = "apacheds"
	return k
}

// edirectory is Novell's, NetIQ's, OpenText's.
func edirectory() Kind {
	k := openldap()
	k.Name = "edirectory"
	k.UserFilter = "(objectClass=person)"
	k.GroupFilter = "(|(objectClass=groupOfNames)(objectClass=dynamicGroup))"
	k.LoginAttributes = []string{"cn", "uid"}
	k.IDAttribute, k.IDFormat = "GUID", IDOctets
	k.MemberAttributes = []string{"member", "groupMember"}
	k.MemberNameAttribute, k.MemberNameSource = "", ""
	k.MemberOfAttribute = "groupMembership"
	k.PrimaryGroupSource, k.PrimaryGroupAttribute = "", ""
	k.EntryDNAttribute = ""
	k.AccountRules = []string{"loginDisabled disabled_if:TRUE", "loginExpirationTime expired_at_time"}
	k.notes = []noteRule{
		{"lockedByIntruder", "TRUE", "failed sign-ins have locked the password for a while"},
	}
	k.results = map[uint16]refusal{53: {reason: oidc.ReasonDisabled, unproven: true}}
	k.subCode = novellSubCode
	return k
}

// custom is any other server that keeps to the standards, with the rules for
// accounts that are met elsewhere: they do no harm where their attribute isn't.
func custom() Kind {
	k := openldap()
	k.Name = "custom"
	k.AccountRules = append(k.AccountRules, "nsAccountLock disabled_if:true", "loginDisabled disabled_if:TRUE", "loginExpirationTime expired_at_time")
	return k
}
