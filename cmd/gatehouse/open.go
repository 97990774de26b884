package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"

	"gatehouse/config"
	"gatehouse/ldapstore"
	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/store"
)

// configFiles are looked for when nothing says which file to read.
func configFiles() []string { return []string{"gatehouse.yaml", "/etc/gatehouse/gatehouse.yaml"} }

// configFile returns the configuration file, or "" where the environment alone
// says everything, as it may in a container.
func (e *environment) configFile() (string, error) {
	if e.configFlag != "" {
		return e.configFlag, nil
	}
	if path := e.getenv("GATEHOUSE_CONFIG"); path != "" {
		return path, nil
	}
	for _, path := range configFiles() {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	if e.getenv(config.Variable("issuer")) != "" {
		return "", nil
	}
	return "", withHint(errors.New("there is no configuration: neither "+strings.Join(configFiles(), " nor ")),
		"name the file with --config or GATEHOUSE_CONFIG, or try gatehouse demo")
}

// load reads the configuration. Its problems come back as oidc.Problems.
func (e *environment) load() (*config.Config, error) {
	path, err := e.configFile()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(path, e.environ)
	var problems config.Problems
	if errors.As(err, &problems) {
		return nil, oidc.Problems(converted(problems))
	}
	return cfg, err
}

func converted(problems []config.Problem) []oidc.Problem {
	out := make([]oidc.Problem, len(problems))
	for i, p := range problems {
		out[i] = oidc.Problem(p)
	}
	return out
}

// claimsTable returns the table of claims with the operator's changes; problems
// name the line in the configuration.
func claimsTable(cfg *config.Config) (claims.Table, error) {
	table, err := claims.DefaultTable().With(cfg.Claims)
	if err == nil {
		custom := make(map[string]claims.Custom, len(cfg.CustomClaims))
		for name, c := range cfg.CustomClaims {
			custom[name] = claims.Custom(c)
		}
		table, err = table.WithEmailDomains(cfg.EmailDomains).WithCustom(custom)
	}
	var problems oidc.Problems
	if errors.As(err, &problems) {
		for i, p := range problems {
			problems[i].Key = "claims." + p.Key
			problems[i].File, problems[i].Line = cfg.Where(problems[i].Key)
		}
	}
	return table, err
}

// personAttributes lists what is read of a person: what claims are made from, what
// clients have for their subjects, and the usual attributes that a client file may
// name as its subject while the server runs.
func personAttributes(table claims.Table, set *clients.Set) []string {
	names := append(ldapstore.DefaultAttributes(), table.Attributes()...)
	if set != nil {
		for _, c := range set.All() {
			if c.SubjectAttribute != "" {
				names = append(names, c.SubjectAttribute)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// openDirectory opens the directory as the server does. set may be nil for those
// who want nobody's subject.
func (e *environment) openDirectory(cfg *config.Config, set *clients.Set) (directory, error) {
	members, err := e.openMembers(cfg, set)
	if err != nil {
		return nil, err
	}
	return joinMembers(cfg, members)
}

// openMembers opens each directory of the configuration for itself.
func (e *environment) openMembers(cfg *config.Config, set *clients.Set) ([]ldapstore.Member, error) {
	table, err := claimsTable(cfg)
	if err != nil {
		return nil, err
	}
	return openMembers(cfg, table, personAttributes(table, set), slog.New(slog.DiscardHandler), e.now)
}

// lifespans returns the server's own lifespans.
func lifespans(cfg *config.Config) oidc.Lifespans {
	l := cfg.Lifespans
	return oidc.Lifespans{Code: l.Code, Access: l.Access, ID: l.ID, Refresh: l.Refresh}
}

// deriver is the part of keys.Ring that secrets are derived with.
type deriver interface {
	Derive(purpose string, n int) []byte
}

// pairwiseSalt returns the salt of pairwise subjects. It must never change: every
// person would be a stranger to every client that has them.
func pairwiseSalt(d deriver) []byte { return d.Derive("pairwise", 32) }

// newSealer returns what secrets of clients are kept with.
func newSealer(d deriver) (*clients.Sealer, error) {
	return clients.NewSealer(d.Derive(clients.SealPurpose, 32))
}

// errNoDatabase means that no server has made the database yet.
var errNoDatabase = errors.New("there is no database yet")

// withStore runs work on the store that the server uses, which may be running. A
// command makes no database: it would belong to whoever ran the command.
func (e *environment) withStore(ctx context.Context, cfg *config.Config, work func(s *store.Store) error) (err error) {
	if _, err := os.Stat(cfg.Database); errors.Is(err, fs.ErrNotExist) {
		return withHint(fmt.Errorf("%s: %w", cfg.Database, errNoDatabase), "the first start of gatehouse serve makes it")
	}
	s, err := store.Open(ctx, cfg.Database, store.Options{Log: newLogger(cfg, e.stderr), Now: e.now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return work(s)
}

// audit writes the line that says which operator changed what.
func (e *environment) audit(ctx context.Context, cfg *config.Config, what string, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.String("action", what), slog.String("os_user", e.operator())}, attrs...)
	oidc.Audit(ctx, newLogger(cfg, e.stderr), oidc.EventChange, slices.DeleteFunc(attrs, func(a slog.Attr) bool {
		return a.Value.Kind() == slog.KindString && a.Value.String() == ""
	})...)
}

// operator names the account that the command runs as, and who called sudo.
func (e *environment) operator() string {
	name := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if sudo := e.getenv("SUDO_USER"); sudo != "" && os.Getuid() == 0 {
		name += " for " + sudo
	}
	return name
}
