package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/ldapstore"
	"gatehouse/oidc"
)

func newDirectoryCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "directory",
		Short: "Look into the directory as the server does",
		Long: `Look into the directory as the server does: with its configuration, its account
and its code. Nothing is changed and no password is tried.`,
	}
	asGroup(cmd)
	var of string
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the filters and attributes in force",
		Long: `Print the table of filters and attributes in force, and where each row comes
from: the kind of the directory, the configuration, or the server that was asked.`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return env.directoryShow(cmd.Context()) },
	}
	user := &cobra.Command{
		Use:   "user NAME",
		Short: "Print what the directory says of a person",
		Long: `Print the entry that a typed name belongs to: id, account, attributes, and all
groups with the way that leads to each. It prints personal data to the terminal.`,
		Example: "  gatehouse directory user ada\n  gatehouse directory user 'EXAMPLE\\ada'",
		Args:    arguments(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return env.directoryUser(cmd.Context(), args[0]) },
	}
	group := &cobra.Command{
		Use:   "group NAME|DN",
		Short: "Print a group and its members",
		Long: `Print the groups of this name, or the one with this DN, as client files have to
name it, and what the group itself says of its members. People whose primary group
it is are not listed there, and neither are the members of groups within it.`,
		Example: "  gatehouse directory group staff\n  gatehouse directory group cn=staff,ou=groups,dc=example,dc=org",
		Args:    arguments(1, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return env.directoryGroup(cmd.Context(), args[0]) },
	}
	groups := &cobra.Command{
		Use:     "groups",
		Short:   "List all groups, or those of one person",
		Example: "  gatehouse directory groups\n  gatehouse directory groups --of ada",
		Args:    arguments(0, 0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return env.directoryGroups(cmd.Context(), of) },
	}
	groups.Flags().StringVar(&of, "of", "", "only the groups of the person who signs in with this `name`, nested ones too")
	for _, c := range []*cobra.Command{show, user, group, groups} {
		env.addOutput(c)
		cmd.AddCommand(c)
	}
	return cmd
}

// withMembers calls f with the directories of the configuration, and with them as
// one.
func (e *environment) withMembers(f func(members []ldapstore.Member, all directory) error) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	members, err := e.openMembers(cfg, nil)
	if err != nil {
		return err
	}
	all, err := joinMembers(cfg, members)
	if err != nil {
		return err
	}
	defer all.Close()
	return f(members, all)
}

// shownTable is the table of one directory.
type shownTable struct {
	Directory string          `json:"directory,omitempty"`
	Rows      []ldapstore.Row `json:"rows"`
}

func (e *environment) directoryShow(ctx context.Context) error {
	return e.withMembers(func(members []ldapstore.Member, _ directory) error {
		var shown []shownTable
		var failed error
		for _, m := range members {
			rows, err := m.Directory.Table(ctx)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("read the kind of %s: %w", inWords(m.Name), err))
				continue
			}
			shown = append(shown, shownTable{Directory: m.Name, Rows: rows})
		}
		if len(shown) == 0 {
			return failed
		}
		return errors.Join(e.print(shown, func(w io.Writer) {
			for i, s := range shown {
				if s.Directory != "" {
					if i > 0 {
						fmt.Fprintln(w)
					}
					fmt.Fprintf(w, "directory %s\n", plain(s.Directory))
				}
				s.write(w)
			}
		}), failed)
	})
}

// inWords is what messages call one of several directories, or the only one.
func inWords(name string) string {
	if name == "" {
		return "the directory"
	}
	return "directory " + name
}

// write prints one value a line, as rules and filters are long.
func (s *shownTable) write(w io.Writer) {
	var lines [][]string
	for _, row := range s.Rows {
		if row.Key == "attributes" {
			row.Values = []string{strings.Join(row.Values, " ")}
		}
		for i, value := range row.Values {
			if i == 0 {
				lines = append(lines, []string{row.Key, sourceInWords(row.Source), value})
			} else {
				lines = append(lines, []string{"", "", value})
			}
		}
	}
	table(w, []string{"KEY", "FROM", "VALUE"}, lines)
}

func sourceInWords(source string) string {
	switch source {
	case ldapstore.SourceFound:
		return "asking the server"
	case ldapstore.SourceConfigured:
		return "configuration"
	case ldapstore.SourceDefault:
		return "default"
	default:
		return source
	}
}

// shownUser is one person.
type shownUser struct {
	Directory  string              `json:"directory,omitempty"` // where there are several
	ID         string              `json:"id"`
	DN         string              `json:"dn"`
	Username   string              `json:"username"`
	State      string              `json:"state"`
	Remarks    string              `json:"remarks"`
	Attributes map[string][]string `json:"attributes"`
	Groups     []shownGroup        `json:"groups"`
}

// shownGroup is one group. Members are nil where they were not asked for.
type shownGroup struct {
	Directory   string   `json:"directory,omitempty"`
	DN          string   `json:"dn"`
	Name        string   `json:"name"`
	DisplayName string   `json:"display_name,omitempty"`
	ID          string   `json:"id,omitempty"`
	Path        []string `json:"path,omitempty"`
	Members     []string `json:"members,omitempty"`
}

func showGroup(g oidc.Group) shownGroup {
	return shownGroup{DN: g.DN, Name: g.Name, DisplayName: g.DisplayName, ID: g.ID, Path: g.Path}
}

// lookAt looks somebody up by a typed name.
func lookAt(ctx context.Context, all directory, name string) (*shownUser, error) {
	shown := &shownUser{Groups: []shownGroup{}}
	ctx = ldapstore.WithTrace(ctx, func(s ldapstore.Step) {
		if s.What == ldapstore.StepEntry {
			shown.Remarks = s.Detail
		}
	})
	u, err := all.UserByName(ctx, name)
	var refused *oidc.SignInError
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return nil, withHint(fmt.Errorf("nobody signs in with %q", name), "see gatehouse directory show: login_attributes, user_filter and user_base_dn")
	case errors.As(err, &refused):
		return nil, withHint(fmt.Errorf("more than one entry has the name %q", name), "nobody can sign in with it; see gatehouse directory show: login_attributes and user_filter")
	case err != nil:
		return nil, fmt.Errorf("look up %q: %w", name, err)
	}
	if several, ok := all.(*ldapstore.Several); ok {
		shown.Directory = several.NameOf(u.ID)
	}
	shown.ID, shown.DN, shown.Username, shown.State, shown.Attributes = u.ID, u.DN, u.Username, u.State.String(), u.Attributes
	for _, g := range u.Groups {
		one := showGroup(g)
		one.Directory = shown.Directory
		shown.Groups = append(shown.Groups, one)
	}
	return shown, nil
}

func (e *environment) directoryUser(ctx context.Context, name string) error {
	return e.withMembers(func(_ []ldapstore.Member, all directory) error {
		u, err := lookAt(ctx, all, name)
		if err != nil {
			return err
		}
		return e.print(u, u.write)
	})
}

func (u *shownUser) write(w io.Writer) {
	if u.Directory != "" {
		fmt.Fprintf(w, "directory %s\n", plain(u.Directory))
	}
	fmt.Fprintf(w, "dn        %s\nid        %s\nusername  %s\n%s\n", plain(u.DN), plain(u.ID), plain(u.Username), plain(u.Remarks))
	fmt.Fprintln(w, "\nattributes")
	for _, name := range slices.Sorted(maps.Keys(u.Attributes)) {
		for _, value := range u.Attributes[name] {
			fmt.Fprintf(w, "  %s: %s\n", plain(name), plain(value))
		}
	}
	fmt.Fprintln(w, "\ngroups")
	writeGroups(w, u.Groups)
}

func writeGroups(w io.Writer, groups []shownGroup) {
	last := ""
	for _, g := range groups {
		if g.Directory != last { // never with one directory, which has no name
			fmt.Fprintf(w, "  directory %s\n", plain(g.Directory))
			last = g.Directory
		}
		fmt.Fprintf(w, "  %s%s\n", plain(g.DN), through(g.Path))
	}
	if len(groups) == 0 {
		fmt.Fprintln(w, "  none")
	}
}

func (e *environment) directoryGroup(ctx context.Context, name string) error {
	return e.withMembers(func(members []ldapstore.Member, _ directory) error {
		var shown []shownGroup
		for _, m := range members {
			found, err := groupsNamed(ctx, m.Directory, name)
			if err != nil {
				return fmt.Errorf("look up the group %q in %s: %w", name, inWords(m.Name), err)
			}
			for _, g := range found {
				one := showGroup(g)
				one.Directory = m.Name
				if one.Members, err = m.Directory.Members(ctx, g.DN); err != nil {
					return fmt.Errorf("read the members of %q: %w", g.DN, err)
				}
				shown = append(shown, one)
			}
		}
		if len(shown) == 0 {
			return withHint(fmt.Errorf("there is no group %q", name), "see gatehouse directory groups, and gatehouse directory show: group_filter and group_base_dn")
		}
		return e.print(shown, func(w io.Writer) {
			for i, g := range shown {
				if i > 0 {
					fmt.Fprintln(w)
				}
				g.write(w)
			}
		})
	})
}

// groupsNamed returns the groups of a name, or the one of a DN.
func groupsNamed(ctx context.Context, d *ldapstore.Directory, name string) ([]oidc.Group, error) {
	if _, err := oidc.ParseDN(name); err != nil {
		return d.Groups(ctx, name)
	}
	g, err := d.Group(ctx, name)
	if errors.Is(err, oidc.ErrNotFound) {
		return d.Groups(ctx, name) // a name may look like a DN
	}
	if err != nil {
		return nil, err
	}
	return []oidc.Group{g}, nil
}

func (g *shownGroup) write(w io.Writer) {
	if g.Directory != "" {
		fmt.Fprintf(w, "directory %s\n", plain(g.Directory))
	}
	fmt.Fprintf(w, "dn        %s\nid        %s\nname      %s\nmeaning   %s\n", plain(g.DN), plain(orDash(g.ID)), plain(g.Name), plain(orDash(g.DisplayName)))
	fmt.Fprintf(w, "\nmembers (%d)\n", len(g.Members))
	for _, m := range g.Members {
		fmt.Fprintf(w, "  %s\n", plain(m))
	}
}

func (e *environment) directoryGroups(ctx context.Context, of string) error {
	return e.withMembers(func(members []ldapstore.Member, all directory) error {
		shown := []shownGroup{}
		if of != "" {
			u, err := lookAt(ctx, all, of)
			if err != nil {
				return err
			}
			shown = u.Groups
		} else {
			for _, m := range members {
				found, err := m.Directory.Groups(ctx, "")
				if err != nil {
					return fmt.Errorf("list the groups of %s: %w", inWords(m.Name), err)
				}
				for _, g := range found {
					one := showGroup(g)
					one.Directory = m.Name
					shown = append(shown, one)
				}
			}
		}
		return e.print(shown, func(w io.Writer) { writeGroups(w, shown) })
	})
}
