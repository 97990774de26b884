package demodir

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gatehouse/oidc"
)

// The methods here change the directory while it is being read. Each is one step:
// a search sees all of it or nothing.

// Add adds the entries of an LDIF file.
func (s *Server) Add(ldif []byte) error {
	records, err := ParseLDIF(ldif)
	if err != nil {
		return err
	}
	return s.tree.edit(func(d *draft) error { return d.add(records) })
}

// Delete removes an entry that has none below it, and takes its name out of all
// groups, as OpenLDAP's refint overlay does. An entry that is added later under
// the same name has another entryUUID.
func (s *Server) Delete(dn string) error {
	return s.editEntry(dn, func(d *draft, e *entry) error {
		key := e.dn.Key()
		if d.hasBelow(key) {
			return fmt.Errorf("%s has entries below it", dn)
		}
		delete(d.entries, key)
		d.tree.lives[key]++
		return d.renameMember(key, "")
	})
}

// Rename gives an entry that has none below it another name; groups follow. The
// new name has to be below the same base. entryUUID stays.
func (s *Server) Rename(dn, newDN string) error {
	to, err := oidc.ParseDN(newDN)
	if err != nil {
		return err
	}
	return s.editEntry(dn, func(d *draft, e *entry) error {
		key := e.dn.Key()
		switch {
		case d.hasBelow(key):
			return fmt.Errorf("%s has entries below it", dn)
		case to.Key() != key && d.entries[to.Key()] != nil:
			return fmt.Errorf("there is an entry %s already", newDN)
		case d.entries[parentKey(to.Key())] == nil:
			return fmt.Errorf("there is no entry above %s", newDN)
		}
		moved := *e
		moved.dn, moved.parent = to, parentKey(to.Key())
		renamed, err := moved.renamed(d.schema, e.dn)
		if err != nil {
			return err
		}
		delete(d.entries, key)
		if err := d.put(renamed, false); err != nil {
			return err
		}
		return d.renameMember(key, newDN)
	})
}

// renamed takes the naming values of the old name out and puts those of the new
// one in.
func (e *entry) renamed(s *schema, old oidc.DN) (*entry, error) {
	oldRDN, _, _ := strings.Cut(old.Key(), ",")
	for _, part := range rdnParts(oldRDN) {
		kept := slices.DeleteFunc(slices.Clone(e.values(spelling(s, part.attribute))), func(v string) bool { return fold(v) == part.value })
		var err error
		if e, err = e.with(s, part.attribute, kept...); err != nil {
			return nil, err
		}
	}
	newRDN, _, _ := strings.Cut(e.dn.Key(), ",")
	for _, part := range rdnParts(newRDN) {
		value := spelt(e.dn.String(), part.value)
		held := slices.Clone(e.values(spelling(s, part.attribute)))
		if slices.ContainsFunc(held, func(v string) bool { return fold(v) == part.value }) {
			continue
		}
		var err error
		if e, err = e.with(s, part.attribute, append(held, value)...); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func spelling(s *schema, name string) string {
	if kind, _ := s.find(name); kind != nil {
		return kind.name
	}
	return name
}

func (d *draft) hasBelow(key string) bool {
	for _, e := range d.entries {
		if e.parent == key {
			return true
		}
	}
	return false
}

// renameMember puts a new name, or none, in the place of key in all groups.
func (d *draft) renameMember(key, newDN string) error {
	for _, e := range slices.Collect(maps.Values(d.entries)) {
		for _, a := range e.attrs {
			at := slices.Index(a.normals, key)
			if a.kind.name != "member" && a.kind.name != "uniqueMember" || at < 0 {
				continue
			}
			values := slices.Clone(a.values)
			if newDN == "" {
				values = slices.Delete(values, at, at+1)
			} else {
				values[at] = newDN
			}
			changed, err := e.with(d.schema, a.name, values...)
			if err != nil {
				return err
			}
			if err := d.put(changed, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// AddMember names member in a group. The member need not exist, as in OpenLDAP.
func (s *Server) AddMember(group, member string) error {
	return s.editEntry(group, func(d *draft, e *entry) error {
		return d.set(e, "member", append(slices.Clone(e.values("member")), member)...)
	})
}

// RemoveMember takes member out of a group. Unlike in OpenLDAP, a group may be
// left without any.
func (s *Server) RemoveMember(group, member string) error {
	dn, err := oidc.ParseDN(member)
	if err != nil {
		return err
	}
	return s.editEntry(group, func(d *draft, e *entry) error {
		held := e.values("member")
		kept := slices.DeleteFunc(slices.Clone(held), func(v string) bool {
			k, _ := named.normal(v)
			return k == dn.Key()
		})
		if len(kept) == len(held) {
			return fmt.Errorf("%s is not a member of %s", member, group)
		}
		return d.set(e, "member", kept...)
	})
}

// SetAttribute puts these values in the place of all that an attribute has; without
// any, the attribute is gone. What follows from the rest of the directory, such as
// memberOf, can't be set.
func (s *Server) SetAttribute(dn, name string, values ...string) error {
	if !validDescription(name) {
		return fmt.Errorf("%q is no attribute name", name)
	}
	return s.editEntry(dn, func(d *draft, e *entry) error {
		if d.schema = d.schema.with(name); computed(d.schema, name) {
			return fmt.Errorf("%s can't be set: it follows from other entries", name)
		}
		return d.set(e, name, values...)
	})
}

// SetPassword gives an entry a password, kept with {SSHA}, as if the person had
// chosen it now: it is neither expired nor to be changed.
func (s *Server) SetPassword(dn, password string) error {
	if password == "" {
		return errors.New("a password can't be empty")
	}
	return s.editEntry(dn, func(d *draft, e *entry) error { return d.setPassword(e, password) })
}

func (d *draft) setPassword(e *entry, password string) error {
	for _, a := range []struct {
		name   string
		values []string
	}{
		{"userPassword", []string{HashPassword(password)}},
		{"pwdChangedTime", []string{formatStamp(d.tree.now())}},
		{"pwdReset", nil},
		{"pwdGraceUseTime", nil},
	} {
		var err error
		if e, err = e.with(d.schema, a.name, a.values...); err != nil {
			return err
		}
	}
	return d.put(e, false)
}

func (d *draft) set(e *entry, name string, values ...string) error {
	changed, err := e.with(d.schema, name, values...)
	if err != nil {
		return err
	}
	if err := changed.check(d.schema); err != nil {
		return err
	}
	return d.put(changed, false)
}

// editEntry edits an entry that is there. The error wraps ErrNoEntry if it isn't.
func (s *Server) editEntry(dn string, change func(*draft, *entry) error) error {
	name, err := oidc.ParseDN(dn)
	if err != nil {
		return err
	}
	return s.tree.edit(func(d *draft) error {
		e := d.entries[name.Key()]
		if e == nil {
			return fmt.Errorf("%s: %w", dn, ErrNoEntry)
		}
		return change(d, e)
	})
}
