package ldapstore_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

func lookAround(t testing.TB, o ldapstore.Options) *ldapstore.Survey {
	t.Helper()
	s, err := ldapstore.LookAround(t.Context(), o)
	if err != nil {
		t.Fatalf("LookAround: %v", err)
	}
	return s
}

func TestASurveyFindsWhatFits(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.BaseDN = ""
	v := lookAround(t, o)
	if v.Kind != "openldap" || v.BaseDN != s.BaseDN || v.People != 14 || !v.Complete || v.Account != s.ServiceDN || v.Encrypted || v.IDAttribute != "" ||
		v.PeopleUnder != "ou=people,"+s.BaseDN || v.Group == "" || v.Groups < 10 || len(v.Findings) > 0 {
		t.Errorf("%+v", v)
	}

	// A base that is given is the one that counts.
	o.BaseDN = "ou=groups," + s.BaseDN
	var problems oidc.Problems
	if _, err := ldapstore.LookAround(t.Context(), o); !errors.As(err, &problems) || !strings.Contains(problems[0].Message, "nobody is found under ou=groups") || problems[0].Hint == "" {
		t.Errorf("got %v", err)
	}
	o.BaseDN = ""
	o.BindPassword = func() (string, error) { return "wrong", nil }
	if _, err := ldapstore.LookAround(t.Context(), o); !errors.As(err, &problems) || !strings.Contains(problems[0].Message, "refuses the account") {
		t.Errorf("got %v", err)
	}
	o.URL, o.CAFile = []string{s.LDAPSURL}, ""
	var untrusted *ldapstore.TLSError
	if _, err := ldapstore.LookAround(t.Context(), o); !errors.As(err, &untrusted) || !untrusted.Untrusted() {
		t.Errorf("got %v", err)
	}
}

func TestASurveyFindsNamesToSignInWith(t *testing.T) {
	t.Parallel()
	person := func(i int, more map[string][]string) ldaptest.Person {
		return ldaptest.Person{UID: fmt.Sprintf("p%d", i), GivenName: "A", Surname: "B", More: more}
	}
	for name, c := range map[string]struct {
		mail func(i int) string
		want []string
	}{
		"a mail address each":          {func(i int) string { return fmt.Sprintf("p%d@example.org", i) }, []string{"uid", "mail"}},
		"a mail address that two have": {func(i int) string { return fmt.Sprintf("p%d@example.org", i/2) }, []string{"uid"}},
	} {
		var people []ldaptest.Person
		for i := range 6 {
			people = append(people, person(i, map[string][]string{"mail": {c.mail(i)}}))
		}
		s := ldaptest.Start(t, ldaptest.WithLDIF(ldaptest.LDIF(people, nil)))
		o := options(s)
		o.BaseDN = ""
		v := lookAround(t, o)
		if !slices.Equal(v.LoginAttributes, c.want) || v.Usual != (len(c.want) == 1) {
			t.Errorf("%s: %+v", name, v)
		}
		if v.Groups != 0 || v.Group != "" || len(v.Findings) == 0 {
			t.Errorf("without groups: %+v", v)
		}
	}
	s := ldaptest.Start(t, ldaptest.WithAccess("access to attrs=entryUUID by * none"))
	o := options(s)
	o.BaseDN = ""
	if v := lookAround(t, o); !slices.ContainsFunc(v.Findings, func(f ldapstore.Finding) bool { return strings.Contains(f.Message, "no entryUUID") }) {
		t.Errorf("%+v", v)
	}
}

func TestASurveyGoesByWhatItMaySee(t *testing.T) {
	t.Parallel()
	_, o := office(t, demodir.Options{SizeLimit: 5})
	o.BaseDN = ""
	if v := lookAround(t, o); v.Complete || v.People != 5 || v.BaseDN != "dc=lindenhof,dc=example" {
		t.Errorf("%+v", v)
	}
	o.BindDN, o.BindPassword = "", nil
	var problems oidc.Problems
	if _, err := ldapstore.LookAround(t.Context(), o); !errors.As(err, &problems) || !strings.Contains(problems[0].Hint, "--bind-dn") {
		t.Errorf("got %v", err)
	}
}
