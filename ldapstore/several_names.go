package ldapstore

import (
	"context"
	"slices"
	"strings"
)

// hit is what a typed name led to: in the first directory that has it, or in the
// first of those that were asked if none does.
type hit struct {
	member *Member
	table  *table
	people []*entry
	server *server
}

// whose looks for a name in the directories that it may belong to, one after the
// other. An error is the end of it: who can't be asked may have had it.
func (s *Several) whose(ctx context.Context, name string) (hit, error) {
	var first hit
	for _, c := range s.choices(name) {
		trace(ctx, Step{What: StepDirectory, Server: c.member.Name})
		h, err := c.find(ctx)
		if err != nil || len(h.people) > 0 {
			return h, err
		}
		if first.member == nil {
			first = h
		}
	}
	return first, nil
}

// choice is a directory that a name may belong to, and what to look for there.
type choice struct {
	member *Member
	name   string
}

// choices returns the directories that a name belongs to by its form, in their
// order; where it fits none, the first, in which nobody will be found.
func (s *Several) choices(name string) []choice {
	name = strings.TrimSpace(name) // which directories ignore as well (RFC 4518, section 2.6.1)
	var own, all []choice
	for _, m := range s.members {
		if len(m.Names) == 0 || slices.Contains(m.Names, "*") {
			all = append(all, choice{m, name})
		}
		for _, pattern := range m.Names {
			if rest, fits := fitsPattern(pattern, name); fits && pattern != "*" {
				if !m.CutNames {
					rest = name
				}
				own = append(own, choice{m, rest})
				break
			}
		}
	}
	switch {
	case len(own) > 0:
		return own
	case len(all) > 0:
		return all
	}
	return []choice{{s.members[0], ""}}
}

// fitsPattern reports whether a name fits, and what stands for the *. Case makes
// no difference.
func fitsPattern(pattern, name string) (rest string, fits bool) {
	before, after, _ := strings.Cut(pattern, "*")
	if len(name) <= len(before)+len(after) {
		return "", false
	}
	rest = name[len(before) : len(name)-len(after)]
	return rest, strings.EqualFold(name[:len(before)], before) && strings.EqualFold(name[len(name)-len(after):], after)
}

func (c choice) find(ctx context.Context) (hit, error) {
	d := c.member.Directory
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return hit{}, err
	}
	people, found, err := d.named(ctx, t, c.name)
	return hit{member: c.member, table: t, people: people, server: found}, err
}
