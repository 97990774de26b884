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
	var writable []string
	refused, told := 0, false
	try := func(dn, attribute, value string) {
		switch p.tryWriting(ctx, dn, attribute, value) {
		case ldap.LDAPResultNoSuchAttribute:
			writable = unique(writable, []string{attribute})
			told = true
		case ldap.LDAPResultInsufficientAccessRights:
			refused++
			told = true
		}
	}
	t := p.table
	person := p.people[0]
	for _, attribute := range unique(t.LoginAttributes, []string{"description", "mail", "sn"}) {
		if p.schema == nil || p.schema[strings.ToLower(attribute)] {
			try(person.dn, attribute, "gatehouse-"+strings.ToLower(rand.Text()))
		}
	}
	groups, err := p.searchIn(ctx, t.groupBases, query{filter: t.GroupFilter, attributes: []string{noAttributes}, limit: 1})
	if err == nil && len(groups) > 0 {
		for _, attribute := range t.MemberAttributes {
			if p.schema == nil || p.schema[strings.ToLower(attribute)] {
				try(groups[0].dn, attribute, "cn="+strings.ToLower(rand.Text())+","+t.userBases[0])
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
	p.found(LevelWarning, "writing", "give it an account that reads and does no more: Gatehouse never writes with it", "the account may write, for instance %s", some(attributes))
}

// tryWriting asks for a value to be taken away that nobody has, and returns the
// result code, or 0 if there was no answer.
func (p *probe) tryWriting(ctx context.Context, dn, attribute, value string) uint16 {
	request := ldap.NewModifyRequest(dn, nil)
	request.Delete(attribute, []string{value})
	err := p.ask(ctx, func(ctx context.Context, c *conn) error {
		return c.do(ctx, func(l *ldap.Conn) error { return l.Modify(request) })
	})
	code, _ := resultCode(err)
	return code
}

// readEffective reads what Active Directory says that the account may write
// (MS-ADTS, section 3.1.1.4.5.8).
func (p *probe) readEffective(ctx context.Context) {
	const attribute = "allowedAttributesEffective"
	e, err := p.read(ctx, p.people[0].dn, attribute)
	if err != nil || e == nil {
		p.found(LevelNote, "writing", "", "whether the account may write cannot be told")
		return
	}
	if may := e.values(attribute); len(may) > 0 {
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
