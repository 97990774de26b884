//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// settings are what the flags say.
type settings struct {
	server  string        // the program to measure
	dir     string        // where databases go; a real disk, or durability costs nothing
	users   int           // people in the directory
	measure time.Duration // for one line of the table
	warm    time.Duration // before it
	only    string        // one operation, "" for all
	keep    bool          // leave the folder behind
}

func main() {
	var s settings
	flag.StringVar(&s.server, "server", "bin/gatehouse", "the gatehouse `program` to measure")
	flag.StringVar(&s.dir, "dir", ".cache", "`folder` for databases and logs; not in memory, or durability costs nothing")
	flag.IntVar(&s.users, "users", 1000, "people in the directory")
	flag.DurationVar(&s.measure, "t", 4*time.Second, "time for each line of the table")
	flag.DurationVar(&s.warm, "warm", time.Second, "time before it that does not count")
	flag.StringVar(&s.only, "only", "", "measure this `operation` alone")
	flag.BoolVar(&s.keep, "keep", false, "keep the folder with databases, configuration and logs")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run starts directory and server, drives every operation and prints the table.
func run(ctx context.Context, s settings, out io.Writer) (err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.dir, "bench-")
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	defer func() {
		if s.keep || err != nil {
			fmt.Fprintln(out, "\nkept:", dir)
			return
		}
		_ = os.RemoveAll(dir)
	}()

	slapd, err := startDirectory(ctx, filepath.Join(dir, "slapd"), s.users)
	if err != nil {
		return err
	}
	defer slapd.stop()
	if s.only == lookupsName {
		return measureLookups(ctx, s, slapd, out)
	}
	files, err := writeConfiguration(dir, slapd)
	if err != nil {
		return err
	}
	startup, err := measureStartup(ctx, s.server, files)
	if err != nil {
		return err
	}
	server, err := startServer(ctx, s.server, files)
	if err != nil {
		return err
	}
	defer server.stop()

	app, err := newApplication(ctx, files, s.users)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d people in slapd, SQLite in %s, %d CPUs, %s a line\n\n", s.users, dir, runtime.NumCPU(), s.measure)
	wrong := false
	head(out)
	for _, op := range operations() {
		if s.only != "" && s.only != op.name {
			continue
		}
		for _, c := range []int{1, 8} {
			r, err := measure(ctx, app, op, c, s, server)
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", op.name, err, server.lastLines())
			}
			r.print(out)
			wrong = wrong || r.wrong > 0
		}
	}
	startup.print(out, server, s.server)
	if s.only == "" {
		server.stop()
		if err := measureLookups(ctx, s, slapd, out); err != nil {
			return err
		}
	}
	if wrong {
		return errors.New("some answers were wrong")
	}
	return nil
}

// startup is how quickly a server is there, and what it weighs before anybody comes.
type startup struct {
	first   []time.Duration // from the start of the process to the first right answer
	idleRSS float64         // MiB, two seconds later
}

// measureStartup starts the server six times; the first makes keys and database
// and is not counted.
func measureStartup(ctx context.Context, program string, files *files) (startup, error) {
	var u startup
	for i := range 6 {
		begin := time.Now()
		server, err := startServer(ctx, program, files)
		if err != nil {
			return u, err
		}
		if i > 0 {
			u.first = append(u.first, time.Since(begin))
		}
		if i == 5 {
			err = pause(ctx, 2*time.Second)
			u.idleRSS = server.rss()
		}
		server.stop()
		if err != nil {
			return u, err
		}
	}
	slices.Sort(u.first)
	return u, nil
}

func (u startup) print(out io.Writer, server *process, program string) {
	fmt.Fprintln(out)
	line := func(name string, got, target float64, unit string) {
		fmt.Fprintf(out, "%-32s %8.1f %-4s target %6.0f   %s\n", name, got, unit, target, ratio(got, target))
	}
	line("start to first answer, median", milliseconds(u.first[len(u.first)/2]), 25, "ms")
	line("RSS, idle", u.idleRSS, 25, "MiB")
	line("RSS, highest under load", server.peakRSS(), 45, "MiB")
	if info, err := os.Stat(program); err == nil {
		line("binary", float64(info.Size())/1e6, 30, "MB")
	}
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
