package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"gatehouse/ldapstore/demodir"
	"gatehouse/oidc"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/store"
)

// TestScripts runs the scripts of testdata/script. They have the office of
// demodir as $LDAP, a directory of students as $LDAP2, and beside the usual commands:
//
//	exits CODE COMMAND…     runs a command that has to end with this exit code
//	first-start FOLDER      makes keys, as the first start of the server does
//	seed DATABASE CLIENT SUBJECT ID   writes a grant, as a sign-in would
//	capture NAME PATTERN    sets $NAME to the pattern's group in the last stdout
//	mode OCTAL FILE         compares the rights of a file
func TestScripts(t *testing.T) {
	t.Parallel()
	directory, err := demodir.Start(context.Background(), demodir.Options{ServicePassword: "service-password"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(directory.Close)
	students, err := demodir.Start(context.Background(), demodir.Options{ServicePassword: "service-password", LDIF: []byte(studentsLDIF)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(students.Close)
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("LDAP", directory.URL)
			env.Setenv("LDAP_DN", directory.ServiceDN)
			env.Setenv("LDAP_BASE", directory.BaseDN)
			env.Setenv("LDAP2", students.URL)
			env.Setenv("LDAP2_DN", students.ServiceDN)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "first-start": firstStart, "seed": seed, "capture": capture, "mode": mode,
		},
	})
}

// studentsLDIF is a second directory, apart from the first.
const studentsLDIF = `dn: o=Students
objectClass: organization
o: Students

dn: ou=services,o=Students
objectClass: organizationalUnit
ou: services

dn: uid=tina,o=Students
objectClass: inetOrgPerson
uid: tina
cn: Tina Test
sn: Test
userPassword: secret

dn: cn=class,o=Students
objectClass: groupOfNames
cn: class
member: uid=tina,o=Students
`

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("exit code %d, want %d", code, want)
	}
}

func capture(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

func firstStart(ts *testscript.TestScript, _ bool, args []string) {
	_, err := keys.Open(ts.MkAbs(args[0]), time.Now)
	ts.Check(err)
}

func seed(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	s, err := store.Open(ctx, ts.MkAbs(args[0]), store.Options{})
	ts.Check(err)
	defer func() { ts.Check(s.Close()) }()
	now := time.Now()
	id := strings.Repeat("g", 22-len(args[3])) + args[3]
	ts.Check(s.SaveAuthorization(ctx, store.Authorization{
		Grant: oidc.Grant{
			ID: id, ClientID: args[1], Subject: args[2], Scopes: []string{"openid", "email"},
			AuthTime: now, CreatedAt: now, ExpiresAt: now.Add(time.Hour),
		},
		Code: oidc.Code{Hash: oidc.HashOf(id), GrantID: id, RedirectURI: "https://app.example.org/cb", ExpiresAt: now.Add(time.Minute)},
		Session: &oidc.SessionChange{
			Hash:    oidc.HashOf("session " + id),
			Session: oidc.Session{ID: "s-" + id, Subject: args[2], AuthTime: now, LastSeenAt: now, ExpiresAt: now.Add(time.Hour)},
		},
	}))
}
