package main

import (
	"context"
	"slices"

	"gatehouse/ldapstore"
)

// watch follows the changes of those directories for which the configuration wants
// it, until ctx ends: look-ups are answered from memory, and what no longer holds
// ends at once.
func (h *house) watch(ctx context.Context) {
	sections := sectionsOf(h.config)
	watched := 0
	for i, m := range membersOf(h.directory) {
		if sections[i].Cache == "watch" {
			m.Directory.Watch(h.changed(m))
			watched++
		}
	}
	if watched > 0 {
		h.push.Run(ctx)
	}
}

// membersOf returns the directories of a configuration in their order; one alone
// has plain ids.
func membersOf(d directory) []*ldapstore.Member {
	switch d := d.(type) {
	case *ldapstore.Directory:
		return []*ldapstore.Member{{Plain: true, Directory: d}}
	case *ldapstore.Several:
		return d.Members()
	default:
		return nil
	}
}

// changed passes on what changes in one directory.
func (h *house) changed(m *ldapstore.Member) func(ldapstore.Change) {
	return func(c ldapstore.Change) {
		if c.ID != "" {
			h.push.Person(m.Subject(c.ID))
			return
		}
		members := slices.Clone(c.Members)
		for i, id := range members {
			members[i] = m.Subject(id)
		}
		h.push.Anyone(members)
	}
}
