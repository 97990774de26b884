//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gatehouse/ldapstore"
)

// lookups measures how quickly people are read, without the protocol around it, and
// beside it what the directory itself can do: a client that sends the very same
// searches, byte for byte, and looks at no answer.
type lookups struct {
	out   io.Writer
	slapd *directory
	ids   []string
	s     settings
}

// lookupsName is what -only calls them.
const lookupsName = "look-ups"

// askers is how many ask at once.
const askers = 16

func measureLookups(ctx context.Context, s settings, slapd *directory, out io.Writer) error {
	l := &lookups{out: out, slapd: slapd, s: s}
	live, err := l.open(slapd.url, askers, nested)
	if err != nil {
		return err
	}
	defer live.Close()
	for i := range min(s.users, 500) {
		u, err := live.UserByName(ctx, username(i))
		if err != nil {
			return fmt.Errorf("looking %s up: %w", username(i), err)
		}
		l.ids = append(l.ids, u.ID)
	}
	fmt.Fprintf(out, "\n%-34s %2s %10s %9s %9s %8s %8s  %s\n", "look-ups", "c", "µs of us", "of slapd", "ops/s", "p50 ms", "p99 ms", "target")
	if err := l.raw(ctx); err != nil {
		return err
	}
	for _, c := range []int{1, askers} {
		target := ""
		if c == askers {
			target = "5,000/s, p99 5 ms"
		}
		if err := l.drive(ctx, "live", c, target, func(_ int, id string) error { return l.look(ctx, live, id, nested) }); err != nil {
			return err
		}
	}
	flat, err := l.open(slapd.url, askers, direct)
	if err != nil {
		return err
	}
	defer flat.Close()
	err = l.drive(ctx, "live, nested_groups: false", askers, "5,000/s, p99 5 ms", func(_ int, id string) error { return l.look(ctx, flat, id, direct) })
	if err != nil {
		return err
	}
	return l.watched(ctx)
}

// How many groups of a person there are to find: all, or those alone that list them.
const (
	nested = 3
	direct = 2
)

func (l *lookups) open(url string, pool, groups int) (*ldapstore.Directory, error) {
	return ldapstore.New(ldapstore.Options{
		URL: []string{url}, BaseDN: base, Kind: "openldap", PoolSize: pool, DirectGroupsOnly: groups == direct,
		BindDN: serviceDN, BindPassword: func() (string, error) { return servicePW, nil },
	})
}

func (l *lookups) look(ctx context.Context, d *ldapstore.Directory, id string, groups int) error {
	u, err := d.User(ctx, id)
	if err == nil && (u.ID != id || len(u.Groups) != groups) {
		err = fmt.Errorf("a wrong answer: %+v", u)
	}
	return err
}

// watched asks with the directory watched, once everybody is remembered.
func (l *lookups) watched(ctx context.Context) error {
	d, err := l.open(l.slapd.url, askers, nested)
	if err != nil {
		return err
	}
	defer d.Close()
	d.Watch(nil)
	if err := pause(ctx, 3*time.Second); err != nil { // nothing is kept right after the stream has begun
		return err
	}
	for _, id := range l.ids {
		if err := l.look(ctx, d, id, nested); err != nil {
			return err
		}
	}
	return l.drive(ctx, "watched", askers, "200,000/s", func(_ int, id string) error { return l.look(ctx, d, id, nested) })
}

// raw replays what a look-up says to the server.
func (l *lookups) raw(ctx context.Context) error {
	address := strings.TrimPrefix(l.slapd.url, "ldap://")
	r, err := startRecorder(ctx, address)
	if err != nil {
		return err
	}
	defer r.Close()
	d, err := l.open("ldap://"+r.Addr().String(), 1, nested)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := l.look(ctx, d, l.ids[0], nested); err != nil {
		return err
	}
	all, err := r.take()
	if err != nil {
		return err
	}
	bind, searches := all[0], map[string][][]byte{}
	for _, id := range l.ids {
		if err := l.look(ctx, d, id, nested); err != nil {
			return err
		}
		if searches[id], err = r.take(); err != nil {
			return err
		}
	}
	clients := make([]*rawClient, askers)
	for i := range clients {
		if clients[i], err = dialRaw(ctx, address, bind); err != nil {
			return err
		}
		defer clients[i].Close()
	}
	name := fmt.Sprintf("the same %d searches, raw", len(searches[l.ids[0]]))
	return l.drive(ctx, name, askers, "", func(worker int, id string) error {
		for _, search := range searches[id] {
			if err := clients[worker].ask(search, ldapDone); err != nil {
				return err
			}
		}
		return nil
	})
}

// drive has workers ask for one person after the other, and prints a line.
func (l *lookups) drive(ctx context.Context, name string, workers int, target string, ask func(worker int, id string) error) error {
	if _, err := l.repeat(ctx, workers, l.s.warm, ask); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	ours, theirs, err := l.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	took, err := l.repeat(ctx, workers, l.s.measure, ask)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	elapsed := time.Since(begin)
	oursAfter, theirsAfter, err := l.cpu()
	if err != nil {
		return err
	}
	n := 0
	for _, t := range took {
		n += t.n
	}
	slices.SortFunc(took, func(a, b lot) int { return int(a.took - b.took) })
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(n) }
	quantile := func(q float64) float64 { return milliseconds(took[min(len(took)-1, int(q*float64(len(took))))].took) }
	fmt.Fprintf(l.out, "%-34s %2d %10.1f %9.1f %9.0f %8.3f %8.3f  %s\n", name, workers, each(oursAfter-ours), each(theirsAfter-theirs),
		float64(n)/elapsed.Seconds(), quantile(0.5), quantile(0.99), target)
	return nil
}

// lot is a number of look-ups and the time that each of them took.
type lot struct {
	n    int
	took time.Duration
}

// repeat asks for a while. Quick answers are timed by the hundred, or the clock
// would take most of the time.
func (l *lookups) repeat(ctx context.Context, workers int, d time.Duration, ask func(worker int, id string) error) ([]lot, error) {
	var group sync.WaitGroup
	var mu sync.Mutex
	var all []lot
	var errs []error
	begin := time.Now()
	for worker := range workers {
		group.Go(func() {
			var mine []lot
			var err error
			batch := 1
			for i := worker * 31; time.Since(begin) < d && ctx.Err() == nil && err == nil; {
				t := time.Now()
				for n := 0; n < batch && err == nil; n++ {
					err = ask(worker, l.ids[i%len(l.ids)])
					i++
				}
				each := time.Since(t) / time.Duration(batch)
				mine = append(mine, lot{batch, each})
				if each < 20*time.Microsecond {
					batch = 100
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, mine...), append(errs, err)
		})
	}
	group.Wait()
	return all, errors.Join(append(errs, ctx.Err())...)
}

// cpu is the time that this process and slapd have used.
func (l *lookups) cpu() (ours, theirs time.Duration, err error) {
	var u syscall.Rusage
	if err = syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, 0, err
	}
	theirs, err = l.slapd.cpu()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), theirs, err
}
