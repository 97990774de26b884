package ldapstore_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

func TestTheRightPasswordLetsIn(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	odd := `päss "wörd\` + "\x00" + `,+*()` + strings.Repeat("x", 5000)
	s.SetPassword(ldaptest.PersonDN("peter"), odd)
	d := open(t, options(s))
	for name, password := range map[string]string{
		"alice": ldaptest.Password("alice"), "ALICE": ldaptest.Password("alice"), "ivan": ldaptest.Password("ivan"),
		"jörg": ldaptest.Password("jörg"), "carol": ldaptest.Password("carol"), "peter": odd,
	} {
		u, err := d.Authenticate(t.Context(), name, password)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		same, err := d.User(t.Context(), u.ID)
		if err != nil || same.DN != u.DN || !slices.Equal(groupNames(same), groupNames(u)) {
			t.Errorf("%s: signed in as %+v, looked up as %+v, %v", name, u, same, err)
		}
	}
}

func TestEveryOutcomeOfABindIsToldApart(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	for _, c := range []struct {
		name, password string
		want           oidc.SignInReason // "" is let in
	}{
		{"alice", "wrong", oidc.ReasonWrongPassword},
		{"alice", "", oidc.ReasonEmptyPassword},
		{"nobody", "wrong", oidc.ReasonUnknownUser},
		{"nobody", "", oidc.ReasonEmptyPassword},
		// slapd refuses before it looks at the password, so nothing is told.
		{"dave", ldaptest.Password("dave"), oidc.ReasonWrongPassword},
		{"dave", "wrong", oidc.ReasonWrongPassword},
		{"erin", ldaptest.Password("erin"), oidc.ReasonPasswordExpired},
		{"erin", "wrong", oidc.ReasonWrongPassword},
		{"frank", ldaptest.Password("frank"), oidc.ReasonMustChange},
		{"frank", "wrong", oidc.ReasonWrongPassword},
		{"judy", ldaptest.Password("judy"), oidc.ReasonAccountExpired},
		{"judy", "wrong", oidc.ReasonWrongPassword},
		{"grace", "wrong", oidc.ReasonWrongPassword},
		{"grace", ldaptest.Password("grace"), ""},
		{"grace", ldaptest.Password("grace"), ""},
		{"grace", ldaptest.Password("grace"), ""},
		{"grace", ldaptest.Password("grace"), oidc.ReasonPasswordExpired},
	} {
		u, err := d.Authenticate(t.Context(), c.name, c.password)
		if c.want == "" {
			if err != nil || u.Username != c.name {
				t.Errorf("%s: %v, %v", c.name, u, err)
			}
			continue
		}
		if u != nil {
			t.Fatalf("%s with %q came with a person", c.name, c.password)
		}
		wantReason(t, err, c.want)
		if strings.Contains(err.Error(), "password wrong") || c.password != "" && strings.Contains(err.Error(), c.password) && c.password != "wrong" {
			t.Errorf("the error holds the password: %v", err)
		}
	}
	// frank's connection is restricted by the policy now; the next bind frees it.
	if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
		t.Errorf("after a must-change bind: %v", err)
	}
}

func TestALockedPasswordRefusesButTheAccountStaysActive(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	for range 5 {
		_, err := d.Authenticate(t.Context(), "bob", "wrong")
		wantReason(t, err, oidc.ReasonWrongPassword)
	}
	_, err := d.Authenticate(t.Context(), "bob", ldaptest.Password("bob"))
	wantReason(t, err, oidc.ReasonLocked)
	if u := mustUser(t, d, "bob"); u.State != oidc.StateActive {
		t.Errorf("a stranger's guesses made the account %v", u.State)
	}
}

func TestFiftyWrongPasswordsAreFiftyBinds(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			for range 10 {
				if _, err := d.Authenticate(t.Context(), "peter", "wrong"); err == nil {
					t.Error("a wrong password was let in")
				}
			}
		})
	}
	wg.Wait()
	if n := len(s.Values(ldaptest.PersonDN("peter"), "pwdFailureTime")); n != 50 {
		t.Errorf("the directory counted %d failures, want 50", n)
	}
	if _, err := d.Authenticate(t.Context(), "peter", ldaptest.Password("peter")); err != nil {
		t.Error(err)
	}
}

func TestAGuardStandsBetweenTheSearchAndTheBind(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.Table = map[string][]string{"login_attributes": {"uid", "mail"}}
	d := open(t, o)
	id := mustUser(t, d, "peter").ID
	var asked []string
	var answer error
	ctx := oidc.WithBindGuard(t.Context(), func(subject string) error {
		asked = append(asked, subject)
		return answer
	})
	for _, name := range []string{"peter", "PETER@example.org"} {
		_, err := d.Authenticate(ctx, name, "wrong")
		wantReason(t, err, oidc.ReasonWrongPassword)
		if subject := refusedSubject(t, err); subject != id {
			t.Errorf("the refusal is of %q, want %q", subject, id)
		}
	}
	for _, name := range []string{"nobody", "twins@example.org", ""} {
		_, err := d.Authenticate(ctx, name, "wrong")
		if subject := refusedSubject(t, err); subject != "" {
			t.Errorf("%q: the refusal is of %q", name, subject)
		}
	}
	if !slices.Equal(asked, []string{id, id}) {
		t.Errorf("the guard was asked about %q, want twice about %q", asked, id)
	}
	answer = errors.New("not now")
	_, err := d.Authenticate(ctx, "peter@example.org", ldaptest.Password("peter"))
	wantReason(t, err, oidc.ReasonThrottled)
	if subject := refusedSubject(t, err); subject != id || !errors.Is(err, answer) {
		t.Errorf("the guard's refusal is of %q: %v", subject, err)
	}
	if n := len(s.Values(ldaptest.PersonDN("peter"), "pwdFailureTime")); n != 2 {
		t.Errorf("%d passwords were tried, want 2", n)
	}
}

func refusedSubject(t *testing.T, err error) string {
	t.Helper()
	var refused *oidc.SignInError
	if !errors.As(err, &refused) {
		t.Fatalf("no refusal: %v", err)
	}
	return refused.Subject
}

func TestABindIsNotRepeatedWhenTheServerStandsStill(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.URL = []string{s.URL, s.LDAPSURL} // one directory that looks like two servers
	d := open(t, o)
	for range 3 { // both pools are warm
		if _, err := d.Authenticate(t.Context(), "peter", ldaptest.Password("peter")); err != nil {
			t.Fatal(err)
		}
	}
	s.Pause()
	late := ldaptest.Lateness()
	begin := time.Now()
	_, err := d.Authenticate(t.Context(), "peter", "wrong")
	took := time.Since(begin) - late()
	s.Resume()
	wantUnavailable(t, err)
	if took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	eventually(t, "peter can sign in again", func() bool {
		_, err := d.Authenticate(t.Context(), "peter", "still wrong")
		return !isUnavailable(err)
	})
	if n := len(s.Values(ldaptest.PersonDN("peter"), "pwdFailureTime")); n > 2 {
		t.Errorf("two tries made %d failures", n)
	}
}

func TestANameThatNobodyHasTakesAsLongAsAWrongPassword(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	try := func(name string) time.Duration {
		begin := time.Now()
		if _, err := d.Authenticate(t.Context(), name, "wrong"); err == nil {
			t.Fatal("let in")
		}
		return time.Since(begin)
	}
	// In turn, so that whatever else the machine does slows both alike.
	var knowns, unknowns []time.Duration
	for n := range 200 {
		k, u := try("peter"), try("nobody")
		if n >= 20 { // the first ones warm the pools
			knowns, unknowns = append(knowns, k), append(unknowns, u)
		}
	}
	slices.Sort(knowns)
	slices.Sort(unknowns)
	known, unknown := knowns[len(knowns)/2], unknowns[len(unknowns)/2]
	// The machine may be busy, so this is a coarse net: without the decoy it is a
	// third at most, and with a directory that hashes slowly a hundredth.
	if unknown < known/2 || unknown > known*3 {
		t.Errorf("wrong password %v, unknown name %v", known, unknown)
	}
}

func TestARefusedServicePasswordIsReadAgain(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	var mu sync.Mutex
	password, reads := s.ServicePassword, 0
	o := options(s)
	o.BindPassword = func() (string, error) {
		mu.Lock()
		defer mu.Unlock()
		reads++
		return password, nil
	}
	d := open(t, o)
	mustUser(t, d, "alice")
	mustUser(t, d, "alice")
	if reads != 1 {
		t.Errorf("the password was read %d times, want once", reads)
	}
	s.SetPassword(s.ServiceDN, "rotated")
	s.Restart() // so that new connections are needed
	_, err := d.UserByName(t.Context(), "alice")
	wantUnavailable(t, err)
	for range 20 {
		_, err = d.UserByName(t.Context(), "alice")
		wantUnavailable(t, err)
	}
	if n := len(s.Values(s.ServiceDN, "pwdFailureTime")); n != 1 {
		t.Errorf("the old password was tried %d times, want once", n)
	}
	mu.Lock()
	password = "rotated"
	mu.Unlock()
	mustUser(t, d, "alice")

	t.Run("under load no sign-in fails", func(t *testing.T) {
		s.SetPassword(s.ServiceDN, "again")
		mu.Lock()
		password = "again"
		mu.Unlock()
		s.Restart()
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if _, err := d.Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

func TestPasswordsNeverTravelInTheClear(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	other := ldaptest.Start(t)
	secure := func(url string, startTLS bool, ca string) ldapstore.Options {
		o := options(s)
		o.URL, o.StartTLS, o.CAFile = []string{url}, startTLS, ca
		return o
	}
	for name, o := range map[string]ldapstore.Options{
		"LDAPS": secure(s.LDAPSURL, false, s.CAFile), "StartTLS": secure(s.URL, true, s.CAFile),
		"LDAPS by name": secure(strings.Replace(s.LDAPSURL, "127.0.0.1", "localhost", 1), false, s.CAFile),
	} {
		if _, err := open(t, o).Authenticate(t.Context(), "alice", ldaptest.Password("alice")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, o := range map[string]ldapstore.Options{
		"LDAPS with another authority":    secure(s.LDAPSURL, false, other.CAFile),
		"StartTLS with another authority": secure(s.URL, true, other.CAFile),
		"LDAPS with the system's":         secure(s.LDAPSURL, false, ""),
	} {
		_, err := open(t, o).Authenticate(t.Context(), "alice", ldaptest.Password("alice"))
		wantUnavailable(t, err)
		if !strings.Contains(err.Error(), "ca_file") {
			t.Errorf("%s: the error does not say what to do: %v", name, err)
		}
	}
	_, err := open(t, secure(strings.Replace(s.LDAPSURL, "127.0.0.1", "127.0.0.2", 1), false, s.CAFile)).UserByName(t.Context(), "alice")
	wantUnavailable(t, err)
	_, err = open(t, secure(strings.Replace(s.URL, "ldap://", "ldaps://", 1), false, s.CAFile)).UserByName(t.Context(), "alice")
	wantUnavailable(t, err)
	_, err = open(t, secure(strings.Replace(s.LDAPSURL, "ldaps://", "ldap://", 1), true, s.CAFile)).UserByName(t.Context(), "alice")
	wantUnavailable(t, err)
}
