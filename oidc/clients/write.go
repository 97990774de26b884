package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gatehouse/oidc"
)

// ErrExists means that there is a client with this id already.
var ErrExists = errors.New("exists already")

// ErrChanged means that somebody else wrote to a file while it was being edited.
var ErrChanged = errors.New("changed meanwhile")

// patience is how long an edit waits for another one to end.
const patience = 10 * time.Second

// newFileMode lets the server's account read what another account writes; see
// Open for why anybody may.
const newFileMode = 0o644

// Path returns the name of a client's file. It refuses what is no id, so that no
// id leads out of the folder.
func Path(dir, id string) (string, error) {
	if message, hint := idFault(id); message != "" {
		return "", oidc.Problems{{Key: "client_id", Message: fmt.Sprintf("%q is not an id: %s", clip(id), message), Hint: hint}}
	}
	return filepath.Join(dir, id+suffix), nil
}

// Remove deletes a client's file; oidc.ErrNotFound if there is none. Grants of
// the client are not its business.
func Remove(dir, id string) error {
	path, err := Path(dir, id)
	if err != nil {
		return err
	}
	unlock, err := lock(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.Remove(path); err != nil {
		return missing(id, err)
	}
	return syncDir(dir)
}

// create writes a file that isn't there yet.
func create(dir, id string, data []byte) (*oidc.Client, error) {
	path, err := Path(dir, id)
	if err != nil {
		return nil, err
	}
	c, problems := Parse(path, data)
	if len(problems) > 0 {
		return nil, withoutLines(problems)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("client %s: %w in %s", id, ErrExists, path)
	}
	return c, writeFile(path, data, nil)
}

// update reads, changes and writes a file, if what comes out is valid. Edits by these functions wait for
// each other; an edit by other means in between is noticed, not written over.
func update(dir, id string, change func(path string, data []byte) ([]byte, error)) (*oidc.Client, error) {
	path, err := Path(dir, id)
	if err != nil {
		return nil, err
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	before, data, err := readEntry(path)
	if err != nil {
		return nil, missing(id, err)
	}
	after, err := change(path, data)
	if err != nil {
		return nil, err
	}
	c, problems := Parse(path, after)
	if len(problems) > 0 {
		// What was wrong before is the operator's first concern, and its lines are right.
		if _, old := Parse(path, data); len(old) > 0 {
			return nil, oidc.Problems(old)
		}
		return nil, withoutLines(problems)
	}
	if c.ID != id {
		return nil, oidc.Problems{{File: path, Key: "client_id", Message: "the file of the client " + id + " is not named after it", Hint: "rename the file, or change client_id"}}
	}
	if bytes.Equal(data, after) {
		return c, nil
	}
	if now, _, err := readEntry(path); err != nil || now.sum != before.sum {
		return nil, fmt.Errorf("%s: %w by someone else; nothing was written", path, ErrChanged)
	}
	return c, writeFile(path, after, before.info)
}

// withoutLines is for a text that was never written: its line numbers would lead
// to lines of the file as it is.
func withoutLines(problems oidc.Problems) oidc.Problems {
	for i := range problems {
		problems[i].Line = 0
	}
	return problems
}

func missing(id string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("client %s: %w", id, oidc.ErrNotFound)
	}
	return fmt.Errorf("client %s: %w", id, err)
}

// lock keeps other edits out of a folder, in this process and others. The lock
// is on the folder itself: it leaves no file behind, and ends with the process.
func lock(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("locking the client files: %w", err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = d.Close() }, nil // which unlocks
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) || time.Now().After(deadline) {
			_ = d.Close()
			return nil, fmt.Errorf("locking %s: %w", dir, err)
		}
	}
}

// writeFile puts a file in its place as a whole: after a crash there is the old
// one or the new one. A link stays one, and what is linked to is replaced. like
// is the file whose owner and mode the new one gets, if there is one.
func writeFile(path string, data []byte, like fs.FileInfo) (err error) {
	mode := fs.FileMode(newFileMode)
	if like != nil {
		mode = like.Mode().Perm()
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return fmt.Errorf("writing a client file: %w", err)
		}
	}
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp") // the dot keeps it out of every reader's sight
	if err != nil {
		return fmt.Errorf("writing a client file: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
			err = fmt.Errorf("writing a client file: %w", err)
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if like != nil {
		if s, ok := like.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(int(s.Uid), int(s.Gid)) // root keeps the server's account the owner; for others it's theirs already
		}
	}
	if err = f.Chmod(mode); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes a rename or a removal durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("making a change of %s durable: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("making a change of %s durable: %w", dir, err)
	}
	return nil
}
