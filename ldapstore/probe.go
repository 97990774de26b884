package ldapstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// Level says how bad a Finding is.
type Level string

// The levels of findings.
const (
	LevelOK      Level = "ok"
	LevelNote    Level = "note"    // worth knowing
	LevelWarning Level = "warning" // works, and had better be otherwise
	LevelProblem Level = "problem" // people can't sign in, or not all of them
)

// Finding is one thing that Examine found out. It holds names of attributes, DNs
// and counts, never a value of anybody's entry.
type Finding struct {
	Level   Level
	Topic   string // resolve, connect, tls, bind, …
	Server  string // URL; "" for what is true of all servers
	Message string // lower case, no full stop
	Hint    string // what to do about it
	PEM     string // a certificate to compare with what its owner says, and then to trust
}

// Facts are what Examine learns that others have to be measured against.
type Facts struct {
	Kind string
	// LockoutAfter is after how many wrong passwords the directory locks an
	// account; 0 if it does not, or does not say.
	LockoutAfter int
}

// Examine asks each server of the directory what an operator wants to know, and
// tells the findings as they come. It makes the connections that look-ups make,
// and changes nothing. It takes as long as it takes; every question is bounded by
// Options.Timeout.
func (d *Directory) Examine(ctx context.Context, tell func(Finding)) Facts {
	x := &examination{d: d, tell: tell}
	d.examineDomains(ctx, tell)
	for _, s := range d.roster.list() {
		if s.dialer == nil {
			continue // a domain that has told nothing
		}
		p := &probe{examination: x, server: s}
		p.run(ctx)
		p.end()
	}
	x.compareReplicas()
	return x.facts
}

// examination is what is found out over all servers.
type examination struct {
	d     *Directory
	tell  func(Finding)
	facts Facts
	// refused is set once a server has refused the account's password: to try it at
	// the next would bring the account nearer to being locked.
	refused  bool
	replicas []replica
}

// replica is how far one server's data have got.
type replica struct {
	url   string
	state time.Time
}

// compareReplicas looks whether the servers hold the same data.
func (x *examination) compareReplicas() {
	if len(x.replicas) < 2 {
		return
	}
	newest := slices.MaxFunc(x.replicas, func(a, b replica) int { return a.state.Compare(b.state) })
	for _, r := range x.replicas {
		if lag := newest.state.Sub(r.state); lag > time.Second {
			x.tell(Finding{
				Level: LevelWarning, Topic: "replication", Server: r.url,
				Message: fmt.Sprintf("its data are %s older than those of %s", roughly(lag), newest.url),
				Hint:    "people who were removed may still be there: look at its replication, or list it last in directory.url",
			})
		}
	}
}

// examineDomains tells which servers the SRV records of a domain name.
func (d *Directory) examineDomains(ctx context.Context, tell func(Finding)) {
	d.roster.find(ctx)
	d.roster.mu.Lock()
	defer d.roster.mu.Unlock()
	for i := range d.roster.parts {
		p := &d.roster.parts[i]
		if p.domain == "" {
			continue
		}
		if p.key == "" {
			_, err := p.servers[0].reads.dial(ctx)
			tell(Finding{
				Level: LevelProblem, Topic: "resolve", Server: p.url, Message: fmt.Sprint(err),
				Hint: "look at the SRV records _ldap._tcp." + p.domain + ", or name the servers in directory.url",
			})
			continue
		}
		var urls []string
		for _, s := range p.servers {
			urls = append(urls, s.url)
		}
		tell(Finding{Level: LevelOK, Topic: "resolve", Server: p.url, Message: "the SRV records name " + strings.Join(urls, ", ")})
	}
}

// probe asks one server.
type probe struct {
	*examination
	server *server
	conn   *conn
	signIn func(context.Context, *conn) error
	told   bool // what its answer says about the account
	root   *entry
	table  *table
	schema map[string]bool // attributes that the server knows, in lower case; nil if it does not say
	people []*entry
	floor  time.Duration // the fastest answer to the simplest question
}

// run asks one thing after the other, as long as the next makes sense.
func (p *probe) run(ctx context.Context) {
	if !p.connect(ctx) || !p.bind(ctx) || !p.readRoot(ctx) || !p.readBases(ctx) {
		return
	}
	p.measure(ctx)
	p.askClock(ctx)
	p.readSchema(ctx)
	p.readPeople(ctx)
	p.readGroups(ctx)
	p.readAttributes(ctx)
	p.askIndexes(ctx)
	p.askLimits(ctx)
	p.askWriting(ctx)
	p.askLockout(ctx)
}

func (p *probe) end() {
	if p.conn != nil {
		p.conn.close()
	}
}

func (p *probe) found(level Level, topic, hint, format string, args ...any) {
	p.tell(Finding{Level: level, Topic: topic, Server: p.server.url, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// ask runs one exchange within the time for one, on a connection that is signed
// in, a new one if the last is no longer any good.
func (p *probe) ask(ctx context.Context, exchange func(context.Context, *conn) error) error {
	ctx, cancel := p.d.bounded(ctx)
	defer cancel()
	if p.conn == nil || !p.conn.alive() {
		if p.conn != nil {
			p.conn.close()
		}
		c, err := p.server.dialer.dial(ctx, p.server.endpoint)
		if err != nil {
			p.conn = nil
			return err
		}
		if p.conn = c; p.signIn != nil {
			if err := p.signIn(ctx, c); err != nil {
				return err
			}
		}
	}
	return exchange(ctx, p.conn)
}

// search runs one search without paging. That there were more entries than asked
// for is no error.
func (p *probe) search(ctx context.Context, q query) ([]*entry, error) {
	var entries []*entry
	err := p.ask(ctx, func(ctx context.Context, c *conn) error {
		found, err := c.search(ctx, &q)
		entries = found.entries
		return err
	})
	if code, _ := resultCode(err); code == ldap.LDAPResultSizeLimitExceeded && q.limit > 0 && len(entries) >= q.limit {
		err = nil
	}
	return entries, err
}

// searchIn runs one search beneath each base, until there are as many entries as
// asked for. Entries may come with an error.
func (p *probe) searchIn(ctx context.Context, bases []string, q query) (all []*entry, err error) {
	most := q.limit
	for _, base := range bases {
		q.base, q.scope = base, ldap.ScopeWholeSubtree
		var found []*entry
		found, err = p.search(ctx, q)
		all = append(all, found...)
		if err != nil || most > 0 && len(all) >= most {
			break
		}
	}
	return all, err
}

// read reads attributes of one entry; nil if it is not there, or not to be seen.
func (p *probe) read(ctx context.Context, dn string, attributes ...string) (*entry, error) {
	entries, err := p.search(ctx, query{base: dn, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: attributes})
	if code, _ := resultCode(err); code == ldap.LDAPResultNoSuchObject {
		return nil, nil
	}
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	return entries[0], nil
}

// roughly writes a duration for people.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case d >= time.Second:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	default:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
}

// count writes how many there are; most means that there may be more.
func count(n, most int) string {
	if n >= most {
		return fmt.Sprintf("%d or more", n)
	}
	return fmt.Sprint(n)
}

// some joins the first few names of a list.
func some(names []string) string {
	const few = 5
	if len(names) > few {
		return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", len(names)-few)
	}
	return strings.Join(names, ", ")
}
