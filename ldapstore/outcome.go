package ldapstore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// refusal is how a server's answer to a bind is to be understood.
type refusal struct {
	reason oidc.SignInReason
	// unproven means that the server says so whatever the password was. To repeat
	// it to whoever typed the password would tell a stranger about the account.
	unproven bool
}

// results are the result codes that mean the same everywhere. All that are in
// neither table are no answer to the question, so: can't tell.
func results() map[uint16]refusal {
	return map[uint16]refusal{
		ldap.LDAPResultInvalidCredentials:          {reason: oidc.ReasonWrongPassword},
		ldap.LDAPResultInappropriateAuthentication: {reason: oidc.ReasonWrongPassword}, // there is no password
		ldap.LDAPResultNoSuchObject:                {reason: oidc.ReasonUnknownUser},   // deleted since the search
	}
}

// judge says what a bind's answer means: nil if the person may enter, a
// *oidc.SignInError, or an error that wraps oidc.ErrUnavailable. state is the
// account's as the entry had it.
//
// Two answers of a password policy come with *success*: must-change, and a grace
// sign-in, which is let through because the policy grants it
// (draft-behera-ldap-password-policy-10, section 8.1).
func (k *Kind) judge(err error, controls []ldap.Control, state oidc.AccountState) error {
	code, answered := resultCode(err)
	if err != nil && !answered {
		return unavailable("trying a password", err)
	}
	policy, stated := policyReason(controls, err == nil)
	if err == nil {
		switch {
		case stated:
			return refuse(policy, nil)
		case state == oidc.StateDisabled:
			return refuse(oidc.ReasonDisabled, nil)
		case state == oidc.StateExpired:
			return refuse(oidc.ReasonAccountExpired, nil)
		}
		return nil
	}
	r, known := k.results[code]
	if !known {
		r, known = results()[code]
	}
	if !known {
		return unavailable("trying a password", err)
	}
	if k.subCode != nil {
		if sub, ok := k.subCode(err.Error()); ok {
			r = sub
		}
	}
	if stated {
		// slapd answers so for an account that is locked or past its end before it
		// looks at the password.
		r = refusal{reason: policy, unproven: policy == oidc.ReasonLocked && state != oidc.StateActive}
	}
	if r.reason == oidc.ReasonDisabled && !r.unproven && state == oidc.StateExpired {
		r.reason = oidc.ReasonAccountExpired // eDirectory has one answer for both
	}
	if r.unproven {
		return refuse(oidc.ReasonWrongPassword, fmt.Errorf("the account is %s; the directory does not say whether the password was right", state))
	}
	if state != oidc.StateActive && r.reason == oidc.ReasonWrongPassword {
		return refuse(r.reason, fmt.Errorf("result code %d; the account is %s besides", code, state))
	}
	return refuse(r.reason, fmt.Errorf("result code %d", code))
}

// policyReason reads the answers of password policies: the draft's control, and
// Netscape's older one, which means "must change" with success and "expired"
// without (draft-vchu-ldap-pwd-policy-00, section 5). Servers that send both send
// the older one with a grace sign-in too, so the draft's goes first.
func policyReason(controls []ldap.Control, success bool) (oidc.SignInReason, bool) {
	if c, ok := ldap.FindControl(controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy); ok {
		switch c.Error {
		case ldap.BeheraPasswordExpired:
			return oidc.ReasonPasswordExpired, true
		case ldap.BeheraAccountLocked:
			return oidc.ReasonLocked, true
		case ldap.BeheraChangeAfterReset:
			return oidc.ReasonMustChange, true
		}
		if success && c.Grace >= 0 {
			return "", false
		}
	}
	if ldap.FindControl(controls, ldap.ControlTypeVChuPasswordMustChange) == nil {
		return "", false
	}
	if success {
		return oidc.ReasonMustChange, true
	}
	return oidc.ReasonPasswordExpired, true
}

// expired refuses somebody whose password the server took although its time is
// over, for kinds with a PasswordExpiry.
func (t *table) expired(e *entry, now time.Time) error {
	if t.PasswordExpiry == "" {
		return nil
	}
	for _, value := range e.values(t.PasswordExpiry) {
		at, err := parseGeneralizedTime(value)
		if err != nil {
			return unavailable("reading an entry", fmt.Errorf("attribute %s: %w", t.PasswordExpiry, err))
		}
		if !now.Before(at) {
			return refuse(oidc.ReasonPasswordExpired, errors.New("the directory took the password, but its time is over"))
		}
	}
	return nil
}

// adSubCode reads what Active Directory hides in the text of its answer, as in
// "80090308: LdapErr: DSID-0C09041C, comment: …, data 52e, v4563". All but 775
// come only with the right password.
func adSubCode(diagnostic string) (refusal, bool) {
	_, rest, found := strings.Cut(diagnostic, ", data ")
	if !found {
		return refusal{}, false
	}
	code, _, _ := strings.Cut(rest, ",")
	switch strings.ToLower(strings.TrimSpace(code)) {
	case "52e", "525":
		return refusal{reason: oidc.ReasonWrongPassword}, true
	case "530", "531":
		return refusal{reason: oidc.ReasonOutsideHours}, true
	case "532":
		return refusal{reason: oidc.ReasonPasswordExpired}, true
	case "533":
		return refusal{reason: oidc.ReasonDisabled}, true
	case "701":
		return refusal{reason: oidc.ReasonAccountExpired}, true
	case "773":
		return refusal{reason: oidc.ReasonMustChange}, true
	case "775":
		return refusal{reason: oidc.ReasonLocked}, true
	default:
		return refusal{}, false
	}
}

// ipaSubCode knows the words of FreeIPA's lock-out, which has the same result code
// as a disabled account.
func ipaSubCode(diagnostic string) (refusal, bool) {
	if strings.Contains(diagnostic, "Too many failed logins") {
		return refusal{reason: oidc.ReasonLocked}, true
	}
	return refusal{}, false
}

// novellSubCode reads the number at the end of eDirectory's answers, as in "NDS
// error: failed authentication (-669)". An expired password is told whatever was
// typed; -220 and -218 come with the right password only.
func novellSubCode(diagnostic string) (refusal, bool) {
	_, rest, found := strings.Cut(diagnostic, "(-")
	if !found {
		return refusal{}, false
	}
	number, _, _ := strings.Cut(rest, ")")
	switch number {
	case "669", "601":
		return refusal{reason: oidc.ReasonWrongPassword}, true
	case "222":
		return refusal{reason: oidc.ReasonPasswordExpired, unproven: true}, true
	case "220":
		return refusal{reason: oidc.ReasonDisabled}, true
	case "218":
		return refusal{reason: oidc.ReasonOutsideHours}, true
	case "197":
		return refusal{reason: oidc.ReasonLocked}, true
	default:
		return refusal{}, false
	}
}

func refuse(reason oidc.SignInReason, err error) error {
	return &oidc.SignInError{Reason: reason, Err: err}
}

// isRefusal reports whether the directory looked at the password and said no.
func isRefusal(err error) bool {
	var refused *oidc.SignInError
	return errors.As(err, &refused)
}
