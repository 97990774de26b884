package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queueLength bounds the writes that wait. A caller who finds the queue full
	// is turned away at once: by the time its turn came, its client had given up.
	queueLength = 1024
	// maxBatch bounds the writes of one commit, so that the first of them does
	// not wait long for the last.
	maxBatch = 128
	// lockHold is how long this process may commit back to back, lockGap how long
	// it then leaves the lock to others. The gap is several lockPauses long.
	lockHold = 100 * time.Millisecond
	lockGap  = 3 * time.Millisecond
)

var (
	errClosed    = errors.New("the store is closed")
	errQueueFull = errors.New("too many writes are waiting")
)

// querier is what a write runs its statements on.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// job is one write. Its state decides the race between the caller who gives up
// and the writer who begins: only one of them moves it on from waiting.
type job struct {
	run   func(ctx context.Context, q querier) error
	state atomic.Int32
	done  chan error // buffered: the writer never waits for a caller
}

const (
	jobWaiting int32 = iota
	jobStarted
	jobDropped
)

// writer runs all writes of this process, one goroutine on one connection.
// SQLite takes one writer at a time anyway, and a durable commit costs a sync of
// the disk however much is in it: writes that arrive while one is being synced
// wait together and share the next (group commit).
type writer struct {
	db    *sql.DB
	conn  *sql.Conn // nil until the first batch and after a failure
	queue chan *job
	ended chan struct{}

	mu     sync.RWMutex // guards closed against sends on the queue
	closed bool
}

func newWriter(db *sql.DB) *writer {
	w := &writer{db: db, queue: make(chan *job, queueLength), ended: make(chan struct{})}
	go w.loop()
	return w
}

// do runs one write and returns when it is durable, or has failed. A caller who
// gives up while the write waits takes it back, and it never happens. Once begun
// it is not broken off, and do waits for the outcome whatever ctx says: after a
// "gave up" nobody could know whether the token was issued.
func (w *writer) do(ctx context.Context, run func(ctx context.Context, q querier) error) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	j := &job{run: run, done: make(chan error, 1)}
	if err := w.enqueue(j); err != nil {
		return unavailable(err)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if j.state.CompareAndSwap(jobWaiting, jobDropped) {
			return unavailable(ctx.Err())
		}
		return <-j.done
	}
}

func (w *writer) enqueue(j *job) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed
	}
	select {
	case w.queue <- j:
		return nil
	default:
		return errQueueFull
	}
}

// close lets the writes that wait finish and ends the writer.
func (w *writer) close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.ended
}

func (w *writer) loop() {
	defer close(w.ended)
	batch := make([]*job, 0, maxBatch)
	gap := time.Now() // since when we have the lock to ourselves
	for {
		idle := time.Now()
		first, open := <-w.queue
		if !open {
			break
		}
		gap = giveWay(gap, idle)
		// Those who were just answered by the last commit come back with their
		// next write if they get the processor first.
		runtime.Gosched()
		batch = w.commit(append(batch[:0], first))
		clear(batch) // or the last batch would be kept alive by the idle writer
	}
	if w.conn != nil {
		_ = w.conn.Close() // hands it back to the pool, whose Close reports
	}
}

// giveWay leaves the lock alone for a moment where we have had it back to back
// for long: another process, which can only ask again and again, gets its turn.
// It returns when the lock was last left alone.
func giveWay(last, idle time.Time) time.Time {
	now := time.Now()
	switch {
	case now.Sub(idle) >= lockGap:
		return now
	case now.Sub(last) < lockHold:
		return last
	}
	time.Sleep(lockGap)
	return time.Now()
}

// commit runs first and the jobs that wait behind it in one transaction and
// answers each. It returns the batch for reuse of its memory.
func (w *writer) commit(batch []*job) []*job {
	ctx := context.Background() // a begun write is not broken off
	err := w.begin(ctx)
	// Gathered only now: who came while we waited for the lock joins in, and who
	// gave up meanwhile is out.
	batch = w.gather(batch)
	if err != nil {
		answerAll(batch, unavailable(fmt.Errorf("begin: %w", err)))
		return batch
	}
	errs, err := w.runAll(ctx, batch)
	if err == nil {
		err = w.end(ctx, errs)
	}
	if err != nil {
		w.discard(ctx)
		answerAll(batch, unavailable(err))
		return batch
	}
	for i, j := range batch {
		j.done <- errs[i]
	}
	return batch
}

// end makes durable what the jobs have written. Where each of them failed there
// is nothing to keep, and a job that was alone has no savepoint but this.
func (w *writer) end(ctx context.Context, errs []error) error {
	query := "ROLLBACK"
	if slices.Contains(errs, nil) {
		query = "COMMIT"
	}
	if _, err := w.conn.ExecContext(ctx, query); err != nil {
		return lost(query, err, errs...)
	}
	return nil
}

// begin takes SQLite's write lock, waiting for other processes up to the busy
// timeout.
func (w *writer) begin(ctx context.Context) error {
	if w.conn == nil {
		conn, err := w.db.Conn(ctx)
		if err != nil {
			return err
		}
		w.conn = conn
	}
	err := untilFree(ctx, func() error {
		_, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
	if err != nil && !isBusy(err) {
		w.discard(ctx)
	}
	return err
}

// gather starts the first job and those that wait in the queue; jobs that were
// taken back are left out.
func (w *writer) gather(batch []*job) []*job {
	first := batch[0]
	batch = batch[:0]
	if first.state.CompareAndSwap(jobWaiting, jobStarted) {
		batch = append(batch, first)
	}
	for len(batch) < maxBatch {
		select {
		case j, open := <-w.queue:
			if !open {
				return batch
			}
			if j.state.CompareAndSwap(jobWaiting, jobStarted) {
				batch = append(batch, j)
			}
		default:
			return batch
		}
	}
	return batch
}

// runAll runs the jobs, each in a savepoint so that one that fails is rolled
// back alone. The second result is set when the transaction as a whole is lost.
func (w *writer) runAll(ctx context.Context, batch []*job) ([]error, error) {
	errs := make([]error, len(batch))
	if len(batch) == 1 { // then the transaction itself is the savepoint
		errs[0] = classify(batch[0].run(ctx, w.conn))
		return errs, nil
	}
	for i, j := range batch {
		if _, err := w.conn.ExecContext(ctx, "SAVEPOINT job"); err != nil {
			return nil, fmt.Errorf("savepoint: %w", err)
		}
		errs[i] = classify(j.run(ctx, w.conn))
		if errs[i] != nil {
			// SQLite itself ends the whole transaction on some errors (disk full,
			// I/O); then there is no savepoint to go back to.
			if _, err := w.conn.ExecContext(ctx, "ROLLBACK TO job"); err != nil {
				return nil, lost("rollback to savepoint", err, errs[i])
			}
		}
		if _, err := w.conn.ExecContext(ctx, "RELEASE job"); err != nil {
			return nil, fmt.Errorf("release savepoint: %w", err)
		}
	}
	return errs, nil
}

// discard rolls back and drops the connection: after a failure its state is not
// to be relied on.
func (w *writer) discard(ctx context.Context) {
	_, _ = w.conn.ExecContext(ctx, "ROLLBACK") // closing does the same
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = w.conn.Close() // reports the ErrBadConn of the line above
	w.conn = nil
}

// lost is the error for all jobs of a transaction that failed. Of what single
// jobs had met it holds the text only: were it wrapped, one caller's "already
// used" would be told to all of them.
func lost(step string, err error, jobs ...error) error {
	if before := errors.Join(jobs...); before != nil {
		return fmt.Errorf("%s: %w, after: %s", step, err, before.Error())
	}
	return fmt.Errorf("%s: %w", step, err)
}

func answerAll(batch []*job, err error) {
	for _, j := range batch {
		j.done <- err
	}
}
