package config_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gatehouse/config"
)

// head is good without its directory.
var head = good[:strings.Index(good, "directory:")]

const twoDirectories = `directories:
  - name: staff
    subjects: plain
    url: [ldaps://ldap1.example.org, ldaps://ldap2.example.org]
    bind_dn: cn=gatehouse,dc=example,dc=org
    bind_password_file: bind.pw
    base_dn: dc=example,dc=org
  - name: students-eu
    names: ["*@students.example.org", 'STUDENTS\*']
    cut_names: true
    url: ldaps://ldap.students.example.org
    base_dn: dc=students,dc=example,dc=edu
    kind: ad
    nested_groups: false
    timeout: 1s
`

func TestSeveralDirectoriesAreReadLikeOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	file := h.write("gatehouse.yaml", head+twoDirectories, 0o644)
	c, err := config.Load(file, []string{
		"GATEHOUSE_DIRECTORIES_STUDENTS_EU_BIND_PASSWORD=hunter2", "GATEHOUSE_DIRECTORIES_STUDENTS_EU_BIND_DN=cn=x",
		"GATEHOUSE_DIRECTORIES_STAFF_POOL_SIZE=3",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Directories) != 2 || len(c.Directory.URL) != 0 {
		t.Fatalf("%+v", c.Directories)
	}
	staff, students := c.Directories[0], c.Directories[1]
	if staff.Name != "staff" || !staff.Plain || staff.Names != nil || staff.CutNames || len(staff.URL) != 2 || staff.PoolSize != 3 || !staff.NestedGroups || staff.PasswordChange != "page" {
		t.Errorf("%+v", staff)
	}
	if students.Name != "students-eu" || students.Plain || !reflect.DeepEqual(students.Names, []string{"*@students.example.org", `STUDENTS\*`}) || !students.CutNames ||
		students.Kind != "ad" || students.NestedGroups || students.Timeout.Seconds() != 1 || students.BindDN != "cn=x" || students.PoolSize != 16 {
		t.Errorf("%+v", students)
	}
	for d, want := range map[*config.NamedDirectory]string{&staff: "s3cret-of-the-directory", &students: "hunter2"} {
		if secret, err := d.Password(); err != nil || secret.Reveal() != want {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	for key, line := range map[string]int{"directories.staff.url": 10, "directories.students-eu.kind": 19, "directories.students-eu.names": 15, "directories.staff.ca_file": 7} {
		if at, n := c.Where(key); at != file || n != line {
			t.Errorf("%s is at %s:%d, want line %d", key, at, n, line)
		}
	}
	described := map[string]string{}
	for _, d := range c.Describe() {
		described[d.Key] = d.Value + " " + d.Source
	}
	for key, want := range map[string]string{
		"directories.staff.subjects": "plain " + file + ":9", "directories.staff.pool_size": "3 environment", "directories.students-eu.bind_password": "*** environment",
	} {
		if described[key] != want {
			t.Errorf("%s is described as %q, want %q", key, described[key], want)
		}
	}
	if _, there := described["directory.url"]; there {
		t.Error("a directory is described that isn't there")
	}
}

func TestMistakesInSeveralDirectoriesNameTheirKey(t *testing.T) {
	t.Parallel()
	change := func(old, with string) string {
		if !strings.Contains(twoDirectories, old) {
			panic(old)
		}
		return head + strings.Replace(twoDirectories, old, with, 1)
	}
	for name, c := range map[string]struct {
		file string
		line int
		key  string
		says string
	}{
		"both forms":             {good + twoDirectories, 12, "directories", "beside the list"},
		"no list":                {head + "directories: {name: staff}\n", 7, "directories", "not a list"},
		"an empty list":          {head + "directories: []\n", 7, "directories", "not a list"},
		"no section":             {head + "directories: [staff]\n", 7, "directories[0]", "no settings"},
		"no name":                {change("- name: staff\n    sub", "- sub"), 8, "directories[0].name", "missing"},
		"a bad name":             {change("name: staff", "name: Staff"), 8, "directories[0].name", "lower-case"},
		"the same name":          {change("name: students-eu", "name: staff"), 14, "directories.staff.name", "two directories"},
		"two with plain":         {change("cut_names: true", "cut_names: true\n    subjects: plain"), 14, "directories.students-eu.subjects", "plain subjects already"},
		"subjects of no sort":    {change("plain", "bare"), 9, "directories.staff.subjects", "prefixed or plain"},
		"a form without a star":  {change("*@students.example.org", "@students.example.org"), 15, "directories.students-eu.names", "no form"},
		"a star in the middle":   {change("*@students.example.org", "a*b"), 15, "directories.students-eu.names", "no form"},
		"no forms":               {change(`["*@students.example.org", 'STUDENTS\*']`, "[]"), 15, "directories.students-eu.names", "empty"},
		"nothing to cut":         {change("subjects: plain", "cut_names: true"), 9, "directories.staff.cut_names", "nothing to cut"},
		"no address":             {change("    url: ldaps://ldap.students.example.org\n", ""), 14, "directories.students-eu.url", "missing"},
		"an address in clear":    {change("ldaps://ldap.students", "ldap://ldap.students"), 17, "directories.students-eu.url", "unencrypted"},
		"an unknown setting":     {change("timeout: 1s", "timeuot: 1s"), 21, "directories.students-eu.timeuot", "did you mean directories.students-eu.timeout"},
		"an unknown own setting": {change("cut_names: true", "cut_name: true"), 16, "directories.students-eu.cut_name", "cut_names"},
		"a setting of elsewhere": {change("timeout: 1s", "claims: {}"), 21, "directories.students-eu.claims", "unknown"},
		"a password for nobody":  {change("    bind_dn: cn=gatehouse,dc=example,dc=org\n", ""), 11, "directories.staff.bind_password_file", "no bind_dn"},
		"no password":            {change("    bind_password_file: bind.pw\n", ""), 8, "directories.staff.bind_password_file", "GATEHOUSE_DIRECTORIES_STAFF_BIND_PASSWORD"},
		"no authority":           {change("timeout: 1s", "ca_file: none.pem"), 21, "directories.students-eu.ca_file", "no such file"},
		"a base that is none":    {change("dc=students,dc=example,dc=edu", "students"), 18, "directories.students-eu.base_dn", "not a distinguished name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			_, err := config.Load(h.write("gatehouse.yaml", c.file, 0o644), nil)
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("taken: %v", err)
			}
			if p := problems[0]; len(problems) != 1 || p.Line != c.line || p.Key != c.key || !strings.Contains(p.Message+p.Hint, c.says) {
				t.Errorf("want line %d, key %q, saying %q; got\n%v\n%+v", c.line, c.key, c.says, err, problems)
			}
		})
	}
}

func TestVariablesOfSeveralDirectoriesAreChecked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	file := h.write("gatehouse.yaml", head+twoDirectories, 0o644)
	for variable, says := range map[string]string{
		"GATEHOUSE_DIRECTORIES_STAFF_URI=x":          "GATEHOUSE_DIRECTORIES_STAFF_URL",
		"GATEHOUSE_DIRECTORIES_ALUMNI_URL=x":         "no such setting",
		"GATEHOUSE_DIRECTORY_URL=ldaps://x":          "beside the list",
		"GATEHOUSE_DIRECTORIES_STAFF_POOL_SIZE=many": "not a whole number",
	} {
		_, err := config.Load(file, []string{variable})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", variable, err)
		}
	}
	// A secret of one section in two ways.
	_, err := config.Load(file, []string{"GATEHOUSE_DIRECTORIES_STAFF_BIND_PASSWORD=a", "GATEHOUSE_DIRECTORIES_STAFF_BIND_PASSWORD_FILE=" + h.path("bind.pw")})
	if err == nil || !strings.Contains(err.Error(), "GATEHOUSE_DIRECTORIES_STAFF_BIND_PASSWORD_FILE") {
		t.Error(err)
	}
	if text := fmt.Sprint(err); strings.Contains(text, "GATEHOUSE_DIRECTORY_") {
		t.Error(text)
	}
}
