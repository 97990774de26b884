package ldapstore_test

import (
	"errors"
	"strings"
	"testing"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// changing are options with which people may change their passwords.
func changing(s *ldaptest.Server) ldapstore.Options {
	o := options(s)
	o.PasswordChange, o.PasswordChangeURL = true, "https://password.example.org/"
	return o
}

func signInError(t *testing.T, err error) *oidc.SignInError {
	t.Helper()
	var refused *oidc.SignInError
	if !errors.As(err, &refused) {
		t.Fatalf("no refusal of a sign-in: %v", err)
	}
	return refused
}

func passwordError(t *testing.T, err error) *oidc.PasswordError {
	t.Helper()
	var refused *oidc.PasswordError
	if !errors.As(err, &refused) {
		t.Fatalf("no refusal of a password: %v", err)
	}
	return refused
}

func TestWhoMustChangeTheirPasswordCanAndThenSignsInWithIt(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, changing(s))
	_, err := d.Authenticate(t.Context(), "frank", ldaptest.Password("frank"))
	refused := signInError(t, err)
	if refused.Reason != oidc.ReasonMustChange || !refused.MayChange || refused.ChangeURL != "https://password.example.org/" {
		t.Fatalf("%+v", refused)
	}
	odd := `näw "wörd\` + "\x00" + ` ,+*() `
	if err := d.ChangePassword(t.Context(), refused.Subject, ldaptest.Password("frank"), odd); err != nil {
		t.Fatal(err)
	}
	u, err := d.Authenticate(t.Context(), "frank", odd)
	if err != nil || u.ID != refused.Subject || u.PasswordExpired {
		t.Fatalf("%+v, %v", u, err)
	}
	_, err = d.Authenticate(t.Context(), "frank", ldaptest.Password("frank"))
	wantReason(t, err, oidc.ReasonWrongPassword)
	for _, stored := range s.Values(ldaptest.PersonDN("frank"), "userPassword") {
		if !strings.HasPrefix(stored, "{") {
			t.Error("the directory keeps the new password in the clear")
		}
	}
}

func TestAnExpiredPasswordIsChangedAsLongAsTheDirectoryLetsItsPersonIn(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, changing(s))
	// No grace: the directory lets nobody in who could change it.
	_, err := d.Authenticate(t.Context(), "erin", ldaptest.Password("erin"))
	refused := signInError(t, err)
	if refused.Reason != oidc.ReasonPasswordExpired || refused.MayChange || refused.ChangeURL == "" {
		t.Errorf("%+v", refused)
	}
	err = d.ChangePassword(t.Context(), refused.Subject, ldaptest.Password("erin"), "a new password")
	wantReason(t, err, oidc.ReasonPasswordExpired)
	// Three sign-ins by grace; the change takes one of them.
	u, err := d.Authenticate(t.Context(), "grace", ldaptest.Password("grace"))
	if err != nil || !u.PasswordExpired {
		t.Fatalf("%+v, %v", u, err)
	}
	if err := d.ChangePassword(t.Context(), u.ID, ldaptest.Password("grace"), "a new password"); err != nil {
		t.Fatal(err)
	}
	if u, err = d.Authenticate(t.Context(), "grace", "a new password"); err != nil || u.PasswordExpired {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestTheLastGraceIsNotSpentOnAnOfferThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, changing(s))
	for _, offered := range []bool{true, true, false} {
		u, err := d.Authenticate(t.Context(), "grace", ldaptest.Password("grace"))
		if err != nil || u.PasswordExpired != offered {
			t.Errorf("%+v, %v; want an offer: %v", u, err, offered)
		}
	}
}

func TestAPolicySaysWhatIsWrongWithANewPassword(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, changing(s))
	alice := mustUser(t, d, "alice").ID
	first, second := ldaptest.Password("alice"), "long enough for it"
	for _, c := range []struct {
		policy, now, password string
		want                  oidc.PasswordReason
		text                  string
	}{
		{ldaptest.PolicyStrict, first, "brief", oidc.PasswordTooShort, "quality"},
		{ldaptest.PolicyStrict, first, first, oidc.PasswordInHistory, ""},
		{ldaptest.PolicyStrict, first, second, "", ""},
		{ldaptest.PolicyStrict, second, first, oidc.PasswordInHistory, "history"},
		{ldaptest.PolicyYoung, second, "another long one", oidc.PasswordTooYoung, "young"},
		{ldaptest.PolicyRigid, second, "another long one", oidc.PasswordForbidden, ""},
	} {
		s.Modify(ldaptest.PersonDN("alice"), "pwdPolicySubentry", c.policy)
		err := d.ChangePassword(t.Context(), alice, c.now, c.password)
		if c.want == "" {
			if err != nil {
				t.Errorf("%q: %v", c.password, err)
			}
			continue
		}
		refused := passwordError(t, err)
		if refused.Reason != c.want || !strings.Contains(refused.Text, c.text) {
			t.Errorf("%q under %s: %s, %q; want %s", c.password, c.policy, refused.Reason, refused.Text, c.want)
		}
		if strings.Contains(err.Error(), c.password) || strings.Contains(err.Error(), refused.Text) && refused.Text != "" {
			t.Errorf("the error's text is for the log: %v", err)
		}
	}
	if _, err := d.Authenticate(t.Context(), "alice", second); err != nil {
		t.Error(err)
	}
}

func TestAChangeProvesTheOldPasswordWithOneTry(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := changing(s)
	o.URL = []string{s.URL, s.LDAPSURL} // one directory that looks like two servers
	d := open(t, o)
	peter := mustUser(t, d, "peter").ID
	failures := func() int { return len(s.Values(ldaptest.PersonDN("peter"), "pwdFailureTime")) }

	err := d.ChangePassword(t.Context(), peter, "wrong", "a new password")
	wantReason(t, err, oidc.ReasonWrongPassword)
	if signInError(t, err).Subject != peter || failures() != 1 {
		t.Errorf("%v, %d failures", err, failures())
	}
	for _, empty := range [][2]string{{"", "a new password"}, {ldaptest.Password("peter"), ""}} {
		wantReason(t, d.ChangePassword(t.Context(), peter, empty[0], empty[1]), oidc.ReasonEmptyPassword)
	}
	var asked []string
	ctx := oidc.WithBindGuard(t.Context(), func(subject string) error {
		asked = append(asked, subject)
		return errors.New("not now")
	})
	wantReason(t, d.ChangePassword(ctx, peter, "wrong", "a new password"), oidc.ReasonThrottled)
	if len(asked) != 1 || asked[0] != peter || failures() != 1 {
		t.Errorf("the guard was asked about %q; %d failures", asked, failures())
	}
	if err := d.ChangePassword(t.Context(), "3f1f1c1e-0000-0000-0000-000000000000", "x", "y"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("nobody's password: %v", err)
	}
	wantReason(t, d.ChangePassword(t.Context(), mustUser(t, d, "judy").ID, ldaptest.Password("judy"), "y"), oidc.ReasonAccountExpired)
	wantReason(t, d.ChangePassword(t.Context(), mustUser(t, d, "dave").ID, ldaptest.Password("dave"), "y"), oidc.ReasonDisabled)

	s.Pause()
	err = d.ChangePassword(t.Context(), peter, ldaptest.Password("peter"), "a new password")
	s.Resume()
	wantUnavailable(t, err)
	if _, err := d.Authenticate(t.Context(), "peter", ldaptest.Password("peter")); err != nil {
		t.Errorf("the old password holds no more: %v", err)
	}
}

func TestWhereNoChangeIsWantedNoneIsOffered(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.PasswordChangeURL = "https://password.example.org/"
	d := open(t, o)
	_, err := d.Authenticate(t.Context(), "frank", ldaptest.Password("frank"))
	refused := signInError(t, err)
	if refused.MayChange || refused.ChangeURL != o.PasswordChangeURL {
		t.Errorf("%+v", refused)
	}
	if u, err := d.Authenticate(t.Context(), "grace", ldaptest.Password("grace")); err != nil || u.PasswordExpired {
		t.Errorf("%+v, %v", u, err)
	}
	err = d.ChangePassword(t.Context(), refused.Subject, ldaptest.Password("frank"), "a new password")
	if passwordError(t, err).Reason != oidc.PasswordImpossible {
		t.Error(err)
	}
	if _, err := d.Authenticate(t.Context(), "alice", "wrong"); signInError(t, err).ChangeURL != "" {
		t.Error("a wrong password comes with an address")
	}
}

func TestTheOfficeChangesPasswords(t *testing.T) {
	t.Parallel()
	_, o := office(t, demodir.Options{})
	o.PasswordChange = true
	d := open(t, o)
	_, err := d.Authenticate(t.Context(), "pieter", "second-key")
	pieter := signInError(t, err).Subject
	if refused := passwordError(t, d.ChangePassword(t.Context(), pieter, "second-key", "brief")); refused.Reason != oidc.PasswordTooShort {
		t.Error(refused)
	}
	if err := d.ChangePassword(t.Context(), pieter, "second-key", "another key"); err != nil {
		t.Fatal(err)
	}
	if u, err := d.Authenticate(t.Context(), "pieter", "another key"); err != nil || u.ID != pieter {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestAChangeThatBreaksOffIsNeitherSureNorRepeated(t *testing.T) {
	t.Parallel()
	seen := make(chan demodir.Operation, 100)
	s, o := office(t, demodir.Options{Observe: func(op demodir.Operation) { seen <- op }})
	o.PasswordChange = true
	o.URL = []string{s.URL, s.URL}
	d := open(t, o)
	_, err := d.Authenticate(t.Context(), "pieter", "second-key")
	pieter := signInError(t, err)
	if pieter.Reason != oidc.ReasonMustChange || !pieter.MayChange {
		t.Fatalf("%+v", pieter)
	}
	for name, c := range map[string]struct {
		fault demodir.Fault
		want  oidc.PasswordReason
	}{
		"closed":        {demodir.Fault{Trouble: demodir.Disconnect}, oidc.PasswordUncertain},
		"reset":         {demodir.Fault{Trouble: demodir.Reset}, oidc.PasswordUncertain},
		"garbage":       {demodir.Fault{Trouble: demodir.Garbage}, oidc.PasswordUncertain},
		"no answer":     {demodir.Fault{Trouble: demodir.Hang}, oidc.PasswordUncertain},
		"busy":          {demodir.Fault{Trouble: demodir.Refuse, Code: 51}, ""},
		"read only":     {demodir.Fault{Trouble: demodir.Refuse, Code: 53}, oidc.PasswordImpossible},
		"a referral":    {demodir.Fault{Trouble: demodir.Refuse, Code: 10}, oidc.PasswordImpossible},
		"not encrypted": {demodir.Fault{Trouble: demodir.Refuse, Code: 13}, oidc.PasswordImpossible},
		"a policy":      {demodir.Fault{Trouble: demodir.Refuse, Code: 19}, oidc.PasswordPolicy},
	} {
		s.Faults.Set(demodir.Extended, c.fault)
		for len(seen) > 0 {
			<-seen
		}
		err := d.ChangePassword(t.Context(), pieter.Subject, "second-key", "another key")
		sent := 0
		for len(seen) > 0 {
			if op := <-seen; op.Kind == demodir.Extended || op.Kind == demodir.Bind && op.DN != s.ServiceDN {
				sent++
			}
		}
		if sent != 2 {
			t.Errorf("%s: %d binds and changes, want one of each", name, sent)
		}
		if c.want == "" || c.want == oidc.PasswordUncertain {
			wantUnavailable(t, err)
		}
		if c.want == "" {
			continue
		}
		if refused := passwordError(t, err); refused.Reason != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
