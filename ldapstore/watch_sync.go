package ldapstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// contentSync is the feed of OpenLDAP: content synchronisation that goes on
// (refreshAndPersist). The suffix's contextCSN says up to where the server has
// come, one change sequence number for each server that takes writes, and every
// change that the stream tells of carries its number too.
type contentSync struct {
	w *watcher
	t *table
	c *conn

	base  string
	id    int  // of the search that goes on
	known csns // up to where the stream has told

	mu    sync.Mutex
	asked question
	out   []byte
}

// question is the last one for contextCSN.
type question struct {
	id       int
	sent     time.Time
	wanted   csns // what the answer was
	answered bool
	proven   bool // the stream got as far
}

// csns are change sequence numbers by the server that gave them.
type csns map[string]string

// add takes a number in: 20251122031415.123456Z#000000#001#000000, whose parts are
// of fixed length, so that texts compare as the numbers do.
func (c csns) add(csn string) {
	parts := strings.Split(csn, "#")
	if len(parts) == 4 && csn > c[parts[2]] {
		c[parts[2]] = csn
	}
}

// covers reports whether all changes up to those of other are in c.
func (c csns) covers(other csns) bool {
	for server, csn := range other {
		if c[server] < csn {
			return false
		}
	}
	return true
}

// cookie is the form in which OpenLDAP takes them.
func (c csns) cookie() string {
	return "rid=000,csn=" + strings.Join(slices.Sorted(maps.Values(c)), ";")
}

// addCookie takes in what a cookie of the server says.
func (c csns) addCookie(cookie string) {
	for part := range strings.SplitSeq(cookie, ",") {
		if list, ok := strings.CutPrefix(part, "csn="); ok {
			for csn := range strings.SplitSeq(list, ";") {
				c.add(csn)
			}
		}
	}
}

func (f *contentSync) names() string { return "entryUUID" }

// open finds the suffix, reads where the server is, and begins from there.
func (f *contentSync) open(ctx context.Context) error {
	if err := f.findBase(ctx); err != nil {
		return err
	}
	p, err := f.c.search(ctx, &query{base: f.base, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"contextCSN"}, limit: 1})
	if err != nil {
		return fmt.Errorf("reading contextCSN of %s: %w", f.base, err)
	}
	f.known = csns{}
	for _, e := range p.entries {
		for _, csn := range e.values("contextCSN") {
			f.known.add(csn)
		}
	}
	if len(f.known) == 0 {
		return fmt.Errorf("%w: the service account reads no contextCSN at %s (is the overlay syncprov there?)", errUnwatchable, f.base)
	}
	return f.begin()
}

// findBase finds the database that holds people and groups.
func (f *contentSync) findBase(ctx context.Context) error {
	p, err := f.c.search(ctx, &query{scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"namingContexts", "supportedControl"}, limit: 1})
	if err != nil || len(p.entries) == 0 {
		return fmt.Errorf("reading the root DSE: %w", errors.Join(err, oidc.ErrUnavailable))
	}
	root := p.entries[0]
	if !slices.Contains(root.values("supportedControl"), oidSyncRequest) {
		return fmt.Errorf("%w: the server does not offer content synchronisation (overlay syncprov)", errUnwatchable)
	}
	for _, name := range root.values("namingContexts") {
		if dn, err := oidc.ParseDN(name); err == nil && f.t.allWithin(dn) {
			f.base = name
		}
	}
	if f.base == "" {
		return fmt.Errorf("%w: people and groups are not in one database of the server", errUnwatchable)
	}
	return nil
}

// begin sends the search that goes on and waits until the server listens.
func (f *contentSync) begin() error {
	value, at := open(nil, tagSequence)
	value = appendNumber(value, tagEnumerated, syncRefreshAndPersist)
	value = appendText(value, tagOctetString, f.known.cookie())
	value = shut(value, at)
	f.c.last++
	f.id = f.c.last
	request, err := appendSearch(nil, f.id, &query{
		base: f.base, scope: ldap.ScopeWholeSubtree, filter: "(objectClass=*)", attributes: []string{"objectClass"},
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
	switch code, _ := resultCode(err); code {
	case 0:
		return errors.New("the server ended the stream")
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
	f.known.addCookie(s.cookie)
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
		s.name = dashed(uuid)
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
		f.known.addCookie(string(content))
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
			f.known.addCookie(string(part))
		case kind == tagBoolean && done: // refreshDone, which is true unless it is said
			done = len(part) == 1 && part[0] != 0
		}
	}
	return true, done, nil
}

// beat asks for contextCSN over the connection of the stream, so that the answer
// comes from the same server.
func (f *contentSync) beat() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, limit := time.Now(), f.w.d.options.Timeout
	switch q := &f.asked; {
	case q.id == 0 || q.answered && q.proven:
	case now.Sub(q.sent) < limit:
		return nil
	case q.answered:
		return errors.New("the stream does not tell of all changes: there may be entries that the service account can't read")
	default:
		return errTimeout
	}
	f.asked = question{id: max(f.asked.id, f.id) + 1, sent: now}
	var err error
	f.out, err = appendSearch(f.out[:0], f.asked.id, &query{
		base: f.base, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{"contextCSN"}, limit: 1,
	}, 0)
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
		q.wanted = csns{}
		for _, csn := range e.values("contextCSN") {
			q.wanted.add(csn)
		}
	case tagSearchDone:
		if err := m.result(); err != nil {
			return err
		}
		if len(q.wanted) == 0 {
			return errors.New("contextCSN can't be read any more")
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

// dashed is the text form of a UUID (RFC 9562, section 4).
func dashed(uuid []byte) string {
	h := hex.EncodeToString(uuid)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}
