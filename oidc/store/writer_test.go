package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mattn/go-sqlite3"

	"gatehouse/oidc"
)

// writerBench is a writer on an empty table, which counts its commits.
type writerBench struct {
	*testing.T
	w       *writer
	commits atomic.Int32
}

func newBench(t *testing.T) *writerBench {
	t.Helper()
	b := &writerBench{T: t}
	path := filepath.Join(t.TempDir(), "test.db")
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	db := writerDB(path)
	t.Cleanup(func() { _ = db.Close() })
	_, err := db.ExecContext(t.Context(), `CREATE TABLE words (word TEXT PRIMARY KEY, text TEXT, parent TEXT REFERENCES words (word))`)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Raw(func(c any) error {
		c.(*sqlite3.SQLiteConn).RegisterCommitHook(func() int { b.commits.Add(1); return 0 })
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	b.w = newWriter(db)
	t.Cleanup(b.w.close)
	return b
}

// hold keeps the writer busy until the returned function is called; jobs that
// come meanwhile make one batch.
func (b *writerBench) hold() (release func()) {
	b.Helper()
	begun, end, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- b.w.do(context.Background(), func(context.Context, querier) error {
			close(begun)
			<-end
			return nil
		})
	}()
	<-begun
	return func() {
		close(end)
		if err := <-done; err != nil {
			b.Errorf("the job that held the writer: %v", err)
		}
	}
}

// start hands in a job and returns when it waits in the queue.
func (b *writerBench) start(ctx context.Context, run func(ctx context.Context, q querier) error) <-chan error {
	b.Helper()
	before := len(b.w.queue)
	done := make(chan error, 1)
	go func() { done <- b.w.do(ctx, run) }()
	b.until("the job waits", func() bool { return len(b.w.queue) > before })
	return done
}

func (b *writerBench) until(what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			b.Fatalf("waited in vain until %s", what)
		}
	}
}

// word returns a job that inserts a word; a word that is there already fails it.
func word(w string) func(ctx context.Context, q querier) error {
	return func(ctx context.Context, q querier) error {
		_, err := exec(ctx, q, `INSERT INTO words (word) VALUES ($1)`, w)
		return err
	}
}

func (b *writerBench) has(w string) bool {
	b.Helper()
	var n int
	err := b.w.do(b.Context(), func(ctx context.Context, q querier) error {
		return q.QueryRowContext(ctx, `SELECT count(*) FROM words WHERE word = $1`, w).Scan(&n)
	})
	if err != nil {
		b.Fatal(err)
	}
	return n == 1
}

func TestWritesThatWaitShareOneCommit(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.hold()
	var jobs []<-chan error
	for i := range maxBatch {
		jobs = append(jobs, b.start(t.Context(), word(fmt.Sprint(i))))
	}
	before := b.commits.Load()
	release()
	for _, j := range jobs {
		if err := <-j; err != nil {
			t.Fatal(err)
		}
	}
	if n := b.commits.Load() - before; n != 1+1 { // the holder's and theirs
		t.Fatalf("%d writes took %d commits", maxBatch, n-1)
	}
}

func TestAJobThatFailsIsRolledBackAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.hold()
	good := b.start(t.Context(), word("good"))
	refused := b.start(t.Context(), func(ctx context.Context, q querier) error {
		return errors.Join(word("refused")(ctx, q), oidc.ErrUsed)
	})
	twice := b.start(t.Context(), func(ctx context.Context, q querier) error {
		return errors.Join(word("before")(ctx, q), word("good")(ctx, q))
	})
	last := b.start(t.Context(), word("last"))
	release()
	if err := errors.Join(<-good, <-last); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !errors.Is(err, oidc.ErrUsed) {
		t.Fatalf("got %v", err)
	}
	if err := <-twice; err == nil || errors.Is(err, oidc.ErrUnavailable) {
		t.Fatalf("a constraint was broken: got %v", err)
	}
	for w, want := range map[string]bool{"good": true, "last": true, "refused": false, "before": false} {
		if b.has(w) != want {
			t.Errorf("%s: kept %v, want %v", w, !want, want)
		}
	}
}

func TestAJobThatFailsByItselfIsRolledBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	err := b.w.do(t.Context(), func(ctx context.Context, q querier) error {
		return errors.Join(word("refused")(ctx, q), oidc.ErrRevoked)
	})
	if !errors.Is(err, oidc.ErrRevoked) || b.has("refused") {
		t.Fatalf("got %v, kept %v", err, b.has("refused"))
	}
}

func TestAFailedCommitFailsEveryWriteOfItAndNoneAfter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.hold()
	good := b.start(t.Context(), word("good"))
	used := b.start(t.Context(), func(context.Context, querier) error { return oidc.ErrUsed })
	orphan := b.start(t.Context(), func(ctx context.Context, q querier) error {
		if _, err := q.ExecContext(ctx, `PRAGMA defer_foreign_keys = ON`); err != nil {
			return err
		}
		_, err := exec(ctx, q, `INSERT INTO words (word, parent) VALUES ('orphan', 'nobody')`)
		return err // nil: SQLite looks at the commit
	})
	release()
	for _, j := range []<-chan error{good, used, orphan} {
		err := <-j
		if !errors.Is(err, oidc.ErrUnavailable) || errors.Is(err, oidc.ErrUsed) {
			t.Fatalf("got %v", err)
		}
	}
	if err := b.w.do(t.Context(), word("after")); err != nil {
		t.Fatal(err)
	}
	for w, want := range map[string]bool{"good": false, "orphan": false, "after": true} {
		if b.has(w) != want {
			t.Errorf("%s: kept %v, want %v", w, !want, want)
		}
	}
}

// long is a word of four pages, whose text fills a small database.
func long(w string) func(ctx context.Context, q querier) error {
	return func(ctx context.Context, q querier) error {
		_, err := exec(ctx, q, `INSERT INTO words (word, text) VALUES ($1, hex(zeroblob(8192)))`, w)
		return err
	}
}

func TestAFullDiskFailsTheWritesThatNeedRoomAndLosesNoOther(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	limit := func(pages int) {
		t.Helper()
		err := b.w.do(t.Context(), func(ctx context.Context, q querier) error {
			_, err := q.ExecContext(ctx, fmt.Sprintf(`PRAGMA max_page_count = %d`, pages))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(60)
	release := b.hold()
	var jobs []<-chan error
	for i := range 40 {
		jobs = append(jobs, b.start(t.Context(), long(fmt.Sprint(i))))
	}
	release()
	kept := map[string]bool{}
	failed := 0
	for i, j := range jobs {
		err := <-j
		kept[fmt.Sprint(i)] = err == nil
		if err != nil {
			failed++
			if !errors.Is(err, oidc.ErrUnavailable) {
				t.Fatalf("got %v", err)
			}
		}
	}
	if failed == 0 {
		t.Fatal("the disk was not full")
	}
	limit(10000)
	for w, want := range kept {
		if b.has(w) != want {
			t.Errorf("word %s: said %v, kept %v", w, want, !want)
		}
	}
	if err := b.w.do(t.Context(), long("after")); err != nil {
		t.Fatalf("with room again: %v", err)
	}
}

func TestAFullQueueTurnsCallersAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.hold()
	var jobs []<-chan error
	for i := range queueLength {
		jobs = append(jobs, b.start(t.Context(), word(fmt.Sprint(i))))
	}
	err := b.w.do(t.Context(), word("one too many"))
	if !errors.Is(err, oidc.ErrUnavailable) || !errors.Is(err, errQueueFull) {
		t.Fatalf("got %v", err)
	}
	release()
	for _, j := range jobs {
		if err := <-j; err != nil {
			t.Fatal(err)
		}
	}
	if b.has("one too many") {
		t.Fatal("the write that was turned away happened")
	}
}

func TestAWriteIsTakenBackWhileItWaits(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.hold()
	ctx, cancel := context.WithCancel(t.Context())
	given := b.start(ctx, word("given up"))
	kept := b.start(t.Context(), word("kept"))
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) || !errors.Is(err, oidc.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	release()
	if err := <-kept; err != nil {
		t.Fatal(err)
	}
	if b.has("given up") {
		t.Fatal("a write happened after its caller was told that it did not")
	}
}

func TestAWriteThatHasBegunIsAnsweredWithTheTruth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := b.w.do(ctx, func(ctx context.Context, q querier) error {
		cancel() // the caller is gone in the middle of it
		return word("begun")(ctx, q)
	})
	if err != nil || !b.has("begun") {
		t.Fatalf("got %v, kept %v", err, b.has("begun"))
	}
}

func TestCloseFinishesTheWritesThatWait(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := b.hold()
	var jobs []<-chan error
	for i := range 300 {
		jobs = append(jobs, b.start(t.Context(), word(fmt.Sprint(i))))
	}
	closed := make(chan struct{})
	go func() {
		b.w.close()
		close(closed)
	}()
	b.until("the queue is closed", func() bool {
		j := &job{}
		j.state.Store(jobDropped) // it may still get in
		return errors.Is(b.w.enqueue(j), errClosed)
	})
	release()
	<-closed
	for _, j := range jobs {
		if err := <-j; err != nil {
			t.Fatal(err)
		}
	}
	if err := b.w.do(t.Context(), word("late")); !errors.Is(err, oidc.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	var n int
	if err := b.w.db.QueryRowContext(t.Context(), `SELECT count(*) FROM words`).Scan(&n); err != nil || n != 300 {
		t.Fatalf("kept %d of 300: %v", n, err)
	}
}

func TestErrorsOfTheDatabaseAreToldApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		err         error
		unavailable bool
	}{
		{"busy", sqlite3.Error{Code: sqlite3.ErrBusy}, true},
		{"locked", sqlite3.Error{Code: sqlite3.ErrLocked}, true},
		{"failing disk", sqlite3.Error{Code: sqlite3.ErrIoErr}, true},
		{"full disk", sqlite3.Error{Code: sqlite3.ErrFull}, true},
		{"turned read-only", sqlite3.Error{Code: sqlite3.ErrReadonly}, true},
		{"damaged", fmt.Errorf("wrapped: %w", sqlite3.Error{Code: sqlite3.ErrCorrupt}), true},
		{"connection gone", sql.ErrConnDone, true},
		{"out of time", context.DeadlineExceeded, true},
		{"constraint", sqlite3.Error{Code: sqlite3.ErrConstraint}, false},
		{"mistake in a query", sqlite3.Error{Code: sqlite3.ErrError}, false},
		{"mistake of the caller", &faultError{errors.New("no time")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := classify(c.err)
			if errors.Is(err, oidc.ErrUnavailable) != c.unavailable || !errors.Is(err, c.err) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := classify(sql.ErrNoRows); !errors.Is(err, oidc.ErrNotFound) {
		t.Errorf("no rows: got %v", err)
	}
}
