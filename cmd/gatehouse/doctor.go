package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/ldapstore"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/store"
)

func newDoctorCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong, or soon will be, with a server and its directory",
		Long: `Look at everything that check looks at, and ask around besides: every server of
the directory (name, connection, TLS, account, people, groups, rights, indexes,
clock, limits), the issuer's address and the proxies before it, the database, the
disk, the files.

Nothing is changed. The directory is asked as a sign-in asks it, with one bind of
the service account for each server; to find out whether that account may write,
it is asked to remove a value that nobody has, which the directory's log may show
as a failed change. No password is printed, and nothing of anybody's entry.

Exit code 3 means that there are problems; warnings alone are exit code 0.`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return env.doctor(cmd.Context()) },
	}
	env.addOutput(cmd)
	return cmd
}

// note adds what is worth knowing.
func (r *report) note(level, area, hint, format string, args ...any) {
	r.findings = append(r.findings, finding{Level: level, Area: area, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (e *environment) doctor(ctx context.Context) error {
	r := &report{}
	cfg, err := e.load()
	if err != nil {
		r.fail("configuration", err)
		return e.deliver(r)
	}
	e.checkConfiguration(r, cfg)
	set := checkClients(r, cfg)
	e.examineKeys(r, cfg, set)
	e.examineDatabase(ctx, r, cfg)
	checkPages(r, cfg)
	e.examineFiles(r, cfg)
	e.examineDirectory(ctx, r, cfg, set)
	e.examineIssuer(ctx, r, cfg, set)
	return e.deliver(r)
}

// examineDirectory asks the directory's servers, and whether there are the groups
// that clients name.
func (e *environment) examineDirectory(ctx context.Context, r *report, cfg *config.Config, set *clients.Set) {
	members, err := e.openMembers(cfg, set)
	if err != nil {
		return // checkConfiguration has told
	}
	all, err := joinMembers(cfg, members)
	if err != nil {
		return // likewise
	}
	defer all.Close()
	for _, m := range members {
		examineMember(ctx, r, cfg, m)
	}
	if all.Ping(ctx) == nil {
		checkGroups(ctx, r, all, set, anyRegistered(cfg)...)
	}
}

// examineMember asks the servers of one directory.
func examineMember(ctx context.Context, r *report, cfg *config.Config, m ldapstore.Member) {
	area, what := "directory", inWords(m.Name)
	if m.Name != "" {
		area = what
	}
	named := inSection(m.Name)
	facts := m.Directory.Examine(ctx, func(f ldapstore.Finding) {
		r.findings = append(r.findings, finding{
			Level: string(f.Level), Area: area + ", " + f.Topic, Server: f.Server, Message: named(f.Message), Hint: named(f.Hint), PEM: f.PEM,
		})
	})
	if after := facts.LockoutAfter; after > 0 {
		if tries := cfg.Throttle.AccountFailures; tries >= after {
			r.note("warning", "throttle", fmt.Sprintf("set throttle.account_failures to %d or less", max(after-1, 1)),
				"%s locks accounts after %d wrong passwords, and throttle.account_failures is %d: strangers can lock people out", what, after, tries)
		} else {
			r.ok("throttle", "strangers can't lock people out: %d failures are fewer than the %d of %s", tries, after, what)
		}
	}
}

// longSigning is after what time a key should have been rotated, as a habit: who
// never does it doesn't know how when it matters.
const longSigning = 400 * 24 * time.Hour

func (e *environment) examineKeys(r *report, cfg *config.Config, set *clients.Set) {
	ring, err := keys.Load(cfg.KeysDir, e.now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.ok("keys", "%s: not there yet; the first start makes it", cfg.KeysDir)
		return
	case err != nil:
		r.fail("keys", err)
		return
	}
	r.add("problem", "keys", keysWanted(ring, set)...)
	e.examineRing(r, cfg, ring, "", "")
	r.add("problem", "keys", e.brokenOwnKeys(cfg, set)...)
	if set == nil {
		return
	}
	for _, c := range set.All() {
		if !c.OwnIssuer {
			continue
		}
		if own, err := keys.LoadClient(cfg.KeysDir, c.ID, nil, e.now); err == nil {
			e.examineRing(r, cfg, own, " of client "+c.ID, " --client "+c.ID)
		}
	}
}

// examineRing judges the age of keys, of the server or of one client.
func (e *environment) examineRing(r *report, cfg *config.Config, ring *keys.Ring, of, flag string) {
	for _, k := range ring.List() {
		switch k.State {
		case keys.StateActive:
			age := e.now().Sub(k.ActiveFrom)
			switch due := cfg.Keys.RotateAfter; {
			case due > 0 && age > due+cfg.Keys.PublishBefore+keyMargin:
				r.note("warning", "keys", "look into the server's log: it may not be allowed to write to keys_dir", "key %s (%s)%s has signed for %d days, and keys.rotate_after is over", k.Kid, k.Alg, of, days(age))
			case age > longSigning:
				r.note("warning", "keys", "gatehouse key rotate "+k.Alg+flag+"; nobody notices", "key %s (%s)%s has signed for %d days", k.Kid, k.Alg, of, days(age))
			default:
				r.ok("keys", "key %s (%s)%s has signed for %d days", k.Kid, k.Alg, of, days(age))
			}
		case keys.StateInactive:
			if age := e.now().Sub(k.InactiveFrom); age > longSigning {
				r.note("note", "keys", "gatehouse key retire "+k.Kid+flag, "key %s (%s)%s has not signed for %d days", k.Kid, k.Alg, of, days(age))
			}
		}
	}
}

func days(d time.Duration) int { return int(d.Hours() / 24) }

func (e *environment) examineDatabase(ctx context.Context, r *report, cfg *config.Config) {
	x, err := store.Examine(ctx, cfg.Database)
	switch {
	case err != nil:
		r.fail("database", err)
		return
	case x.Version == 0:
		r.ok("database", "%s: not there yet; the first start makes it", cfg.Database)
		return
	case len(x.Faults) > 0:
		r.note("problem", "database", "stop the server, keep a copy of the file, and put the last backup in its place; people sign in anew",
			"%s is damaged: %s", cfg.Database, x.Faults[0])
	default:
		r.ok("database", "%s: schema %d, %s, undamaged", cfg.Database, x.Version, bytesText(x.Size))
	}
	if x.Writable != nil {
		r.note("problem", "database", "let the account that the server runs as write to the file and its folder", "%s can't be written: %v", cfg.Database, x.Writable)
	}
	const longLog = 256 << 20
	if x.Log > longLog {
		r.note("warning", "database", "look for a program that keeps the file open, such as a backup that hangs", "the log beside %s has grown to %s", cfg.Database, bytesText(x.Log))
	}
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	default:
		return fmt.Sprintf("%d KiB", n>>10)
	}
}

// What the disk should have left. A full one stops sign-ins: each writes a grant.
const (
	littleSpace = 512 << 20
	noSpace     = 64 << 20
)

// examineFiles looks at the disk, and who may change what decides about sign-ins.
// Secrets that others may read stop the start, so the configuration's checks have
// told them.
func (e *environment) examineFiles(r *report, cfg *config.Config) {
	folder := filepath.Dir(cfg.Database)
	if free, ok := freeSpace(folder); ok {
		switch {
		case free < noSpace:
			r.note("problem", "disk", "make room: when it is full nobody can sign in", "%s has %s left", folder, bytesText(free))
		case free < littleSpace:
			r.note("warning", "disk", "make room in time", "%s has %s left", folder, bytesText(free))
		default:
			r.ok("disk", "%s has %s left", folder, bytesText(free))
		}
	}
	paths := []string{cfg.File, cfg.ClientsDir, cfg.KeysDir, cfg.TemplatesDir, cfg.StaticDir, cfg.TLS.CertFile}
	for _, section := range sectionsOf(cfg) {
		paths = append(paths, section.CAFile)
	}
	for _, dir := range []string{cfg.ClientsDir, cfg.TemplatesDir} {
		if dir == "" {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // told by whoever reads it
		}
		for _, entry := range entries {
			paths = append(paths, filepath.Join(dir, entry.Name()))
		}
	}
	fine := true
	for _, path := range paths {
		info, err := os.Stat(path)
		if path == "" || err != nil {
			continue
		}
		if mode := info.Mode().Perm(); mode&0o022 != 0 {
			fine = false
			r.note("warning", "files", "chmod go-w "+path, "%s can be changed by others than its owner (mode %04o)", path, mode)
		}
	}
	if fine {
		r.ok("files", "others than their owners can't change them")
	}
	if info, err := os.Stat(cfg.Database); err == nil {
		if owner, ok := ownerOf(info); ok && owner != os.Geteuid() {
			r.note("note", "files", "run doctor as that account to see what the server sees", "the database belongs to uid %d, but this is uid %d", owner, os.Geteuid())
		}
	}
}
