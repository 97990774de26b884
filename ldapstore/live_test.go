package ldapstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// TestTheNextAnswerHasTheChange removes people from a group, disables them, moves
// them out of the base and deletes them: a thousand changes on each server, and each
// time the very next answer has it.
func TestTheNextAnswerHasTheChange(t *testing.T) {
	t.Parallel()
	people := 250 // four changes each
	if testing.Short() {
		people = 10
	}
	var crowd []ldaptest.Person
	everybody := ldaptest.Group{RDN: "cn=crowd"}
	for i := range people + 1 { // one stays: that nobody is there at all would not be believed
		p := ldaptest.Person{UID: fmt.Sprintf("person%d", i), GivenName: "Person", Surname: fmt.Sprint(i), NoPassword: true}
		crowd, everybody.Members = append(crowd, p), append(everybody.Members, p.DN())
	}
	groups := []ldaptest.Group{everybody}
	for name, start := range map[string]func(*testing.T) *ldaptest.Server{
		"OpenLDAP": func(t *testing.T) *ldaptest.Server {
			return ldaptest.Start(t, ldaptest.WithLDIF(ldaptest.LDIF(crowd, groups)))
		},
		"389 DS": func(t *testing.T) *ldaptest.Server { return ldaptest.Start389(t, crowd, groups) },
		"Active Directory": func(t *testing.T) *ldaptest.Server {
			if testing.Short() {
				t.Skip("to set a domain up takes long")
			}
			return ldaptest.StartAD(t, crowd, groups)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			o := encrypted(s)
			o.Timeout = time.Minute // only the answers count
			o.UserBaseDN = []string{"ou=people," + s.BaseDN}
			d := open(t, o)
			changed, old := 0, 0
			for _, p := range crowd[:people] {
				n, stale := changesOf(t, s, d, p.UID, mustUser(t, d, p.UID).ID)
				changed, old = changed+n, old+stale
			}
			t.Logf("%d of %d answers were old", old, changed)
		})
	}
}

// changesOf takes everything from one person, and looks after each change.
func changesOf(t *testing.T, s *ldaptest.Server, d *ldapstore.Directory, uid, id string) (changed, old int) {
	t.Helper()
	group, home := ldaptest.GroupDN("cn=crowd"), s.PersonDN(uid)
	away := strings.Replace(home, "ou=people,", "ou=services,", 1)
	gone := func(_ *oidc.User, err error) bool { return errors.Is(err, oidc.ErrNotFound) }
	for _, c := range []struct {
		what   string
		change func()
		seen   func(*oidc.User, error) bool
	}{
		{"removed from a group", func() { s.RemoveMember(group, home) }, func(u *oidc.User, err error) bool {
			return err == nil && len(groupNames(u)) == usual(s)
		}},
		{"disabled", func() { s.Disable(uid) }, func(u *oidc.User, err error) bool { return err == nil && u.State == oidc.StateDisabled }},
		{"moved out of the base", func() { s.Move(home, "ou=services,"+s.BaseDN) }, gone},
		{"deleted", func() {
			s.Move(away, "ou=people,"+s.BaseDN)
			if u, err := d.User(t.Context(), id); err != nil || u.ID != id {
				t.Errorf("%s is back, but the answer is %v", uid, err)
			}
			s.Delete(home)
		}, gone},
	} {
		c.change()
		changed++
		if u, err := d.User(t.Context(), id); !c.seen(u, err) {
			old++
			t.Errorf("%s was %s: the answer is %+v, %v", uid, c.what, u, err)
		}
	}
	return changed, old
}

// usual is how many groups everybody is in.
func usual(s *ldaptest.Server) int {
	if s.Kind == "ad" {
		return 2
	}
	return 0
}
