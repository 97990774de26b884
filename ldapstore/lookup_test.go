package ldapstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

func TestAPersonIsReadWithAttributesAndGroups(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	u := mustUser(t, d, "alice")
	if u.Username != "alice" || u.DN != ldaptest.PersonDN("alice") || u.State != oidc.StateActive {
		t.Errorf("got %q %q %v", u.Username, u.DN, u.State)
	}
	if want := s.Values(u.DN, "entryUUID")[0]; u.ID != want {
		t.Errorf("id is %q, want the entryUUID %q", u.ID, want)
	}
	for name, want := range map[string]string{
		"cn": "Alice Adams", "SN": "Adams", "givenname": "Alice", "mail": "alice@example.org",
		"telephoneNumber": "+49 30 1234567", "preferredLanguage": "en-GB",
	} {
		if got := u.First(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.HasSuffix(u.First("modifyTimestamp"), "Z") {
		t.Errorf("modifyTimestamp is %q", u.First("modifyTimestamp"))
	}
	wantGroups(t, u, "staff", "developers", "engineering", "company", "loop", "unique", "unix", "admins")
	for _, g := range u.Groups {
		if g.ID == "" || g.DN == "" {
			t.Errorf("group without id or DN: %+v", g)
		}
		var want []string
		switch g.Name {
		case "staff":
			if g.DisplayName != "Everybody who works here" {
				t.Errorf("display name is %q", g.DisplayName)
			}
		case "engineering":
			want = []string{ldaptest.GroupDN("cn=developers")}
		case "company":
			want = []string{ldaptest.GroupDN("cn=developers"), ldaptest.GroupDN("cn=engineering")}
		case "loop":
			want = []string{ldaptest.GroupDN("cn=developers"), ldaptest.GroupDN("cn=engineering"), ldaptest.GroupDN("cn=company")}
		}
		if !slices.Equal(g.Path, want) {
			t.Errorf("path to %s is %q, want %q", g.Name, g.Path, want)
		}
	}
	k, err := d.Kind(t.Context())
	if err != nil || k.Name != "openldap" {
		t.Errorf("kind is %q, %v", k.Name, err)
	}
}

func TestBinaryValuesAreLeftOut(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.Attributes = []string{"cn", "jpegPhoto"}
	u := mustUser(t, open(t, o), "alice")
	if got, ok := u.Attributes["jpegphoto"]; ok {
		t.Errorf("a photo came as text: %q", got)
	}
	if u.First("cn") != "Alice Adams" || u.First("mail") != "" {
		t.Errorf("attributes are %v", u.Attributes)
	}
}

func TestNamesOfAllSortsAreFound(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	for name, groups := range map[string][]string{
		"ivan":  {"Sales, EMEA"},
		"jörg":  {"Geschäftsführung"},
		"JÖRG":  {"Geschäftsführung"},
		"ALICE": {"staff", "developers", "engineering", "company", "loop", "unique", "unix", "admins"},
		"bob":   {"staff", "Sales, EMEA", "loop", "company", "unix"},
		"peter": {},
	} {
		u := mustUser(t, d, name)
		wantGroups(t, u, groups...)
		again, err := d.User(t.Context(), u.ID)
		if err != nil || again.DN != u.DN || !slices.Equal(groupNames(again), groupNames(u)) {
			t.Errorf("by id: %v, %v; by name: %v", again, err, u)
		}
	}
	if u := mustUser(t, d, "ALICE"); u.Username != "alice" {
		t.Errorf("the name is %q as typed, want it as the entry has it", u.Username)
	}
}

func TestDecomposedUnicodeIsTheSamePerson(t *testing.T) {
	t.Parallel()
	d := open(t, options(ldaptest.Start(t)))
	if a, b := mustUser(t, d, "j\u00f6rg"), mustUser(t, d, "jo\u0308rg"); a.ID != b.ID {
		t.Errorf("two people: %s and %s", a.ID, b.ID)
	}
}

func TestGoneIsNotTheSameAsCannotTell(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	alice := mustUser(t, d, "alice")
	for _, id := range []string{"", "nonsense", "00000000-0000-0000-0000-000000000000", "*", "a)(uid=alice"} {
		if u, err := d.User(t.Context(), id); !errors.Is(err, oidc.ErrNotFound) || errors.Is(err, oidc.ErrUnavailable) {
			t.Errorf("id %q: got %v, %v, want ErrNotFound", id, u, err)
		}
	}
	s.DeleteUser("alice")
	if _, err := d.User(t.Context(), alice.ID); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
	s.AddPerson(ldaptest.Person{UID: "alice", GivenName: "Alice", Surname: "Second"})
	if again := mustUser(t, d, "alice"); again.ID == alice.ID {
		t.Error("a person created anew has the old id")
	}
	if _, err := d.User(t.Context(), alice.ID); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("the old id after the account was created anew: %v", err)
	}

	t.Run("a base that is not there", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.UserBaseDN = []string{"ou=nowhere," + s.BaseDN}
		d := open(t, o)
		_, err := d.User(t.Context(), alice.ID)
		wantUnavailable(t, err)
		wantUnavailable(t, d.Ping(t.Context()))
	})
	t.Run("a base that the service account may not read", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.BindDN, o.BindPassword = "", nil
		_, err := open(t, o).User(t.Context(), alice.ID)
		wantUnavailable(t, err)
	})
	t.Run("a service account with another password", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.BindPassword = func() (string, error) { return "wrong", nil }
		_, err := open(t, o).User(t.Context(), alice.ID)
		wantUnavailable(t, err)
		if !strings.Contains(err.Error(), "bind_dn") {
			t.Errorf("the error does not say what to look at: %v", err)
		}
	})
	t.Run("a server that is not there", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.URL = []string{"ldap://127.0.0.1:1"}
		_, err := open(t, o).User(t.Context(), alice.ID)
		wantUnavailable(t, err)
	})
	t.Run("a context that has ended", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := d.User(ctx, alice.ID)
		wantUnavailable(t, err)
	})
}

func TestARenameKeepsTheIDAndAMoveOutOfTheBaseEnds(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.UserBaseDN = []string{"ou=people," + s.BaseDN}
	d := open(t, o)
	before := mustUser(t, d, "alice")
	s.Rename(before.DN, "uid=alicia")
	after, err := d.User(t.Context(), before.ID)
	if err != nil {
		t.Fatal(err)
	}
	if after.Username != "alicia" || after.DN == before.DN {
		t.Errorf("after the rename: %q %q", after.Username, after.DN)
	}
	// memberUid knows the old name; uniqueMember follows a moment later.
	want := []string{"admins", "company", "developers", "engineering", "loop", "staff", "unique"}
	eventually(t, "the groups of the old name are those of the new", func() bool {
		u, err := d.User(t.Context(), before.ID)
		return err == nil && slices.Equal(groupNames(u), want)
	})
	s.Move(after.DN, "ou=services,"+s.BaseDN)
	if _, err := d.User(t.Context(), before.ID); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("after the move out of the base: %v", err)
	}
}

func TestAChangeIsSeenAtTheVeryNextLookup(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	id := mustUser(t, d, "peter").ID
	group, member := ldaptest.GroupDN("cn=empty"), ldaptest.PersonDN("peter")
	for round := range 50 {
		s.AddMember(group, member)
		u, err := d.User(t.Context(), id)
		if err != nil || !slices.Equal(groupNames(u), []string{"empty"}) {
			t.Fatalf("round %d: added, yet %v, %v", round, u, err)
		}
		s.RemoveMember(group, member)
		u, err = d.User(t.Context(), id)
		if err != nil || len(u.Groups) != 0 {
			t.Fatalf("round %d: removed, yet %v, %v", round, u, err)
		}
	}
	s.Disable("peter")
	if u, err := d.User(t.Context(), id); err != nil || u.State != oidc.StateDisabled {
		t.Errorf("disabled, yet %v, %v", u, err)
	}
	s.Enable("peter")
	if u, err := d.User(t.Context(), id); err != nil || u.State != oidc.StateActive {
		t.Errorf("enabled, yet %v, %v", u, err)
	}
}

func TestNoNameReachesBeyondItsPlaceInTheFilter(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	odd := `a*b(c)d\e,f#+"<>;=`
	s.AddPerson(ldaptest.Person{UID: odd, GivenName: "Odd", Surname: "Name", RDN: "cn=odd", More: map[string][]string{}})
	d := open(t, options(s))
	for _, name := range []string{
		"*", "a*", "alice)(objectClass=*", "*)(uid=*", "alice)(|(uid=bob", `\2a`, "alice\x00", "\xff\xfe", "", " ", "(", ")", `\`,
		strings.Repeat("a", 2000), strings.Repeat("*", 500), "uid=alice,ou=people,dc=example,dc=org",
	} {
		if u, err := d.UserByName(t.Context(), name); !errors.Is(err, oidc.ErrNotFound) {
			t.Errorf("name %.40q: got %v, %v, want ErrNotFound", name, u, err)
		}
		if _, err := d.Authenticate(t.Context(), name, ldaptest.Password("alice")); err == nil {
			t.Errorf("name %.40q was let in", name)
		} else {
			wantReason(t, err, oidc.ReasonUnknownUser)
		}
	}
	if u := mustUser(t, d, odd); u.Username != odd {
		t.Errorf("got %q", u.Username)
	}
}

func TestStatesOfAccountsComeFromTheEntry(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	for name, want := range map[string]oidc.AccountState{
		"alice": oidc.StateActive, "dave": oidc.StateDisabled, "judy": oidc.StateExpired,
		"erin": oidc.StateActive, "frank": oidc.StateActive, "grace": oidc.StateActive,
	} {
		if got := mustUser(t, d, name).State; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	s.Modify(ldaptest.PersonDN("bob"), "pwdEndTime", "20200101000000Z")
	if got := mustUser(t, d, "bob").State; got != oidc.StateExpired {
		t.Errorf("after pwdEndTime bob is %v", got)
	}
}

func TestExplainSeesEveryStep(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	var steps []ldapstore.Step
	ctx := ldapstore.WithTrace(t.Context(), func(step ldapstore.Step) { steps = append(steps, step) })
	if _, err := d.UserByName(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, step := range steps {
		seen[step.What]++
		if step.What == ldapstore.StepSearch && (step.Server != s.URL || step.Filter == "" || step.Took <= 0) {
			t.Errorf("a search without server, filter or time: %+v", step)
		}
	}
	if seen[ldapstore.StepKind] != 1 || seen[ldapstore.StepEntry] != 1 || seen[ldapstore.StepGroup] != 8 || seen[ldapstore.StepSearch] < 4 {
		t.Errorf("steps were %v", seen)
	}
}

func TestTwoPeopleWithOneNameAreNobody(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	s.AddPerson(ldaptest.Person{UID: "trudy", GivenName: "Trudy", Surname: "Third", More: map[string][]string{"mail": {"twins@example.org"}}})
	o := options(s)
	o.Table = map[string][]string{"login_attributes": {"uid", "mail"}}
	d := open(t, o)
	if u := mustUser(t, d, "Alice@Example.org"); u.Username != "alice" {
		t.Errorf("by mail: %q", u.Username)
	}
	_, err := d.UserByName(t.Context(), "twins@example.org")
	wantReason(t, err, oidc.ReasonAmbiguous)
	for _, uid := range []string{"tom", "tim"} {
		_, err = d.Authenticate(t.Context(), "twins@example.org", ldaptest.Password(uid))
		wantReason(t, err, oidc.ReasonAmbiguous)
		if n := len(s.Values(ldaptest.PersonDN(uid), "pwdFailureTime")); n != 0 {
			t.Errorf("%s has %d failures", uid, n)
		}
	}
}
