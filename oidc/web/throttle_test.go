package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc"
)

func newTestThrottle(t *testing.T, s ThrottleSettings) (*throttle, *clock) {
	t.Helper()
	c := newClock()
	th, err := newThrottle(s, []byte("key"), c.Now)
	if err != nil {
		t.Fatal(err)
	}
	return th, c
}

var someAddr = netip.MustParseAddr("192.0.2.1")

// fails makes n tries that fail and returns how many were let through.
func (t *throttle) fails(name string, from netip.Addr, n int) (through int) {
	for range n {
		if y, refused := t.begin(name, from, nil); refused == nil {
			y.settle(outcomeWrong)
			through++
		}
	}
	return through
}

func TestAnAccountHasItsFailuresAndThenEverLongerWaits(t *testing.T) {
	t.Parallel()
	th, clock := newTestThrottle(t, ThrottleSettings{})
	if n := th.fails("ada", someAddr, 10); n != 3 {
		t.Fatalf("%d tries of 10, want 3", n)
	}
	for _, wait := range []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, time.Hour} {
		clock.Advance(wait - time.Second)
		_, refused := th.begin("ada", someAddr, nil)
		if refused == nil || refused.by != "account" || refused.wait != time.Second {
			t.Fatalf("a second before %v are over: %+v", wait, refused)
		}
		clock.Advance(time.Second)
		if n := th.fails("ada", someAddr, 5); n != 1 {
			t.Fatalf("%d tries after %v, want 1", n, wait)
		}
	}
	clock.Advance(time.Hour)
	y, refused := th.begin("ada", someAddr, nil)
	if refused != nil {
		t.Fatal(refused)
	}
	y.settle(outcomeRight)
	if n := th.fails("ada", someAddr, 10); n != 3 {
		t.Errorf("%d tries after a good sign-in, want 3", n)
	}
	clock.Advance(2*time.Hour + time.Second)
	if n := th.fails("ada", someAddr, 10); n != 3 {
		t.Errorf("%d tries after a long quiet, want 3", n)
	}
}

func TestGuessesNeverExceedTheLimitInAnyWindow(t *testing.T) {
	t.Parallel()
	th, clock := newTestThrottle(t, ThrottleSettings{AccountFailures: 4, Window: 15 * time.Minute})
	var let []time.Time
	for range 24 * 60 * 2 { // a guess every half minute for a day
		if th.fails("ada", someAddr, 1) == 1 {
			let = append(let, clock.Now())
		}
		clock.Advance(30 * time.Second)
	}
	for i := 4; i < len(let); i++ {
		if let[i].Sub(let[i-4]) < 15*time.Minute {
			t.Fatalf("five guesses from %v to %v", let[i-4], let[i])
		}
	}
	if len(let) > 40 {
		t.Errorf("%d guesses in a day", len(let))
	}
}

func TestFailuresThatAreFarApartNeverBlock(t *testing.T) {
	t.Parallel()
	th, clock := newTestThrottle(t, ThrottleSettings{})
	for range 50 {
		if th.fails("ada", someAddr, 1) != 1 {
			t.Fatal("blocked")
		}
		clock.Advance(8 * time.Minute)
	}
}

func TestAnOutageIsNobodysFailure(t *testing.T) {
	t.Parallel()
	th, _ := newTestThrottle(t, ThrottleSettings{})
	for range 500 {
		y, refused := th.begin("ada", someAddr, nil)
		if refused != nil {
			t.Fatal(refused)
		}
		y.settle(outcomeUnknown)
		y.settle(outcomeWrong) // only the first counts
	}
}

func TestSpellingsOfOneNameShareTheirTries(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ADA", " ada ", "a da", "ａｄａ", "a\u00adda", "a\u200bda", "áda", "A\u0301da", "ada@example.org", `EXAMPLE\ada`, "ada＠example.org", "ad\ufffca", "a\u1806da"} {
		if got := foldName(name); got != "ada" {
			t.Errorf("%q is %q", name, got)
		}
	}
	for a, b := range map[string]string{"Straße": "STRASSE", "ΣΊΣΥΦΟΣ": "σίσυφος", "ﬁnn": "finn"} {
		if foldName(a) != foldName(b) {
			t.Errorf("%q is %q, %q is %q", a, foldName(a), b, foldName(b))
		}
	}
	if foldName("ada") == foldName("ben") || foldName("@") != "@" || foldName(`a\`) == "" {
		t.Error("two names are one")
	}
}

func TestANetworkHasManyFailuresAndAnOfficeEarnsMore(t *testing.T) {
	t.Parallel()
	th, clock := newTestThrottle(t, ThrottleSettings{})
	spray := func(from netip.Addr) (through int) {
		for i := range 1000 {
			through += th.fails(fmt.Sprintf("name-%d-%d", i, clock.Now().UnixNano()), from, 1)
		}
		return through
	}
	if n := spray(someAddr); n != 100 {
		t.Errorf("%d failures from one address, want 100", n)
	}
	if n := spray(netip.MustParseAddr("192.0.2.2")); n != 100 {
		t.Errorf("%d failures from the next address, want 100", n)
	}
	if _, refused := th.begin("ada", netip.MustParseAddr("::ffff:192.0.2.1"), nil); refused == nil || refused.by != "network" {
		t.Errorf("the same address, mapped into IPv6: %+v", refused)
	}
	// A host chooses the low half of its IPv6 address.
	if n := th.fails("x", netip.MustParseAddr("2001:db8::1"), 1) + spray(netip.MustParseAddr("2001:db8::ffff:2")); n != 100 {
		t.Errorf("%d failures from one IPv6 network, want 100", n)
	}
	clock.Advance(16 * time.Minute)
	office := netip.MustParseAddr("198.51.100.1")
	for i := range 40 {
		for range 10 { // the same person ten times counts once
			y, refused := th.begin(fmt.Sprintf("colleague %d", i), office, nil)
			if refused != nil {
				t.Fatal(refused)
			}
			y.settle(outcomeRight)
		}
	}
	if n := spray(office); n != 100+40*5 {
		t.Errorf("%d failures from an office of 40, want 300", n)
	}
	clock.Advance(16 * time.Minute)
	if n := spray(office); n != 100 {
		t.Errorf("%d failures when the sign-ins are long ago, want 100", n)
	}
}

func TestTriesAtTheSameTimeCountBeforeTheyAreAnswered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.directory.gate = make(chan struct{})
	b := h.browser()
	page := b.get(authorizeURL("app"))
	form := url.Values{"username": {"ada"}, "password": {"wrong"}, "request": {page.request(t)}}.Encode()
	var group sync.WaitGroup
	statuses := make(chan int, 50)
	for range 50 {
		r := httptest.NewRequest(http.MethodPost, "/signin", strings.NewReader(form))
		r.Header.Set("Content-Type", formType)
		for name, value := range b.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		group.Go(func() {
			w := httptest.NewRecorder()
			h.Handler().ServeHTTP(w, r)
			statuses <- w.Code
		})
	}
	refused := 0
	for range 47 { // those that are refused don't wait for the directory
		if status := <-statuses; status == http.StatusTooManyRequests {
			refused++
		}
	}
	close(h.directory.gate)
	group.Wait()
	if n := h.directory.binds.Load(); n != 3 || refused != 47 {
		t.Errorf("%d binds and %d refused for 50 tries at once, want 3 and 47", n, refused)
	}
}

func TestAThrottledNameLooksTheSameWhetherItIsKnownOrNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	look := func(name string) (bodies []string) {
		b := h.browser()
		for range 6 {
			v := b.signIn("app", name, "wrong")
			bodies = append(bodies, fmt.Sprint(v.status, v.header.Get("Retry-After"), strings.ReplaceAll(hiddenField.ReplaceAllString(v.body, ""), name, "NAME")))
		}
		return bodies
	}
	known, unknown := look("ada"), look("zoe")
	for i := range known {
		if known[i] != unknown[i] {
			t.Errorf("try %d of a known and an unknown name:\n%s\n%s", i, known[i], unknown[i])
		}
	}
	if !strings.HasPrefix(known[5], "429900") {
		t.Errorf("the sixth try: %s", known[5])
	}
	if n := h.directory.binds.Load(); n != 6 {
		t.Errorf("%d binds, want 6", n)
	}
	if logs := h.logs.String(); !strings.Contains(logs, "reason=throttled") || !strings.Contains(logs, "throttled_by=account") {
		t.Error("the audit log lacks the throttle")
	}
	// The right password is refused too, or waiting would not be needed to guess.
	wantStatus(t, h.browser().signIn("app", "ada", "right-ada"), http.StatusTooManyRequests)
	h.clock.Advance(15 * time.Minute)
	wantCode(t, h.browser().signIn("app", "ada", "right-ada"), "id-ada")
}

func TestSeveralNamesOfOnePersonShareTheirTries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	look := func(name string) (looks []string) {
		b := h.browser()
		for range 6 {
			v := b.signIn("app", name, "wrong")
			looks = append(looks, fmt.Sprint(v.status, v.header.Get("Retry-After"), strings.ReplaceAll(hiddenField.ReplaceAllString(v.body, ""), name, "NAME")))
		}
		return looks
	}
	unknown, first := look("zoe"), look("ada")
	h.directory.binds.Store(0)
	// The person is throttled, this name of theirs is new: a stranger sees what
	// they see for a name that nobody has.
	second := look("second-ada")
	for i := range unknown {
		if first[i] != unknown[i] || second[i] != unknown[i] {
			t.Errorf("try %d of an unknown name, a known one and another of the same person:\n%s\n%s\n%s", i, unknown[i], first[i], second[i])
		}
	}
	if n := h.directory.binds.Load(); n != 0 {
		t.Errorf("%d passwords were tried for a person without tries left", n)
	}
	if logs := h.logs.String(); !strings.Contains(logs, "subject=id-ada reason=throttled throttled_by=person") || !strings.Contains(logs, "subject=id-ada reason=wrong_password") {
		t.Errorf("the audit log does not say whom the refusals met:\n%s", logs)
	}
	wantStatus(t, h.browser().signIn("app", "second-ada", "right-ada"), http.StatusTooManyRequests)
	h.clock.Advance(15 * time.Minute)
	wantCode(t, h.browser().signIn("app", "second-ada", "right-ada"), "id-ada")
	wantCode(t, h.browser().signIn("app", "ada", "right-ada"), "id-ada")
	for range 2 {
		wantStatus(t, h.browser().signIn("app", "ada", "wrong"), http.StatusUnprocessableEntity)
	}
	wantCode(t, h.browser().signIn("app", "second-ada", "right-ada"), "id-ada") // which gives the person all tries back
	h.directory.binds.Store(0)
	for range 10 {
		h.browser().signIn("app", "second-ada", "wrong")
	}
	if n := h.directory.binds.Load(); n != 3 {
		t.Errorf("%d binds after a good sign-in, want 3", n)
	}
}

func TestTriesOfOnePersonAtTheSameTimeCountBeforeTheyAreAnswered(t *testing.T) {
	t.Parallel()
	th, _ := newTestThrottle(t, ThrottleSettings{})
	var open []*try
	for i := range 50 {
		y, refused := th.begin(fmt.Sprint("name ", i), someAddr, nil)
		if refused != nil {
			t.Fatal(refused)
		}
		if y.reserve("the person") == nil {
			open = append(open, y)
		} else {
			y.settle(outcomeWrong)
		}
	}
	if len(open) != 3 {
		t.Fatalf("%d tries at once by fifty names, want 3", len(open))
	}
	if refused := open[0].reserve("another"); refused == nil {
		t.Error("one try was let through for two people")
	}
	open[0].settle(outcomeUnknown)
	if refused := open[0].reserve("the person"); refused == nil {
		t.Error("a try that has ended was let through")
	}
	for _, y := range open[1:] {
		y.settle(outcomeWrong)
	}
	y, _ := th.begin("one more", someAddr, nil)
	if refused := y.reserve("the person"); refused != nil {
		t.Errorf("an outage took a try: %+v", refused)
	}
	y.settle(outcomeRight)
	if len(th.people.entries) != 0 {
		t.Errorf("%d people are kept, want none after a good sign-in", len(th.people.entries))
	}
}

func TestHangingUpDoesNotMakeATryThatIsNotCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	page := b.get(authorizeURL("app"))
	form := url.Values{"username": {"ada"}, "password": {"wrong"}, "request": {page.request(t)}}.Encode()
	for range 20 {
		r := httptest.NewRequest(http.MethodPost, "/signin", strings.NewReader(form))
		r.Header.Set("Content-Type", formType)
		ctx, hangUp := contextThatEnds(r)
		hangUp()
		b.do(r.WithContext(ctx), true)
	}
	if n := h.directory.binds.Load(); n != 3 {
		t.Errorf("%d binds, want 3", n)
	}
}

func TestAFloodOfNamesMakesTheThrottleForgetNobody(t *testing.T) {
	t.Parallel()
	th, clock := newTestThrottle(t, ThrottleSettings{NetworkFailures: 1 << 30})
	th.accounts = newCounters(100, 8, th.settings.Window, func(a *accountCount, now time.Time) bool { return a.over(th.settings, now) })
	th.fails("ada", someAddr, 2)
	for i := range 10000 {
		th.fails(fmt.Sprint("flood ", i), someAddr, 1)
		if i%1000 == 0 {
			clock.Advance(10 * time.Second)
		}
	}
	if n := len(th.accounts.entries); n > 100 {
		t.Errorf("%d names are kept, want 100 at most", n)
	}
	if n := th.fails("ada", someAddr, 5); n != 1 {
		t.Errorf("%d more tries for a name with two failures, want 1", n)
	}
	if n := th.fails("newcomer", someAddr, 5); n > 3 {
		t.Errorf("%d tries for a name without an entry of its own", n)
	}
	clock.Advance(3 * time.Hour)
	if n := th.fails("another", someAddr, 5); n != 3 || len(th.accounts.entries) != 1 {
		t.Errorf("%d tries, %d names kept; want 3 and 1 when all has run out", n, len(th.accounts.entries))
	}
}

func TestANetworkThatIsKeptOutFillsNoTable(t *testing.T) {
	t.Parallel()
	th, _ := newTestThrottle(t, ThrottleSettings{NetworkFailures: 5})
	for i := range 1000 {
		th.fails(fmt.Sprint("invented ", i), someAddr, 1)
	}
	if n := len(th.accounts.entries); n > 5 {
		t.Errorf("one network has filled %d places", n)
	}
}

func TestSettingsOfTheThrottleAreChecked(t *testing.T) {
	t.Parallel()
	for _, s := range []ThrottleSettings{{AccountFailures: -1}, {NetworkFailures: -1}, {Window: -1}, {MaxWait: -1}} {
		if _, err := newThrottle(s, nil, time.Now); err == nil {
			t.Errorf("%+v is taken", s)
		}
	}
}

func TestMustChangeProvesThePassword(t *testing.T) {
	t.Parallel()
	for reason, want := range map[oidc.SignInReason]outcome{
		oidc.ReasonMustChange: outcomeRight, oidc.ReasonWrongPassword: outcomeWrong, oidc.ReasonUnknownUser: outcomeWrong,
		oidc.ReasonLocked: outcomeWrong, oidc.ReasonEmptyPassword: outcomeUnknown,
	} {
		if got := outcomeOf(&oidc.SignInError{Reason: reason}); got != want {
			t.Errorf("%s: %d, want %d", reason, got, want)
		}
	}
}
