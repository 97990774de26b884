package keys

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-jose/go-jose/v4"
)

// lockFile is empty and stays: NFS locks files that are open for writing, and no
// folders, and several servers may share this one.
const lockFile = ".lock"

// withLock runs work while no other process changes the folder, on this machine or
// on another one. Readers need no lock: every change is one rename.
func withLock(dir string, work func() error) (err error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("lock the keys folder: %w", err)
	}
	// Closing gives the lock up, and so does the end of the process.
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := handOver(dir, lock); err != nil {
		return fmt.Errorf("lock the keys folder: %w", err)
	}
	for {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock the keys folder: %w", err)
	}
	return work()
}

// writeKey writes a key's file, whole or not at all.
func writeKey(dir string, k *key) error {
	jwk, err := jose.JSONWebKey{Key: k.private}.MarshalJSON()
	if err != nil {
		return fmt.Errorf("write key %s: it can't be put into JSON", k.kid)
	}
	data, err := json.MarshalIndent(keyFile{Kid: k.kid, Alg: k.alg, CreatedAt: k.createdAt, ActiveFrom: k.activeFrom, PrivateKey: jwk}, "", "  ") //nolint:gosec // the one place where it belongs
	if err != nil {
		return fmt.Errorf("write key %s: it can't be put into JSON", k.kid)
	}
	return writeFile(dir, k.kid+".json", append(data, '\n'))
}

func writeNewSecret(dir string) error {
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand
	return writeFile(dir, secretFile, []byte(base64.RawURLEncoding.EncodeToString(secret[:])+"\n"))
}

// writeFile puts a file in place by rename, after it is safely on the disk. Only
// under the lock: it also sweeps up what a writer that was killed left behind.
func writeFile(dir, name string, data []byte) (err error) {
	sweep(dir)
	file, err := os.CreateTemp(dir, tempPrefix+"*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	_, err = file.Write(data)
	if err = errors.Join(err, handOver(dir, file), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncFolder(dir)
}

// handOver gives a file that root writes to the owner of the folder: with rights
// for root alone, the server could not read it at its next start.
func handOver(dir string, file *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}

// makeFolder makes a folder with those above it that are missing, for the owner of
// the one that is there, if root makes it; see handOver.
func makeFolder(dir string) error {
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	made, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(handOver(parent, made), made.Close()); err != nil {
		return err
	}
	// Who may write to a folder need not be allowed to read it.
	if err := syncFolder(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // the write that follows will say so
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), tempPrefix) {
			_ = os.Remove(filepath.Join(dir, entry.Name())) // left over: harmless where it stays
		}
	}
}

// removeFile deletes a file for good.
func removeFile(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	return syncFolder(dir)
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
