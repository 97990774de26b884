package ldapstore_test

import (
	"errors"
	"testing"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

func TestAnAttributeNamesOnePersonOrNobody(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	u, err := d.UserByAttribute(t.Context(), "mail", "ALICE@example.org") // by the attribute's own matching rule
	if err != nil || u.Username != "alice" || u.ID != s.Values(u.DN, "entryUUID")[0] {
		t.Fatalf("%+v, %v", u, err)
	}
	wantGroups(t, u, "staff", "developers", "engineering", "company", "loop", "unique", "unix", "admins")
	if _, err := d.UserByAttribute(t.Context(), "mail", "twins@example.org"); signInError(t, err).Reason != oidc.ReasonAmbiguous {
		t.Errorf("two people share it: %v", err)
	}
	for _, value := range []string{"nobody@example.org", "", "*", "alice@example.org)(uid=*", "alice*", "\x00"} {
		if u, err := d.UserByAttribute(t.Context(), "mail", value); !errors.Is(err, oidc.ErrNotFound) {
			t.Errorf("%q is %+v, %v", value, u, err)
		}
	}
	s.Stop()
	if _, err := d.UserByAttribute(t.Context(), "mail", "alice@example.org"); !errors.Is(err, oidc.ErrUnavailable) {
		t.Errorf("a directory that is away: %v", err)
	}
}

func TestAnAttributeThatTwoDirectoriesHaveNamesNobody(t *testing.T) {
	t.Parallel()
	c := openCampus(t)
	c.students.AddPerson(ldaptest.Person{UID: "zoe", GivenName: "Zoe", Surname: "Young"})
	if u, err := c.UserByAttribute(t.Context(), "uid", "zoe"); err != nil || u.ID != c.id(c.students, "zoe") {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := c.UserByAttribute(t.Context(), "uid", "alice"); signInError(t, err).Reason != oidc.ReasonAmbiguous {
		t.Errorf("got %v", err)
	}
	if _, err := c.UserByAttribute(t.Context(), "uid", "nobody"); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	c.staff.Stop() // which may have a zoe, too
	if _, err := c.UserByAttribute(t.Context(), "uid", "zoe"); !errors.Is(err, oidc.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
