package oidc

import (
	"context"
	"strings"
	"time"
)

// User is one person as the directory describes them at this moment. A User is
// read, used for one decision and dropped; it is never stored and never logged.
type User struct {
	// ID is the directory's stable id of the entry in its text form: entryUUID,
	// objectGUID, nsUniqueId. A rename keeps it, a recreated account has another.
	ID string
	// DN is the distinguished name, exactly as the directory spelt it.
	DN string
	// Username is the name that the person signs in with, as the entry spells it.
	Username string
	// State says whether the account may be used at all.
	State AccountState
	// Attributes are the entry's values by attribute name in lower case. Binary
	// values are left out.
	Attributes map[string][]string
	// Groups are all groups the person belongs to, directly or through others.
	Groups []Group
	// ChangedAt is when the entry itself was changed last, renamed included, by the
	// directory's clock and to the second; zero where that is not told.
	ChangedAt time.Time
	// PasswordExpired is set by Authenticate alone: the password is past its time,
	// the directory grants some more sign-ins with it (grace), and PasswordChanger
	// can replace it.
	PasswordExpired bool
}

// Values returns the values of a directory attribute; the name's case does not
// matter (RFC 4512, section 2.5).
func (u *User) Values(attribute string) []string {
	return u.Attributes[strings.ToLower(attribute)]
}

// First returns the first value of a directory attribute, or "".
func (u *User) First(attribute string) string {
	if v := u.Values(attribute); len(v) > 0 {
		return v[0]
	}
	return ""
}

// Group is one group of the directory that a person belongs to.
type Group struct {
	// ID is the directory's stable id of the group.
	ID string
	// DN is the distinguished name, exactly as the directory spelt it. Groups are
	// told apart by DN, never by name.
	DN string
	// Name is the naming value, mostly cn.
	Name string
	// DisplayName is displayName or description, or "".
	DisplayName string
	// Path holds the DNs from the group that names the person directly to the one
	// above this group; it is empty for direct membership.
	Path []string
}

// AccountState says whether an account that exists may be used.
type AccountState int

// The states of an account. The password's own states (wrong, expired, locked
// after failures) are no part of it: they show at the bind only, and must not
// end what was granted before, or a stranger's guesses could sign people out.
const (
	StateActive   AccountState = iota // may be used
	StateDisabled                     // switched off by an administrator
	StateExpired                      // the account's end date has passed
)

// String returns the word used in logs and by explain.
func (s AccountState) String() string {
	switch s {
	case StateActive:
		return "active"
	case StateDisabled:
		return "disabled"
	case StateExpired:
		return "expired"
	default:
		return "unknown"
	}
}

// Directory reads people, live. It has three answers: a User (present),
// ErrNotFound (gone: a search succeeded and had no entry) and an error that
// wraps ErrUnavailable (can't tell). Implementations obey the context and
// answer within about three seconds whatever the directory does.
type Directory interface {
	// Authenticate looks for the one entry that name belongs to and tries the
	// password with exactly one bind, which is never repeated and never sent to a
	// second server. A refusal is a *SignInError; an empty password is refused
	// without a word to the directory. Before the bind GuardBind is asked: where it
	// refuses, the password is not tried, as much time is spent as if it had been, and
	// the refusal has ReasonThrottled.
	Authenticate(ctx context.Context, name, password string) (*User, error)
	// User returns the person with this stable id.
	User(ctx context.Context, id string) (*User, error)
	// UserByName returns the person that would be asked for a password if name
	// were typed at sign-in.
	UserByName(ctx context.Context, name string) (*User, error)
}
