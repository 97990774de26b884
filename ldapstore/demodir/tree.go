package demodir

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/oidc"
)

// ErrNoEntry means that no entry has the name given to a method of Server.
var ErrNoEntry = errors.New("no such entry")

// snapshot is the whole directory at one moment. It never changes.
type snapshot struct {
	schema   *schema
	base     oidc.DN
	entries  []*entry // by seq
	byKey    map[string]*entry
	memberOf map[string][]string // key of an entry → DNs of the groups that name it
	below    map[string]int      // key of an entry → how many are right below it
}

// closest returns the nearest entry above a name that is not there, or nil.
func (s *snapshot) closest(key string) *entry {
	for key = parentKey(key); key != ""; key = parentKey(key) {
		if e := s.byKey[key]; e != nil {
			return e
		}
	}
	return nil
}

// attributes returns what an entry has, the computed attributes too.
func (s *snapshot) attributes(e *entry) []attribute {
	key := e.dn.Key()
	all := slices.Clone(e.attrs)
	add := func(name string, values ...string) {
		if a, err := newAttribute(s.schema, name, values); err == nil && len(values) > 0 {
			all = append(all, a)
		}
	}
	add("memberOf", s.memberOf[key]...)
	if class := structural(e.values("objectClass")); class != "" {
		add("structuralObjectClass", class)
	}
	add("entryDN", e.dn.String())
	has := "FALSE"
	if s.below[key] > 0 {
		has = "TRUE"
	}
	add("hasSubordinates", has)
	return all
}

// tree holds the snapshot that is current. Readers take it and go on with it;
// edits come one after another and put a new one there.
type tree struct {
	now     func() time.Time
	current atomic.Pointer[snapshot]

	mu      sync.Mutex // one edit at a time; guards the rest
	lastSeq uint64
	lives   map[string]int // key → how often an entry of this name was deleted
}

// draft is the directory while it is being edited.
type draft struct {
	tree    *tree
	schema  *schema
	base    oidc.DN
	entries map[string]*entry
}

// edit runs change on a draft and, if it succeeds, makes it the directory.
func (t *tree) edit(change func(*draft) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.current.Load()
	d := &draft{tree: t, schema: old.schema, base: old.base, entries: maps.Clone(old.byKey)}
	if err := change(d); err != nil {
		return err
	}
	t.current.Store(d.snapshot())
	return nil
}

func (d *draft) snapshot() *snapshot {
	s := &snapshot{schema: d.schema, base: d.base, byKey: d.entries, memberOf: map[string][]string{}, below: map[string]int{}}
	s.entries = make([]*entry, 0, len(d.entries))
	for _, e := range d.entries {
		s.entries = append(s.entries, e)
	}
	slices.SortFunc(s.entries, func(a, b *entry) int { return cmp.Compare(a.seq, b.seq) })
	for _, e := range s.entries {
		s.below[e.parent]++
		for _, a := range e.attrs {
			if a.kind.name == "member" && isGroup(e) {
				for _, key := range a.normals {
					s.memberOf[key] = append(s.memberOf[key], e.dn.String())
				}
			}
		}
	}
	return s
}

func isGroup(e *entry) bool {
	return slices.ContainsFunc(e.values("objectClass"), func(c string) bool { return kindOf(fold(c), "groupofnames") })
}

// put places an entry under its name. An edit stamps it as changed now; a record
// that states its own times keeps them.
func (d *draft) put(e *entry, keepTimes bool) error {
	d.tree.lastSeq++ // also counts changes, so that no two have one entryCSN
	now := d.tree.now()
	csn := now.UTC().Format("20060102150405.000000") + fmt.Sprintf("Z#%06x#000#000000", d.tree.lastSeq&0xffffff)
	for _, a := range []struct {
		name, value string
		keep        bool
	}{
		{"createTimestamp", formatStamp(now), true},
		{"modifyTimestamp", formatStamp(now), keepTimes},
		{"entryCSN", csn, keepTimes},
		{"entryUUID", nameUUID(e.dn.Key(), d.tree.lives[e.dn.Key()]), true},
	} {
		if a.keep && e.first(a.name) != "" {
			continue
		}
		var err error
		if e, err = e.with(d.schema, a.name, a.value); err != nil {
			return err
		}
	}
	if e.seq == 0 {
		e.seq = d.tree.lastSeq
	}
	d.entries[e.dn.Key()] = e
	return nil
}

// add makes entries of records. Every bad one is told.
func (d *draft) add(records []Record) error {
	var problems oidc.Problems
	for _, r := range records {
		if line, err := d.addRecord(r); err != nil {
			problems = append(problems, oidc.Problem{Line: line, Message: err.Error()})
		}
	}
	return problems.Err()
}

// addRecord makes an entry of one record, or says in which line it is wrong.
func (d *draft) addRecord(r Record) (line int, err error) {
	key := r.DN.Key()
	if d.base.IsZero() {
		d.base = r.DN
	}
	dn, err := oidc.ParseDN(pretty(r.DN.String()))
	if err != nil || dn.Key() != key {
		dn = r.DN
	}
	e := &entry{dn: dn, parent: parentKey(key)}
	switch {
	case d.entries[key] != nil:
		return r.Line, errors.New("there is an entry of this name already")
	case !r.DN.Within(d.base):
		return r.Line, fmt.Errorf("the entry is not below the first one, %s", d.base)
	case key != d.base.Key() && d.entries[e.parent] == nil:
		return r.Line, errors.New("the entry above this one is missing")
	}
	type gathered struct {
		values []string
		lines  []int
	}
	byName := map[string]*gathered{}
	var names []string
	for _, a := range r.Attributes {
		name := strings.ToLower(a.Name)
		if d.schema = d.schema.with(a.Name); computed(d.schema, name) {
			continue
		}
		if byName[name] == nil {
			byName[name] = &gathered{}
			names = append(names, a.Name)
		}
		g := byName[name]
		g.values, g.lines = append(g.values, a.Value), append(g.lines, a.Line)
	}
	for _, name := range names {
		g := byName[strings.ToLower(name)]
		if e, err = e.with(d.schema, name, g.values...); err != nil {
			var bad *valueError
			if errors.As(err, &bad) {
				return g.lines[bad.index], err
			}
			return r.Line, err
		}
	}
	if err := e.check(d.schema); err != nil {
		return r.Line, err
	}
	return r.Line, d.put(e, true)
}

// computed reports whether an attribute follows from the rest of the directory,
// so that what an LDIF file says of it is passed over.
func computed(s *schema, name string) bool {
	kind, _ := s.find(name)
	switch kind.name {
	case "memberOf", "entryDN", "hasSubordinates", "structuralObjectClass", "subschemaSubentry":
		return true
	default:
		return false
	}
}
