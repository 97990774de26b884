package ldapstore

import (
	"strings"
	"testing"
)

func TestPeopleAndGroupsOfOneAnswerAreToldApart(t *testing.T) {
	t.Parallel()
	table := newTable(openldap(), &Options{BaseDN: "dc=example"})
	one := func(id, classes string) *entry {
		return &entry{dn: "cn=" + id + ",dc=example", attributes: map[string][]string{"entryuuid": {id}, "objectclass": strings.Fields(classes)}}
	}
	const person, group = "top person inetOrgPerson", "groupOfNames"
	for what, c := range map[string]struct {
		entries []*entry
		ok      bool
		groups  int
	}{
		"the person and groups":             {[]*entry{one("g", group), one("a", person), one("h", "posixGroup")}, true, 2},
		"groups alone":                      {[]*entry{one("g", group)}, true, 1},
		"nobody":                            {nil, true, 0},
		"two with the id":                   {[]*entry{one("a", person), one("a", person)}, false, 0},
		"another spelling of the id":        {[]*entry{one("a", person), one("A", person)}, false, 0},
		"somebody else":                     {[]*entry{one("a", person), one("b", person)}, false, 0},
		"somebody who is a group":           {[]*entry{one("a", person+" posixGroup")}, false, 0},
		"a group with the id":               {[]*entry{one("a", group)}, false, 0},
		"somebody whose classes are hidden": {[]*entry{one("a", "")}, false, 0},
	} {
		who, groups, ok := table.separate(c.entries, "a")
		if ok != c.ok || len(groups) != c.groups || ok && (who != nil) != (what == "the person and groups") {
			t.Errorf("%s: %v, %d groups, %v", what, who, len(groups), ok)
		}
	}
}
