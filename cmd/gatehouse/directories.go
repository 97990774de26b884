package main

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"gatehouse/config"
	"gatehouse/ldapstore"
	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/provider"
)

// directory is what people are read from: one directory, or several as one.
type directory interface {
	oidc.Directory
	oidc.PasswordChanger
	Group(ctx context.Context, dn string) (oidc.Group, error)
	// Ping asks every server's directory, and is nil if all can be read.
	Ping(ctx context.Context) error
	Close()
}

// sectionsOf returns the directories of the configuration. The one of a
// configuration with `directory` has no name.
func sectionsOf(cfg *config.Config) []config.NamedDirectory {
	if len(cfg.Directories) == 0 {
		return []config.NamedDirectory{{Plain: true, Directory: cfg.Directory}}
	}
	return cfg.Directories
}

// openMembers opens every directory of the configuration. The caller closes them.
func openMembers(cfg *config.Config, table claims.Table, attributes []string, log *slog.Logger, now func() time.Time) ([]ldapstore.Member, error) {
	var members []ldapstore.Member
	var problems oidc.Problems
	for _, section := range sectionsOf(cfg) {
		options := directoryOptions(section.Directory, table, log, now)
		options.Attributes = attributes
		if section.Name != "" {
			options.Log = log.With(slog.String("directory", section.Name))
		}
		d, err := ldapstore.New(options)
		if err != nil {
			problems = append(problems, ofSection(section.Name, problemsOf(err))...)
			continue
		}
		members = append(members, ldapstore.Member{
			Name: section.Name, Plain: section.Plain, Names: section.Names, CutNames: section.CutNames,
			PhotoAttributes: section.PhotoAttributes, Directory: d,
		})
	}
	if len(problems) > 0 {
		for _, m := range members {
			m.Directory.Close()
		}
		return nil, placed(cfg, problems)
	}
	return members, nil
}

// ofSection names a section of directories in problems that were found without
// knowing of it.
func ofSection(name string, problems oidc.Problems) oidc.Problems {
	if name == "" {
		return problems
	}
	for i, p := range problems {
		if rest, found := strings.CutPrefix(p.Key, "directory."); found {
			problems[i].Key = "directories." + name + "." + rest
		}
	}
	return problems
}

// inSection gives settings of one directory, named in a text, the names that they
// have where there are several.
func inSection(name string) func(text string) string {
	if name == "" {
		return func(text string) string { return text }
	}
	var pairs []string
	for _, d := range config.Default().Describe() {
		if rest, found := strings.CutPrefix(d.Key, "directory."); found {
			pairs = append(pairs, d.Key, "directories."+name+"."+rest)
		}
	}
	return strings.NewReplacer(pairs...).Replace
}

// joinMembers makes one directory of all, which closes them.
func joinMembers(cfg *config.Config, members []ldapstore.Member) (directory, error) {
	if len(members) == 1 && members[0].Name == "" {
		return members[0].Directory, nil
	}
	several, err := ldapstore.NewSeveral(members)
	if err != nil {
		for _, m := range members {
			m.Directory.Close()
		}
		return nil, placed(cfg, problemsOf(err))
	}
	return several, nil
}

// placed adds where in the configuration the keys of problems are.
func placed(cfg *config.Config, problems oidc.Problems) oidc.Problems {
	for i, p := range problems {
		if p.File == "" && p.Key != "" {
			problems[i].File, problems[i].Line = cfg.Where(p.Key)
		}
	}
	return problems
}

// newDirectory opens what the configuration says people are read from.
func newDirectory(cfg *config.Config, table claims.Table, attributes []string, log *slog.Logger, now func() time.Time) (directory, error) {
	members, err := openMembers(cfg, table, attributes, log, now)
	if err != nil {
		return nil, err
	}
	return joinMembers(cfg, members)
}

// readable says whether people can be looked up in one directory at least: that
// another is away keeps nobody else from signing in.
func readable(ctx context.Context, d directory) error {
	if several, ok := d.(*ldapstore.Several); ok {
		return several.Ready(ctx)
	}
	return d.Ping(ctx)
}

// photosOf returns where photos are read from, or nil if the configuration names
// no attribute for them.
func photosOf(cfg *config.Config, d directory) provider.Photos {
	switch d := d.(type) {
	case *ldapstore.Several:
		for _, m := range d.Members() {
			if len(m.PhotoAttributes) > 0 {
				return d
			}
		}
	case *ldapstore.Directory:
		if len(cfg.Directory.PhotoAttributes) > 0 {
			return photoReader{d, cfg.Directory.PhotoAttributes}
		}
	}
	return nil
}

// photoReader reads photos from the attributes of the configuration.
type photoReader struct {
	directory  *ldapstore.Directory
	attributes []string
}

// Photo implements provider.Photos.
func (p photoReader) Photo(ctx context.Context, id string) ([]byte, error) {
	return p.directory.Photo(ctx, id, p.attributes...)
}

// directoryOptions hands the settings of one directory on.
func directoryOptions(d config.Directory, table claims.Table, log *slog.Logger, now func() time.Time) ldapstore.Options {
	return ldapstore.Options{
		URL: d.URL, StartTLS: d.StartTLS, CAFile: d.CAFile, ClientCertFile: d.ClientCertFile, ClientKeyFile: d.ClientKeyFile, BindDN: d.BindDN, BindPassword: bindPassword(d), BaseDN: d.BaseDN,
		UserBaseDN: d.UserBaseDN, GroupBaseDN: d.GroupBaseDN, Kind: d.Kind, Table: d.Table(), DirectGroupsOnly: !d.NestedGroups, Attributes: table.Attributes(),
		PasswordChange: d.PasswordChange == "page", PasswordChangeURL: d.PasswordChangeURL,
		Timeout: d.Timeout, PoolSize: d.PoolSize, Log: log, Now: now,
	}
}

// bindPassword reads the service account's password anew each time.
func bindPassword(d config.Directory) func() (string, error) {
	return func() (string, error) {
		secret, err := d.Password()
		return secret.Reveal(), err
	}
}
