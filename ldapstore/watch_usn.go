package ldapstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// The controls of Active Directory (MS-ADTS, section 3.1.1.3.4.1).
const (
	oidNotification = "1.2.840.113556.1.4.528"
	oidShowDeleted  = "1.2.840.113556.1.4.417"
)

// updateNumbers is the feed of Active Directory. Every change on a domain
// controller has a number (USN), and each object the one of its last change. The
// root DSE tells the highest; when it has grown, the objects with the new numbers
// are asked for. A notification says at once that it is time to ask.
//
// Numbers that belong to no object that the service account sees may be those of
// objects that were deleted: then everybody is forgotten.
type updateNumbers struct {
	w *watcher
	t *table
	c *conn

	base  string
	watch int // number of the search for notifications
	told  uint64

	mu    sync.Mutex
	last  int // number of the last request
	asked highest
	again bool // there was a notification since it was asked
	out   []byte
}

// highest is a question for the highest number, and then for what has changed.
type highest struct {
	id     int
	sent   time.Time
	found  bool   // the root DSE has told
	number uint64 // what it has told
	seen   map[uint64]bool
	over   bool
}

func (f *updateNumbers) names() string { return "objectGUID" }

// open reads the highest number, and asks to be notified.
func (f *updateNumbers) open(ctx context.Context) error {
	if !strings.EqualFold(f.t.IDAttribute, f.names()) {
		return fmt.Errorf("%w: people are known by %s, and changes name them by %s", errUnwatchable, f.t.IDAttribute, f.names())
	}
	root, err := rootOf(ctx, f.c, "namingContexts", "highestCommittedUSN", "supportedControl")
	if err != nil {
		return err
	}
	if f.told, err = strconv.ParseUint(root.first("highestCommittedUSN"), 10, 64); err != nil {
		return fmt.Errorf("%w: the root DSE has no highestCommittedUSN", errUnwatchable)
	}
	if f.base, err = f.t.database(root); err != nil {
		return err
	}
	f.c.last++
	f.last = f.c.last
	if !slices.Contains(root.values("supportedControl"), oidNotification) {
		return nil // then it is asked five times a second
	}
	f.watch = f.last
	return f.send(&query{
		base: f.base, scope: ldap.ScopeWholeSubtree, filter: everything, attributes: []string{noAttributes},
	}, f.watch, control{oid: oidNotification, critical: true}, control{oid: oidShowDeleted, critical: true})
}

// send writes a search. Two may not write at once, so it is called with the lock,
// or before there is a second.
func (f *updateNumbers) send(q *query, id int, controls ...control) error {
	var err error
	if f.out, err = appendSearch(f.out[:0], id, q, 0, controls...); err != nil {
		return err
	}
	if err := f.c.raw.SetWriteDeadline(time.Now().Add(f.w.d.options.Timeout)); err != nil {
		return err
	}
	_, err = f.c.stream.Write(f.out)
	return err
}

// beat asks for the highest number, if there is an answer to the last question.
func (f *updateNumbers) beat() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ask()
}

func (f *updateNumbers) ask() error {
	if q := &f.asked; q.id != 0 && !q.over {
		if time.Since(q.sent) > f.w.d.options.Timeout {
			return errTimeout
		}
		return nil
	}
	f.last++
	f.again = false
	f.asked = highest{id: f.last, sent: time.Now()}
	return f.send(&query{scope: ldap.ScopeBaseObject, filter: everything, attributes: []string{"highestCommittedUSN"}, limit: 1}, f.last)
}

// listen takes in notifications and answers.
func (f *updateNumbers) listen() error {
	for {
		m, err := f.c.read()
		if err != nil {
			return err
		}
		f.mu.Lock()
		if m.id == f.watch && f.watch != 0 {
			err = f.notified(&m)
		} else {
			err = f.answer(&m)
		}
		f.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// notified asks at once, or as soon as the present question is answered.
func (f *updateNumbers) notified(m *message) error {
	if m.op == tagSearchDone {
		// Not everybody may, and there may be too many: then there are the beats.
		f.w.d.log.Debug("the directory sends no notifications", "error", fmt.Sprint(m.result()))
		f.watch = 0
		return nil
	}
	// Until it is known what has changed, whoever asks is told what the directory says.
	f.w.cache.doubt()
	f.again = true
	return f.ask()
}

// answer takes in a message that answers the question.
func (f *updateNumbers) answer(m *message) error {
	q := &f.asked
	switch {
	case m.id != q.id || q.over:
		return fmt.Errorf("%w: message %d is no answer to what was asked", errBadMessage, m.id)
	case m.op == tagSearchReference:
		return nil // of the domain's other partitions
	case m.op == tagSearchEntry:
		e, err := m.entry(f.c.lower)
		if err != nil {
			return err
		}
		if !q.found {
			q.number, err = strconv.ParseUint(e.first("highestCommittedUSN"), 10, 64)
			return err
		}
		f.changed(e)
		return nil
	case m.op != tagSearchDone:
		return errBadMessage
	}
	err := m.result()
	if code, _ := resultCode(err); q.found && code == ldap.LDAPResultSizeLimitExceeded {
		q.seen, err = nil, nil // more than it sends: taken for what is not seen
	}
	switch {
	case err != nil:
		return err
	case !q.found && q.number < f.told:
		return errors.New("the numbers of changes have gone back: the directory was restored, or is another one")
	case !q.found && q.number > f.told:
		return f.askWhat()
	}
	f.done()
	if f.again {
		return f.ask()
	}
	return nil
}

// askWhat asks which objects have the new numbers.
func (f *updateNumbers) askWhat() error {
	q := &f.asked
	f.w.cache.doubt()
	q.found, q.seen = true, map[uint64]bool{}
	f.last++
	q.id = f.last
	filter := allOf("(uSNChanged>="+strconv.FormatUint(f.told+1, 10)+")", "(uSNChanged<="+strconv.FormatUint(q.number, 10)+")")
	return f.send(&query{
		base: f.base, scope: ldap.ScopeWholeSubtree, filter: filter, attributes: []string{"objectGUID", "objectClass", "uSNChanged"},
	}, q.id, control{oid: oidShowDeleted, critical: true})
}

// changed takes in one object.
func (f *updateNumbers) changed(e *entry) {
	if n, err := strconv.ParseUint(e.first("uSNChanged"), 10, 64); err == nil {
		f.asked.seen[n] = true
	}
	name, ok := f.t.decodeID(e.first("objectGUID"))
	if !ok {
		f.w.anyoneChanged("")
		return
	}
	f.w.entryChanged(f.t, name, e.dn, e.values("objectClass"))
}

// done proves the stream: all changes that were made before the question are told.
func (f *updateNumbers) done() {
	q := &f.asked
	if q.number-f.told != uint64(len(q.seen)) {
		f.w.unseenChanged()
	}
	f.told, q.over = q.number, true
	if !f.again {
		f.w.cache.prove(q.sent)
	}
}
