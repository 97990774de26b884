package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"gatehouse/oidc"
)

var clientFolder = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$`)

// OpenClient opens the keys of one client, as Open does, in a folder of their own
// beneath dir, the folder of the server's keys. There is a key for each algorithm
// named, and no server secret. All of its keys are published.
func OpenClient(dir, clientID string, algorithms []string, now func() time.Time) (*Ring, error) {
	path, err := clientDir(dir, clientID)
	if err != nil {
		return nil, err
	}
	return openRing(path, needs{algorithms: algorithms}, now)
}

// LoadClient is Load for the keys of one client.
func LoadClient(dir, clientID string, algorithms []string, now func() time.Time) (*Ring, error) {
	path, err := clientDir(dir, clientID)
	if err != nil {
		return nil, err
	}
	return loadRing(path, needs{algorithms: algorithms}, now)
}

func clientDir(dir, clientID string) (string, error) {
	if !clientFolder.MatchString(clientID) {
		return "", fmt.Errorf("keys of a client: %w", oidc.ErrNotFound)
	}
	return filepath.Join(dir, clientsFolder, clientID), nil
}

// RemoveClient deletes the keys of a client that is no more. That there are none is
// no error.
func RemoveClient(dir, clientID string) error {
	path, err := clientDir(dir, clientID)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return fmt.Errorf("delete the keys of client %s: %w", clientID, err)
	}
	if err := syncFolder(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete the keys of client %s: %w", clientID, err)
	}
	return nil
}

// Clients are the keys of all clients that have their own. It is safe for
// concurrent use.
type Clients struct {
	dir string
	now func() time.Time

	mu    sync.RWMutex
	rings map[string]*Ring

	reloading sync.Mutex // of what follows
	round     int
	stamps    map[string]time.Time // when a folder had last changed when it was last read
}

const (
	// everyRound is how often Reload reads folders that look unchanged, too: a file that
	// somebody has edited in place changes no folder.
	everyRound = 30
	// settled is how long a folder must have been at rest before it was read: a later
	// change has another time then, however coarse the file system's clock is.
	settled = 2 * time.Second
)

// NewClients returns the keys of the clients beneath dir, the folder of the
// server's keys. None is read yet.
func NewClients(dir string, now func() time.Time) *Clients {
	return &Clients{dir: dir, now: now, rings: map[string]*Ring{}, stamps: map[string]time.Time{}}
}

// Ring returns the keys of a client, one for each algorithm at least; what isn't
// there yet is made. So a client can be signed for as soon as it is known, by
// whichever process meets it first.
func (c *Clients) Ring(clientID string, algorithms []string) (*Ring, error) {
	c.mu.RLock()
	ring := c.rings[clientID]
	c.mu.RUnlock()
	if ring != nil && ring.has(algorithms) {
		return ring, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ring = c.rings[clientID]; ring != nil && ring.has(algorithms) {
		return ring, nil
	}
	ring, err := OpenClient(c.dir, clientID, algorithms, c.now)
	if err != nil {
		return nil, err
	}
	c.rings[clientID] = ring
	return ring, nil
}

// has reports whether there is an active key of each algorithm.
func (r *Ring) has(algorithms []string) bool {
	v := r.current()
	return !slices.ContainsFunc(algorithms, func(alg string) bool { return v.active[alg] == nil })
}

// Known returns the keys that have been asked for, by client.
func (c *Clients) Known() map[string]*Ring {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return maps.Clone(c.rings)
}

// Reload reads the folders of the clients that keep names again and forgets the
// others. It returns whose keys have changed. Where anything is wrong, that client's
// keys stay as they were, and the error names all of it.
func (c *Clients) Reload(keep func(clientID string) bool) (changed []string, err error) {
	c.mu.Lock()
	maps.DeleteFunc(c.rings, func(id string, _ *Ring) bool { return !keep(id) })
	c.mu.Unlock()
	rings := c.Known()
	c.reloading.Lock()
	defer c.reloading.Unlock()
	maps.DeleteFunc(c.stamps, func(id string, _ time.Time) bool { return rings[id] == nil })
	c.round++
	var problems oidc.Problems
	for _, id := range slices.Sorted(maps.Keys(rings)) {
		if c.rests(id, rings[id]) && c.round%everyRound != 0 {
			continue
		}
		different, err := rings[id].Reload()
		if errors.Is(err, fs.ErrNotExist) { // taken away with the client, which was made anew: so are its keys
			c.mu.Lock()
			delete(c.rings, id)
			c.mu.Unlock()
			different, err = true, nil
		}
		if err != nil {
			delete(c.stamps, id) // to be told until it is mended
			problems = append(problems, oidc.Problem{Key: "client " + id, Message: err.Error()})
		}
		if different {
			changed = append(changed, id)
		}
	}
	return changed, problems.Err()
}

// rests reports whether a folder is as it was when it was last read. With many
// clients, reading all of them every time would keep a processor busy. Otherwise it
// notes how the folder is, which is about to be read.
func (c *Clients) rests(id string, ring *Ring) bool {
	info, err := os.Stat(ring.dir)
	if err != nil {
		delete(c.stamps, id)
		return false
	}
	last, known := c.stamps[id]
	if known && info.ModTime().Equal(last) {
		return true
	}
	delete(c.stamps, id)
	if c.now().Sub(info.ModTime()) > settled {
		c.stamps[id] = info.ModTime()
	}
	return false
}
