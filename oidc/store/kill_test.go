package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"gatehouse/oidc/store"
	"gatehouse/oidc/store/storetest"
)

// childVariable names the database that this program works on when it is the
// child of the test below.
const childVariable = "GATEHOUSE_STORETEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childVariable); path != "" {
		child(path)
		return
	}
	os.Exit(m.Run())
}

func child(path string) {
	s, err := store.Open(context.Background(), path, store.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	storetest.Work(context.Background(), s, os.Stdout, 16) // until it is killed
}

// victim is a process that works on a database until it is killed.
type victim struct {
	cmd    *exec.Cmd
	ledger *storetest.Ledger
	begun  chan struct{} // closed at its first event
	read   chan error
}

func newVictim(t *testing.T, path string) *victim {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{
		cmd:    exec.CommandContext(t.Context(), program),
		ledger: storetest.NewLedger(), begun: make(chan struct{}), read: make(chan error, 1),
	}
	v.cmd.Env = append(os.Environ(), childVariable+"="+path)
	v.cmd.Stderr = os.Stderr
	// Not StdoutPipe: its end is closed by Wait, and lines would be lost.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	v.cmd.Stdout = w
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close() // the child has its own; should we die, its next event kills it
	go func() {
		defer func() { _ = r.Close() }()
		var once sync.Once
		err := v.ledger.Read(r, func(storetest.Event) { once.Do(func() { close(v.begun) }) })
		_, _ = io.Copy(io.Discard, r) // or the child would wait for a reader
		v.read <- err
	}()
	return v
}

// kill ends the process with SIGKILL and returns when all its events are read.
func (v *victim) kill(t *testing.T) {
	t.Helper()
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := v.cmd.Wait(); err == nil || v.cmd.ProcessState.Exited() {
		t.Fatalf("the child ended by itself: %v", v.cmd.ProcessState)
	}
	if err := <-v.read; err != nil {
		t.Fatal(err)
	}
}

func rounds() int {
	if testing.Short() {
		return 20
	}
	return 200
}

func milliseconds(n int) time.Duration {
	return time.Duration(rand.IntN(n*1000)) * time.Microsecond
}

func TestAKilledProcessLosesNothingRevivesNothingAndUsesNothingTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	var ledgers []*storetest.Ledger
	acks := 0
	for round := range rounds() {
		// In every other round another process has the file open all the time and
		// revokes, as a command may: then nothing tidies up after the killed one.
		var s *store.Store
		if round%2 == 1 {
			s = open(t, path)
		}
		v := newVictim(t, path)
		if round%5 != 4 { // otherwise it may hit the opening
			<-v.begun
		}
		for end := time.Now().Add(milliseconds(60)); time.Now().Before(end); time.Sleep(min(time.Until(end), 5*time.Millisecond)) {
			if s == nil {
				continue
			}
			if err := v.ledger.Revoke(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		v.kill(t)
		if s == nil {
			s = open(t, path)
		}
		wrong := append(v.ledger.Check(t.Context(), s), v.ledger.Reuse(t.Context(), s, 5)...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, w := range wrong {
			t.Errorf("round %d: %s", round, w)
		}
		if t.Failed() {
			return
		}
		acks += v.ledger.Acks
		ledgers = append(ledgers, v.ledger)
	}
	s := open(t, path)
	for round, l := range ledgers {
		for _, w := range l.Check(t.Context(), s) {
			t.Errorf("round %d, at the end: %s", round, w)
		}
	}
	intact(t, path)
	t.Logf("%d operations were acknowledged in %d rounds", acks, len(ledgers))
	if acks < 10*len(ledgers) {
		t.Error("too few to mean anything")
	}
}

func TestAProcessKilledWhileItCreatesTheDatabaseLeavesAUsableOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range rounds() / 5 {
		path := filepath.Join(dir, fmt.Sprint(round, ".db"))
		v := newVictim(t, path)
		select {
		case <-v.begun:
		case <-time.After(milliseconds(40)):
		}
		v.kill(t)
		s := open(t, path)
		for _, w := range v.ledger.Check(t.Context(), s) {
			t.Errorf("round %d: %s", round, w)
		}
		if err := s.SaveAuthorization(t.Context(), benchAuthorization()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		intact(t, path)
	}
}

// intact lets SQLite look over the whole file.
func intact(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var integrity string
	var orphans int
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&integrity); err != nil || integrity != "ok" {
		t.Errorf("integrity: %s, %v", integrity, err)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM pragma_foreign_key_check").Scan(&orphans); err != nil || orphans != 0 {
		t.Errorf("%d rows point nowhere, %v", orphans, err)
	}
}
