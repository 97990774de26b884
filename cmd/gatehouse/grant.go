package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

func newGrantCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "grant",
		Short: "What people have given to applications: list and revoke it",
		Long: `A grant is what one person has given one application at one sign-in, with all the
tokens that came of it. Gatehouse keeps no names: people appear as the id that
the directory gives them. --user asks the directory for that id.`,
	}
	cmd.AddCommand(newGrantListCommand(env), newGrantRevokeCommand(env))
	asGroup(cmd)
	return cmd
}

// whose is which grants are meant.
type whose struct {
	client, user, subject string
}

func (w *whose) addFlags(env *environment, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&w.client, "client", "", "grants of the client with this `id`")
	flags.StringVar(&w.user, "user", "", "grants of the person who signs in with this `name`; asks the directory")
	flags.StringVar(&w.subject, "subject", "", "grants of the person with this directory `id`, also if the directory no longer has them")
	_ = cmd.RegisterFlagCompletionFunc("client", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return env.completeClient(cmd, nil, typed)
	}) // the flag is there
}

// filter returns what to ask the store for.
func (w *whose) filter(ctx context.Context, env *environment, cfg *config.Config) (store.GrantFilter, error) {
	filter := store.GrantFilter{ClientID: w.client, Subject: w.subject}
	if w.user != "" && w.subject != "" {
		return filter, usage("--user and --subject both name a person", "leave one of them out")
	}
	if w.user == "" {
		return filter, nil
	}
	directory, err := env.openDirectory(cfg, nil)
	if err != nil {
		return filter, err
	}
	defer directory.Close()
	user, err := directory.UserByName(ctx, w.user)
	if errors.Is(err, oidc.ErrNotFound) {
		return filter, withHint(fmt.Errorf("nobody in the directory signs in as %q: %w", w.user, err), "for a person who has been deleted, give the directory's id with --subject")
	}
	if err != nil {
		return filter, fmt.Errorf("look up %q: %w", w.user, err)
	}
	filter.Subject = user.ID
	return filter, nil
}

// listedGrant is a grant as it is printed.
type listedGrant struct {
	ID        string    `json:"id"`
	ClientID  string    `json:"client_id"`
	Subject   string    `json:"subject,omitempty"`
	Scopes    []string  `json:"scopes"`
	State     string    `json:"state"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
}

func listed(g oidc.Grant, now time.Time) listedGrant {
	state := "active"
	switch {
	case !g.RevokedAt.IsZero():
		state = "revoked"
	case !now.Before(g.ExpiresAt):
		state = "expired"
	}
	return listedGrant{
		ID: g.ID, ClientID: g.ClientID, Subject: g.Subject, Scopes: append([]string{}, g.Scopes...), State: state,
		CreatedAt: g.CreatedAt.UTC(), ExpiresAt: g.ExpiresAt.UTC(), RevokedAt: g.RevokedAt.UTC(),
	}
}

func newGrantListCommand(env *environment) *cobra.Command {
	var of whose
	all, limit := false, 200
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List grants, the newest first",
		Example: `  gatehouse grant list --user ada
  gatehouse grant list --client wiki --all`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage("--limit is less than zero", "0 lists all")
			}
			return env.listGrants(cmd.Context(), of, all, limit)
		},
	}
	of.addFlags(env, cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also those that are revoked or expired")
	cmd.Flags().IntVar(&limit, "limit", limit, "at most so many; 0 for all")
	env.addOutput(cmd)
	return cmd
}

func (e *environment) listGrants(ctx context.Context, of whose, all bool, limit int) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	filter, err := of.filter(ctx, e, cfg)
	if err != nil {
		return err
	}
	filter.Active, filter.Limit = !all, limit
	grants := []listedGrant{}
	now := e.now()
	err = e.withStore(ctx, cfg, func(s *store.Store) error {
		found, err := s.Grants(ctx, filter, now)
		for _, g := range found {
			grants = append(grants, listed(g, now))
		}
		return err
	})
	if err != nil && !errors.Is(err, errNoDatabase) {
		return err
	}
	return e.print(grants, func(w io.Writer) {
		rows := make([][]string, len(grants))
		for i, g := range grants {
			rows[i] = []string{g.ID, g.ClientID, orDash(g.Subject), g.State, when(g.CreatedAt), when(g.ExpiresAt), orDash(strings.Join(g.Scopes, " "))}
		}
		table(w, []string{"GRANT", "CLIENT", "SUBJECT", "STATE", "GIVEN", "EXPIRES", "SCOPES"}, rows)
		if limit > 0 && len(grants) == limit {
			fmt.Fprintf(w, "only the newest %d are shown; --limit 0 shows all\n", limit)
		}
	})
}

func newGrantRevokeCommand(env *environment) *cobra.Command {
	var of whose
	sessions := false
	cmd := &cobra.Command{
		Use:   "revoke [GRANT...]",
		Short: "End grants: their codes and tokens stop working at once",
		Long: `End the grants named, or all active ones of a client, a person, or both. Codes and
tokens of them stop working at once. Sessions that an application keeps by itself
go on until it asks again.

The person stays signed in to Gatehouse and may give a new grant without a
password; --sessions ends that, too.`,
		Example: `  gatehouse grant revoke 3q2-7w4Zt0a9Vb1cXy5D2g
  gatehouse grant revoke --client wiki
  gatehouse grant revoke --user ada --sessions`,
		Args: arguments(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			named := of.client != "" || of.user != "" || of.subject != ""
			switch {
			case len(args) == 0 && !named:
				return usage("nothing says which grants to end", "name grants, or give --client, --user or --subject")
			case len(args) > 0 && (named || sessions):
				return usage("grants are named, and flags choose others", "do one of the two")
			case sessions && of.user == "" && of.subject == "":
				return usage("--sessions needs a person", "give --user or --subject")
			}
			return env.revokeGrants(cmd.Context(), args, of, sessions)
		},
	}
	of.addFlags(env, cmd)
	cmd.Flags().BoolVar(&sessions, "sessions", false, "also sign the person out of Gatehouse")
	env.addOutput(cmd)
	return cmd
}

func (e *environment) revokeGrants(ctx context.Context, ids []string, of whose, sessions bool) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	filter, err := of.filter(ctx, e, cfg)
	if err != nil {
		return err
	}
	ended, signedOut := 0, 0
	err = e.withStore(ctx, cfg, func(s *store.Store) (err error) {
		if sessions { // first, or a sign-in under way could give a new grant after the last was ended
			if signedOut, err = s.EndSessions(ctx, filter.Subject); err != nil {
				return fmt.Errorf("end sessions: %w", err)
			}
		}
		ended, err = e.revoke(ctx, s, ids, filter)
		return err
	})
	if ended > 0 || signedOut > 0 {
		e.audit(ctx, cfg, "grant revoke", slog.String("client", filter.ClientID), slog.String("subject", filter.Subject),
			slog.String("grants", strings.Join(ids, " ")), slog.Int("ended", ended), slog.Int("sessions_ended", signedOut))
	}
	if errors.Is(err, errNoDatabase) && len(ids) == 0 {
		err = nil // nobody has signed in yet: there is nothing to end
	}
	if errors.Is(err, oidc.ErrNotFound) {
		err = withHint(err, "gatehouse grant list shows grants")
	}
	if err != nil {
		return err
	}
	return e.print(map[string]int{"grants_ended": ended, "sessions_ended": signedOut}, func(w io.Writer) {
		fmt.Fprintf(w, "grants ended: %d\n", ended)
		if sessions {
			fmt.Fprintf(w, "sessions ended: %d\n", signedOut)
		}
	})
}

// revoke ends the grants named, or those that the filter chooses.
func (e *environment) revoke(ctx context.Context, s *store.Store, ids []string, filter store.GrantFilter) (ended int, err error) {
	if len(ids) == 0 && filter.Subject == "" {
		return s.RevokeClient(ctx, filter.ClientID, e.now())
	}
	if len(ids) == 0 {
		filter.Active = true
		grants, err := s.Grants(ctx, filter, e.now())
		if err != nil {
			return 0, err
		}
		for _, g := range grants {
			ids = append(ids, g.ID)
		}
	}
	for _, id := range ids {
		if err := s.RevokeGrant(ctx, id, e.now()); err != nil {
			return ended, fmt.Errorf("grant %q: %w", id, err)
		}
		ended++
	}
	return ended, nil
}
