package ldapstore

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// askWriting finds out whether the account may write, which it needs not. Active
// Directory says so itself. Others are asked to take away a value that is not
// there: who may write is told that there is no such value (16), everybody else
// that the access is not enough (50), and nothing changes either way. An assertion
// that fails (RFC 4528) would be no help: OpenLDAP tells everybody that it failed.
//
// Passwords are never touched: some servers count that as a try.
func (p *probe) askWriting(ctx context.Context) {
	if len(p.people) == 0 {
		return
	}
	if p.table.Name == "ad" {
		p.readEffective(ctx)
		return
	}
	told := false
	var rights [][]string
	t := p.table
	for _, person := range p.others() {
		var writable []string
		for _, attribute := range unique(t.LoginAttributes, []string{"description", "mail", "sn"}) {
			if p.schema != nil && !p.schema[strings.ToLower(attribute)] {
				continue
			}
			may, known := p.tryWriting(ctx, person.dn, attribute, "gatehouse-"+strings.ToLower(rand.Text()))
			told = told || known
			if may {
				writable = append(writable, attribute)
			}
		}
		rights = append(rights, writable)
	}
	writable := held(rights)
	groups, err := p.searchIn(ctx, t.groupBases, query{filter: t.GroupFilter, attributes: []string{noAttributes}, limit: 1})
	if err == nil && len(groups) > 0 {
		for _, attribute := range t.MemberAttributes {
			if p.schema == nil || p.schema[strings.ToLower(attribute)] {
				may, known := p.tryWriting(ctx, groups[0].dn, attribute, "cn="+strings.ToLower(rand.Text())+","+t.userBases[0])
				told = told || known
				if may {
					writable = append(writable, attribute)
				}
			}
		}
	}
	switch {
	case len(writable) > 0:
		p.mayWrite(writable)
	case told:
		p.found(LevelOK, "writing", "", "the account may not write")
	default:
		p.found(LevelNote, "writing", "", "whether the account may write cannot be told without writing")
	}
}

func (p *probe) mayWrite(attributes []string) {
	p.found(LevelWarning, "writing", "give it an account that reads and does no more: Gatehouse needs no right to write", "the account may write, for instance %s", some(attributes))
}

// others returns a few people. One of them may be the account itself, which is
// mostly allowed to change something of its own.
func (p *probe) others() []*entry { return p.people[:min(3, len(p.people))] }

// held returns the attributes that may be written of more than one of the people,
// or of the only one there is.
func held(rights [][]string) []string {
	count := map[string]int{}
	var found []string
	for _, writable := range rights {
		for _, attribute := range writable {
			if count[attribute]++; count[attribute] == min(2, len(rights)) {
				found = append(found, attribute)
			}
		}
	}
	return found
}

// tryWriting asks for a value to be taken away that nobody has, and reports whether
// that would be allowed, if it is known.
func (p *probe) tryWriting(ctx context.Context, dn, attribute, value string) (may, known bool) {
	request := ldap.NewModifyRequest(dn, nil)
	request.Delete(attribute, []string{value})
	err := p.ask(ctx, func(ctx context.Context, c *conn) error {
		return c.do(ctx, func(l *ldap.Conn) error { return l.Modify(request) })
	})
	code, answered := resultCode(err)
	return answered && code == ldap.LDAPResultNoSuchAttribute,
		answered && (code == ldap.LDAPResultNoSuchAttribute || code == ldap.LDAPResultInsufficientAccessRights)
}

// readEffective reads what Active Directory says that the account may write
// (MS-ADTS, section 3.1.1.4.5.8).
func (p *probe) readEffective(ctx context.Context) {
	const attribute = "allowedAttributesEffective"
	var rights [][]string
	for _, person := range p.others() {
		e, err := p.read(ctx, person.dn, attribute)
		if err != nil || e == nil {
			p.found(LevelNote, "writing", "", "whether the account may write cannot be told")
			return
		}
		rights = append(rights, e.values(attribute))
	}
	if may := held(rights); len(may) > 0 {
		slices.Sort(may)
		p.mayWrite(may)
		return
	}
	p.found(LevelOK, "writing", "", "the account may not write")
}

// isWithin reports whether an entry is base or lies beneath it.
func isWithin(dn, base string) bool {
	d, err := oidc.ParseDN(dn)
	if err != nil {
		return false
	}
	b, err := oidc.ParseDN(base)
	return err == nil && d.Within(b)
}
