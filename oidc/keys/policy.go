package keys

import (
	"fmt"
	"slices"
	"time"
)

// Policy says when keys are rotated and deleted by time.
type Policy struct {
	// RotateAfter is how long a key signs; 0 for until somebody rotates it, and then
	// none is deleted either.
	RotateAfter time.Duration
	// PublishBefore is how long its successor is published before it signs: longer than
	// anybody keeps a copy of the JWKS.
	PublishBefore time.Duration
	// KeepFor is how long a key that signs no more goes on verifying: longer than
	// anything lives that it has signed.
	KeepFor time.Duration
}

// Done is one thing that Tend has done.
type Done struct {
	Kid        string
	Retired    bool      // deleted; else it is a new key, or a spare that was called up
	ActiveFrom time.Time // of a new key
}

// Tend does what is due by now: it publishes the successor of a key that is about to
// have signed for long enough, and deletes keys that nobody needs any more. Any
// number of processes may do so with one folder: each looks again under the lock.
// Without anything due it writes nothing.
func (r *Ring) Tend(p Policy) ([]Done, error) {
	if p.RotateAfter <= 0 {
		return nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !due(r.view.Load().folder, p, r.now()) {
		return nil, nil
	}
	var done []Done
	err := withLock(r.dir, func() error {
		if _, err := r.reload(); err != nil {
			return err
		}
		var err error
		done, err = r.tend(p, r.now())
		if len(done) == 0 {
			return err
		}
		if _, again := r.reload(); err == nil {
			err = again
		}
		return err
	})
	if err != nil {
		return done, fmt.Errorf("rotate keys by time: %w", err)
	}
	return done, nil
}

// due reports whether Tend has anything to do, without the lock.
func due(f *folder, p Policy, now time.Time) bool {
	for _, alg := range Asymmetric() {
		keys := ofAlg(f.keys, alg)
		if len(keys) > 0 && (p.successorDue(keys, now) || len(p.outdated(keys, now)) > 0) {
			return true
		}
	}
	return false
}

func (r *Ring) tend(p Policy, now time.Time) (done []Done, err error) {
	all := r.view.Load().folder.keys
	for _, alg := range Asymmetric() {
		keys := ofAlg(all, alg)
		if len(keys) == 0 {
			continue
		}
		if p.successorDue(keys, now) {
			k, err := p.successor(keys, now)
			if err == nil {
				err = writeKey(r.dir, k)
			}
			if err != nil {
				return done, err
			}
			done = append(done, Done{Kid: k.kid, ActiveFrom: k.activeFrom})
		}
		for _, k := range p.outdated(keys, now) {
			if err := removeFile(r.dir, k.kid+".json"); err != nil {
				return done, err
			}
			done = append(done, Done{Kid: k.kid, Retired: true})
		}
	}
	return done, nil
}

// latest returns the index of the key that signs last of all that have a time.
func latest(keys []*key) int {
	last := slices.IndexFunc(keys, func(k *key) bool { return k.activeFrom.IsZero() }) // spares are at the end
	if last < 0 {
		last = len(keys)
	}
	return max(last-1, 0)
}

func (p Policy) successorDue(keys []*key, now time.Time) bool {
	from := keys[latest(keys)].activeFrom
	return !from.IsZero() && !now.Before(from.Add(p.RotateAfter-p.PublishBefore))
}

// successor returns the key that follows the latest, not yet written: the oldest
// spare, which has been published since it was made, or a new one.
func (p Policy) successor(keys []*key, now time.Time) (k *key, err error) {
	last := latest(keys)
	if last+1 < len(keys) {
		spare := *keys[last+1]
		k = &spare
	} else if k, err = newKey(keys[last].alg, now); err != nil {
		return nil, err
	}
	from := keys[last].activeFrom.Add(p.RotateAfter)
	if known := k.createdAt.Add(p.PublishBefore); from.Before(known) {
		from = known
	}
	if from.Before(now) {
		from = now
	}
	if !from.After(keys[last].activeFrom) { // the order of the times decides who signs
		from = keys[last].activeFrom.Add(time.Nanosecond)
	}
	k.activeFrom = from.UTC()
	return k, nil
}

// outdated returns the keys that have verified for long enough.
func (p Policy) outdated(keys []*key, now time.Time) (old []*key) {
	active := activeAt(keys, now)
	for i := range keys[:active] {
		if end := keys[i+1].activeFrom; !end.IsZero() && !now.Before(end.Add(p.KeepFor)) {
			old = append(old, keys[i])
		}
	}
	return old
}
