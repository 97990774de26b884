package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/mattn/go-sqlite3"
)

// busyTimeout is how long we wait for the write lock of another process, such as
// a command that revokes a grant while the server runs.
const busyTimeout = 5 * time.Second

// lockPause is how long we leave the lock alone before we ask again.
const lockPause = 500 * time.Microsecond

// connector opens connections of one DSN. It is here so that every connection
// gets the pragmas for which the driver knows no DSN parameter, without a driver
// registered under a global name.
type connector struct {
	driver *sqlite3.SQLiteDriver
	dsn    string
}

func (c *connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c *connector) Driver() driver.Driver                        { return c.driver }

// writerDB returns the pool of the one connection that writes.
//
// synchronous=FULL syncs the write-ahead log at every commit. A checkpoint moves
// the log's pages into the database file: it syncs the log, writes the pages,
// then syncs the file, so at no moment is a commit on neither. It runs inside
// the commit that takes the log over 1000 pages, 4 MiB (the default, and about
// one commit in a hundred).
func writerDB(path string) *sql.DB {
	dsn := sqliteDSN(path, url.Values{
		"mode":          {"rw"}, // createFile has made it, with its rights
		"_busy_timeout": {"1"},  // then untilFree tries again
		"_txlock":       {"immediate"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_foreign_keys": {"on"},
	})
	db := sql.OpenDB(&connector{dsn: dsn, driver: &sqlite3.SQLiteDriver{
		ConnectHook: func(conn *sqlite3.SQLiteConn) error {
			// macOS syncs to the disk, and not only to its cache, when asked this
			// way; elsewhere it changes nothing. The limit gives back the room that
			// a log takes which grew under a burst.
			_, err := conn.Exec(`PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA journal_size_limit = 33554432`, nil)
			return err
		},
	}})
	db.SetMaxOpenConns(1)
	return db
}

// readerDB returns the pool of connections that read, and can do nothing else.
func readerDB(path string) *sql.DB {
	dsn := sqliteDSN(path, url.Values{
		"mode":          {"ro"},
		"_query_only":   {"on"},
		"_cache_size":   {"-1000"}, // KiB: the upper pages; each commit empties it anyway
		"_busy_timeout": {fmt.Sprint(busyTimeout.Milliseconds())},
	})
	db := sql.OpenDB(&connector{dsn: dsn, driver: &sqlite3.SQLiteDriver{}})
	// A read takes microseconds of processor and seldom a disk; more connections
	// than this only cost memory.
	n := min(max(runtime.GOMAXPROCS(0), 4), 16)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db
}

// sqliteDSN adds what all connections have in common. database/sql gives a
// connection to one goroutine at a time, so SQLite's own mutexes are left out.
// Prepared statements are kept by each connection.
func sqliteDSN(path string, params url.Values) string {
	params.Set("_mutex", "no")
	params.Set("_stmt_cache_size", "48")
	u := url.URL{Scheme: "file", Path: path, RawQuery: params.Encode()}
	return u.String()
}

// untilFree repeats try while another process has the lock, for the busy timeout.
//
// SQLite would wait itself, but it sleeps longer and longer, up to 100 ms: while
// a server commits back to back it would hardly ever wake in a gap. And for the
// lock that turns a new file to WAL it doesn't wait at all.
func untilFree(ctx context.Context, try func() error) error {
	var deadline time.Time
	for {
		err := try()
		if !isBusy(err) {
			return err
		}
		if now := time.Now(); deadline.IsZero() {
			deadline = now.Add(busyTimeout)
		} else if now.After(deadline) {
			return err
		}
		pause := time.NewTimer(lockPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

// sqlitePath checks what the operator wrote as the place of the database.
func sqlitePath(name string) (string, error) {
	scheme, _, hasScheme := strings.Cut(name, "://")
	switch {
	case name == "":
		return "", problem("", "no database is named", "set database to the path of a file")
	case hasScheme && (scheme == "postgres" || scheme == "postgresql"):
		return "", problem("", "PostgreSQL is not supported yet", "set database to the path of a SQLite file")
	case hasScheme, strings.HasPrefix(name, "file:"), strings.HasPrefix(name, ":"):
		return "", problem("", fmt.Sprintf("database %q is not the path of a file", name), "set database to the path of a file, such as gatehouse.db")
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", fmt.Errorf("path of the database: %w", err)
	}
	return path, nil
}

// createFile makes the database file if there is none, readable and writable
// for its owner only; SQLite gives its -wal and -shm files the same mode.
//
// A file that exists is looked at but never opened here: closing it would drop
// the POSIX locks that SQLite holds on it anywhere in this process.
func createFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil:
		return checkFile(path, info)
	case !errors.Is(err, fs.ErrNotExist):
		return problem(path, "can't be looked at: "+reason(err), "let the user that gatehouse runs as enter its folder")
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist): // somebody was faster
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return problem(path, "can't be created: its folder doesn't exist", "create "+filepath.Dir(path)+" and give it to the user that gatehouse runs as")
	case err != nil:
		return problem(path, "can't be created: "+reason(err), "let the user that gatehouse runs as write to "+filepath.Dir(path))
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

func checkFile(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return problem(path, "is not a file", "set database to the path of a file")
	}
	if mode := info.Mode().Perm(); mode&0o027 != 0 && runtime.GOOS != "windows" {
		return problem(path, fmt.Sprintf("has mode %04o: others can read it, or write to it", mode), "chmod 600 "+path)
	}
	return nil
}

// syncDir makes a new file's name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync the folder: %w", err)
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// reason is an error without the path, which the message names already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
