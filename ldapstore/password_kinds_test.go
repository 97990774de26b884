package ldapstore_test

import (
	"strings"
	"testing"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// secure are options over LDAPS, which AD and 389 DS want for passwords.
func secure(s *ldaptest.Server) ldapstore.Options {
	o := changing(s)
	o.URL = []string{s.LDAPSURL}
	return o
}

func changers() []ldaptest.Person {
	var people []ldaptest.Person
	for _, p := range ldaptest.People() {
		if p.UID == "frank" || p.UID == "erin" || p.UID == "alice" {
			people = append(people, p)
		}
	}
	return people
}

func TestActiveDirectoryChangesPasswordsThatItLetsNobodyInWith(t *testing.T) {
	t.Parallel()
	s := ldaptest.StartAD(t, changers(), []ldaptest.Group{})
	d := open(t, secure(s))
	for name, want := range map[string]oidc.SignInReason{"frank": oidc.ReasonMustChange, "erin": oidc.ReasonPasswordExpired} {
		var err error
		eventually(t, "the domain controller has time for us", func() bool { // it is slow to begin with
			_, err = d.Authenticate(t.Context(), name, ldaptest.Password(name))
			return !isUnavailable(err)
		})
		refused := signInError(t, err)
		if refused.Reason != want || !refused.MayChange {
			t.Fatalf("%s: %+v", name, refused)
		}
		err = d.ChangePassword(t.Context(), refused.Subject, "wrong", "Näw “Wörd” 1")
		wantReason(t, err, oidc.ReasonWrongPassword)
		if err := d.ChangePassword(t.Context(), refused.Subject, ldaptest.Password(name), "Näw “Wörd” 1"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if u, err := d.Authenticate(t.Context(), name, "Näw “Wörd” 1"); err != nil || u.ID != refused.Subject {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	alice := mustUser(t, d, "alice").ID
	s.Modify(s.BaseDN, "minPwdLength", "12")
	refused := passwordError(t, d.ChangePassword(t.Context(), alice, ldaptest.Password("alice"), "brief"))
	if refused.Reason != oidc.PasswordPolicy || !strings.Contains(refused.Text, "too short") || strings.Contains(refused.Text, "0000052D") || strings.Contains(refused.Text, "check_") {
		t.Errorf("%s, %q, %v", refused.Reason, refused.Text, refused)
	}
	for range 6 {
		wantReasonIn(t, d.ChangePassword(t.Context(), alice, "wrong", "a long enough one"), oidc.ReasonWrongPassword, oidc.ReasonLocked)
	}
	wantReason(t, d.ChangePassword(t.Context(), alice, ldaptest.Password("alice"), "a long enough one"), oidc.ReasonLocked)

	plain := changing(s)
	if refused := passwordError(t, open(t, plain).ChangePassword(t.Context(), alice, ldaptest.Password("alice"), "a long enough one")); refused.Reason != oidc.PasswordImpossible {
		t.Errorf("over a connection in the clear: %v", refused)
	}
}

func wantReasonIn(t *testing.T, err error, want ...oidc.SignInReason) {
	t.Helper()
	got := signInError(t, err).Reason
	for _, reason := range want {
		if got == reason {
			return
		}
	}
	t.Errorf("refused because of %s, want one of %v", got, want)
}

func Test389ChangesPasswordsThatWereReset(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start389(t, changers(), []ldaptest.Group{})
	// As the tool that sets 389 DS up has it.
	s.Modify(s.BaseDN, "aci", append(s.Values(s.BaseDN, "aci"),
		`(targetattr="userPassword")(version 3.0; acl "own password"; allow (write) userdn="ldap:///self";)`)...)
	d := open(t, secure(s))
	for name, want := range map[string]oidc.SignInReason{"frank": oidc.ReasonMustChange, "erin": oidc.ReasonPasswordExpired} {
		_, err := d.Authenticate(t.Context(), name, ldaptest.Password(name))
		refused := signInError(t, err)
		if refused.Reason != want || refused.MayChange != (name == "frank") {
			t.Errorf("%s: %+v", name, refused)
		}
		if !refused.MayChange {
			continue
		}
		wantReason(t, d.ChangePassword(t.Context(), refused.Subject, "wrong", "a new password"), oidc.ReasonWrongPassword)
		if err := d.ChangePassword(t.Context(), refused.Subject, ldaptest.Password(name), "a new password"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if u, err := d.Authenticate(t.Context(), name, "a new password"); err != nil || u.ID != refused.Subject {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
	alice := mustUser(t, d, "alice").ID
	s.Modify("cn=config", "passwordCheckSyntax", "on")
	s.Modify("cn=config", "passwordMinLength", "12")
	refused := passwordError(t, d.ChangePassword(t.Context(), alice, ldaptest.Password("alice"), "brief"))
	if refused.Reason != oidc.PasswordTooShort && refused.Reason != oidc.PasswordQuality && refused.Reason != oidc.PasswordPolicy {
		t.Errorf("%s, %q, %v", refused.Reason, refused.Text, refused)
	}
}
