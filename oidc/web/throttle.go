package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"gatehouse/oidc"
)

// ThrottleSettings say how many sign-ins may fail. Set AccountFailures below what
// the directory's own lock-out allows in the same time, and a stranger who guesses
// here cannot lock anybody out there.
type ThrottleSettings struct {
	// AccountFailures a name may have in Window; 0 means 4. The last of them is kept
	// for browsers in which its person has signed in before: strangers have one less
	// (but at least one), and cannot keep the person out. Then the directory is not
	// asked for Window, and each further failure doubles that wait.
	AccountFailures int
	// NetworkFailures one IPv4 address or IPv6 /64 may have in Window; 0 means 100.
	// Each account that signs in from there adds a twentieth of it, so that a
	// whole office behind one address isn't locked out by its own typing errors.
	NetworkFailures int
	Window          time.Duration // 0 means 15 min
	MaxWait         time.Duration // where the doubling ends; 0 means 1 h
}

func (s ThrottleSettings) withDefaults() (ThrottleSettings, error) {
	if s.AccountFailures < 0 || s.NetworkFailures < 0 || s.Window < 0 || s.MaxWait < 0 || s.AccountFailures > 1000 {
		return s, errors.New("web: throttle: a limit is out of range")
	}
	if s.AccountFailures == 0 {
		s.AccountFailures = 4
	}
	if s.NetworkFailures == 0 {
		s.NetworkFailures = 100
	}
	s.Window = orDefault(s.Window, 15*time.Minute)
	s.MaxWait = max(orDefault(s.MaxWait, time.Hour), s.Window)
	return s, nil
}

// limit is how many failures there may be in a window before the next try.
func (s ThrottleSettings) limit(v visitorKind) int {
	if v == stranger {
		return max(1, s.AccountFailures-1)
	}
	return s.AccountFailures
}

const (
	throttleEntries  = 1 << 16 // accounts, and as many networks, that are told apart
	throttleShared   = 1 << 10 // counters that all others share
	creditedAccounts = 256     // at most so many accounts add to a network's limit
	// simultaneousWait is what somebody is told whose try comes while others, which
	// may still fail, use up the limit.
	simultaneousWait = 5 * time.Second
)

// throttle counts failed sign-ins by typed name, by person and by network, in
// memory. Names are kept as keyed hashes, and known and unknown ones are treated
// alike. A person is known only when the directory has found the name; counted by
// name alone, whoever can sign in with a user name and with a mail address would
// have twice the tries.
type throttle struct {
	settings ThrottleSettings
	key      []byte
	now      func() time.Time

	mu       sync.Mutex
	accounts *counters[accountCount] // by typed name
	people   *counters[accountCount] // by directory id; invented names cannot fill it
	networks *counters[networkCount]
}

type countKey [16]byte

func newThrottle(s ThrottleSettings, key []byte, now func() time.Time) (*throttle, error) {
	s, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	over := func(a *accountCount, now time.Time) bool { return a.over(s, now) }
	return &throttle{
		settings: s, key: key, now: now,
		accounts: newCounters(throttleEntries, throttleShared, s.Window, over),
		people:   newCounters(throttleEntries, throttleShared, s.Window, over),
		networks: newCounters(throttleEntries, throttleShared, s.Window, func(n *networkCount, now time.Time) bool { return n.over(s, now) }),
	}, nil
}

// outcome is how a try ended.
type outcome int

const (
	outcomeUnknown outcome = iota // the directory could not say: counts for nothing
	outcomeWrong
	outcomeRight
)

// try is one sign-in that was let through and counts as a failure until settled.
type try struct {
	t         *throttle
	device    device
	key       countKey
	account   *accountCount
	personKey countKey
	person    *accountCount // nil until the directory has found somebody
	network   *networkCount
	settled   bool
}

// refusal says that a sign-in must not be tried.
type refusal struct {
	by   string // account, person or network
	wait time.Duration
}

// err is the refusal for those who are not of this room.
func (r *refusal) err() error { return &oidc.ThrottledError{By: r.by, Wait: r.wait} }

// begin counts a try before the directory is asked, so that fifty at once are no
// more than the limit. The caller must settle it.
func (t *throttle) begin(name string, remote netip.Addr, d device) (*try, *refusal) {
	key := t.nameKey(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	network := t.networks.get(t.hash("network", networkOf(remote)), now)
	if wait := network.wait(t.settings, now); wait > 0 {
		return nil, &refusal{by: "network", wait: wait}
	}
	// After the network has had its say: one that is kept out cannot go on to fill
	// the table with invented names.
	account := t.accounts.get(key, now)
	if wait := account.wait(t.settings, d.kindFor(key), now); wait > 0 {
		return nil, &refusal{by: "account", wait: wait}
	}
	account.open++
	network.open++
	return &try{t: t, device: d, key: key, account: account, network: network}, nil
}

// reserve counts the try for the person whom the name belongs to, before their
// password is tried. Where it refuses, the password must not be.
func (y *try) reserve(subject string) *refusal {
	key := y.t.personKey(subject)
	y.t.mu.Lock()
	defer y.t.mu.Unlock()
	if y.settled || y.person != nil { // one try is one bind
		return &refusal{by: "person", wait: simultaneousWait}
	}
	now := y.t.now()
	person := y.t.people.get(key, now)
	if wait := person.wait(y.t.settings, y.device.kindFor(key), now); wait > 0 {
		return &refusal{by: "person", wait: wait}
	}
	person.open++
	y.personKey, y.person = key, person
	return nil
}

// settle says how the try ended. Only the first call counts.
func (y *try) settle(o outcome) {
	y.t.mu.Lock()
	defer y.t.mu.Unlock()
	if y.settled {
		return
	}
	y.settled = true
	y.account.open--
	y.network.open--
	counts := map[countKey]*accountCount{y.key: y.account}
	who := y.key
	if y.person != nil {
		y.person.open--
		counts[y.personKey], who = y.person, y.personKey
	}
	now := y.t.now()
	switch o {
	case outcomeWrong:
		for key, c := range counts {
			c.fail(y.t.settings, y.device.kindFor(key), now)
		}
		y.network.fail(y.t.settings, now)
	case outcomeRight:
		for key, c := range counts {
			c.succeed(y.device.kindFor(key))
		}
		y.network.credit(y.t.settings, who, now)
	case outcomeUnknown:
	}
	y.t.accounts.release(y.key, now)
	if y.person != nil {
		y.t.people.release(y.personKey, now)
	}
}

func (t *throttle) nameKey(name string) countKey      { return t.hash("account", foldName(name)) }
func (t *throttle) personKey(subject string) countKey { return t.hash("person", subject) }

func (t *throttle) hash(kind, value string) (k countKey) {
	mac := hmac.New(sha256.New, t.key)
	mac.Write([]byte(kind + "\x00" + value))
	copy(k[:], mac.Sum(nil))
	return k
}

// networkOf returns what counts as one network: an IPv4 address, or the /64 that
// an IPv6 host can choose its addresses from.
func networkOf(a netip.Addr) string {
	bits := 64
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil { // no address, as on a Unix socket
		return ""
	}
	return p.String()
}

// foldName brings the spellings that a directory may take for one name to one
// form (RFC 4518, section 2): compatibility forms, case, accents, invisible
// characters and blanks make no difference, and neither does a domain, as in
// ada@example.org and EXAMPLE\ada. Otherwise each spelling would have tries of its
// own at the same account.
func foldName(name string) string {
	var b strings.Builder
	for _, r := range cases.Fold().String(norm.NFKD.String(name)) {
		// U+1806 and U+FFFC are of other kinds, and RFC 4518, section 2.2 drops them too.
		if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Cc) || unicode.IsSpace(r) || r == 0x1806 || r == 0xfffc {
			continue
		}
		b.WriteRune(r)
	}
	name = b.String()
	if _, after, found := strings.Cut(name, `\`); found && after != "" {
		name = after
	}
	if before, _, found := strings.Cut(name, "@"); found && before != "" {
		name = before
	}
	return name
}
