package ldapstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// The parts of content synchronisation (RFC 4533, section 2).
const (
	oidSyncRequest = "1.3.6.1.4.1.4203.1.9.1.1"
	oidSyncState   = "1.3.6.1.4.1.4203.1.9.1.2"
	oidSyncInfo    = "1.3.6.1.4.1.4203.1.9.1.4"

	syncRefreshAndPersist = 3
	syncStateDelete       = 3

	tagSyncNewCookie = 0x80
	tagSyncDelete    = 0xa1
	tagSyncPresent   = 0xa2
	tagSyncIDSet     = 0xa3
)

// maxRefresh is how many entries a server may send before it listens. More mean
// that it does not know where to begin and sends all.
const maxRefresh = 1000

// contentSync is the feed of OpenLDAP and 389 DS: content synchronisation that goes
// on (refreshAndPersist). The server says somewhere up to where it has come, and
// every change that the stream tells of says so too.
type contentSync struct {
	w *watcher
	t *table
	c *conn
	dialect

	base  string
	id    int      // of the search that goes on
	known position // up to where the stream has told

	mu    sync.Mutex
	asked question
	out   []byte
}

// maxLag is how far a stream may be behind before it is begun anew: what it has not
// told by then it never will, as the service account can't see it.
const maxLag = 1500 * time.Millisecond

// question is the last one for where the server is.
type question struct {
	id       int
	sent     time.Time
	wanted   position // what the answer was
	answered bool
	proven   bool // the stream got as far
}

// open finds the suffix, reads where the server is, and begins from there.
func (f *contentSync) open(ctx context.Context) error {
	root, err := rootOf(ctx, f.c, "namingContexts", "supportedControl", "netscapemdsuffix")
	if err != nil {
		return err
	}
	if !slices.Contains(root.values("supportedControl"), oidSyncRequest) {
		return fmt.Errorf("%w: the server does not offer content synchronisation", errUnwatchable)
	}
	if f.base, err = f.t.database(root); err != nil {
		return err
	}
	p, err := f.c.search(ctx, f.whereabouts())
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.attribute(), err)
	}
	f.known = position{}
	for _, e := range p.entries {
		f.read(f.known, e.values(f.attribute()))
	}
	if len(f.known) == 0 {
		return fmt.Errorf("%w: the service account reads no %s at %q", errUnwatchable, f.attribute(), f.place(f.base))
	}
	cookie, err := f.cookie(ctx, f.c, root, f.base, f.known)
	if err != nil {
		return err
	}
	return f.begin(cookie)
}

// whereabouts asks up to where the server has come.
func (f *contentSync) whereabouts() *query {
	return &query{base: f.place(f.base), scope: ldap.ScopeBaseObject, filter: everything, attributes: []string{f.attribute()}, limit: 1}
}

// everything is the filter of a search that leaves nothing out.
const everything = "(objectClass=*)"

// rootOf reads the root DSE.
func rootOf(ctx context.Context, c *conn, attributes ...string) (*entry, error) {
	p, err := c.search(ctx, &query{scope: ldap.ScopeBaseObject, filter: everything, attributes: attributes, limit: 1})
	if err != nil {
		return nil, fmt.Errorf("reading the root DSE: %w", err)
	}
	if len(p.entries) == 0 {
		return &entry{}, nil
	}
	return p.entries[0], nil
}

// database returns the root of the database that holds people and groups.
func (t *table) database(root *entry) (string, error) {
	best, length := "", 0
	for _, name := range root.values("namingContexts") {
		if dn, err := oidc.ParseDN(name); err == nil && t.allWithin(dn) && len(dn.Key()) > length {
			best, length = name, len(dn.Key())
		}
	}
	if best == "" {
		return "", fmt.Errorf("%w: people and groups are not in one database of the server", errUnwatchable)
	}
	return best, nil
}

// begin sends the search that goes on and waits until the server listens.
func (f *contentSync) begin(cookie string) error {
	value, at := open(nil, tagSequence)
	value = appendNumber(value, tagEnumerated, syncRefreshAndPersist)
	value = appendText(value, tagOctetString, cookie)
	value = shut(value, at)
	f.c.last++
	f.id = f.c.last
	request, err := appendSearch(nil, f.id, &query{
		base: f.base, scope: ldap.ScopeWholeSubtree, filter: everything, attributes: []string{"objectClass"},
	}, 0, control{oid: oidSyncRequest, critical: true, value: value})
	if err != nil {
		return err
	}
	if _, err := f.c.stream.Write(request); err != nil {
		return err
	}
	for range maxRefresh {
		m, err := f.c.read()
		if err != nil {
			return err
		}
		if m.id != f.id {
			return errBadMessage
		}
		switch m.op {
		case tagSearchEntry, tagSearchReference:
			// Nothing is kept yet that it could concern.
			if _, err := f.state(&m); err != nil {
				return err
			}
		case tagIntermediateResponse:
			if _, done, err := f.info(&m); err != nil || done {
				return err
			}
		default:
			return f.over(&m)
		}
	}
	return errors.New("the server sends all its entries instead of those that change")
}

// over returns why the server has ended the search.
func (f *contentSync) over(m *message) error {
	if m.op != tagSearchDone {
		return errBadMessage
	}
	err := m.result()
	if err == nil {
		return errors.New("the server ended the stream")
	}
	switch code, _ := resultCode(err); code {
	case ldap.LDAPResultUnavailableCriticalExtension, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultNoSuchObject:
		return fmt.Errorf("%w: %w", errUnwatchable, err)
	default:
		return err
	}
}

// listen takes in changes and the answers to beats.
func (f *contentSync) listen() error {
	for {
		m, err := f.c.read()
		if err != nil {
			return err
		}
		if m.id != f.id {
			if err := f.answer(&m); err != nil {
				return err
			}
			f.check()
			continue
		}
		switch m.op {
		case tagSearchEntry:
			err = f.changed(&m)
		case tagSearchReference:
			f.w.anyoneChanged("")
			_, err = f.state(&m)
		case tagIntermediateResponse:
			var whole bool
			if whole, _, err = f.info(&m); whole {
				f.w.anyoneChanged("")
			}
		default:
			err = f.over(&m)
		}
		if err != nil {
			return err
		}
		f.check()
	}
}

// changed takes in one change.
func (f *contentSync) changed(m *message) error {
	s, err := f.state(m)
	if err != nil {
		return err
	}
	e, err := m.entry(f.c.lower)
	if err != nil {
		return err
	}
	if s.state == syncStateDelete {
		f.w.entryGone(f.t, s.name, e.dn)
	} else {
		f.w.entryChanged(f.t, s.name, e.dn, e.values("objectClass"))
	}
	f.told(f.known, s.cookie)
	return nil
}

// syncState is what comes with an entry (RFC 4533, section 2.3).
type syncState struct {
	state  int
	name   string // entryUUID
	cookie string
}

func (f *contentSync) state(m *message) (s syncState, err error) {
	found := false
	err = m.eachControl(func(oid string, value []byte) error {
		if oid != oidSyncState {
			return nil
		}
		found = true
		_, list, _, err := takeTLV(value)
		if err != nil {
			return err
		}
		_, state, list, err := takeTLV(list)
		if err != nil {
			return err
		}
		_, uuid, list, err := takeTLV(list)
		if err != nil {
			return err
		}
		var ok bool
		if s.state, ok = number(state); !ok || len(uuid) != 16 {
			return errBadMessage
		}
		s.name = f.name(uuid)
		if len(list) > 0 {
			_, cookie, _, err := takeTLV(list)
			s.cookie = string(cookie)
			return err
		}
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: an entry has no state", errBadMessage)
	}
	return s, err
}

// info reads a Sync Info message (RFC 4533, section 2.5). whole means that it told
// of changes without naming them, done that the server listens from here on.
func (f *contentSync) info(m *message) (whole, done bool, err error) {
	rest := m.content
	var oid string
	var value []byte
	for len(rest) > 0 {
		var tag byte
		var content []byte
		if tag, content, rest, err = takeTLV(rest); err != nil {
			return false, false, err
		}
		switch tag {
		case 0x80:
			oid = string(content)
		case 0x81:
			value = content
		}
	}
	if oid != oidSyncInfo {
		return false, false, nil
	}
	tag, content, _, err := takeTLV(value)
	if err != nil {
		return false, false, err
	}
	if tag == tagSyncNewCookie {
		f.told(f.known, string(content))
		return false, false, nil
	}
	done = tag == tagSyncDelete || tag == tagSyncPresent
	for list := content; len(list) > 0; {
		var kind byte
		var part []byte
		if kind, part, list, err = takeTLV(list); err != nil {
			return false, false, err
		}
		switch {
		case kind == tagOctetString:
			f.told(f.known, string(part))
		case kind == tagBoolean && done: // refreshDone, which is true unless it is said
			done = len(part) == 1 && part[0] != 0
		}
	}
	return true, done, nil
}

var errLag = errors.New("the stream does not tell of all changes: there are some that the service account can't see")

// beat asks where the server is, over the connection of the stream, so that the answer
// comes from the same server.
func (f *contentSync) beat() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, limit := time.Now(), f.w.d.options.Timeout
	switch q := &f.asked; {
	case q.id == 0 || q.answered && q.proven:
	case q.answered && now.Sub(q.sent) >= min(maxLag, limit):
		return errLag
	case now.Sub(q.sent) < limit:
		return nil
	default:
		return errTimeout
	}
	f.asked = question{id: max(f.asked.id, f.id) + 1, sent: now}
	var err error
	f.out, err = appendSearch(f.out[:0], f.asked.id, f.whereabouts(), 0)
	if err != nil {
		return err
	}
	if err := f.c.raw.SetWriteDeadline(now.Add(limit)); err != nil {
		return err
	}
	_, err = f.c.stream.Write(f.out)
	return err
}

// answer takes in a message that answers a beat.
func (f *contentSync) answer(m *message) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	q := &f.asked
	if m.id != q.id || q.answered {
		return fmt.Errorf("%w: message %d is no answer to what was asked", errBadMessage, m.id)
	}
	switch m.op {
	case tagSearchEntry:
		e, err := m.entry(f.c.lower)
		if err != nil {
			return err
		}
		q.wanted = position{}
		f.read(q.wanted, e.values(f.attribute()))
	case tagSearchDone:
		if err := m.result(); err != nil {
			return err
		}
		if len(q.wanted) == 0 {
			return errors.New(f.attribute() + " can't be read any more")
		}
		q.answered = true
	default:
		return errBadMessage
	}
	return nil
}

// check proves the stream if it has told of everything that the answer to the last
// beat covers: then it has told of all changes that were made before the beat.
func (f *contentSync) check() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := &f.asked; q.answered && !q.proven && f.known.covers(q.wanted) {
		q.proven = true
		f.w.cache.prove(q.sent)
	}
}
