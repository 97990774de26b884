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

// campus is a directory of staff and one of students, on two servers. Both have
// the people of ldaptest, so most names are in both.
type campus struct {
	staff, students *ldaptest.Server
	*ldapstore.Several
}

func openCampus(t *testing.T, change ...func(staff, students *ldapstore.Member)) campus {
	t.Helper()
	c := campus{staff: ldaptest.Start(t), students: ldaptest.Start(t, ldaptest.WithBase("o=Students"))}
	staff, students := ldapstore.Member{Name: "staff"}, ldapstore.Member{Name: "students"}
	for _, f := range change {
		f(&staff, &students)
	}
	staff.Directory, students.Directory = open(t, changing(c.staff)), open(t, changing(c.students))
	var err error
	if c.Several, err = ldapstore.NewSeveral([]ldapstore.Member{staff, students}); err != nil {
		t.Fatal(err)
	}
	return c
}

func byForm(_, students *ldapstore.Member) {
	students.Names, students.CutNames = []string{"*@students.example.org", `STUDENTS\*`}, true
}

func (c campus) id(s *ldaptest.Server, uid string) string {
	name := "staff:"
	if s == c.students {
		name = "students:"
	}
	return name + s.Values(s.PersonDN(uid), "entryUUID")[0]
}

func TestANameBelongsToTheFirstDirectoryThatHasIt(t *testing.T) {
	t.Parallel()
	c := openCampus(t)
	c.students.AddPerson(ldaptest.Person{UID: "zoe", GivenName: "Zoe", Surname: "Young"})
	for name, want := range map[string]string{"alice": c.id(c.staff, "alice"), "zoe": c.id(c.students, "zoe")} {
		u, err := c.Authenticate(t.Context(), name, ldaptest.Password(name))
		if err != nil || u.ID != want || u.Username != name {
			t.Errorf("%s: %+v, %v; want %s", name, u, err, want)
			continue
		}
		for what, again := range map[string]func() (*oidc.User, error){
			"id":   func() (*oidc.User, error) { return c.User(t.Context(), want) },
			"name": func() (*oidc.User, error) { return c.UserByName(t.Context(), name) },
		} {
			if same, err := again(); err != nil || same.ID != want || same.DN != u.DN || !slices.Equal(groupNames(same), groupNames(u)) {
				t.Errorf("%s by %s: %+v, %v", name, what, same, err)
			}
		}
	}
	_, err := c.Authenticate(t.Context(), "alice", "wrong")
	wantReason(t, err, oidc.ReasonWrongPassword)
	if refused := signInError(t, err); refused.Subject != c.id(c.staff, "alice") {
		t.Errorf("the refusal is of %q", refused.Subject)
	}
	if n := len(c.students.Values(c.students.PersonDN("alice"), "pwdFailureTime")); n != 0 {
		t.Error("a wrong password was tried in the second directory too")
	}
	_, err = c.Authenticate(t.Context(), "nobody", "wrong")
	wantReason(t, err, oidc.ReasonUnknownUser)
	if _, err := c.UserByName(t.Context(), "nobody"); !errors.Is(err, oidc.ErrNotFound) {
		t.Error(err)
	}
	_, err = c.Authenticate(t.Context(), "alice", "")
	wantReason(t, err, oidc.ReasonEmptyPassword)
	// The same uid in both is two people.
	one, err1 := c.User(t.Context(), c.id(c.staff, "bob"))
	two, err2 := c.User(t.Context(), c.id(c.students, "bob"))
	if err1 != nil || err2 != nil || one.ID == two.ID || one.DN == two.DN {
		t.Errorf("%+v, %v; %+v, %v", one, err1, two, err2)
	}
	for _, g := range two.Groups {
		if !strings.HasSuffix(g.DN, ",o=Students") {
			t.Errorf("a student is in %s", g.DN)
		}
	}
}

func TestTheFormOfANameChoosesTheDirectory(t *testing.T) {
	t.Parallel()
	c := openCampus(t, byForm)
	c.students.AddPerson(ldaptest.Person{UID: "zoe", GivenName: "Zoe", Surname: "Young"})
	student, staff := c.id(c.students, "alice"), c.id(c.staff, "alice")
	for name, want := range map[string]string{
		"alice@students.example.org": student, " ALICE@Students.Example.Org ": student, `students\alice`: student, "alice": staff,
	} {
		if u, err := c.Authenticate(t.Context(), name, ldaptest.Password("alice")); err != nil || u.ID != want {
			t.Errorf("%q: %+v, %v; want %s", name, u, err, want)
		}
	}
	for _, name := range []string{"zoe", "@students.example.org", `STUDENTS\`, "zoe@students.example.org.evil.org", "x@students.example.org"} {
		_, err := c.Authenticate(t.Context(), name, ldaptest.Password("zoe"))
		wantReason(t, err, oidc.ReasonUnknownUser)
	}
	// Who has a form of their own isn't held up by a directory that is away.
	c.staff.Pause()
	defer c.staff.Resume()
	if u, err := c.UserByName(t.Context(), "alice@students.example.org"); err != nil || u.ID != student {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestADirectoryThatIsAwayIsNotPassedOver(t *testing.T) {
	t.Parallel()
	c := openCampus(t)
	c.students.AddPerson(ldaptest.Person{UID: "zoe", GivenName: "Zoe", Surname: "Young"})
	alice, zoe := c.id(c.staff, "alice"), c.id(c.students, "zoe")
	for range 2 {
		c.mustFind(t, "alice", alice)
		c.mustFind(t, "zoe", zoe)
	}
	c.staff.Stop()
	for _, name := range []string{"alice", "zoe", "nobody"} {
		_, err := c.Authenticate(t.Context(), name, ldaptest.Password(name))
		wantUnavailable(t, err)
		_, err = c.UserByName(t.Context(), name)
		wantUnavailable(t, err)
	}
	_, err := c.User(t.Context(), alice)
	wantUnavailable(t, err)
	if u, err := c.User(t.Context(), zoe); err != nil || u.ID != zoe {
		t.Errorf("a student whose id is known: %+v, %v", u, err)
	}
	wantUnavailable(t, c.Ping(t.Context()))
	if err := c.Ready(t.Context()); err != nil {
		t.Errorf("one directory is enough to be ready: %v", err)
	}
	c.staff.Restart()
	c.students.Stop()
	eventually(t, "staff can sign in again", func() bool {
		_, err := c.Authenticate(t.Context(), "alice", ldaptest.Password("alice"))
		return err == nil
	})
	_, err = c.Authenticate(t.Context(), "zoe", ldaptest.Password("zoe"))
	wantUnavailable(t, err)
	c.staff.Stop()
	wantUnavailable(t, c.Ready(t.Context()))
}

func (c campus) mustFind(t *testing.T, name, id string) {
	t.Helper()
	if u, err := c.UserByName(t.Context(), name); err != nil || u.ID != id {
		t.Fatalf("%s: %+v, %v", name, u, err)
	}
}

func TestANameOfTwoInOneDirectoryIsNotLookedForInTheNext(t *testing.T) {
	t.Parallel()
	c := openCampus(t)
	c.staff.Modify(c.staff.PersonDN("bob"), "uid", "bob", "alice")
	_, err := c.Authenticate(t.Context(), "alice", ldaptest.Password("alice"))
	wantReason(t, err, oidc.ReasonAmbiguous)
	_, err = c.UserByName(t.Context(), "alice")
	wantReason(t, err, oidc.ReasonAmbiguous)
}

func TestIDsStayWhenASecondDirectoryComes(t *testing.T) {
	t.Parallel()
	c := openCampus(t, func(staff, _ *ldapstore.Member) { staff.Plain = true })
	plain := c.staff.Values(c.staff.PersonDN("alice"), "entryUUID")[0]
	before := mustUser(t, open(t, options(c.staff)), "alice")
	u, err := c.Authenticate(t.Context(), "alice", ldaptest.Password("alice"))
	if err != nil || u.ID != plain || u.ID != before.ID {
		t.Errorf("%+v, %v; want the id %s", u, err, plain)
	}
	if u, err := c.User(t.Context(), plain); err != nil || u.ID != plain {
		t.Errorf("%+v, %v", u, err)
	}
	student := c.id(c.students, "alice")
	if u, err := c.User(t.Context(), student); err != nil || u.ID != student {
		t.Errorf("%+v, %v", u, err)
	}
	c.staff.DeleteUser("alice")
	c.students.Delete(c.students.PersonDN("alice"))
	for _, id := range []string{plain, student} {
		if _, err := c.User(t.Context(), id); !errors.Is(err, oidc.ErrNotFound) || errors.Is(err, oidc.ErrUnavailable) {
			t.Errorf("%s is gone, but: %v", id, err)
		}
	}
	// Somebody of a directory that is no longer there is not gone.
	for _, id := range []string{"alumni:" + plain, "pupils:x"} {
		_, err := c.User(t.Context(), id)
		wantUnavailable(t, err)
		_, err = c.Photo(t.Context(), id)
		wantUnavailableOr(t, err, oidc.ErrNotFound)
		wantUnavailable(t, c.ChangePassword(t.Context(), id, "x", "y"))
	}
}

func wantUnavailableOr(t *testing.T, err, other error) {
	t.Helper()
	if !errors.Is(err, oidc.ErrUnavailable) && !errors.Is(err, other) {
		t.Errorf("got %v", err)
	}
}

func TestIDsWithoutADirectoryAreNobodys(t *testing.T) {
	t.Parallel()
	c := openCampus(t)
	for _, id := range []string{"", c.staff.Values(c.staff.PersonDN("alice"), "entryUUID")[0], "alumni:x", "Staff:x", ":x"} {
		_, err := c.User(t.Context(), id)
		wantUnavailable(t, err)
	}
	if _, err := c.User(t.Context(), "staff:"); !errors.Is(err, oidc.ErrNotFound) {
		t.Error(err)
	}
}

func TestAPlainIDThatLooksLikeAnothersIsNotBelieved(t *testing.T) {
	t.Parallel()
	staff, students := ldaptest.Start(t), ldaptest.Start(t, ldaptest.WithBase("o=Students"))
	o := options(staff)
	o.Table = map[string][]string{"id_attribute": {"employeeNumber"}}
	c, err := ldapstore.NewSeveral([]ldapstore.Member{
		{Name: "staff", Plain: true, Directory: open(t, o)}, {Name: "students", Directory: open(t, options(students))},
	})
	if err != nil {
		t.Fatal(err)
	}
	victim := "students:" + students.Values(students.PersonDN("bob"), "entryUUID")[0]
	staff.Modify(staff.PersonDN("alice"), "employeeNumber", victim)
	_, err = c.Authenticate(t.Context(), "alice", ldaptest.Password("alice"))
	wantUnavailable(t, err)
	_, err = c.UserByName(t.Context(), "alice")
	wantUnavailable(t, err)
	if u, err := c.User(t.Context(), victim); err != nil || u.DN != students.PersonDN("bob") {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestGuardsPasswordsAndGroupsOfSeveralDirectories(t *testing.T) {
	t.Parallel()
	c := openCampus(t, byForm)
	var asked []string
	ctx := oidc.WithBindGuard(t.Context(), func(subject string) error {
		asked = append(asked, subject)
		return nil
	})
	frank := c.id(c.students, "frank")
	_, err := c.Authenticate(ctx, `STUDENTS\frank`, ldaptest.Password("frank"))
	refused := signInError(t, err)
	if refused.Reason != oidc.ReasonMustChange || refused.Subject != frank || !refused.MayChange {
		t.Fatalf("%+v", refused)
	}
	if err := c.ChangePassword(ctx, frank, ldaptest.Password("frank"), "a new password"); err != nil {
		t.Fatal(err)
	}
	if u, err := c.Authenticate(ctx, `STUDENTS\frank`, "a new password"); err != nil || u.ID != frank {
		t.Errorf("%+v, %v", u, err)
	}
	if !slices.Equal(asked, []string{frank, frank, frank}) {
		t.Errorf("the guard was asked about %q", asked)
	}
	if reset := c.staff.Values(c.staff.PersonDN("frank"), "pwdReset"); len(reset) != 1 {
		t.Error("the wrong frank's password was changed")
	}
	wantReason(t, c.ChangePassword(ctx, frank, "wrong", "another"), oidc.ReasonWrongPassword)
	err = c.ChangePassword(ctx, frank, "wrong", "another")
	if signInError(t, err).Subject != frank {
		t.Errorf("%+v", err)
	}
	for _, dn := range []string{ldaptest.GroupDN("cn=staff"), "cn=staff,ou=groups,o=Students"} {
		if g, err := c.Group(t.Context(), dn); err != nil || g.DN != dn {
			t.Errorf("%s: %+v, %v", dn, g, err)
		}
	}
	if _, err := c.Group(t.Context(), "cn=none,ou=groups,o=Students"); !errors.Is(err, oidc.ErrNotFound) {
		t.Error(err)
	}
	var steps []string
	traced := ldapstore.WithTrace(t.Context(), func(s ldapstore.Step) {
		if s.What == ldapstore.StepDirectory {
			steps = append(steps, s.Server)
		}
	})
	if _, err := c.UserByName(traced, "alice@students.example.org"); err != nil || !slices.Equal(steps, []string{"students"}) {
		t.Errorf("%q, %v", steps, err)
	}
}

func TestMistakesInSeveralDirectoriesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	one := func(change func(*ldapstore.Options)) *ldapstore.Directory {
		o := ldapstore.Options{URL: []string{"ldaps://one.example.org"}, BaseDN: "dc=example,dc=org"}
		change(&o)
		return open(t, o)
	}
	same := func(*ldapstore.Options) {}
	other := func(base, kind string) func(*ldapstore.Options) {
		return func(o *ldapstore.Options) {
			o.URL, o.BaseDN, o.Kind = []string{"ldaps://two.example.org"}, base, kind
		}
	}
	for what, c := range map[string]struct {
		members []ldapstore.Member
		keys    []string
	}{
		"none": {nil, []string{"directories"}},
		"names, patterns and two with plain subjects": {[]ldapstore.Member{
			{Name: "Staff", Plain: true, Directory: one(same)},
			{Name: "a", Plain: true, Names: []string{"x", "*@a*", "*", "*@a", `A\*`}, Directory: one(same)},
			{Name: "a", Directory: one(same)},
		}, []string{"directories.Staff.name", "directories.a.names", "directories.a.names", "directories.a.subjects", "directories.a.name"}},
		"groups that can't be told apart": {[]ldapstore.Member{
			{Name: "a", Directory: one(same)}, {Name: "b", Directory: one(other("DC=Example, dc=org", ""))}, {Name: "c", Directory: one(other("ou=x,dc=example,dc=org", ""))},
		}, []string{"directories.b.group_base_dn", "directories.c.group_base_dn"}},
		"one server in two sections": {[]ldapstore.Member{{Name: "a", Directory: one(same)}, {Name: "b", Directory: one(same)}}, nil},
		"domains of a forest": {[]ldapstore.Member{
			{Name: "a", Directory: one(func(o *ldapstore.Options) { o.Kind = "ad" })}, {Name: "b", Directory: one(other("dc=child,dc=example,dc=org", "ad"))},
		}, nil},
	} {
		_, err := ldapstore.NewSeveral(c.members)
		var problems oidc.Problems
		errors.As(err, &problems)
		var keys []string
		for _, p := range problems {
			keys = append(keys, p.Key)
		}
		if !slices.Equal(keys, c.keys) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestSeveralDirectoriesObeyTheirContext(t *testing.T) {
	t.Parallel()
	c := openCampus(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Authenticate(ctx, "alice", ldaptest.Password("alice")); !isUnavailable(err) {
		t.Error(err)
	}
	c.Close()
	if _, err := c.UserByName(t.Context(), "alice"); !isUnavailable(err) {
		t.Error(err)
	}
}
