package keys

import (
	"fmt"
	"slices"
	"time"

	"gatehouse/oidc"
)

// PublicationDelay is how long a new key is published before it signs, unless the
// operator says otherwise. Applications that keep the JWKS for some minutes then
// know the key before they meet it.
const PublicationDelay = 10 * time.Minute

// Create makes a spare key: it is published at once and signs nothing until Rotate
// takes it into use. The first key of an algorithm signs at once: nobody has been
// promised another.
func (r *Ring) Create(alg string) (Info, error) {
	return r.change(func(now time.Time) (string, error) {
		k, err := newKey(alg, now)
		if err != nil {
			return "", err
		}
		return k.kid, r.add(k)
	})
}

// add writes a new key, which waits if there are others of its algorithm.
func (r *Ring) add(k *key) error {
	if len(ofAlg(r.view.Load().folder.keys, k.alg)) == 0 {
		k.activeFrom = k.createdAt
	}
	return writeKey(r.dir, k)
}

// Rotate is RotateAfter with the usual PublicationDelay.
func (r *Ring) Rotate(alg string) (Info, error) { return r.RotateAfter(alg, PublicationDelay) }

// RotateAfter puts another key of alg in the place of the active one. It takes the
// oldest spare key, or makes a key, and lets it sign when it has been published
// for delay. The key before it goes on to verify until it is retired. If a key is
// on its way already, it is moved forward if delay says so, else that is an error.
func (r *Ring) RotateAfter(alg string, delay time.Duration) (Info, error) {
	if delay < 0 {
		return Info{}, fmt.Errorf("a delay of %s lies in the past", delay)
	}
	return r.change(func(now time.Time) (string, error) {
		k, err := r.successor(alg, now, delay)
		if err != nil {
			return "", err
		}
		return k.kid, writeKey(r.dir, k)
	})
}

// successor returns the next key with its time set, not yet written.
func (r *Ring) successor(alg string, now time.Time, delay time.Duration) (*key, error) {
	keys := ofAlg(r.view.Load().folder.keys, alg)
	if len(keys) == 0 {
		k, err := newKey(alg, now)
		if err == nil {
			k.activeFrom = k.createdAt
		}
		return k, err
	}
	active := activeAt(keys, now)
	from := now.Add(delay)
	var k *key
	if active+1 < len(keys) {
		waiting := *keys[active+1]
		k = &waiting
	}
	switch {
	case k == nil:
		var err error
		if k, err = newKey(alg, now); err != nil {
			return nil, err
		}
	case k.activeFrom.IsZero(): // a spare, published since it was made
		if from = k.createdAt.Add(delay); from.Before(now) {
			from = now
		}
	case !from.Before(k.activeFrom):
		return nil, oidc.Problems{{
			Key: alg, Message: fmt.Sprintf("key %s is on its way and signs from %s", k.kid, k.activeFrom.UTC().Format(time.RFC3339)),
			Hint: "wait for it, or let it sign at once with key rotate --now",
		}}
	}
	// The order of the times decides who signs, so no two may be the same.
	if last := keys[active].activeFrom; !from.After(last) {
		from = last.Add(time.Nanosecond)
	}
	k.activeFrom = from.UTC()
	return k, nil
}

// Retire deletes a key: what it signed is no longer accepted. An active key can't
// be retired unless it is the last one of an algorithm that a server need not have;
// so there is always one for ES256, and an RSA key for those who need RS256.
func (r *Ring) Retire(kid string) error {
	_, err := r.change(func(now time.Time) (string, error) {
		v, err := newView(r.view.Load().folder, now, nil)
		if err != nil {
			return "", err
		}
		i := slices.IndexFunc(v.infos, func(info Info) bool { return info.Kid == kid })
		switch {
		case i < 0:
			return "", fmt.Errorf("key %q: %w", kid, oidc.ErrNotFound)
		case v.infos[i].State == StateActive && len(ofAlg(v.folder.keys, v.infos[i].Alg)) == 1 && !slices.Contains(r.need.algorithms, v.infos[i].Alg):
		case v.infos[i].State == StateActive && len(ofAlg(v.folder.keys, v.infos[i].Alg)) == 1:
			return "", oidc.Problems{{
				Key: kid, Message: "is the only " + v.infos[i].Alg + " key",
				Hint: "make another one sign first, with key rotate " + v.infos[i].Alg,
			}}
		case v.infos[i].State == StateActive:
			return "", oidc.Problems{{
				Key: kid, Message: "is the active " + v.infos[i].Alg + " key",
				Hint: "make another one sign first, with key rotate " + v.infos[i].Alg + ", and wait until it does",
			}}
		}
		return kid, removeFile(r.dir, kid+".json")
	})
	return err
}

// Replace puts a new key in the place of all others, algorithm by algorithm, and
// deletes them: what they have signed is no longer accepted. For the keys of a client
// whose secrets have leaked; nobody is given the time to learn the new ones.
func (r *Ring) Replace() ([]Info, error) {
	_, err := r.change(func(now time.Time) (string, error) {
		old := r.view.Load().folder.keys
		for _, alg := range r.view.Load().algs {
			k, err := newKey(alg, now)
			if err != nil {
				return "", err
			}
			k.activeFrom = k.createdAt
			if err := writeKey(r.dir, k); err != nil {
				return "", err
			}
		}
		for _, k := range old { // last: there is a key at every moment
			if err := removeFile(r.dir, k.kid+".json"); err != nil {
				return "", err
			}
		}
		return "", nil
	})
	if err != nil {
		return nil, err
	}
	return r.List(), nil
}

// change runs work under the folder's lock, on what the folder holds now, and
// takes over what came of it. The Info is that of the key which work names.
func (r *Ring) change(work func(now time.Time) (kid string, err error)) (Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kid string
	err := withLock(r.dir, func() error {
		if _, err := r.reload(); err != nil {
			return err
		}
		var err error
		if kid, err = work(r.now()); err != nil {
			return err
		}
		_, err = r.reload()
		return err
	})
	if err != nil {
		return Info{}, err
	}
	infos := r.view.Load().infos
	if i := slices.IndexFunc(infos, func(info Info) bool { return info.Kid == kid }); i >= 0 {
		return infos[i], nil
	}
	return Info{}, nil // retired
}
