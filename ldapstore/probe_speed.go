package ldapstore

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	// slowAnswer is what a look-up may take longer than the simplest question before
	// an index is missed. An indexed one takes a fraction of it, whatever the size of
	// the directory.
	slowAnswer = 3 * time.Millisecond
	farAway    = 50 * time.Millisecond
	clockSkew  = 5 * time.Second
	badSkew    = 5 * time.Minute
)

// times asks the same thing some times over and returns how long each took.
func (p *probe) times(ctx context.Context, n int, ask func() error) []time.Duration {
	var all []time.Duration
	for range n {
		begin := time.Now()
		if err := ask(); err != nil {
			if ctx.Err() != nil {
				return all
			}
			if _, answered := resultCode(err); !answered {
				return all
			}
		}
		all = append(all, time.Since(begin))
	}
	slices.Sort(all)
	return all
}

// fastest is how long the fastest of a few answers took: what the question costs,
// without what else the machines were doing.
func (p *probe) fastest(ctx context.Context, bases []string, q query) time.Duration {
	all := p.times(ctx, 5, func() error {
		_, err := p.searchIn(ctx, bases, q)
		return err
	})
	if len(all) == 0 {
		return 0
	}
	return all[0]
}

// measure tells how long the simplest question takes.
func (p *probe) measure(ctx context.Context) {
	all := p.times(ctx, 20, func() error {
		_, err := p.read(ctx, p.table.userBases[0], noAttributes)
		return err
	})
	if len(all) == 0 {
		p.found(LevelProblem, "latency", "look at the log of the directory", "it stopped answering")
		return
	}
	p.floor = all[0]
	level, hint := LevelOK, ""
	if median := all[len(all)/2]; median > farAway {
		level, hint = LevelWarning, "a sign-in takes about five such questions, a refresh three: put a replica near to this machine"
	}
	p.found(level, "latency", hint, "the simplest question takes %s at the least, %s in the middle, %s at the most", roughly(all[0]), roughly(all[len(all)/2]), roughly(all[len(all)-1]))
}

// askIndexes measures the look-ups that are made all the time. No server says that
// it had to look at every entry, but it takes its time.
func (p *probe) askIndexes(ctx context.Context) {
	if len(p.people) == 0 {
		return
	}
	t := p.table
	configured, readable := p.readIndexes(ctx)
	var slow, missing, fast []string
	worst := time.Duration(0)
	check := func(bases []string, filter, attribute, value string) {
		if value == "" {
			return
		}
		if readable && !configured[strings.ToLower(attribute)] && !configured["default"] {
			missing = append(missing, attribute)
		}
		took := p.fastest(ctx, bases, query{
			filter: allOf(filter, equal(attribute, value)), attributes: []string{noAttributes}, limit: 2,
		}) - p.floor
		worst = max(worst, took)
		if took > slowAnswer {
			slow = append(slow, attribute+" ("+roughly(took)+")")
		} else {
			fast = append(fast, attribute)
		}
	}
	e := p.people[0]
	for _, attribute := range unique(t.LoginAttributes, []string{t.IDAttribute}) {
		check(t.userBases, t.UserFilter, attribute, e.first(attribute))
	}
	for _, attribute := range t.MemberAttributes {
		check(t.groupBases, t.GroupFilter, attribute, e.dn)
	}
	if t.MemberNameAttribute != "" {
		check(t.groupBases, t.GroupFilter, t.MemberNameAttribute, e.first(t.MemberNameSource))
	}
	const hint = "add equality indexes for them in the directory"
	if len(missing) > 0 {
		p.found(LevelWarning, "indexes", hint, "the directory's configuration has no equality index for %s", strings.Join(missing, ", "))
	}
	if len(slow) > 0 {
		p.found(LevelWarning, "indexes", hint+"; if they are there, look whether overlays such as dynlist slow it down", "to look for one value takes long: %s", strings.Join(slow, ", "))
	}
	if len(slow) == 0 && len(missing) == 0 {
		p.found(LevelOK, "indexes", "", "to look for one value of %s takes %s at the most", strings.Join(fast, ", "), roughly(max(worst, 0)))
	}
}

// readIndexes reads which attributes have an equality index, where the server's
// configuration may be read: OpenLDAP's, or that of 389 DS.
func (p *probe) readIndexes(ctx context.Context) (indexed map[string]bool, readable bool) {
	indexed = map[string]bool{}
	databases, err := p.search(ctx, query{base: "cn=config", scope: ldap.ScopeWholeSubtree, filter: "(olcDbIndex=*)", attributes: []string{"olcSuffix", "olcDbIndex"}, limit: sampleSize})
	if err == nil {
		for _, e := range databases {
			if !slices.ContainsFunc(e.values("olcSuffix"), p.holdsPeople) {
				continue
			}
			readable = true
			for _, line := range e.values("olcDbIndex") {
				for _, name := range indexedBy(line) {
					indexed[name] = true
				}
			}
		}
	}
	indexes, err := p.search(ctx, query{base: "cn=config", scope: ldap.ScopeWholeSubtree, filter: "(&(objectClass=nsIndex)(nsIndexType=eq))", attributes: []string{"cn"}, limit: 1000})
	if err == nil {
		for _, e := range indexes {
			if strings.Contains(strings.ToLower(e.dn), ",cn=default indexes,") {
				continue // of databases to come
			}
			readable = true
			indexed[strings.ToLower(e.first("cn"))] = true
		}
	}
	return indexed, readable
}

// holdsPeople reports whether a suffix is that of the people's base.
func (p *probe) holdsPeople(suffix string) bool { return isWithin(p.table.userBases[0], suffix) }

// indexedBy reads a line of olcDbIndex, such as "uid,mail eq,sub" (slapd-mdb(5)).
func indexedBy(line string) []string {
	if rest, found := strings.CutPrefix(line, "{"); found { // the number of the value
		_, line, _ = strings.Cut(rest, "}")
	}
	fields := strings.Fields(line)
	if len(fields) == 0 || len(fields) > 1 && !slices.Contains(strings.Split(fields[1], ","), "eq") {
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(fields[0], ",") {
		names = append(names, strings.ToLower(name))
	}
	return names
}

// askClock compares the server's clock with ours. Few servers tell the time; the
// others tell at least when something was last written.
func (p *probe) askClock(ctx context.Context) {
	written := p.lastWrite(ctx)
	told, at := p.serverTime(ctx)
	if !told {
		if ahead := written.Sub(p.d.now()); !written.IsZero() && ahead > clockSkew {
			p.found(LevelWarning, "clock", "have both machines keep time by NTP", "the directory was last written %s in the future: its clock or ours is wrong", roughly(ahead))
			return
		}
		p.found(LevelNote, "clock", "", "the directory does not tell the time")
		return
	}
	skew := at.Sub(p.d.now())
	where := "ahead of"
	if skew < 0 {
		skew, where = -skew, "behind"
	}
	switch {
	case skew < clockSkew:
		p.found(LevelOK, "clock", "", "it keeps the same time as this machine")
	case skew < badSkew:
		p.found(LevelWarning, "clock", "have both machines keep time by NTP", "the directory's clock is %s %s ours", roughly(skew), where)
	default:
		p.found(LevelProblem, "clock", "have both machines keep time by NTP: tokens and the ends of accounts go by the clock", "the directory's clock is %s %s ours", roughly(skew), where)
	}
}

// serverTime asks for the time: Active Directory tells it in the root DSE, OpenLDAP
// and 389 DS in their monitors, if the account may read them.
func (p *probe) serverTime(ctx context.Context) (bool, time.Time) {
	for _, place := range []struct{ dn, attribute string }{
		{"", "currentTime"}, {"cn=Current,cn=Time,cn=Monitor", "monitorTimestamp"}, {"cn=monitor", "currenttime"},
	} {
		e, err := p.read(ctx, place.dn, place.attribute)
		if err != nil || e == nil {
			continue
		}
		if at, err := parseGeneralizedTime(e.first(place.attribute)); err == nil {
			return true, at
		}
	}
	return false, time.Time{}
}

// lastWrite is when the directory was last written, for comparison with its
// replicas too: the newest contextCSN (syncprov's), such as
// 20240131120000.123456Z#000000#000#000000.
func (p *probe) lastWrite(ctx context.Context) time.Time {
	newest := time.Time{}
	for _, suffix := range p.root.values("namingContexts") {
		if !p.holdsPeople(suffix) {
			continue
		}
		e, err := p.read(ctx, suffix, "contextCSN")
		if err != nil || e == nil {
			continue
		}
		for _, csn := range e.values("contextCSN") {
			text, _, _ := strings.Cut(csn, "#")
			if at, err := parseGeneralizedTime(text); err == nil && at.After(newest) {
				newest = at
			}
		}
	}
	const syncControl = "1.3.6.1.4.1.4203.1.9.1.1" // RFC 4533
	switch {
	case !newest.IsZero():
		p.replicas = append(p.replicas, replica{url: p.server.url, state: newest})
		if slices.Contains(p.root.values("supportedControl"), syncControl) {
			p.found(LevelOK, "changes", "", "it tells of changes, so directory.cache: watch would work")
		}
	case p.table.Name == "openldap":
		p.found(LevelNote, "changes", "with the overlay syncprov, and contextCSN readable for the account, directory.cache: watch would work", "it does not tell of changes")
	}
	return newest
}

// askLimits finds the size limit, and whether paging goes beyond it.
func (p *probe) askLimits(ctx context.Context) {
	const most = 1000
	q := query{base: p.table.userBases[0], scope: ldap.ScopeWholeSubtree, filter: "(objectClass=*)", attributes: []string{noAttributes}}
	limit, err := p.countEntries(ctx, q, most)
	code, _ := resultCode(err)
	switch {
	case err == nil:
		p.found(LevelOK, "limits", "", "an answer of %s entries is not cut short", count(limit, most))
		return
	case code != ldap.LDAPResultSizeLimitExceeded && code != ldap.LDAPResultAdminLimitExceeded && code != ldap.LDAPResultTimeLimitExceeded:
		p.found(LevelNote, "limits", "", "what the limits are cannot be told: %v", err)
		return
	}
	paged, err := p.beyond(ctx, q, limit)
	if err != nil || !paged {
		p.found(LevelWarning, "limits", "raise the limit for the account, in OpenLDAP with size.prtotal=unlimited", "answers may have %d entries, and paging does not go beyond that: a person with more groups cannot sign in", limit)
		return
	}
	p.found(LevelOK, "limits", "", "answers may have %d entries; page by page there may be more", limit)
}

// countEntries counts what a search without any limit of ours brings. It hangs up
// when there are as many as most: nobody shall have to send us all of a great
// directory.
func (p *probe) countEntries(ctx context.Context, q query, most int) (n int, err error) {
	err = p.ask(ctx, func(ctx context.Context, c *conn) error {
		return c.during(ctx, func() error {
			c.last++
			if c.out, err = appendSearch(c.out[:0], c.last, &q, secondsLeft(ctx)); err != nil {
				return err
			}
			if _, err := c.stream.Write(c.out); err != nil {
				return err
			}
			received := 0
			for {
				m, err := c.receive(&received)
				switch {
				case err != nil:
					return err
				case m.op == tagSearchDone:
					return m.result()
				case m.op == tagSearchEntry:
					n++
				}
				if n >= most {
					c.broken = true
					return nil
				}
			}
		})
	})
	return n, err
}

// beyond reads page by page until there are more entries than the limit.
func (p *probe) beyond(ctx context.Context, q query, limit int) (bool, error) {
	n := 0
	err := p.ask(ctx, func(ctx context.Context, c *conn) error {
		var cookie []byte
		for {
			found, err := c.search(ctx, &q, pagingControl(pageSize, cookie))
			n += len(found.entries)
			cookie = found.cookie
			if err != nil || n > limit || len(cookie) == 0 {
				c.broken = c.broken || len(cookie) > 0 // the server may hold the pages that were not fetched
				return err
			}
		}
	})
	return n > limit, err
}

// askLockout looks for the directory's own limit of wrong passwords.
func (p *probe) askLockout(ctx context.Context) {
	after := 0
	note := func(text string) {
		if n, err := strconv.Atoi(text); err == nil && n > 0 && (after == 0 || n < after) {
			after = n
		}
	}
	for _, base := range p.root.values("namingContexts") {
		if !p.holdsPeople(base) {
			continue
		}
		policies, err := p.search(ctx, query{base: base, scope: ldap.ScopeWholeSubtree, filter: "(&(objectClass=pwdPolicy)(pwdLockout=TRUE))", attributes: []string{"pwdMaxFailure"}, limit: sampleSize})
		if err == nil {
			for _, e := range policies {
				note(e.first("pwdMaxFailure"))
			}
		}
		if e, err := p.read(ctx, base, "lockoutThreshold"); err == nil && e != nil { // Active Directory
			note(e.first("lockoutThreshold"))
		}
	}
	if e, err := p.read(ctx, "cn=config", "passwordLockout", "passwordMaxFailure"); err == nil && e != nil && strings.EqualFold(e.first("passwordLockout"), "on") { // 389 DS
		note(e.first("passwordMaxFailure"))
	}
	if after > 0 && (p.facts.LockoutAfter == 0 || after < p.facts.LockoutAfter) {
		p.facts.LockoutAfter = after
	}
}
