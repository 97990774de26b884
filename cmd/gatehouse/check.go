package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/ldapstore"
	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/store"
)

func newCheckCommand(env *environment) *cobra.Command {
	live := false
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look for mistakes in configuration, clients, keys and pages",
		Long: `Read everything that gatehouse serve would read and tell all that is wrong with
it, each with file, line and what to do. Nothing is written, and a running server
is not disturbed. Without --live nothing is sent over the network.

Exit code 3 means that something is wrong; warnings alone are exit code 0.`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return env.check(cmd.Context(), live) },
	}
	cmd.Flags().BoolVar(&live, "live", false, "also ask the directory (can it be reached, are there the groups that clients name?) and the sector_identifier_uri of clients")
	env.addOutput(cmd)
	return cmd
}

// finding is one line of a report.
type finding struct {
	Level   string `json:"level"`            // ok, note, warning or problem
	Area    string `json:"area"`             // configuration, clients, keys …
	Server  string `json:"server,omitempty"` // of the directory
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	PEM     string `json:"pem,omitempty"` // a certificate that might be trusted
}

// report collects findings.
type report struct{ findings []finding }

func (r *report) ok(area, format string, args ...any) {
	r.findings = append(r.findings, finding{Level: "ok", Area: area, Message: fmt.Sprintf(format, args...)})
}

func (r *report) add(level, area string, problems ...oidc.Problem) {
	for _, p := range problems {
		r.findings = append(r.findings, finding{Level: level, Area: area, File: p.File, Line: p.Line, Key: p.Key, Message: p.Message, Hint: p.Hint})
	}
}

// fail adds an error, with all of its problems.
func (r *report) fail(area string, err error) {
	var problems oidc.Problems
	var hint *hinted
	switch {
	case errors.As(err, &problems):
		r.add("problem", area, problems...)
	case errors.As(err, &hint):
		r.add("problem", area, oidc.Problem{Message: err.Error(), Hint: hint.hint})
	default:
		r.add("problem", area, oidc.Problem{Message: err.Error()})
	}
}

func (e *environment) check(ctx context.Context, live bool) error {
	r := &report{}
	cfg, err := e.load()
	if err != nil {
		r.fail("configuration", err)
	} else {
		e.checkConfiguration(r, cfg)
		set := checkClients(r, cfg)
		e.checkKeys(r, cfg, set)
		e.checkDatabase(ctx, r, cfg)
		checkPages(r, cfg)
		if live {
			e.checkDirectory(ctx, r, cfg, set)
			checkSectors(ctx, r, cfg, set)
		}
	}
	return e.deliver(r)
}

// deliver prints the report; problems are the exit code.
func (e *environment) deliver(r *report) error {
	if err := e.print(r.findings, r.write); err != nil {
		return err
	}
	if slices.ContainsFunc(r.findings, func(f finding) bool { return f.Level == "problem" }) {
		return &exitError{code: exitProblems}
	}
	return nil
}

func (e *environment) checkConfiguration(r *report, cfg *config.Config) {
	if _, err := registrationPolicy(cfg); err != nil {
		r.fail("configuration", err)
	}
	if _, err := claimsTable(cfg); err != nil {
		r.fail("configuration", err)
	} else {
		r.ok("configuration", "%s", orWords(cfg.File, "the environment"))
	}
	r.add("warning", "configuration", converted(cfg.Warnings)...)
	// New connects to nothing: it judges filters, names and the CA file.
	directory, err := e.openDirectory(cfg, nil)
	if err != nil {
		r.fail("configuration", err)
		return
	}
	directory.Close()
}

func orWords(text, words string) string {
	if text == "" {
		return words
	}
	return text
}

func (e *environment) checkDatabase(ctx context.Context, r *report, cfg *config.Config) {
	version, err := store.Check(ctx, cfg.Database)
	switch {
	case err != nil:
		r.fail("database", err)
	case version == 0:
		r.ok("database", "%s: not there yet; the first start makes it", cfg.Database)
	default:
		r.ok("database", "%s: schema %d", cfg.Database, version)
	}
}

func checkClients(r *report, cfg *config.Config) *clients.Set {
	set, err := clients.Open(cfg.ClientsDir)
	if err != nil {
		r.fail("clients", err)
		return nil
	}
	r.ok("clients", "%s: %d", cfg.ClientsDir, len(set.All()))
	r.add("warning", "clients", set.Warnings()...)
	return set
}

// keysWanted tells which clients want a key that there is none of.
func keysWanted(ring *keys.Ring, set *clients.Set) (problems []oidc.Problem) {
	if set == nil {
		return nil
	}
	have := append(ring.Algorithms(), keys.Symmetric()...)
	for _, c := range set.All() {
		if c.OwnIssuer { // its keys are elsewhere
			continue
		}
		for _, r := range c.ResponseAlgs() {
			if !slices.Contains(have, r.Alg) {
				problems = append(problems, oidc.Problem{
					Key: r.Key, Message: fmt.Sprintf("client %s wants %s, and there is no such key", c.ID, r.Alg), Hint: "gatehouse key create " + r.Alg,
				})
			}
		}
	}
	return problems
}

func (e *environment) checkKeys(r *report, cfg *config.Config, set *clients.Set) {
	ring, err := keys.Load(cfg.KeysDir, e.now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.ok("keys", "%s: not there yet; the first start makes it", cfg.KeysDir)
	case err != nil:
		r.fail("keys", err)
	default:
		r.ok("keys", "%s: %d", cfg.KeysDir, len(ring.List()))
		r.add("problem", "keys", keysWanted(ring, set)...)
		r.add("problem", "keys", e.brokenOwnKeys(cfg, set)...)
	}
}

func checkPages(r *report, cfg *config.Config) {
	if _, _, err := loadPages(cfg); err != nil {
		r.fail("pages", err)
		return
	}
	r.ok("pages", "every page can be shown in every language")
}

// checkDirectory asks whether people can be looked up, and whether there are the
// groups that clients name. A group that isn't there gives nothing to anybody; it
// may be made later, so that is a warning.
func (e *environment) checkDirectory(ctx context.Context, r *report, cfg *config.Config, set *clients.Set) {
	members, err := e.openMembers(cfg, set)
	if err != nil {
		r.fail("directory", err)
		return
	}
	directory, err := joinMembers(cfg, members)
	if err != nil {
		r.fail("directory", err)
		return
	}
	defer directory.Close()
	read := true
	for _, m := range members {
		read = checkMember(ctx, r, m) && read
	}
	if read {
		checkGroups(ctx, r, directory, set, anyRegistered(cfg)...)
	}
}

// checkGroups looks whether there are the groups that clients name.
func checkGroups(ctx context.Context, r *report, d directory, set *clients.Set, more ...*oidc.Client) {
	if set == nil {
		return
	}
	seen := map[string]bool{}
	for _, c := range append(set.All(), more...) {
		named := slices.Clone(c.AllowedGroups)
		for _, m := range c.Scopes.Groups {
			named = append(named, m.Group)
		}
		for _, dn := range named {
			key := c.ID + " " + dn.Key()
			if seen[key] {
				continue
			}
			seen[key] = true
			_, err := d.Group(ctx, dn.String())
			switch {
			case errors.Is(err, oidc.ErrNotFound):
				r.add("warning", "directory", oidc.Problem{
					Key: "client " + c.ID, Message: "the directory has no group " + dn.String(),
					Hint: "nobody gets anything through it: correct the name, or take it out with client delete-scope-map",
				})
			case err != nil:
				r.add("problem", "directory", oidc.Problem{Key: "client " + c.ID, Message: fmt.Sprintf("group %s can't be looked up: %v", dn, err)})
			}
		}
	}
}

// checkMember asks one directory whether people can be looked up.
func checkMember(ctx context.Context, r *report, m ldapstore.Member) bool {
	key, name := "directory", ""
	if m.Name != "" {
		key, name = "directories."+m.Name, m.Name+" "
	}
	kind, err := m.Directory.Kind(ctx)
	if err == nil {
		err = m.Directory.Ping(ctx)
	}
	if err != nil {
		r.add("problem", "directory", oidc.Problem{Key: key, Message: "people can't be looked up: " + inSection(m.Name)(err.Error()), Hint: "see the keys url, bind_dn, bind_password_file and base_dn"})
		return false
	}
	r.ok("directory", "%scan be read, it is of the kind %s", name, kind.Name)
	return true
}

func (r *report) write(w io.Writer) {
	problems, warnings, server := 0, 0, ""
	for _, f := range r.findings {
		if f.Server != server {
			if server = f.Server; server != "" {
				fmt.Fprintf(w, "%s\n", plain(server))
			}
		}
		p := oidc.Problem{File: f.File, Line: f.Line, Key: f.Key, Message: f.Message}
		fmt.Fprintf(w, "%-8s %s: %s\n", f.Level, f.Area, plain(p.String()))
		if f.Hint != "" {
			fmt.Fprintf(w, "           hint: %s\n", plain(f.Hint))
		}
		for line := range strings.Lines(f.PEM) {
			fmt.Fprintf(w, "           %s\n", plain(strings.TrimSpace(line)))
		}
		switch f.Level {
		case "problem":
			problems++
		case "warning":
			warnings++
		}
	}
	fmt.Fprintf(w, "\nproblems: %d, warnings: %d\n", problems, warnings)
}
