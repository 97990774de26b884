package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"

	"gatehouse/oidc"
)

// Options are what a store is opened with.
type Options struct {
	Log *slog.Logger     // nil: nothing is logged
	Now func() time.Time // nil: time.Now
}

// Store is an open database. All its methods may be called at once, also while
// other processes have the same file open.
type Store struct {
	readers *sql.DB
	writers *sql.DB
	writer  *writer
	log     *slog.Logger
	now     func() time.Time
}

// Open opens the database named, a path; a file that doesn't exist is created
// for its owner only, in a folder that must exist. An older schema is brought to
// the newest version, a newer one is refused. What is wrong with the file is
// told as [oidc.Problems]; a file that stays locked is oidc.ErrUnavailable.
// Several processes may open one file at once.
func Open(ctx context.Context, name string, opts Options) (*Store, error) {
	path, err := sqlitePath(name)
	if err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, err
	}
	s := &Store{readers: readerDB(path), writers: writerDB(path), log: opts.Log, now: opts.Now}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if err := s.prepare(ctx, path); err != nil {
		err = openProblem(path, err)
		return nil, errors.Join(err, s.readers.Close(), s.writers.Close())
	}
	s.writer = newWriter(s.writers)
	return s, nil
}

// prepare brings the schema up to date and opens a first reader, so that what
// is wrong shows now and not at the first request.
func (s *Store) prepare(ctx context.Context, path string) error {
	var before, after int
	err := untilFree(ctx, func() (err error) {
		before, after, err = migrate(ctx, s.writers, path, schemaSQLite, migrationsSQLite())
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case before == 0:
		s.log.InfoContext(ctx, "database created", slog.String("path", path), slog.Int("schema", after))
	case before != after:
		s.log.InfoContext(ctx, "database migrated", slog.String("path", path), slog.Int("from", before), slog.Int("to", after))
	}
	return s.readers.PingContext(ctx)
}

// Close finishes the writes that wait, moves the log into the database file and
// closes it. Methods called afterwards return oidc.ErrUnavailable. A second
// Close does nothing.
func (s *Store) Close() error {
	s.writer.close()
	// Readers first: the last to go moves the log, and a reader can't.
	err := s.readers.Close()
	// Statistics for the planner, where SQLite finds them worth while. Without
	// them queries are as right and nearly as fast.
	_, _ = s.writers.ExecContext(context.Background(), "PRAGMA optimize")
	return named("close the store", errors.Join(err, s.writers.Close()))
}

// Ping returns nil if the database can be read, and oidc.ErrUnavailable if not.
func (s *Store) Ping(ctx context.Context) error {
	var version int
	return named("ping the store", s.read(ctx, qSchemaVersion, nil, &version))
}

// read looks one row up; no row is oidc.ErrNotFound.
func (s *Store) read(ctx context.Context, query string, args []any, columns ...any) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	// It takes microseconds, less than the goroutine that would watch ctx.
	ctx = context.WithoutCancel(ctx)
	return classify(s.readers.QueryRowContext(ctx, query, args...).Scan(columns...))
}

// write runs one transaction; see writer.do for what its errors say.
func (s *Store) write(ctx context.Context, run func(ctx context.Context, q querier) error) error {
	return s.writer.do(ctx, run)
}

// exec runs a statement and returns the number of rows that it changed.
func exec(ctx context.Context, q querier, query string, args ...any) (int, error) {
	r, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	return int(n), err
}

// Authorization is what one authorisation writes in one commit.
type Authorization struct {
	Grant   oidc.Grant
	Code    oidc.Code           // zero: none is given
	Access  *oidc.Token         // nil: none is given here
	Session *oidc.SessionChange // nil: the session stays as it is
	Consent *oidc.ConsentRecord // nil: nothing to remember
	Once    *Once               // what this may be the only use of; nil: nothing
	Device  *oidc.Hash          // the device code that this allows; nil: none
	Refresh *oidc.Token         // nil: none is given here
}

// Once is something that may be used once.
type Once struct {
	Hash  oidc.Hash
	Until time.Time // when it could no longer be used anyway
}

// PushedRequest is an authorisation request that its client has pushed.
type PushedRequest struct {
	Hash      oidc.Hash // of its request_uri
	ClientID  string
	Sealed    []byte // its parameters, encrypted
	ExpiresAt time.Time
}

// Issue is what a code or refresh token is exchanged for. The tokens join the
// grant of what is exchanged; their GrantID is not read.
type Issue struct {
	Now            time.Time
	Access         *oidc.Token // nil: none
	Refresh        *oidc.Token // nil: none
	GrantExpiresAt time.Time   // the grant lives at least until then
}

// GrantFilter says which grants are listed. Empty fields do not filter.
type GrantFilter struct {
	ClientID string
	Subject  string
	Active   bool // neither revoked nor expired
	Limit    int  // 0: all
}
