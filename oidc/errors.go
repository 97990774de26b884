package oidc

import (
	"errors"
	"fmt"
	"time"
)

// The answers that are not a value. Compare with errors.Is.
var (
	// ErrNotFound means gone or never there: whoever was asked answered, and the
	// answer was no. From a Directory it takes a search that succeeded.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable means can't tell: unreachable, too slow, broken off, partial.
	// Nothing is revoked or used up on the strength of it.
	ErrUnavailable = errors.New("temporarily unavailable")
	// ErrUsed means that a code or token which works once has been used before.
	ErrUsed = errors.New("already used")
	// ErrLimit means that there are as many as there may be.
	ErrLimit = errors.New("the limit is reached")
	// ErrRevoked means that a grant was ended before its time.
	ErrRevoked = errors.New("revoked")
)

// SignInReason says why a sign-in was refused. It goes to the audit log; what a
// person may read of it is for the page to decide.
type SignInReason string

// The reasons for refusing a sign-in.
const (
	ReasonUnknownUser     SignInReason = "unknown_user"     // no entry has this name
	ReasonAmbiguous       SignInReason = "ambiguous_name"   // more than one entry has it
	ReasonWrongPassword   SignInReason = "wrong_password"   // the directory said invalid credentials
	ReasonEmptyPassword   SignInReason = "empty_password"   // never sent: RFC 4513, section 5.1.2
	ReasonPasswordExpired SignInReason = "password_expired" // right or wrong, it can no longer be used
	ReasonMustChange      SignInReason = "must_change"      // right, but to be changed before use
	ReasonLocked          SignInReason = "locked"           // too many failures
	ReasonDisabled        SignInReason = "disabled"         // switched off
	ReasonAccountExpired  SignInReason = "account_expired"  // past its end date
	ReasonOutsideHours    SignInReason = "outside_hours"    // not at this time or from this place
	ReasonThrottled       SignInReason = "throttled"        // too many tries; the directory was not asked
)

// SignInError is the refusal of one sign-in. Its text is for the log: it holds
// no name and no password.
type SignInError struct {
	Reason SignInReason
	// Subject is the directory id of the person whose password was not taken, or ""
	// where nobody has the name or several have it. It is for the log.
	Subject string
	// MayChange means that the password was right and has only to be replaced, which
	// PasswordChanger can do.
	MayChange bool
	// ChangeURL is where the organisation has people change their passwords, with a
	// refusal because of the password's age; "" where no such page is known.
	ChangeURL string
	Err       error // what the directory said, may be nil
}

// Error returns the reason and what the directory said.
func (e *SignInError) Error() string {
	if e.Err == nil {
		return "sign-in refused: " + string(e.Reason)
	}
	return fmt.Sprintf("sign-in refused: %s: %v", e.Reason, e.Err)
}

// Unwrap returns what the directory said.
func (e *SignInError) Unwrap() error { return e.Err }

// ThrottledError means that a password was not tried: too many tries have failed.
type ThrottledError struct {
	By   string        // what has failed too often: account, person or network
	Wait time.Duration // until the next try
}

// Error returns what refused, for the log.
func (e *ThrottledError) Error() string { return "sign-in refused: throttled by " + e.By }

// Problem is one thing that is wrong in what an operator wrote: a configuration,
// a client file, a key file.
type Problem struct {
	File    string // path as the operator gave it, or ""
	Line    int    // 1-based, 0 where no line can be named
	Key     string // dotted key, or ""
	Message string // what is wrong; lower case, no full stop
	Hint    string // what to do about it, or ""
}

// String returns "file:line: key: message", leaving out what is not known.
func (p Problem) String() string {
	s := p.File
	if p.Line > 0 {
		s += fmt.Sprintf(":%d", p.Line)
	}
	if s != "" {
		s += ": "
	}
	if p.Key != "" {
		s += p.Key + ": "
	}
	return s + p.Message
}

// Problems is every problem found in one run, as an error.
type Problems []Problem

// Error returns one line a problem, each followed by its hint.
func (p Problems) Error() string {
	s := ""
	for i, q := range p {
		if i > 0 {
			s += "\n"
		}
		s += q.String()
		if q.Hint != "" {
			s += "\n  hint: " + q.Hint
		}
	}
	return s
}

// Err returns p as an error, or nil if there is no problem.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
