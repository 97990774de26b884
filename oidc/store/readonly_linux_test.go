package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func TestAFileThatCantBeWrittenIsExplained(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, message string
		file, dir     os.FileMode
	}{
		{"file read-only", "can't be written", 0o400, 0o700},
		{"folder read-only", "can't be", 0o600, 0o500},
		{"nothing allowed", "can't be", 0, 0o700},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path := filepath.Join(dir, "gatehouse.db")
			if err := open(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Chmod(path, c.file), os.Chmod(dir, c.dir)); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
			if os.Geteuid() == 0 {
				beNobody(t, path, dir)
			}
			s, err := store.Open(t.Context(), path, store.Options{})
			if err == nil {
				_ = s.Close()
				t.Fatal("it was opened")
			}
			var problems oidc.Problems
			if !errors.As(err, &problems) || !strings.Contains(problems[0].Message, c.message) || !strings.Contains(problems[0].Hint, "the user that gatehouse runs as") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// beNobody makes file access on this goroutine that of an ordinary user, for
// whom modes count, and who owns the files. Its thread ends with the goroutine.
func beNobody(t *testing.T, paths ...string) {
	t.Helper()
	const nobody = 65534
	for _, p := range paths {
		if err := os.Chown(p, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(paths[len(paths)-1]), 0o711); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread() // and never unlocked
	if err := syscall.Setfsuid(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Setfsuid(0); err != nil {
			t.Error(err)
		}
	})
}
