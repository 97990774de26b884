package demodir_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// twins are the same entries in a real OpenLDAP and here.
type twins struct {
	slapd *ldaptest.Server
	demo  *demodir.Server
}

func startTwins(t *testing.T, ldif string) twins {
	t.Helper()
	slapd := ldaptest.Start(t, ldaptest.WithLDIF(ldif), ldaptest.WithDatabase("limits * size=unlimited"))
	return twins{slapd, start(t, demodir.Options{LDIF: []byte(ldif), ServiceDN: slapd.ServiceDN, ServicePassword: slapd.ServicePassword})}
}

// both runs a question on both; the answers have to be the same.
func (w twins) both(t *testing.T, what string, ask func(c *ldap.Conn) string) {
	t.Helper()
	var answers []string
	for _, url := range []string{w.slapd.URL, w.demo.URL} {
		c, err := ldap.DialURL(url)
		must(t, err)
		answers = append(answers, ask(c))
		_ = c.Close()
	}
	if answers[0] != answers[1] {
		t.Errorf("%s:\n  OpenLDAP %s\n  here     %s", what, answers[0], answers[1])
	}
}

// office returns the office moved to the base of ldaptest.
func officeLDIF() string {
	return strings.NewReplacer("dc=lindenhof,dc=example", ldaptest.BaseDN, "\ndc: lindenhof\n", "\ndc: example\n").Replace(string(demodir.Office()))
}

// outcome renders an answer so that two can be compared: without what differs from
// one start to the next, and without memberOf, which slapadd does not make.
func outcome(r *ldap.SearchResult, err error) string {
	var b strings.Builder
	var e *ldap.Error
	if errors.As(err, &e) {
		fmt.Fprintf(&b, "code %d, matched %q, ", e.ResultCode, strings.ToLower(e.MatchedDN))
	} else if err != nil {
		return err.Error()
	}
	if r == nil {
		return b.String()
	}
	var lines []string
	for _, entry := range r.Entries {
		var attributes []string
		for _, a := range entry.Attributes {
			switch a.Name {
			case "entryUUID", "entryCSN", "createTimestamp", "modifyTimestamp", "creatorsName", "modifiersName", "subschemaSubentry", "memberOf":
				continue
			}
			slices.Sort(a.Values)
			values := strings.ReplaceAll(fmt.Sprint(a.Values), `\,`, `\2C`) // slapadd keeps them, as against an add over LDAP
			attributes = append(attributes, a.Name+values)
		}
		slices.Sort(attributes)
		lines = append(lines, fmt.Sprint(entry.DN, attributes))
	}
	slices.Sort(lines)
	for _, c := range r.Controls {
		fmt.Fprintf(&b, "control %s, ", c.GetControlType())
	}
	return b.String() + strings.Join(lines, "; ")
}

func TestSearchesAnswerAsOpenLDAPDoes(t *testing.T) {
	t.Parallel()
	w := startTwins(t, officeLDIF())
	base := ldaptest.BaseDN
	asReader := func(ask func(*ldap.Conn) string) func(*ldap.Conn) string {
		return func(c *ldap.Conn) string {
			if err := c.Bind(w.demo.ServiceDN, w.demo.ServicePassword); err != nil {
				return err.Error()
			}
			return ask(c)
		}
	}
	// The account of ldaptest itself is not in the LDIF, and so is another here.
	for _, filter := range []string{
		"(cn>=a)", "(foo=x)", "(!(foo=x))", "(!(sn>=a))", "(employeeNumber>=1005)", "(objectClass=person)", "(cn=*O*neil*)", "(sn=de   vries)", "(sn=*e v*)", "(sn=de *)",
		"(telephoneNumber=+493023125101)", "(telephoneNumber=*23125-1*)", "(member=uid=lea, ou=People," + base + ")", "(ou:dn:=groups)", "(sn:caseExactMatch:=conti)",
		"(sn:2.5.13.2:=conti)", "(:caseIgnoreMatch:=conti)", "(:dn:caseIgnoreMatch:=groups)", "(!(userPassword=*))", "(userPassword=*)", "(entryUUID=zzz)", "(uid~=juergen)",
		"(pwdReset=true)", "(pwdReset=TRUE)", "(sn=MÜLLER)", "(sn=Muller)", "(structuralObjectClass=person)", "(!(manager=notadn))", "(entryDN=uid=lea,ou=people," + base + ")",
		"(&(uid=lea)(foo=x))", "(|(uid=lea)(foo=x))", "(!(|(uid=lea)(foo=x)))", "(name=Conti)", "(commonName=Giulia Conti)", "(2.5.4.3=Giulia Conti)", "(title=*er)",
		"(labeledURI=https://LINDENHOF.example/amelie)", "(sn=yildiz)", "(cn;lang-de=*)", "(cn=*渡*)", "(postalCode>=10000)", "(pwdChangedTime>=20230102080000Z)",
		"(pwdChangedTime<=20230102090000+0100)", "(cn=Lindqvist, Åsa)", `(cn=\4cindqvist, Åsa)`, "(manager=cn=lindqvist\\5c2c åsa,ou=people," + base + ")", "(sn= )", "(uid=a*a)", "(uid=as*sa)", "(|)",
		`(&(objectClass=inetOrgPerson)(|(uid=asa)(mail=asa*)))`, "(hasSubordinates=TRUE)",
	} {
		w.both(t, filter, asReader(func(c *ldap.Conn) string {
			return outcome(c.Search(search("ou=people,"+base, ldap.ScopeWholeSubtree, filter))) + outcome(c.Search(search("ou=groups,"+base, ldap.ScopeWholeSubtree, filter, "member")))
		}))
	}
	for _, asked := range []string{"*", "+", "* +", "1.1", "CN MEMBEROF", "commonName 2.5.4.4 structuralobjectclass", "name", "userPassword", "cn;lang-de"} {
		for _, who := range []string{"uid=giulia", "uid=bjorn", `cn=Lindqvist\, Åsa`} {
			w.both(t, "attributes "+asked, asReader(func(c *ldap.Conn) string {
				return outcome(c.Search(search(who+",ou=people,"+base, ldap.ScopeBaseObject, "(objectClass=*)", strings.Fields(asked)...)))
			}))
		}
	}
	for _, dn := range []string{"", "foo", "dc=other", "uid=nobody,ou=people," + base, "uid=x,uid=nobody,ou=people," + base, "OU=People, " + base} {
		for scope := range 4 {
			if dn == "" && scope == 0 {
				continue // the root DSE of each tells of itself
			}
			w.both(t, fmt.Sprintf("base %q, scope %d", dn, scope), asReader(func(c *ldap.Conn) string { return outcome(c.Search(search(dn, scope, "(objectClass=*)", "1.1"))) }))
		}
	}
	for _, limit := range []struct{ size, page int }{{3, 0}, {4, 10}, {7, 5}, {0, 5}, {28, 5}, {0, 1000}} {
		w.both(t, fmt.Sprint("limits ", limit), asReader(func(c *ldap.Conn) string {
			r := search("ou=people,"+base, ldap.ScopeSingleLevel, "(objectClass=*)", "1.1")
			r.SizeLimit = limit.size
			var got *ldap.SearchResult
			var err error
			if limit.page == 0 {
				got, err = c.Search(r)
			} else {
				got, err = c.SearchWithPaging(r, uint32(limit.page))
			}
			return fmt.Sprint(code(t, err), len(got.Entries))
		}))
	}
	w.both(t, "comparing", asReader(func(c *ldap.Conn) string {
		var answers []string
		for _, ava := range []string{"sn=CONTI", "sn=x", "mobile=x", "userPassword=x", "nosuchthing=x", "objectClass=person"} {
			name, value, _ := strings.Cut(ava, "=")
			same, err := c.Compare("uid=giulia,ou=people,"+base, name, value)
			answers = append(answers, fmt.Sprint(same, code(t, err)))
		}
		return strings.Join(answers, " ")
	}))
	w.slapd.AddMember("cn=Mill\\, Phase 2,ou=groups,"+base, "uid=giulia,ou=people,"+base)
	must(t, w.demo.RemoveMember("cn=design,ou=groups,"+base, "uid=giulia,ou=people,"+base))
	must(t, w.demo.AddMember("cn=Mill\\, Phase 2,ou=groups,"+base, "uid=giulia,ou=people,"+base))
	w.both(t, "memberOf", asReader(func(c *ldap.Conn) string {
		r, err := c.Search(search(base, ldap.ScopeWholeSubtree, "(uid=giulia)", "memberOf"))
		if err != nil || len(r.Entries) != 1 {
			return fmt.Sprint(err)
		}
		return strings.Join(r.Entries[0].GetAttributeValues("memberOf"), "|")
	}))
}

func TestBindsAnswerAsOpenLDAPDoes(t *testing.T) {
	t.Parallel()
	office := startTwins(t, officeLDIF())
	for _, a := range demodir.Accounts() {
		dn := "uid=" + a.Username + ",ou=people," + ldaptest.BaseDN
		if a.Username == "asa" {
			dn = `cn=lindqvist\, åsa,ou=people,` + ldaptest.BaseDN
		}
		office.binds(t, dn, a.Password)
	}
	office.binds(t, "uid=nobody,ou=people,"+ldaptest.BaseDN, "x")
	office.binds(t, "no dn", "x")
	office.binds(t, "ou=people,"+ldaptest.BaseDN, "x")
	office.binds(t, "uid=amelie,ou=people,"+ldaptest.BaseDN, "")
	office.binds(t, "", "")

	seeded := startTwins(t, ldaptest.LDIF(ldaptest.People(), ldaptest.Groups()))
	for _, p := range ldaptest.People() {
		if p.UID == "grace" {
			for range 5 { // three of them are left
				seeded.binds(t, p.DN(), ldaptest.Password(p.UID))
			}
		}
		if _, locks := p.More["pwdFailureTime"]; !locks { // failures are not counted here
			seeded.binds(t, p.DN(), ldaptest.Password(p.UID))
		}
	}
}

// binds tries the right and a wrong password, with and without asking for the
// policy, and searches afterwards.
func (w twins) binds(t *testing.T, dn, password string) {
	t.Helper()
	for _, wrong := range []string{"", "x"} {
		for _, controls := range [][]ldap.Control{nil, {ldap.NewControlBeheraPasswordPolicy()}} {
			w.both(t, fmt.Sprintf("binding as %q, %d controls, with %q behind the password", dn, len(controls), wrong), func(c *ldap.Conn) string {
				request := ldap.NewSimpleBindRequest(dn, password+wrong, controls)
				request.AllowEmptyPassword = true
				r, err := c.SimpleBind(request)
				var b bytes.Buffer
				fmt.Fprint(&b, code(t, err), " ")
				for _, control := range r.Controls {
					if p, ok := control.(*ldap.ControlBeheraPasswordPolicy); ok {
						fmt.Fprintf(&b, "policy error %d, grace %d, expiry %t ", p.Error, p.Grace, p.Expire >= 0)
					}
				}
				own, noDN := oidc.ParseDN(dn)
				// Where a password has expired OpenLDAP says invalidCredentials and leaves the
				// person bound all the same. Here nobody is, as RFC 4511 wants it.
				if noDN != nil || wrong == "" && code(t, err) == ldap.LDAPResultInvalidCredentials {
					return b.String()
				}
				for _, base := range []string{own.String(), ldaptest.BaseDN} {
					found, err := c.Search(search(base, ldap.ScopeBaseObject, "(objectClass=*)", "sn"))
					got := code(t, err)
					if r == nil || got == ldap.LDAPResultUnwillingToPerform {
						got = ldap.LDAPResultNoSuchObject // slapd hides, where this one says that a bind is needed
					}
					n := 0
					if found != nil {
						n = len(found.Entries)
					}
					fmt.Fprintf(&b, "%d entries, code %d; ", n, got)
				}
				return b.String()
			})
		}
	}
}

// TestPasswordsAreChangedAsByOpenLDAP asks both for the same changes, each on a
// connection of its own.
func TestPasswordsAreChangedAsByOpenLDAP(t *testing.T) {
	t.Parallel()
	w := startTwins(t, officeLDIF())
	person := func(uid string) string { return "uid=" + uid + ",ou=people," + ldaptest.BaseDN }
	for _, c := range []struct {
		what, uid, bind, identity, old, next string
	}{
		{"nobody bound", "", "", person("pieter"), "second-key", "another-key"},
		{"somebody else's", "giulia", "yellow-bicycle", person("kenji"), "silver-pencil", "another-key"},
		{"somebody else's, unproved", "giulia", "yellow-bicycle", person("kenji"), "", "another-key"},
		{"no DN", "giulia", "yellow-bicycle", "giulia", "", "another-key"},
		{"the wrong old one", "pieter", "second-key", person("pieter"), "wrong", "another-key"},
		{"too short", "pieter", "second-key", person("pieter"), "second-key", "brief"},
		{"good", "pieter", "second-key", person("pieter"), "second-key", "another-key"},
		{"the old one again", "pieter", "second-key", "", "", "a third key"},
		{"the new one", "pieter", "another-key", "", "", "a third key"},
		{"without a policy", "giulia", "yellow-bicycle", "", "yellow-bicycle", "x"},
	} {
		w.both(t, c.what, func(conn *ldap.Conn) string {
			text := ""
			if c.uid != "" {
				result, err := conn.SimpleBind(ldap.NewSimpleBindRequest(person(c.uid), c.bind, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
				text = outcome(nil, err)
				if result != nil {
					for _, control := range result.Controls {
						text += fmt.Sprintln(control)
					}
				}
			}
			value := ber.NewSequence("")
			for tag, part := range []string{c.identity, c.old, c.next} {
				if part != "" {
					value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, ber.Tag(tag), part, ""))
				}
			}
			request := ldap.NewExtendedRequest("1.3.6.1.4.1.4203.1.11.1", value)
			request.Controls = []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}
			_, err := conn.Extended(request)
			var failed *ldap.Error
			if errors.As(err, &failed) && len(failed.Packet.Children) > 2 {
				for _, child := range failed.Packet.Children[2].Children {
					if control, err := ldap.DecodeControl(child); err == nil {
						text += fmt.Sprintln(control)
					}
				}
			}
			return text + outcome(nil, err)
		})
	}
}
