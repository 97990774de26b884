package ldapstore

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/oidc"
)

// What the memory of a watched directory is bound by.
const (
	// maxStale is for how long answers are given from memory after the moment up to
	// which all changes are known: no answer is older, whatever the server does. Two
	// of the shortest ways to the server and back are added, or one that is far away
	// could never be proven in time; but no more than maxFar altogether.
	maxStale = 50 * time.Millisecond
	maxFar   = 800 * time.Millisecond
	// settleTime is how long after a change nothing that it may concern is kept: a
	// server that follows up on a change (memberOf, references to a renamed entry)
	// sends no word when it has.
	settleTime = 2 * time.Second
	// maxKept is how long an answer is kept, for what no event tells: a changed
	// access rule, a dynamic group that depends on something far away.
	maxKept = 30 * time.Second
	// maxMemory bounds what is kept, as estimated by sizeOf.
	maxMemory = 32 << 20
	// maxRecent bounds how many people are remembered as lately changed.
	maxRecent = 4096
)

// cache keeps people while a stream tells of every change. Three rules make it
// safe:
//   - It answers only while the stream is proven: see lease.
//   - What it keeps was read, from the first request to the last, on the very
//     server that the stream comes from, while that stream lasted.
//   - A read that began before an event, or less than settleTime after it, is not
//     kept if the event may concern it.
type cache struct {
	now     func() time.Time // the clock by which accounts end
	reading time.Duration    // the longest that a look-up takes
	settle  time.Duration    // settleTime; less in tests
	lease   atomic.Pointer[lease]
	wanted  atomic.Int64 // when somebody was asked for, roughly; nanoseconds of Unix time

	mu     sync.RWMutex
	source *source // nil while there is no stream
	people map[string]*kept
	ids    map[string]string // by what the stream calls a person
	memory int
	recent map[string]time.Time // by what the stream calls a person: the last event
	all    time.Time            // the last event that may concern everybody
}

// source is where one uninterrupted stream of events comes from.
type source struct {
	server *server
	peer   string // the other end: behind one name there may be several servers
	table  *table
	names  string // the attribute with what events call a person
}

// nameOf returns what events call this person.
func (s *source) nameOf(u *oidc.User) string {
	if strings.EqualFold(s.names, s.table.IDAttribute) {
		return strings.ToLower(u.ID)
	}
	return strings.ToLower(u.First(s.names))
}

// lease is until when answers may be given. Both clocks have to agree: one can be
// set, the other stands still while the machine sleeps.
type lease struct {
	until time.Time
	wall  int64
}

// newLease returns one from the moment up to which all changes are known. way is
// how long the server's answers are on their way at least.
func newLease(from time.Time, way time.Duration) *lease {
	until := from.Add(min(maxStale+2*way, maxFar))
	return &lease{until: until, wall: until.UnixNano()}
}

func (l *lease) holds(now time.Time) bool {
	return l != nil && now.Before(l.until) && now.UnixNano() < l.wall
}

// kept is one answer.
type kept struct {
	user    *oidc.User
	name    string // what the stream calls the person
	since   time.Time
	size    int
	touched atomic.Bool // used since the last clearing out
}

// begin starts to keep answers: stream will tell of every change from now on.
func (c *cache) begin(s *source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget()
	c.source, c.all = s, time.Now()
}

// end forgets everything: changes may be missed from now on.
func (c *cache) end() {
	c.lease.Store(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source = nil
	c.forget()
}

func (c *cache) forget() {
	c.people, c.ids, c.recent, c.memory = map[string]*kept{}, map[string]string{}, map[string]time.Time{}, 0
}

// distance is how far away a server is: the shortest time that there ever was
// between a question and its answer.
type distance struct {
	shortest time.Duration
	asked    int
}

// enoughAsked is after how many answers the shortest is believed: a server that is
// near, but busy, would be taken for far away.
const enoughAsked = 10

// take notes how long an answer took, and returns the distance, or 0 as long as it
// is not known.
func (d *distance) take(took time.Duration) time.Duration {
	if d.asked++; d.asked == 1 || took < d.shortest {
		d.shortest = took
	}
	if d.asked < enoughAsked {
		return 0
	}
	return d.shortest
}

// prove notes that the stream has told of every change up to this moment: when a
// question was sent that has just been answered.
func (c *cache) prove(upTo time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.source; s != nil {
		way := s.server.way.take(time.Since(upTo))
		c.lease.Store(newLease(upTo, way))
	}
}

// doubt has nothing answered from memory until the stream is proven again.
func (c *cache) doubt() { c.lease.Store(nil) }

// inUse reports whether somebody was asked for within the last second.
func (c *cache) inUse() bool { return time.Now().UnixNano()-c.wanted.Load() < int64(time.Second) }

// get returns a person from memory, or nil.
func (c *cache) get(id string) *oidc.User {
	now := time.Now()
	// Many ask at once, so that is not written down every time.
	if at := now.UnixNano(); at-c.wanted.Load() > int64(100*time.Millisecond) {
		c.wanted.Store(at)
	}
	if !c.lease.Load().holds(now) {
		return nil
	}
	c.mu.RLock()
	k, s := c.people[id], c.source
	c.mu.RUnlock()
	if k == nil || now.Sub(k.since) > maxKept {
		return nil
	}
	if !k.touched.Load() {
		k.touched.Store(true)
	}
	u := copyOf(k.user)
	// An account may end at a time that was known when it was read.
	state, err := s.table.state(&entry{dn: u.DN, attributes: u.Attributes}, c.now())
	if err != nil {
		return nil
	}
	u.State = state
	return u
}

// note begins a reading whose answer may be kept.
func (c *cache) note(sent func()) *reading {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return &reading{sent: sent, source: c.source, begun: time.Now()}
}

// put keeps what a reading found, if nothing speaks against it.
func (c *cache) put(id string, u *oidc.User, r *reading) {
	if r.source == nil || r.elsewhere || id != u.ID {
		return
	}
	name := r.source.nameOf(u)
	if name == "" {
		return
	}
	k := &kept{user: copyOf(u), name: name, since: time.Now(), size: sizeOf(u)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.source != r.source || !r.begun.After(c.all.Add(c.settle)) || k.size > maxMemory/10 {
		return
	}
	if at, ok := c.recent[name]; ok && !r.begun.After(at.Add(c.settle)) {
		return
	}
	c.remove(id)
	if c.memory+k.size > maxMemory {
		c.makeRoom()
	}
	c.people[id], c.ids[name] = k, id
	c.memory += k.size
}

// changed drops a person. It returns the id if the person was kept.
func (c *cache) changed(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.recent[name] = now; len(c.recent) > maxRecent {
		c.forgetRecent(now)
	}
	id := c.ids[name]
	c.remove(id)
	return id
}

// forgetRecent makes room among the lately changed. A look-up takes
// no longer than c.reading, so older ones say nothing any more.
func (c *cache) forgetRecent(now time.Time) {
	for name, at := range c.recent {
		if now.Sub(at) > c.settle+c.reading {
			delete(c.recent, name)
		}
	}
	if len(c.recent) > maxRecent/2 {
		c.forget()
		c.all = now
	}
}

// changedAll drops everybody. It returns the ids of those kept who were in the
// group with this DN.
func (c *cache) changedAll(group string) (members []string) {
	key, same := dnKey(group), map[string]bool{}
	isGroup := func(g oidc.Group) bool {
		yes, known := same[g.DN]
		if !known {
			yes = dnKey(g.DN) == key
			same[g.DN] = yes
		}
		return yes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, k := range c.people {
		if group != "" && slices.ContainsFunc(k.user.Groups, isGroup) {
			members = append(members, id)
		}
	}
	c.forget()
	c.all = time.Now()
	return members
}

func (c *cache) remove(id string) {
	if k := c.people[id]; k != nil {
		c.memory -= k.size
		delete(c.people, id)
		delete(c.ids, k.name)
	}
}

// makeRoom drops a fifth at least: first those that nobody has asked for since the
// last time.
func (c *cache) makeRoom() {
	for range 2 {
		for id, k := range c.people {
			if c.memory < maxMemory/5*4 {
				return
			}
			if !k.touched.Swap(false) {
				c.remove(id)
			}
		}
	}
}

// sizeOf estimates the memory that a person takes.
func sizeOf(u *oidc.User) int {
	const text, list = 16, 80 // a string, a slice in a map with its key
	n := 500 + len(u.ID) + len(u.DN) + len(u.Username)
	for name, values := range u.Attributes {
		n += list + len(name)
		for _, v := range values {
			n += text + len(v)
		}
	}
	for i := range u.Groups {
		g := &u.Groups[i]
		n += 6*text + len(g.ID) + len(g.DN) + len(g.Name) + len(g.DisplayName)
		for _, dn := range g.Path {
			n += text + len(dn)
		}
	}
	return n
}
