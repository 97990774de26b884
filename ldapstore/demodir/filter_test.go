package demodir_test

import (
	"testing"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/ldapstore/demodir"
)

const everyone = `Lindqvist\2C Åsa amelie bjorn elena fatma giulia juergen kenji lea nuria pieter siobhan tomasz`

func TestFiltersMeanWhatTheyMeanInOpenLDAP(t *testing.T) {
	t.Parallel()
	c := reader(t, start(t, demodir.Options{}))
	for filter, want := range map[string]string{
		"(uid=AMELIE)": "amelie", "(uid= amelie )": "amelie", "(sn=de   vries)": "pieter", "(sn=müller)": "juergen", "(sn=MÜLLER)": "juergen", "(sn=Muller)": "",
		"(cn=Siobhán O'Neill)": "siobhan", "(cn=Lindqvist, Åsa)": `Lindqvist\2C Åsa`, `(cn=lindqvist\2c åsa)`: `Lindqvist\2C Åsa`, "(cn=渡辺健二)": "kenji",
		"(commonName=Giulia Conti)": "giulia", "(2.5.4.3=Giulia Conti)": "giulia", "(name=Conti)": "giulia", "(cn;lang-de=*)": "",
		"(telephoneNumber=+493023125101)": "amelie", "(telephoneNumber=*23125-11*)": "bjorn elena juergen pieter tomasz",
		"(objectClass=person)": everyone, "(objectClass=inetOrgPerson)": everyone, "(objectClass=groupOfNames)": "",

		"(sn=*e v*)": "pieter", "(sn=de *)": "pieter", "(sn=*vries)": "pieter", "(cn=*O*NEIL*)": "siobhan", "(cn=a*e*u)": "amelie", "(cn=*e*e*e*)": "elena pieter",
		"(uid=a*a)": `Lindqvist\2C Åsa`, "(uid=as*sa)": "", "(sn=conti*conti)": "", `(cn=*\2a*)`: "", "(cn=*, *)": `Lindqvist\2C Åsa`, "(manager=*juergen*)": "", "(mail=*@LINDENHOF.example)": `Lindqvist\2C Åsa amelie bjorn elena fatma giulia juergen kenji nuria pieter siobhan tomasz`,

		"(pwdReset=TRUE)": "pieter", "(pwdReset=true)": "", "(pwdAccountLockedTime=*)": "bjorn", "(pwdAccountLockedTime=000001010000Z)": "bjorn",
		"(pwdChangedTime>=20230102080000Z)": "elena", "(pwdChangedTime<=20230102090000+0100)": "elena", "(pwdChangedTime>=20230102080001Z)": "",
		"(createTimestamp>=20000101000000Z)": everyone, "(createTimestamp<=20000101000000Z)": "",

		"(sn>=a)": "", "(!(sn>=a))": "", "(employeeNumber>=1000)": "", "(sn~=CONTI)": "giulia",
		"(nosuchthing=*)": "", "(!(nosuchthing=*))": "", "(!(manager=nodn))": "", "(|(uid=lea)(nosuchthing=1))": "lea", "(&(uid=lea)(nosuchthing=1))": "", "(!(&(uid=lea)(nosuchthing=1)))": `Lindqvist\2C Åsa amelie bjorn elena fatma giulia juergen kenji nuria pieter siobhan tomasz`,
		"(entryUUID=zzz)": "", "(!(entryUUID=zzz))": "", "(&)": everyone, "(|)": "", "(!(title=*))": "", "(!(employeeNumber=*))": "lea",
		"(&(title=designer)(!(l=berlin)))": "nuria", "(|(uid=lea)(uid=kenji))": "kenji lea",

		"(memberOf=cn=design,ou=groups," + base + ")":                 `Lindqvist\2C Åsa giulia kenji nuria`,
		"(memberOf=CN=Design, OU=Groups," + base + ")":                `Lindqvist\2C Åsa giulia kenji nuria`,
		`(memberOf=cn=Mill\5c, Phase 2,ou=groups,` + base + `)`:       "nuria tomasz",
		`(memberOf=cn=mill\5c2c phase 2,ou=groups,` + base + `)`:      "nuria tomasz",
		`(manager=cn="Lindqvist, Åsa",ou=people,` + base + `)`:        "giulia kenji nuria",
		"(entryDN=uid=lea," + people + ")":                            "lea",
		"(structuralObjectClass=organizationalPerson)":                everyone,
		"(labeledURI=https://lindenhof.example/amelie)":               "amelie",
		"(labeledURI=https://LINDENHOF.example/amelie)":               "",
		"(sn:caseExactMatch:=Conti)":                                  "giulia",
		"(sn:caseExactMatch:=conti)":                                  "",
		"(sn:2.5.13.2:=conti)":                                        "giulia",
		"(:caseIgnoreMatch:=conti)":                                   "giulia",
		"(sn:nosuchMatch:=conti)":                                     "",
		"(!(sn:nosuchMatch:=conti))":                                  "",
		"(sn:=conti)":                                                 "giulia",
		"(sn:distinguishedNameMatch:=conti)":                          "",
		"(ou:dn:=people)":                                             everyone,
		"(cn:dn:=giulia conti)":                                       "giulia",
		"(:dn:caseIgnoreMatch:=lindqvist, åsa)":                       `Lindqvist\2C Åsa`,
		"(manager:distinguishedNameMatch:=uid=AMELIE," + people + ")": `Lindqvist\2C Åsa juergen siobhan`,
	} {
		r, err := c.Search(search(people, ldap.ScopeSingleLevel, filter, "1.1"))
		if err != nil || names(r) != want {
			t.Errorf("%s finds %q, %v; want %q", filter, names(r), err, want)
		}
	}
}
