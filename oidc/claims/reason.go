package claims

import "strings"

// The kinds of reasons. The first group tells where a scope or an admission
// comes from, the second why something was left out, the third why nobody enters.
const (
	KindEveryone     = "everyone"       // the scope is for whoever can sign in
	KindGroup        = "group"          // the scope is mapped to a group of the person
	KindOffline      = "offline_access" // the client may use refresh tokens
	KindAllowedGroup = "allowed_group"  // membership in one of the client's allowed groups

	KindNarrowed = "narrowed" // asked for, not there, and the client goes on without it
	KindIgnored  = "ignored"  // offline_access of a client without refresh tokens

	KindNoPerson     = "no_person"             // nobody to decide about
	KindAccountState = "account_state"         // disabled or expired
	KindNotAllowed   = "not_in_allowed_groups" // in none of the client's allowed groups
	KindMissing      = "missing_scope"         // asked for and not there
	KindNothing      = "nothing_granted"       // something was asked for, nothing is left
)

// Reason is one line of the trace of a decision. It names groups and is for the
// operator only, never for an application.
type Reason struct {
	Kind   string   `json:"kind"`
	Scope  string   `json:"scope,omitempty"`
	Group  string   `json:"group,omitempty"`  // DN as the directory spelt it
	Path   []string `json:"path,omitempty"`   // DNs from the group that names the person to the one above Group
	Detail string   `json:"detail,omitempty"` // in words
}

// Refuses reports whether the reason alone keeps the person out.
func (r Reason) Refuses() bool {
	switch r.Kind {
	case KindNoPerson, KindAccountState, KindNotAllowed, KindMissing, KindNothing:
		return true
	default:
		return false
	}
}

// String returns the reason as a line for an operator, such as "scope profile:
// from group cn=cloud,dc=x, member through cn=staff,dc=x → cn=all,dc=x".
func (r Reason) String() string {
	switch r.Kind {
	case KindEveryone:
		return "scope " + r.Scope + ": for everyone"
	case KindGroup:
		return "scope " + r.Scope + ": from group " + r.Group + r.through()
	case KindOffline:
		return "scope " + r.Scope + ": the client has the grant type refresh_token"
	case KindAllowedGroup:
		return "admitted: in allowed group " + r.Group + r.through()
	case KindNarrowed:
		return "scope " + r.Scope + ": left out, " + r.Detail
	case KindIgnored:
		return "scope " + r.Scope + ": ignored, " + r.Detail
	case KindMissing:
		return "refused: scope " + r.Scope + " is missing, " + r.Detail
	default:
		return "refused: " + r.Detail
	}
}

func (r Reason) through() string {
	if len(r.Path) == 0 {
		return ", direct member"
	}
	return ", member through " + strings.Join(r.Path, " → ")
}
