package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// startCampus starts a site whose directory became one of two: its people keep
// their ids, and students have a server of their own.
func startCampus(t *testing.T) (s *site, students *ldaptest.Server) {
	t.Helper()
	return startCampusOn(t, ldaptest.Start(t), nil)
}

// startCampusOn starts it on a directory of staff that runs already.
func startCampusOn(t *testing.T, staff *ldaptest.Server, files map[string]string, change ...func(*config.Config)) (s *site, students *ldaptest.Server) {
	t.Helper()
	students = ldaptest.Start(t, ldaptest.WithBase("o=Students"))
	all := map[string]string{"students.pw": students.ServicePassword + "\n"}
	maps.Copy(all, files)
	s = startSiteOn(t, staff, all, append([]func(*config.Config){func(c *config.Config) {
		data, err := os.ReadFile(c.File)
		if err != nil {
			t.Fatal(err)
		}
		head, section, _ := strings.Cut(string(data), "directory:\n")
		text := head + "directories:\n- name: staff\n  subjects: plain\n" + section + fmt.Sprintf(`- name: students
  names: ["*@students.example.org"]
  cut_names: true
  url: [%s]
  ca_file: %s
  bind_dn: %s
  bind_password_file: students.pw
  base_dn: o=Students
`, students.LDAPSURL, students.CAFile, students.ServiceDN)
		if err := os.WriteFile(c.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		changed, err := config.Load(c.File, nil)
		if err != nil {
			t.Fatal(err)
		}
		*c = *changed
	}}, change...)...)
	return s, students
}

func TestStaffAndStudentsSignInToOneServer(t *testing.T) {
	t.Parallel()
	s, students := startCampus(t)
	file := filepath.Join(s.Dir, "clients.d", "app.yaml")
	text := strings.Replace(appYAML, ldaptest.GroupDN("cn=staff")+": [profile, email, groups, phone]",
		ldaptest.GroupDN("cn=staff")+": [profile]\n    cn=admins,ou=groups,o=Students: [groups]", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the client is read again", func() bool { return strings.Contains(s.Log.String(), `"what":"clients"`) })
	staffID := s.LDAP.Values(ldaptest.PersonDN("alice"), "entryUUID")[0]
	studentID := "students:" + students.Values(students.PersonDN("alice"), "entryUUID")[0]

	staff := s.application("openid", "profile", "offline_access")
	works := staff.tokens(newPerson(t).get(staff.address()).signIn("alice"))
	if got := staff.idToken(works).Subject; got != staffID {
		t.Errorf("sub of staff is %q, want the one from before: %q", got, staffID)
	}
	student := s.application("openid", "groups", "offline_access")
	learns := student.tokens(newPerson(t).get(student.address()).submit("username", "alice@students.example.org", "password", ldaptest.Password("alice")))
	if got := student.idToken(learns).Subject; got != studentID {
		t.Errorf("sub of a student is %q, want %q", got, studentID)
	}
	// The groups of one give nothing to the people of the other.
	for _, c := range []struct{ scope, name string }{{"groups", "alice"}, {"profile", "alice@students.example.org"}} {
		app := s.application("openid", c.scope)
		g := newPerson(t).get(app.address()).submit("username", c.name, "password", ldaptest.Password("alice"))
		if g.Location == nil || g.Location.Query().Get("error") != "access_denied" {
			t.Errorf("%s has %s: %d %v", c.name, c.scope, g.Status, g.Location)
		}
	}

	if out := s.must("check", "--live"); !strings.Contains(out, "staff can be read, it is of the kind openldap") || !strings.Contains(out, "students can be read") || !strings.Contains(out, "warnings: 0") {
		t.Error(out)
	}
	if out, _, _ := s.command("doctor"); !strings.Contains(out, "directory staff, people") || !strings.Contains(out, "directory students, people") {
		t.Error(out)
	}
	out := s.must("explain", "--user", "alice@students.example.org", "--client", "app")
	for _, part := range []string{"directory students", studentID, "ou=people,o=Students"} {
		if !strings.Contains(out, part) {
			t.Errorf("explain lacks %q: %s", part, out)
		}
	}
	if out := s.must("grant", "list", "--user", "alice@students.example.org"); !strings.Contains(out, studentID) || strings.Contains(out, staffID) {
		t.Error(out)
	}

	// Students go on while the directory of staff is away, and staff lose nothing.
	s.LDAP.Stop()
	if g := s.refresh(works.RefreshToken); g.Status != http.StatusServiceUnavailable {
		t.Errorf("staff's directory is away: %d %s", g.Status, g.Body)
	}
	if g := s.refresh(learns.RefreshToken); g.Status != http.StatusOK {
		t.Errorf("a student's refresh: %d %s", g.Status, g.Body)
	}
	student.tokens(newPerson(t).get(student.address()).submit("username", "bob@students.example.org", "password", "wrong").
		submit("username", "alice@students.example.org", "password", ldaptest.Password("alice")))
	if g := newPerson(t).get(staff.address()).signIn("alice"); g.Status != http.StatusServiceUnavailable {
		t.Errorf("a name that may be staff's: %d", g.Status)
	}
	if err := s.house.ready(context.Background()); err != nil {
		t.Errorf("not ready with one directory away: %v", err)
	}
	if out, _, code := s.command("check", "--live"); code != exitProblems || !strings.Contains(out, "directories.staff") {
		t.Errorf("%d %s", code, out)
	}
	s.LDAP.Restart()
	eventually(t, "staff's refresh token still works", func() bool { return s.refresh(works.RefreshToken).Status == http.StatusOK })
}

func TestMistakesInSeveralDirectoriesStopTheStart(t *testing.T) {
	t.Parallel()
	s, _ := startCampus(t)
	file := filepath.Join(s.Dir, "gatehouse.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "base_dn: o=Students\n", "base_dn: "+ldaptest.BaseDN+"\n  user_filter: (uid=\n", 1)
	for _, c := range []struct{ text, want string }{
		{text, "directories.students.user_filter"},
		{strings.Replace(text, "  user_filter: (uid=\n", "", 1), "directories.students.group_base_dn"},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, _, code := s.command("check"); code != exitProblems || !strings.Contains(out, c.want) {
			t.Errorf("%d %s; want %s", code, out, c.want)
		}
	}
}
