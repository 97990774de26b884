package oidc

import (
	"context"
	"fmt"
)

// PasswordChanger is a Directory in which people can choose a new password.
type PasswordChanger interface {
	// ChangePassword replaces the password of the person with this stable id. The
	// old one is proved to the directory in the same go, with one try, after
	// GuardBind was asked. Nothing is repeated or sent to a second server.
	//
	// A *SignInError says that the old password was not taken, or not tried; a
	// *PasswordError that the new one wasn't; any other error that the directory
	// can't be asked, and nothing was changed.
	ChangePassword(ctx context.Context, subject, oldPassword, newPassword string) error
}

// PasswordReason says why a password was not changed.
type PasswordReason string

// The reasons for not changing a password. The first ones are those of password
// policies (draft-behera-ldap-password-policy-10, section 6.2).
const (
	PasswordTooShort  PasswordReason = "too_short"
	PasswordInHistory PasswordReason = "in_history" // used before
	PasswordTooYoung  PasswordReason = "too_young"  // the old one was set too short a time ago
	PasswordQuality   PasswordReason = "insufficient_quality"
	PasswordForbidden PasswordReason = "change_not_allowed" // the policy lets only others change it
	PasswordPolicy    PasswordReason = "policy"             // refused; Text says why, at best
	// PasswordImpossible means that the directory takes no change from us: it is
	// read only, lacks the operation, or wants a connection that is encrypted.
	PasswordImpossible PasswordReason = "impossible"
	// PasswordUncertain means that the change was sent and no answer came: the old
	// or the new password holds.
	PasswordUncertain PasswordReason = "uncertain"
)

// PasswordError says that a new password was not taken. Its text is for the log
// and holds no password.
type PasswordError struct {
	Reason PasswordReason
	// Text is what the directory said, for the person to read and nobody else: an
	// extension of a directory may have put anything into it.
	Text string
	Err  error // what happened, may be nil
}

// Error returns the reason and what happened.
func (e *PasswordError) Error() string {
	if e.Err == nil {
		return "password not changed: " + string(e.Reason)
	}
	return fmt.Sprintf("password not changed: %s: %v", e.Reason, e.Err)
}

// Unwrap returns what happened.
func (e *PasswordError) Unwrap() error { return e.Err }
