package ldapstore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/oidc"
)

// memory is a cache with a stream that is proven, and the reading of a person by
// hand.
type memory struct {
	*cache
	source *source
}

func newMemory(settle time.Duration) *memory {
	k, _ := kindNamed("openldap")
	m := &memory{
		cache:  &cache{now: time.Now, reading: 3 * time.Second, settle: settle},
		source: &source{server: &server{}, peer: "192.0.2.1:389", table: newTable(k, &Options{BaseDN: "dc=example"}), names: "entryUUID"},
	}
	m.begin(m.source)
	m.prove(time.Now())
	return m
}

func person(id string, groups ...string) *oidc.User {
	u := &oidc.User{ID: id, DN: "uid=" + id + ",dc=example", Attributes: map[string][]string{"uid": {id}}}
	for _, dn := range groups {
		u.Groups = append(u.Groups, oidc.Group{DN: dn})
	}
	return u
}

func (m *memory) read(id string, groups ...string) {
	m.put(id, person(id, groups...), m.note(nil))
}

func TestAnAnswerIsKeptOnlyIfNothingSpeaksAgainstIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		between func(*memory, *reading) // begin and end of the reading
		want    bool
	}{
		"nothing happens":        {func(*memory, *reading) {}, true},
		"the person changes":     {func(m *memory, _ *reading) { m.changed("alice") }, false},
		"another person changes": {func(m *memory, _ *reading) { m.changed("bob") }, true},
		"a group changes":        {func(m *memory, _ *reading) { m.changedAll("cn=staff,dc=example") }, false},
		"the stream ends":        {func(m *memory, _ *reading) { m.end() }, false},
		"the stream begins anew": {func(m *memory, _ *reading) { m.end(); m.begin(m.source) }, false},
		"another server is watched": {func(m *memory, _ *reading) {
			m.end()
			m.begin(&source{server: &server{}, table: m.source.table, names: "entryUUID"})
		}, false},
		"a part came from elsewhere":     {func(_ *memory, r *reading) { r.elsewhere = true }, false},
		"there was no stream":            {func(_ *memory, r *reading) { r.source = nil }, false},
		"too many to remember by name":   {func(m *memory, _ *reading) { m.changeMany(maxRecent + 1) }, false},
		"many, but not the person":       {func(m *memory, _ *reading) { m.changeMany(maxRecent) }, true},
		"the person and many after them": {func(m *memory, _ *reading) { m.changed("alice"); m.changeMany(maxRecent) }, false},
	} {
		m := newMemory(0)
		time.Sleep(time.Microsecond) // the clock goes on
		r := m.note(nil)
		c.between(m, r)
		m.put("alice", person("alice"), r)
		m.prove(time.Now())
		if got := m.get("alice") != nil; got != c.want {
			t.Errorf("%s: kept %v, want %v", name, got, c.want)
		}
	}
}

func (m *memory) changeMany(n int) {
	for i := range n {
		m.changed(fmt.Sprint("other ", i))
	}
}

func TestAnAnswerReadSoonAfterAChangeIsNotKept(t *testing.T) {
	t.Parallel()
	m := newMemory(time.Hour)
	m.read("alice")
	if m.get("alice") != nil {
		t.Error("kept right after the stream began")
	}
	m.all = time.Now().Add(-2 * time.Hour)
	m.read("alice")
	m.read("bob")
	if m.get("alice") == nil || m.get("bob") == nil {
		t.Fatal("not kept")
	}
	m.changed("alice")
	m.read("alice")
	if m.get("alice") != nil || m.get("bob") == nil {
		t.Error("kept right after a change of the person, or another was dropped")
	}
	m.changedAll("")
	m.read("bob")
	if m.get("bob") != nil {
		t.Error("kept right after a change of a group")
	}
}

func TestMemoryAnswersOnlyWhileTheStreamIsProven(t *testing.T) {
	t.Parallel()
	m := newMemory(0)
	time.Sleep(time.Microsecond)
	m.read("alice")
	for name, c := range map[string]struct {
		lease *lease
		want  bool
	}{
		"proven a moment ago":  {newLease(time.Now(), 0), true},
		"never":                {nil, false},
		"too long ago":         {newLease(time.Now().Add(-maxStale), 0), false},
		"the machine slept":    {&lease{until: time.Now().Add(time.Second), wall: time.Now().Add(-time.Second).UnixNano()}, false},
		"the clock was set":    {&lease{until: time.Now().Add(-time.Second), wall: time.Now().Add(time.Hour).UnixNano()}, false},
		"not yet too long":     {newLease(time.Now().Add(-maxFar/2), maxFar/2), true},
		"too long at any rate": {newLease(time.Now().Add(-maxFar), time.Hour), false},
	} {
		m.lease.Store(c.lease)
		if got := m.get("alice") != nil; got != c.want {
			t.Errorf("%s: answered %v, want %v", name, got, c.want)
		}
	}
	m.source.server.way = distance{}
	for i := range enoughAsked {
		m.prove(time.Now().Add(-maxFar / 4)) // and the answer has just come
		if got := m.lease.Load().holds(time.Now()); got != (i == enoughAsked-1) {
			t.Errorf("after %d slow answers the stream is proven: %v", i+1, got)
		}
	}
	m.prove(time.Now())
	if m.lease.Load().holds(time.Now().Add(maxStale + time.Millisecond)) {
		t.Error("a server is taken for far away because it was slow once")
	}
	m.people["alice"].since = time.Now().Add(-maxKept - time.Second)
	if m.get("alice") != nil {
		t.Error("an answer is given that was read long ago")
	}
}

func TestSomebodyElsesSpellingOfAnIDIsNotKept(t *testing.T) {
	t.Parallel()
	m := newMemory(0)
	time.Sleep(time.Microsecond)
	m.put("ALICE", person("alice"), m.note(nil))
	if m.get("ALICE") != nil {
		t.Error("kept under a name that no change would find")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	m := newMemory(0)
	time.Sleep(time.Microsecond)
	long := strings.Repeat("x", 4096)
	for i := range 20000 {
		id := fmt.Sprint("person ", i)
		m.read(id, "cn="+long)
		m.prove(time.Now())
		if i%1000 == 0 && m.get(id) == nil {
			t.Fatalf("%s is not kept", id)
		}
	}
	size := 0
	for id, k := range m.people {
		if k.size != sizeOf(k.user) || m.ids[k.name] != id {
			t.Fatalf("%s is not accounted for", id)
		}
		size += k.size
	}
	if size != m.memory || size > maxMemory || size < maxMemory/2 || len(m.ids) != len(m.people) {
		t.Errorf("%d bytes of %d are used by %d people, accounted for as %d", size, maxMemory, len(m.people), m.memory)
	}
	m.read("giant", "cn="+strings.Repeat("x", maxMemory/5))
	if m.get("giant") != nil {
		t.Error("one person takes it all")
	}
	for i := range 20000 {
		m.changed(fmt.Sprint("another ", i))
	}
	if len(m.recent) > maxRecent {
		t.Errorf("%d people are remembered as changed", len(m.recent))
	}
}

func TestThoseOftenAskedForStay(t *testing.T) {
	t.Parallel()
	m := newMemory(0)
	time.Sleep(time.Microsecond)
	long := strings.Repeat("x", 4096)
	for i := range 12000 {
		m.read(fmt.Sprint("person ", i), "cn="+long)
		m.prove(time.Now())
		if i > 10 && m.get("person 10") == nil {
			t.Fatalf("after %d others somebody is gone who is asked for all the time", i)
		}
	}
}

func TestAChangeIsJudgedByTheClassesOfItsEntry(t *testing.T) {
	t.Parallel()
	const everybody, itself, nobody = concernsAnyone, concernsItself, concernsNobody
	const in, out = "uid=x,ou=people,dc=example", "uid=x,ou=printers,dc=example"
	for _, c := range []struct {
		filter, dn, classes string
		want                concern
	}{
		{"", in, "top person organizationalPerson inetOrgPerson", itself},
		{"", in, "INETORGPERSON posixAccount shadowAccount", itself},
		{"", in, "inetOrgPerson posixGroup", everybody},
		{"", in, "account simpleSecurityObject", itself},
		{"", in, "groupOfNames", everybody},
		{"", in, "device", everybody},
		{"", in, "", everybody},
		{"", in, "inetOrgPerson organizationalUnit", everybody},
		{"", out, "device", nobody},
		{"", out, "groupOfNames", everybody},
		{"", out, "organizationalUnit", everybody},
		{"", out, "", everybody},
		{"", out, "inetOrgPerson", itself},
		{"", "dc=example", "domain", everybody},
		{"", "not a name", "device", everybody},
		{"(&(objectClass=groupOfNames)(cn=app-*))", in, "inetOrgPerson", itself},
		{"(cn=app-*)", in, "inetOrgPerson", everybody},
		{"(objectClass=ourTeam)", in, "inetOrgPerson", everybody},
		{"(objectClass=*)", in, "inetOrgPerson", everybody},
		{"(!(objectClass=person))", in, "inetOrgPerson", everybody},
		{"(!(objectClass=groupOfNames))", in, "inetOrgPerson", everybody},
		{"(|(objectClass=groupOfNames)(objectClass=inetOrgPerson))", in, "inetOrgPerson", everybody},
		{"(objectClass:dn:=groupOfNames)", in, "inetOrgPerson", everybody},
		{"(&(|(objectClass=posixGroup)(objectClass=groupOfNames))(!(cn=x)))", in, "inetOrgPerson", itself},
	} {
		k, _ := kindNamed("openldap")
		o := &Options{UserBaseDN: []string{"ou=people,dc=example"}, GroupBaseDN: []string{"ou=groups,dc=example"}}
		if c.filter != "" {
			o.Table = map[string][]string{"group_filter": {c.filter}}
		}
		if got := newTable(k, o).judgeEntry(c.dn, strings.Fields(c.classes)); got != c.want {
			t.Errorf("%s at %s with %q: %d, want %d", c.classes, c.dn, c.filter, got, c.want)
		}
	}
}

func FuzzMatchClasses(f *testing.F) {
	f.Add("(&(objectClass=groupOfNames)(!(cn=x)))")
	f.Add("(|(objectClass=inetOrgPerson)")
	f.Add("(!)")
	f.Fuzz(func(t *testing.T, filter string) {
		listed := func(names ...string) bool { return len(names) > 0 && strings.EqualFold(names[0], "inetOrgPerson") }
		v := matchClasses(filter, listed)
		if v != unclear && matchClasses("(!"+filter+")", listed) != not(v) {
			t.Fatalf("%q and its opposite are both %d", filter, v)
		}
	})
}
