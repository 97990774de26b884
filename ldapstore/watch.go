package ldapstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gatehouse/oidc"
)

const (
	// watchAgain is how soon a lost stream is begun anew.
	watchAgain = 500 * time.Millisecond
	// watchHopeless is how soon a server is tried again that can't be watched.
	watchHopeless = 5 * time.Minute
	// beatEvery is how often a stream is proven while people are asked for, and
	// beatIdle how often otherwise.
	beatEvery = 20 * time.Millisecond
	beatIdle  = 200 * time.Millisecond
)

// Change is what became different in the directory.
type Change struct {
	// ID is the person's; "" if the change may concern anybody: a group changed, or
	// it is not known what.
	ID string
	// Members are some of the people whom a change without ID surely concerns.
	Members []string
}

// Watch follows what changes in the directory until Close. While it is proven
// that no change is missed, User answers from memory. Where the server can't be
// watched it does nothing, and says so in the log. changed is told of every change;
// it must not block, may be called by several at once, and may be nil. Watch is to
// be called once.
func (d *Directory) Watch(changed func(Change)) {
	if changed == nil {
		changed = func(Change) {}
	}
	w := &watcher{d: d, cache: &d.cache, changed: changed}
	d.background(w.run)
}

// watcher keeps one stream of changes.
type watcher struct {
	d       *Directory
	cache   *cache
	changed func(Change)
	again   bool // there was a stream before

	mu    sync.Mutex
	owed  bool      // a change that may concern anybody has not been told
	asked time.Time // when the last one of these was told
	told  string    // why there is none, as the log has it
	names string    // the attribute with what changes call a person
}

// errUnwatchable means that the server has no stream to offer.
var errUnwatchable = errors.New("the directory can't be watched")

// errMoved means that look-ups go to another server now.
var errMoved = errors.New("another server is asked now")

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := w.follow(ctx)
		w.cache.end()
		w.tell(ctx, err)
		wait := watchAgain
		if errors.Is(err, errUnwatchable) {
			wait = watchHopeless
		} else if errors.Is(err, errMoved) {
			wait = 0
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// tell writes why there is no stream, once for each reason.
func (w *watcher) tell(ctx context.Context, err error) {
	if ctx.Err() != nil || err.Error() == w.told {
		return
	}
	w.told = err.Error()
	if errors.Is(err, errUnwatchable) {
		w.d.log.Warn("directory not watched: every look-up reads it", slog.String("error", err.Error()))
		return
	}
	w.d.log.Warn("directory watch lost: every look-up reads it until it is back", slog.String("error", err.Error()))
}

// feed is one way in which a server tells of its changes, on a connection of its
// own.
type feed interface {
	// open begins to listen. Once it has returned, no change is missed.
	open(ctx context.Context) error
	// names is the attribute with what changes call a person.
	names() string
	// beat asks for a proof. It is called from another goroutine than listen.
	beat() error
	// listen takes in changes and proofs until the connection ends.
	listen() error
}

// newFeed returns the feed that fits the kind of the directory.
func (w *watcher) newFeed(t *table, c *conn) (feed, error) {
	switch t.Name {
	case "openldap":
		return &contentSync{w: w, t: t, c: c, dialect: openldapDialect{}}, nil
	case "389ds", "freeipa":
		return &contentSync{w: w, t: t, c: c, dialect: dirsrvDialect{}}, nil
	case "ad":
		return &updateNumbers{w: w, t: t, c: c}, nil
	default:
		return nil, fmt.Errorf("%w: nothing is known of how a server of the kind %s tells of changes", errUnwatchable, t.Name)
	}
}

// follow keeps one stream for as long as it lasts.
func (w *watcher) follow(ctx context.Context) error {
	setup, cancel := w.d.bounded(ctx)
	defer cancel()
	t, err := w.d.tableInForce(setup)
	if err != nil {
		return err
	}
	w.d.roster.find(setup)
	s := w.d.candidates()[0]
	c, err := s.reads.dial(setup)
	if err != nil {
		return err
	}
	defer c.close()
	f, err := w.newFeed(t, c)
	if err != nil {
		return err
	}
	if err := c.during(setup, func() error { return f.open(setup) }); err != nil {
		return fmt.Errorf("%s: %w", s.url, err)
	}
	w.names = f.names()
	w.cache.begin(&source{server: s, peer: c.peer, table: t, names: w.names})
	w.d.log.Info("directory watched", slog.String("server", s.url))
	if w.told = ""; w.again {
		w.owe() // whatever happened in between
	}
	w.again = true
	return fmt.Errorf("%s: %w", s.url, w.keep(ctx, s, c, f))
}

// keep listens and has the stream proven until either fails.
func (w *watcher) keep(ctx context.Context, s *server, c *conn, f feed) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, c.close)()
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
			w.pay()
			err := f.beat()
			if w.d.candidates()[0] != s {
				err = errMoved
			}
			if err != nil {
				cancel(err)
				return
			}
			next := beatIdle
			if w.cache.inUse() {
				next = beatEvery
			}
			timer.Reset(next)
		}
	}()
	err := f.listen()
	cancel(err)
	<-beats
	return cmp.Or(context.Cause(ctx), err)
}

// entryChanged is called by feeds: an entry was added or changed.
func (w *watcher) entryChanged(t *table, name, dn string, classes []string) {
	switch t.judgeEntry(dn, classes) {
	case concernsNobody:
	case concernsItself:
		w.personChanged(t, name)
	default:
		w.anyoneChanged(dn)
	}
}

// entryGone is called by feeds: an entry was deleted, of which no more is known.
func (w *watcher) entryGone(t *table, name, dn string) {
	kept := w.personChanged(t, name)
	if kept || !t.inGroupBase(dn) {
		return
	}
	w.anyoneChanged(dn)
}

// personChanged reports whether it was kept.
func (w *watcher) personChanged(t *table, name string) bool {
	id := w.cache.changed(name)
	kept := id != ""
	if !kept && strings.EqualFold(w.names, t.IDAttribute) {
		id = name
	}
	if id != "" {
		w.changed(Change{ID: id})
	}
	return kept
}

func (w *watcher) anyoneChanged(dn string) {
	w.changed(Change{Members: w.cache.changedAll(dn)})
}

// unseenChanged is called by feeds: something has changed that was not told.
func (w *watcher) unseenChanged() {
	w.cache.changedAll("")
	w.owe()
}

// seldom is how often, at most, a Change is told that may concern anybody without
// a sign that it does.
const seldom = 10 * time.Second

// owe has such a Change told when it is time.
func (w *watcher) owe() {
	w.mu.Lock()
	w.owed = true
	w.mu.Unlock()
	w.pay()
}

func (w *watcher) pay() {
	w.mu.Lock()
	due := w.owed && time.Since(w.asked) >= seldom
	if due {
		w.owed, w.asked = false, time.Now()
	}
	w.mu.Unlock()
	if due {
		w.changed(Change{})
	}
}

// remembered returns a person from memory, if that is allowed.
func (d *Directory) remembered(ctx context.Context, id string) *oidc.User {
	if traced(ctx) {
		return nil
	}
	return d.cache.get(id)
}
