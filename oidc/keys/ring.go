package keys

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/oidc"
)

// Ring holds the keys of one folder. It is safe for concurrent use.
type Ring struct {
	dir  string
	need needs
	now  func() time.Time
	mu   sync.Mutex // one change of view at a time
	view atomic.Pointer[view]
	// asked are the algorithms of uncommon keys that are published; nil for all.
	asked map[string]bool
}

// view is a folder as it stands until some time.
type view struct {
	folder *folder
	until  time.Time // when another key begins to sign; zero for never
	active map[string]*key
	byKid  map[string]*key
	infos  []Info
	algs   []string // published
	jwks   []byte
}

// Open reads the keys folder. At the first start it makes the folder, the server
// secret, an ES256 and an RS256 key; several processes may do so at once and end
// up with the same keys. If nothing is missing it writes nothing, so that a folder
// mounted read-only will do. All that is wrong comes back as oidc.Problems.
func Open(dir string, now func() time.Time) (*Ring, error) { return openRing(dir, ofServer(), now) }

// ofServer are the needs of the server's own folder.
func ofServer() needs { return needs{algorithms: required(), secret: true} }

func openRing(dir string, need needs, now func() time.Time) (*Ring, error) {
	f, err := readFolder(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := makeFolder(dir); err != nil {
			return nil, fmt.Errorf("make the keys folder: %w", err)
		}
	case err != nil:
		return nil, err
	case len(f.missing(dir, need)) == 0:
		return newRing(dir, need, now, f)
	}
	if err := withLock(dir, func() error { return complete(dir, need, now()) }); err != nil {
		return nil, err
	}
	return loadRing(dir, need, now)
}

// Load reads the keys folder as Open does, and makes nothing: what is missing is a
// problem. If there is no folder the error wraps fs.ErrNotExist.
func Load(dir string, now func() time.Time) (*Ring, error) { return loadRing(dir, ofServer(), now) }

func loadRing(dir string, need needs, now func() time.Time) (*Ring, error) {
	f, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	if err := f.missing(dir, need).Err(); err != nil {
		return nil, err
	}
	return newRing(dir, need, now, f)
}

func newRing(dir string, need needs, now func() time.Time, f *folder) (*Ring, error) {
	v, err := newView(f, now(), nil)
	if err != nil {
		return nil, err
	}
	r := &Ring{dir: dir, need: need, now: now}
	r.view.Store(v)
	return r, nil
}

// complete makes what a folder lacks, under the lock. The secret comes first: keys
// without a secret then mean that the secret was lost, not that a first start was
// cut short.
func complete(dir string, need needs, now time.Time) error {
	f, err := readFolder(dir)
	if err != nil {
		return err
	}
	if need.secret && f.secret == nil {
		if len(f.keys) > 0 {
			return f.missing(dir, need).Err()
		}
		if err := writeNewSecret(dir); err != nil {
			return err
		}
	}
	for _, alg := range need.algorithms {
		if keys := ofAlg(f.keys, alg); len(keys) > 0 && !keys[0].activeFrom.IsZero() {
			continue
		}
		k, err := newKey(alg, now)
		if err != nil {
			return err
		}
		k.activeFrom = k.createdAt
		if err := writeKey(dir, k); err != nil {
			return err
		}
	}
	return nil
}

// newView sorts keys by what they do at now, and renders the JWKS. asked is that of
// the Ring.
func newView(f *folder, now time.Time, asked map[string]bool) (*view, error) {
	v := &view{folder: f, active: make(map[string]*key), byKid: make(map[string]*key, len(f.keys))}
	var published []*key
	for _, alg := range Asymmetric() {
		keys := ofAlg(f.keys, alg)
		if len(keys) == 0 {
			continue
		}
		active := activeAt(keys, now)
		v.active[alg] = keys[active]
		for _, k := range keys {
			v.byKid[k.kid] = k
			if k.activeFrom.After(now) && (v.until.IsZero() || k.activeFrom.Before(v.until)) {
				v.until = k.activeFrom
			}
		}
		v.infos = append(v.infos, describe(keys, now)...)
		if asked != nil && Uncommon(alg) && !asked[alg] {
			continue
		}
		v.algs = append(v.algs, alg)
		// The active key first: there are clients that take whatever comes first.
		published = append(published, keys[active])
		published = append(published, keys[active+1:]...)
		older := slices.Clone(keys[:active])
		slices.Reverse(older)
		published = append(published, older...)
	}
	set := jose.JSONWebKeySet{Keys: make([]jose.JSONWebKey, len(published))}
	for i, k := range published {
		set.Keys[i] = jose.JSONWebKey{Key: k.public(), KeyID: k.kid, Algorithm: k.alg, Use: "sig"}
	}
	var err error
	if v.jwks, err = json.Marshal(set); err != nil {
		return nil, fmt.Errorf("render the JWKS: %w", err)
	}
	return v, nil
}

// current returns the view for this moment.
func (r *Ring) current() *view {
	v := r.view.Load()
	if v.until.IsZero() || r.now().Before(v.until) {
		return v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v = r.view.Load()
	if now := r.now(); !v.until.IsZero() && !now.Before(v.until) {
		if next, err := newView(v.folder, now, r.asked); err == nil { // what could be rendered once can be again
			v = next
			r.view.Store(v)
		}
	}
	return v
}

// Reload reads the folder again and reports whether it has changed. If anything
// is wrong the Ring stays as it was, and the error names all of it. A server
// secret that has changed is refused: what was derived from it is in use.
func (r *Ring) Reload() (changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reload()
}

func (r *Ring) reload() (changed bool, err error) {
	f, err := readFolder(r.dir)
	if err != nil {
		return false, err
	}
	if err := f.missing(r.dir, r.need).Err(); err != nil {
		return false, err
	}
	old := r.view.Load().folder
	if f.digest == old.digest {
		return false, nil
	}
	if !slices.Equal(f.secret, old.secret) {
		return false, oidc.Problems{{
			File: filepath.Join(r.dir, secretFile), Message: "has changed while the server runs", Hint: "put the old one back, or restart the server: sign-ins then end",
		}}
	}
	v, err := newView(f, r.now(), r.asked)
	if err != nil {
		return false, err
	}
	r.view.Store(v)
	return true, nil
}

// Uncommon reports whether keys of an algorithm stop some libraries, which give up
// on a whole JWK Set for a kind of key that they don't know: Ed25519 and P-521.
func Uncommon(alg string) bool { return alg == EdDSA || alg == "ES512" }

// Publish leaves uncommon keys, those of Ed25519 and P-521, out of JWKS and Algorithms
// but for the algorithms that are named in this or an earlier call, or that have
// signed. Without a call all are in.
func (r *Ring) Publish(algorithms []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	more := maps.Clone(r.asked)
	if more == nil {
		more = map[string]bool{}
	}
	for _, alg := range algorithms {
		if Uncommon(alg) {
			more[alg] = true
		}
	}
	if r.asked != nil && maps.Equal(more, r.asked) {
		return
	}
	v, err := newView(r.view.Load().folder, r.now(), more)
	if err != nil {
		return // what could be rendered once can be again
	}
	r.asked = more
	r.view.Store(v)
}

// JWKS returns the public keys as a JWK Set (RFC 7517, section 5). It is rendered
// once a change; don't write to it.
func (r *Ring) JWKS() []byte { return r.current().jwks }

// Algorithms returns the algorithms that there are published keys for, the default
// first. For a server, only ES256 and RS256 are always among them.
func (r *Ring) Algorithms() []string { return slices.Clone(r.current().algs) }

// List describes all keys, by algorithm and age.
func (r *Ring) List() []Info { return slices.Clone(r.current().infos) }

// Derive returns n secret bytes for one purpose, from the server secret (HKDF with
// SHA-256, RFC 5869). The same purpose always gives the same bytes, on every
// machine that shares the folder. More than 8160 bytes are a mistake of the
// caller, and so is asking the keys of a client, which have no secret; both panic.
func (r *Ring) Derive(purpose string, n int) []byte {
	if !r.need.secret {
		panic("keys: a client's folder has no server secret")
	}
	derived, err := hkdf.Key(sha256.New, r.view.Load().folder.secret, nil, "gatehouse "+purpose, n)
	if err != nil {
		panic(fmt.Sprintf("keys: derive %d bytes: %v", n, err))
	}
	return derived
}

// String names the folder and nothing in it; so do the methods below.
func (r *Ring) String() string { return "keys in " + r.dir }

// GoString is String.
func (r *Ring) GoString() string { return r.String() }

// LogValue is String.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText is String.
func (r *Ring) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
