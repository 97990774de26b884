package web

import (
	"slices"
	"time"
)

// visitorKind says whether the browser that tries is one in which the name, or the
// person, has signed in before.
type visitorKind int

const (
	stranger visitorKind = iota
	acquaintance
	visitorKinds
)

// accountCount is the failures of one name, or of one person. All count together,
// as they do in the directory; what is left of them, and how long the waits have
// become, is told apart: else a stranger who goes on failing would keep the person
// out of their own browser.
type accountCount struct {
	failures []time.Time // within the window, oldest first
	open     int         // tries that are not settled
	backoff  [visitorKinds]backoff
}

// backoff is the wait after too many failures.
type backoff struct {
	lastWait time.Duration // 0 until the limit was reached for the first time
	until    time.Time     // end of that wait
}

// over reports whether it has been quiet for long enough to begin anew.
func (b backoff) over(s ThrottleSettings, now time.Time) bool {
	return b.lastWait == 0 || now.Sub(b.until) > s.MaxWait
}

// wait returns how long the next try has to wait, 0 for not at all.
func (a *accountCount) wait(s ThrottleSettings, v visitorKind, now time.Time) time.Duration {
	b := &a.backoff[v]
	if b.over(s, now) {
		*b = backoff{}
	}
	a.failures = slices.DeleteFunc(a.failures, func(t time.Time) bool { return now.Sub(t) >= s.Window })
	limit := s.limit(v)
	switch {
	case b.lastWait > 0 && now.Before(b.until):
		return b.until.Sub(now)
	case len(a.failures) >= limit: // until enough of them have left the window
		return a.failures[len(a.failures)-limit].Add(s.Window).Sub(now)
	case b.lastWait > 0 && a.open > 0: // one try after each wait
		return simultaneousWait
	case len(a.failures)+a.open >= limit:
		return simultaneousWait
	}
	return 0
}

func (a *accountCount) fail(s ThrottleSettings, v visitorKind, now time.Time) {
	a.failures = append(a.failures, now)
	b := &a.backoff[v]
	switch {
	case b.lastWait > 0:
		b.lastWait = min(2*b.lastWait, s.MaxWait)
	case len(a.failures) >= s.limit(v):
		b.lastWait = s.Window
	default:
		return
	}
	b.until = now.Add(b.lastWait)
}

// succeed forgets the failures, as directories do after a good sign-in. The waits
// of strangers go on when it came from the person's own browser: the person does
// not need them to end, and who guesses would have new tries at each sign-in.
func (a *accountCount) succeed(v visitorKind) {
	a.failures = nil
	a.backoff[acquaintance] = backoff{}
	if v == stranger {
		a.backoff[stranger] = backoff{}
	}
}

// over reports whether nothing is lost by forgetting a.
func (a *accountCount) over(s ThrottleSettings, now time.Time) bool {
	if a.open > 0 || !a.backoff[stranger].over(s, now) || !a.backoff[acquaintance].over(s, now) {
		return false
	}
	return len(a.failures) == 0 || now.Sub(a.failures[len(a.failures)-1]) >= s.Window
}

// networkSlots is into how many parts a network's window is divided: it moves on
// by one part at a time.
const networkSlots = 15

// networkCount is the failures of one network.
type networkCount struct {
	slots    [networkSlots + 1]int32
	slot     int64                  // number of the latest part of the window
	open     int                    // tries that are not settled
	accounts map[countKey]time.Time // that signed in from here, and when
}

// advance forgets the parts that have left the window.
func (n *networkCount) advance(s ThrottleSettings, now time.Time) {
	slot := now.UnixNano() / max(1, int64(s.Window/networkSlots))
	for i := max(n.slot+1, slot-networkSlots); i <= slot; i++ {
		n.slots[i%int64(len(n.slots))] = 0
	}
	n.slot = max(n.slot, slot)
	for key, at := range n.accounts {
		if now.Sub(at) > s.Window {
			delete(n.accounts, key)
		}
	}
}

func (n *networkCount) failures() int {
	sum := 0
	for _, f := range n.slots {
		sum += int(f)
	}
	return sum
}

func (n *networkCount) wait(s ThrottleSettings, now time.Time) time.Duration {
	n.advance(s, now)
	limit := s.NetworkFailures + len(n.accounts)*max(1, s.NetworkFailures/20)
	switch failures := n.failures(); {
	case failures >= limit:
		return s.Window / networkSlots
	case failures+n.open >= limit:
		return simultaneousWait
	}
	return 0
}

func (n *networkCount) fail(s ThrottleSettings, now time.Time) {
	n.advance(s, now)
	n.slots[n.slot%int64(len(n.slots))]++
}

// credit lets each account that signs in add to the limit once: a guesser who has
// one account of their own gains next to nothing by using it over and over.
func (n *networkCount) credit(s ThrottleSettings, account countKey, now time.Time) {
	n.advance(s, now)
	if n.accounts == nil {
		n.accounts = make(map[countKey]time.Time)
	}
	if _, known := n.accounts[account]; known || len(n.accounts) < creditedAccounts {
		n.accounts[account] = now
	}
}

func (n *networkCount) over(s ThrottleSettings, now time.Time) bool {
	n.advance(s, now)
	return n.open == 0 && len(n.accounts) == 0 && n.failures() == 0
}

// counters holds a bounded number of counts. A count is forgotten only when it
// has run out: if all are in use, newcomers share a fixed set of counts instead
// of pushing others out, or a flood of invented names would make the throttle
// forget the account that is really being guessed at.
type counters[T any] struct {
	entries map[countKey]*T
	max     int
	shared  []T
	window  time.Duration
	over    func(*T, time.Time) bool
	swept   time.Time
}

func newCounters[T any](most, shared int, window time.Duration, over func(*T, time.Time) bool) *counters[T] {
	return &counters[T]{entries: make(map[countKey]*T), max: most, shared: make([]T, shared), window: window, over: over}
}

// release forgets a count that has run out, which most have after a good sign-in.
func (c *counters[T]) release(k countKey, now time.Time) {
	if e, ok := c.entries[k]; ok && c.over(e, now) {
		delete(c.entries, k)
	}
}

func (c *counters[T]) get(k countKey, now time.Time) *T {
	if e, ok := c.entries[k]; ok {
		return e
	}
	full := len(c.entries) >= c.max
	if age := now.Sub(c.swept); age > c.window || full && age > c.window/networkSlots {
		for key, e := range c.entries {
			if c.over(e, now) {
				delete(c.entries, key)
			}
		}
		c.swept = now
	}
	if len(c.entries) >= c.max {
		return &c.shared[(int(k[0])|int(k[1])<<8)%len(c.shared)]
	}
	e := new(T)
	c.entries[k] = e
	return e
}
