package ldapstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// watched returns a Directory that answers from memory already.
func watched(t testing.TB, o ldapstore.Options, changed func(ldapstore.Change)) *ldapstore.Directory {
	t.Helper()
	d := open(t, o)
	ldapstore.SettleAtOnce(d)
	d.Watch(changed)
	eventually(t, "the stream is proven", func() bool { return ldapstore.Proven(d) })
	return d
}

// remember returns once the person is answered from memory.
func remember(t testing.TB, d *ldapstore.Directory, id string) {
	t.Helper()
	eventually(t, "the person is remembered", func() bool {
		_, err := d.User(t.Context(), id)
		return err == nil && ldapstore.Answers(d, id)
	})
}

// logged is a log to look into.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// changes collects what a Directory tells of.
type changes struct {
	mu   sync.Mutex
	list []ldapstore.Change
}

func (c *changes) note(change ldapstore.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, change)
}

func (c *changes) take() []ldapstore.Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

func TestAWatchedDirectoryForgetsWhomAChangeConcerns(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	var told changes
	d := watched(t, options(s), told.note)
	alice, bob := mustUser(t, d, "alice").ID, mustUser(t, d, "bob").ID
	staff := ldaptest.GroupDN("cn=staff")
	for _, c := range []struct {
		what   string
		change func()
		anyone bool // everybody is forgotten
	}{
		{"an attribute of a person", func() { s.Modify(ldaptest.PersonDN("alice"), "title", "Director") }, false},
		{"a failed sign-in", func() { _, _ = d.Authenticate(t.Context(), "alice", "wrong") }, false},
		{"an account switched off", func() { s.Disable("alice") }, false},
		{"a member removed", func() { s.RemoveMember(staff, ldaptest.PersonDN("alice")) }, true},
		{"a member added", func() { s.AddMember(staff, ldaptest.PersonDN("alice")) }, true},
		{"a person renamed", func() { s.Rename(ldaptest.PersonDN("alice"), "uid=alicia") }, false},
		{"a group renamed", func() { s.Rename(ldaptest.GroupDN("cn=admins"), "cn=operators") }, true},
		{"a container added", func() {
			s.Add("ou=more,"+s.BaseDN, map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"more"}})
		}, true},
		{"a container renamed", func() { s.Rename("ou=more,"+s.BaseDN, "ou=less") }, true},
		{"a person moved", func() { s.Move("uid=alicia,ou=people,"+s.BaseDN, "ou=less,"+s.BaseDN) }, false},
		{"a group deleted", func() { s.Delete(ldaptest.GroupDN("cn=empty")) }, true},
		{"a person deleted", func() { s.Delete("uid=alicia,ou=less," + s.BaseDN) }, false},
	} {
		remember(t, d, alice)
		remember(t, d, bob)
		told.take()
		c.change()
		eventually(t, c.what+" is told", func() bool { return !ldapstore.Remembers(d, alice) })
		if ldapstore.Remembers(d, bob) == c.anyone {
			t.Errorf("%s: bob is remembered: %v", c.what, !c.anyone)
		}
		list := told.take()
		told := slices.ContainsFunc(list, func(change ldapstore.Change) bool {
			return c.anyone && change.ID == "" || !c.anyone && change.ID == alice
		})
		members := slices.ContainsFunc(list, func(change ldapstore.Change) bool { return slices.Contains(change.Members, alice) })
		if !told || members != (c.what == "a member removed") {
			t.Errorf("%s: told %+v", c.what, list)
		}
	}
	if _, err := d.User(t.Context(), alice); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("the deleted person: %v", err)
	}
}

func TestTheMomentAnAccountEndsIsKeptFromMemoryToo(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	var clock struct {
		sync.Mutex
		ahead time.Duration
	}
	o := options(s)
	o.Now = func() time.Time {
		clock.Lock()
		defer clock.Unlock()
		return time.Now().Add(clock.ahead)
	}
	d := watched(t, o, nil)
	id := mustUser(t, d, "alice").ID
	s.Modify(ldaptest.PersonDN("alice"), "pwdEndTime", time.Now().Add(time.Hour).UTC().Format("20060102150405Z"))
	remember(t, d, id)
	if u, err := d.User(t.Context(), id); err != nil || u.State != oidc.StateActive {
		t.Fatalf("before the end: %v, %v", u, err)
	}
	clock.Lock()
	clock.ahead = 2 * time.Hour
	clock.Unlock()
	if !ldapstore.Remembers(d, id) {
		t.Fatal("the test is to look at memory")
	}
	if u, err := d.User(t.Context(), id); err != nil || u.State != oidc.StateExpired {
		t.Errorf("after the end: %v, %v", u, err)
	}
}

// TestAfterAChangeNothingIsKeptForAWhile: what a server does on its own after a
// change sends no event.
func TestAfterAChangeNothingIsKeptForAWhile(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := open(t, options(s))
	alice, bob := mustUser(t, d, "alice").ID, mustUser(t, d, "bob").ID
	d.Watch(nil)
	eventually(t, "the stream is proven", func() bool { return ldapstore.Proven(d) })
	remember(t, d, alice)
	remember(t, d, bob)
	s.Rename(ldaptest.PersonDN("alice"), "uid=alicia")
	eventually(t, "alice is forgotten", func() bool { return !ldapstore.Remembers(d, alice) })
	for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); {
		if _, err := d.User(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
		if ldapstore.Remembers(d, alice) || !ldapstore.Remembers(d, bob) {
			t.Fatal("alice is remembered too soon, or bob was forgotten with her")
		}
	}
	remember(t, d, alice)
}

func TestAServerThatStandsStillIsNotAnsweredFor(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := watched(t, options(s), nil)
	id := mustUser(t, d, "alice").ID
	remember(t, d, id)
	s.Pause()
	paused := time.Now()
	for ask := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := d.User(ctx, id)
		return err
	}; time.Since(paused) < 5*time.Second; {
		begin := time.Now()
		err := ask()
		if err != nil && !isUnavailable(err) {
			t.Fatalf("got %v", err)
		}
		if age := begin.Sub(paused); err == nil && age > time.Second {
			t.Fatalf("an answer %v after the server last spoke", age)
		}
	}
	s.Resume()
	eventually(t, "the stream is proven again", func() bool { return ldapstore.Proven(d) })
	remember(t, d, id)
}

// TestAStreamThatFallsSilentIsNotTrusted swallows all that goes through the
// connections there are, while the directory changes and new connections work.
func TestAStreamThatFallsSilentIsNotTrusted(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	r := startRelay(t, s.URL)
	o := options(s)
	o.URL, o.Timeout = []string{r.url}, time.Second
	d := watched(t, o, nil)
	id := mustUser(t, d, "alice").ID
	for i := range 3 {
		remember(t, d, id)
		r.epoch.Add(1)
		want := fmt.Sprint("title ", i)
		s.Modify(ldaptest.PersonDN("alice"), "title", want)
		changed := time.Now()
		for {
			begin := time.Now()
			u, err := d.User(t.Context(), id)
			if err == nil && u.First("title") == want {
				break
			}
			if age := begin.Sub(changed); age > time.Second {
				t.Fatalf("%v after the change the answer is %v, %v", age, u, err)
			}
		}
		eventually(t, "the stream is proven again", func() bool { return ldapstore.Proven(d) })
	}
}

func TestWhatCanNotBeWatchedIsReadEveryTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start  []ldaptest.Option
		change func(*ldapstore.Options)
		want   string
	}{
		"no syncprov": {
			[]ldaptest.Option{ldaptest.WithEdit(func(conf string) string {
				return strings.NewReplacer("overlay syncprov\n", "", "syncprov-sessionlog 1000\n", "").Replace(conf)
			})},
			func(*ldapstore.Options) {},
			"reads no contextCSN",
		},
		"groups elsewhere": {nil, func(o *ldapstore.Options) { o.GroupBaseDN = []string{"dc=elsewhere"} }, "not in one database"},
		"an unknown kind":  {nil, func(o *ldapstore.Options) { o.Kind = "lldap" }, "nothing is known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ldaptest.Start(t, c.start...)
			o := options(s)
			var log logged
			o.Log = log.logger()
			o.Table = map[string][]string{"id_attribute": {"entryUUID"}, "user_filter": {"(objectClass=person)"}, "id_format": {"uuid"}}
			id := mustUser(t, open(t, o), "alice").ID
			c.change(&o)
			d := open(t, o)
			d.Watch(nil)
			eventually(t, "the log says why", func() bool { return log.has("directory not watched") })
			if !log.has(c.want) {
				t.Errorf("the log has not %q: %s", c.want, log.b.String())
			}
			for range 3 {
				if _, err := d.User(t.Context(), id); ldapstore.Remembers(d, id) {
					t.Errorf("remembered without a stream, %v", err)
				}
			}
		})
	}
}

func TestAWatchFollowsTheServerThatIsAsked(t *testing.T) {
	t.Parallel()
	first, second := ldaptest.Start(t), ldaptest.Start(t)
	o := options(first)
	o.URL = []string{first.URL, second.URL}
	second.SetPassword(second.ServiceDN, first.ServicePassword)
	d := watched(t, o, nil)
	id := mustUser(t, d, "alice").ID
	remember(t, d, id)
	first.Stop()
	eventually(t, "nothing of the first server is remembered", func() bool { return !ldapstore.Remembers(d, id) })
	there := mustUser(t, d, "alice").ID // another entry: the test's servers don't replicate
	if there == id {
		t.Fatal("the answer is the first server's")
	}
	remember(t, d, there)
	first.Restart()
	eventually(t, "the first server is watched again", func() bool {
		_, err := d.User(t.Context(), id)
		return err == nil && ldapstore.Remembers(d, id) && !ldapstore.Remembers(d, there)
	})
}

// TestChangesThatTheServiceAccountCanNotSee: events that never come must not be
// waited for for ever, and must not be taken for none.
func TestChangesThatTheServiceAccountCanNotSee(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.WithAccess(`access to dn.subtree="ou=secret,`+ldaptest.BaseDN+`" by * none`))
	d := watched(t, options(s), nil)
	id := mustUser(t, d, "alice").ID
	remember(t, d, id)
	for i := range 3 {
		s.Add(fmt.Sprintf("ou=secret,%s", s.BaseDN), map[string][]string{"objectClass": {"organizationalUnit"}, "ou": {"secret"}})
		s.Modify(ldaptest.PersonDN("alice"), "title", fmt.Sprint(i))
		eventually(t, "the change is seen", func() bool {
			u, err := d.User(t.Context(), id)
			return err == nil && u.First("title") == fmt.Sprint(i)
		})
		s.Delete("ou=secret," + s.BaseDN)
		eventually(t, "the stream is proven", func() bool { return ldapstore.Proven(d) })
		remember(t, d, id)
	}
}

// TestReadersNeverKeepWhatWasReadBeforeAChange has readers fill the memory all the
// time while a writer changes people and groups: once it rests, nobody is told an
// old answer.
func TestReadersNeverKeepWhatWasReadBeforeAChange(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	d := watched(t, options(s), nil)
	names := []string{"alice", "bob", "carol", "peter"}
	ids := map[string]string{}
	for _, name := range names {
		ids[name] = mustUser(t, d, name).ID
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = d.User(ctx, ids[names[i%len(names)]])
				runtime.Gosched()
			}
		})
	}
	group := ldaptest.GroupDN("cn=empty")
	in := false
	for i := range 50 {
		for _, name := range names {
			s.Modify(ldaptest.PersonDN(name), "title", fmt.Sprint(i))
		}
		if in = !in; in {
			s.AddMember(group, ldaptest.PersonDN("alice"))
		} else {
			s.RemoveMember(group, ldaptest.PersonDN("alice"))
		}
		eventually(t, "everybody is told the new state", func() bool {
			for _, name := range names {
				u, err := d.User(t.Context(), ids[name])
				if err != nil || u.First("title") != fmt.Sprint(i) || name == "alice" && slices.Contains(groupNames(u), "empty") != in {
					return false
				}
			}
			return true
		})
		for range 20 { // and it stays so: no late reader has put an old answer back
			u, err := d.User(t.Context(), ids["alice"])
			if err != nil || u.First("title") != fmt.Sprint(i) || slices.Contains(groupNames(u), "empty") != in {
				t.Fatalf("round %d: an old answer came back: %+v, %v", i, u, err)
			}
		}
	}
	stop()
	wg.Wait()
}

// TestEveryKindOfServerTellsWhomAChangeConcerns asks the other kinds for the same.
func TestEveryKindOfServerTellsWhomAChangeConcerns(t *testing.T) {
	t.Parallel()
	for kind, c := range directories() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := c.start(t)
			var told changes
			d := watched(t, encrypted(s), told.note)
			alice, bob := mustUser(t, d, "alice").ID, mustUser(t, d, "bob").ID
			for _, c := range []struct {
				what   string
				change func()
				anyone bool
			}{
				{"an attribute of a person", func() { s.Modify(s.PersonDN("alice"), "title", "Director") }, false},
				{"an account switched off", func() { s.Disable("alice") }, false},
				{"a member removed", func() { s.RemoveMember(ldaptest.GroupDN("cn=staff"), s.PersonDN("alice")) }, true},
				{"a group added", func() { s.AddGroup(ldaptest.Group{RDN: "cn=new", Members: []string{s.PersonDN("alice")}}) }, true},
				{"a group deleted", func() { s.Delete(ldaptest.GroupDN("cn=new")) }, true},
				{"a person deleted", func() { s.DeleteUser("alice") }, kind == "ad"}, // where it is not seen who it was
			} {
				remember(t, d, alice)
				remember(t, d, bob)
				told.take()
				c.change()
				eventually(t, c.what+" is told", func() bool { return !ldapstore.Remembers(d, alice) && ldapstore.Proven(d) })
				if !c.anyone && !ldapstore.Remembers(d, bob) && kind != "389ds" { // where groups follow a person
					t.Errorf("%s: everybody was forgotten", c.what)
				}
				if c.anyone && ldapstore.Remembers(d, bob) {
					t.Errorf("%s: bob is remembered", c.what)
				}
				if c.anyone || kind == "ad" {
					continue
				}
				if !slices.ContainsFunc(told.take(), func(change ldapstore.Change) bool { return change.ID == alice }) {
					t.Errorf("%s: it was not told that it was alice", c.what)
				}
			}
		})
	}
}
