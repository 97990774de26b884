package demodir_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"gatehouse/ldapstore/demodir"
)

// tool runs one of OpenLDAP's commands.
func tool(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("GATEHOUSE_TEST_REQUIRE") == "all" {
			t.Fatalf("%s is missing: install the package ldap-utils", name)
		}
		t.Skipf("%s is missing: install the package ldap-utils", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "LDAPNOINIT=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestTheCommandsOfOpenLDAPGetOnWithIt(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	service := []string{"-x", "-H", s.URL, "-D", s.ServiceDN, "-w", s.ServicePassword}
	out, err := tool(t, "ldapsearch", append(service, "-LLL", "-b", base, "-E", "pr=5/noprompt", "(mail=*@lindenhof.example)", "mail", "memberOf")...)
	if err != nil || strings.Count(out, "\nmail: ") != 13 || !strings.Contains(out, "memberOf: cn=Mill\\2C Phase 2,") {
		t.Errorf("ldapsearch: %v\n%s", err, out)
	}
	for who, want := range map[string]string{
		"siobhan harbour-light": "dn:uid=siobhan,", "elena autumn-leaf": "Password expired", "bjorn empty-chair": "Account locked", "pieter second-key": "Password must be changed",
	} {
		name, password, _ := strings.Cut(who, " ")
		out, _ := tool(t, "ldapwhoami", "-x", "-H", s.URL, "-e", "ppolicy", "-D", "uid="+name+","+people, "-w", password) // the text tells
		if !strings.Contains(out, want) {
			t.Errorf("ldapwhoami of %s: %s", name, out)
		}
	}
	if out, err := tool(t, "ldapsearch", "-x", "-H", s.URL, "-LLL", "-s", "base", "-b", "", "+"); err != nil || !strings.Contains(out, "namingContexts: "+base) {
		t.Errorf("ldapsearch of the root DSE: %v\n%s", err, out)
	}
}
