package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Examination is the state that a database is in.
type Examination struct {
	Version  int   // of the schema; 0 if there is no database yet
	Size     int64 // bytes of the file
	Log      int64 // bytes of the write-ahead log beside it
	Faults   []string
	Writable error // why nothing can be written; nil if it can
}

// Examine is Check, and looks besides through every page of the file and whether
// there could be written. It takes the write lock for a moment and gives it back
// without having written, also while a server has the database open.
func Examine(ctx context.Context, name string) (x Examination, err error) {
	if x.Version, err = Check(ctx, name); err != nil || x.Version == 0 {
		return x, err
	}
	path, err := sqlitePath(name)
	if err != nil {
		return x, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return x, fmt.Errorf("look at the database: %w", err)
	}
	x.Size = info.Size()
	if info, err := os.Stat(path + "-wal"); err == nil {
		x.Log = info.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return x, fmt.Errorf("look at the log of the database: %w", err)
	}
	if x.Faults, err = faults(ctx, path); err != nil {
		return x, openProblem(path, err)
	}
	x.Writable = tryLock(ctx, path)
	return x, nil
}

// faults has SQLite look for damage; nothing is wrong if there are none.
func faults(ctx context.Context, path string) (found []string, err error) {
	db := readerDB(path)
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `PRAGMA quick_check(20)`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if text != "ok" {
			found = append(found, text)
		}
	}
	return found, rows.Err()
}

// tryLock takes the write lock and gives it back.
func tryLock(ctx context.Context, path string) (err error) {
	db := writerDB(path)
	defer func() { err = errors.Join(err, db.Close()) }()
	return untilFree(ctx, func() error {
		tx, err := db.BeginTx(ctx, nil) // immediate: the DSN says so
		if err != nil {
			return err
		}
		return tx.Rollback()
	})
}
