package ldaptest

import (
	"slices"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// admin runs f on a fresh connection of the administrator; a failure ends the
// test.
func (s *Server) admin(what string, f func(*ldap.Conn) error) {
	s.t.Helper()
	c, err := s.dialAdmin(s.t.Context())
	if err == nil {
		err = f(c)
		_ = c.Close()
	}
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// Add adds an entry. Attributes are as in ldap.AddRequest.
func (s *Server) Add(dn string, attributes map[string][]string) {
	s.t.Helper()
	r := ldap.NewAddRequest(dn, nil)
	for name, values := range attributes {
		r.Attribute(name, values)
	}
	s.admin("adding "+dn, func(c *ldap.Conn) error { return c.Add(r) })
}

// AddPerson adds a person online, with the password of Password.
func (s *Server) AddPerson(p Person) {
	s.t.Helper()
	if s.Kind == kindAD {
		s.admin("adding "+p.UID, func(c *ldap.Conn) error { return s.addPersonAD(c, p) })
		return
	}
	attributes := map[string][]string{
		"objectClass": {"inetOrgPerson"}, "uid": {p.UID}, "cn": {p.GivenName + " " + p.Surname},
		"sn": {p.Surname}, "givenName": {p.GivenName}, "userPassword": {Password(p.UID)},
	}
	if s.Kind == kind389 {
		attributes["objectClass"] = append(attributes["objectClass"], "nsMemberOf")
	}
	for name, values := range p.More {
		attributes[name] = append(attributes[name], values...)
	}
	s.Add(s.here(p.DN()), attributes)
	if s.Kind == kind389 && !p.NoPassword {
		s.keepPassword389(s.here(p.DN()))
	}
}

// AddGroup adds a group online.
func (s *Server) AddGroup(g Group) {
	s.t.Helper()
	s.AddGroups([]Group{g})
}

// AddGroups adds groups online, all of groupOfNames or of Active Directory's kind.
func (s *Server) AddGroups(groups []Group) {
	s.t.Helper()
	s.admin("adding groups", func(c *ldap.Conn) error {
		if s.Kind == kindAD {
			return s.addGroupsAD(c, groups)
		}
		for _, g := range groups {
			pairs := []string{"objectClass", "groupOfNames"}
			if g.Description != "" {
				pairs = append(pairs, "description", g.Description)
			}
			if s.Kind == kind389 {
				pairs = append(pairs, "objectClass", "nsMemberOf")
			}
			for _, m := range g.Members {
				pairs = append(pairs, "member", m)
			}
			if len(g.Members) == 0 {
				pairs = append(pairs, "member", nobody)
			}
			if err := add(c, s.here(g.DN()), pairs...); err != nil {
				return err
			}
		}
		return nil
	})
}

// Modify replaces the values of one attribute; none deletes it. Operational
// attributes may be changed too.
func (s *Server) Modify(dn, attribute string, values ...string) {
	s.t.Helper()
	r := ldap.NewModifyRequest(dn, nil)
	r.Replace(attribute, values)
	s.admin("modifying "+dn, func(c *ldap.Conn) error { return c.Modify(r) })
}

// Delete deletes an entry.
func (s *Server) Delete(dn string) {
	s.t.Helper()
	s.admin("deleting "+dn, func(c *ldap.Conn) error { return c.Del(ldap.NewDelRequest(dn, nil)) })
}

// DeleteUser deletes a seeded person.
func (s *Server) DeleteUser(uid string) {
	s.t.Helper()
	s.Delete(s.PersonDN(uid))
}

// Rename gives an entry another RDN, as in "uid=alicia". Groups follow a moment
// later: the overlay refint works in the background.
func (s *Server) Rename(dn, rdn string) {
	s.t.Helper()
	s.admin("renaming "+dn, func(c *ldap.Conn) error { return c.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, "")) })
}

// Move puts an entry under another one.
func (s *Server) Move(dn, superior string) {
	s.t.Helper()
	rdn, _ := splitDN(dn)
	s.admin("moving "+dn, func(c *ldap.Conn) error { return c.ModifyDN(ldap.NewModifyDNRequest(dn, rdn, true, superior)) })
}

// splitDN returns the first part of a DN, and the rest.
func splitDN(dn string) (rdn, superior string) {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++
		case ',':
			return dn[:i], dn[i+1:]
		}
	}
	return dn, ""
}

// AddMember puts a member into a group.
func (s *Server) AddMember(group, member string) {
	s.t.Helper()
	r := ldap.NewModifyRequest(group, nil)
	r.Add("member", []string{member})
	s.admin("adding a member to "+group, func(c *ldap.Conn) error { return c.Modify(r) })
}

// RemoveMember takes a member out of a group, the last one too.
func (s *Server) RemoveMember(group, member string) {
	s.t.Helper()
	s.admin("removing a member from "+group, func(c *ldap.Conn) error {
		r := ldap.NewModifyRequest(group, nil)
		r.Delete("member", []string{member})
		err := c.Modify(r)
		if !ldap.IsErrorWithCode(err, ldap.LDAPResultObjectClassViolation) {
			return err
		}
		r = ldap.NewModifyRequest(group, nil)
		r.Replace("member", []string{nobody})
		return c.Modify(r)
	})
}

// SetPassword sets a password as an administrator, for good: the policy's wish
// that the person change it is dropped.
func (s *Server) SetPassword(dn, password string) {
	s.t.Helper()
	switch s.Kind {
	case kindAD:
		s.Modify(dn, "unicodePwd", unicodePassword(password))
	case kind389:
		s.Modify(dn, "userPassword", password)
		s.keepPassword389(dn)
	default:
		s.Modify(dn, "userPassword", password)
		s.Modify(dn, "pwdReset")
	}
}

// keepPassword389 takes it back that a password has to be changed which an
// administrator has set. The server says so a moment after it has answered, so that
// is waited for; if a test has switched the policy off, it never does.
func (s *Server) keepPassword389(dn string) {
	s.t.Helper()
	const reset = "19700101000000Z"
	for deadline := time.Now().Add(2 * time.Second); !slices.Equal(s.Values(dn, "passwordExpirationTime"), []string{reset}) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	s.Modify(dn, "passwordExpirationTime", "20380101000000Z")
}

// Disable switches a person's account off for good.
func (s *Server) Disable(uid string) {
	s.t.Helper()
	switch s.Kind {
	case kindAD:
		s.Modify(s.PersonDN(uid), "userAccountControl", "514")
	case kind389:
		s.Modify(s.PersonDN(uid), "nsAccountLock", "true")
	default:
		s.Modify(s.PersonDN(uid), "pwdAccountLockedTime", "000001010000Z")
	}
}

// Enable switches it on again.
func (s *Server) Enable(uid string) {
	s.t.Helper()
	switch s.Kind {
	case kindAD:
		s.Modify(s.PersonDN(uid), "userAccountControl", "512")
	case kind389:
		s.Modify(s.PersonDN(uid), "nsAccountLock")
	default:
		s.Modify(s.PersonDN(uid), "pwdAccountLockedTime")
	}
}

// Values reads an attribute as the administrator; operational ones too.
func (s *Server) Values(dn, attribute string) []string {
	s.t.Helper()
	var values []string
	s.admin("reading "+dn, func(c *ldap.Conn) error {
		r, err := c.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
			"(objectClass=*)", []string{attribute}, nil))
		if err == nil {
			values = r.Entries[0].GetEqualFoldAttributeValues(attribute)
		}
		return err
	})
	return values
}
