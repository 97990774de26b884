package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/outbound"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/store"
)

// registrationPolicy returns what clients get that register themselves; nil if they
// can't. Problems name the line in the configuration.
func registrationPolicy(cfg *config.Config) (*clients.Policy, error) {
	r := cfg.Registration
	if !r.Enabled() {
		return nil, nil
	}
	policy, err := clients.NewPolicy(clients.Settings{
		Everyone: r.Scopes.Everyone, Groups: r.Scopes.Groups, GrantTypes: r.GrantTypes, ResponseTypes: r.ResponseTypes,
		RequirePKCE: r.RequirePKCE, Consent: r.Consent,
	})
	var problems oidc.Problems
	if errors.As(err, &problems) {
		for i, p := range problems {
			problems[i].File, problems[i].Line = cfg.Where(p.Key)
		}
	}
	return policy, err
}

// registration is what the provider needs of it; nil without a policy.
func registration(cfg *config.Config, policy *clients.Policy, s *store.Store, sealer *clients.Sealer) *provider.Registration {
	if policy == nil {
		return nil
	}
	r := cfg.Registration
	return &provider.Registration{
		Policy: policy, Store: s, Open: r.Mode == "open", OpenLimit: r.OpenLimit, OpenLifespan: r.OpenLifespan, Lifespan: r.TokenLifespan,
		Logos: r.Logos, Seal: sealer.Seal,
	}
}

// anyRegistered stands for all clients that register themselves where what they get is
// looked at; none if they can't.
func anyRegistered(cfg *config.Config) []*oidc.Client {
	policy, err := registrationPolicy(cfg)
	if policy == nil || err != nil { // told elsewhere
		return nil
	}
	return []*oidc.Client{{ID: "that registers itself", Scopes: policy.Scopes}}
}

// checkSectors looks whether what clients name as their sector lists their redirect
// URIs. Sign-ins don't depend on it: whoever writes a client file answers for it.
func checkSectors(ctx context.Context, r *report, cfg *config.Config, set *clients.Set) {
	if set == nil {
		return
	}
	fetch, err := outbound.New(outbound.Options{Allow: cfg.Outbound.Allow, CAFile: cfg.Outbound.CAFile})
	if err != nil {
		r.fail("clients", err)
		return
	}
	for _, c := range set.All() {
		if err := clients.CheckSector(ctx, fetch.Get, c); err != nil {
			r.add("warning", "clients", oidc.Problem{
				Key: "client " + c.ID, Message: "sector_identifier_uri: " + err.Error(),
				Hint: "put a JSON list with every redirect URI of the client there; a private network needs outbound.allow",
			})
		}
	}
}

// findAnyClient is findClient for those too that have registered themselves.
func (e *environment) findAnyClient(ctx context.Context, cfg *config.Config, set *clients.Set, id string) (*oidc.Client, error) {
	client, err := findClient(set, id)
	if !errors.Is(err, oidc.ErrNotFound) || !strings.HasPrefix(id, clients.RegisteredPrefix) {
		return client, err
	}
	policy, err := registrationPolicy(cfg)
	if err != nil {
		return nil, err
	}
	if policy == nil {
		return nil, withHint(fmt.Errorf("client %q: %w", id, oidc.ErrNotFound), "registration is switched off, so that clients which have registered themselves are unknown")
	}
	err = e.withStore(ctx, cfg, func(s *store.Store) error {
		r, err := s.Registration(ctx, id)
		if err == nil {
			client, err = policy.Restore(r)
		}
		return err
	})
	if errors.Is(err, oidc.ErrNotFound) {
		return nil, withHint(fmt.Errorf("client %q: %w", id, oidc.ErrNotFound), "gatehouse client registered list shows those that have registered themselves")
	}
	return client, err
}

func newRegistrationTokenCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registration-token",
		Short: "Initial access tokens, with which applications register themselves",
		Long: `With registration.mode: token (or open) in the configuration, an application that
has such a token may register itself at /oauth2/register (RFC 7591). What it gets
then is in the configuration, under registration.`,
	}
	cmd.AddCommand(newRegistrationTokenCreateCommand(env), newRegistrationTokenListCommand(env), newRegistrationTokenRevokeCommand(env))
	asGroup(cmd)
	return cmd
}

// listedToken is an initial access token as it is printed.
type listedToken struct {
	ID        string    `json:"id"`
	Token     string    `json:"token,omitempty"` // only when it was just made
	Note      string    `json:"note,omitempty"`
	Uses      int       `json:"uses"`
	UsesLeft  int       `json:"uses_left"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func listedTokenOf(t oidc.RegistrationToken) listedToken {
	return listedToken{ID: t.ID, Note: t.Note, Uses: t.Uses, UsesLeft: t.UsesLeft, CreatedAt: t.CreatedAt.UTC(), ExpiresAt: t.ExpiresAt.UTC()}
}

const (
	maxUses      = 1_000_000
	maxNote      = 200 // bytes
	maxTokenLife = 10 * 365 * 24 * time.Hour
)

func newRegistrationTokenCreateCommand(env *environment) *cobra.Command {
	uses, life, note := 1, 24*time.Hour, ""
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a token and show it once",
		Long: `Make an initial access token. It is printed here and never again: only its hash is
kept. Whoever has it can register an application with all that the configuration
gives to registered ones.`,
		Example: `  gatehouse client registration-token create --note "matrix, for the chat team"
  gatehouse client registration-token create --uses 20 --expires-in 720h`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case uses < 1 || uses > maxUses:
				return usage(fmt.Sprintf("--uses is not between 1 and %d", maxUses), "say how many applications may register with it")
			case life < time.Minute || life > maxTokenLife:
				return usage("--expires-in is not between a minute and ten years", "write a duration such as 24h")
			case len(note) > maxNote:
				return usage("--note is longer than 200 bytes", "shorten it")
			}
			return env.createRegistrationToken(cmd.Context(), uses, life, note)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&uses, "uses", uses, "how many applications may register with it")
	flags.DurationVar(&life, "expires-in", life, "how long it can be used")
	flags.StringVar(&note, "note", "", "what it is for, in your own `words`")
	env.addOutput(cmd)
	return cmd
}

func (e *environment) createRegistrationToken(ctx context.Context, uses int, life time.Duration, note string) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	secret, now := oidc.NewSecret(provider.InitialPrefix), e.now()
	t := oidc.RegistrationToken{
		ID: oidc.NewID()[:12], Hash: oidc.HashOf(secret), Note: strings.ToValidUTF8(note, ""), Uses: uses, UsesLeft: uses, CreatedAt: now, ExpiresAt: now.Add(life),
	}
	t.ID = strings.Map(func(r rune) rune { // it is typed on command lines
		if r == '-' || r == '_' {
			return '0'
		}
		return r
	}, t.ID)
	if err := e.withStore(ctx, cfg, func(s *store.Store) error { return s.CreateRegistrationToken(ctx, t) }); err != nil {
		return err
	}
	e.audit(ctx, cfg, "client registration-token create", slog.String("registration_token", t.ID), slog.Int("uses", uses), slog.Time("expires_at", t.ExpiresAt))
	shown := listedTokenOf(t)
	shown.Token = secret
	err = e.print(shown, func(w io.Writer) {
		fmt.Fprintf(w, "token %s is made, for %s until %s\n\n", t.ID, counted(uses, "registration"), when(t.ExpiresAt))
		fmt.Fprintf(w, "token     %s\n          (shown this once; only its hash is kept)\nendpoint  %s%s\n", secret, cfg.Issuer, provider.PathRegister)
	})
	if !cfg.Registration.Enabled() {
		e.complain("warning", "registration is switched off: nobody can use the token", "set registration.mode: token in the configuration and restart the server")
	}
	return err
}

// counted says how many of something there are.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

func newRegistrationTokenListCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the tokens that have not expired, the newest first",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := env.load()
			if err != nil {
				return err
			}
			listed, rows := []listedToken{}, [][]string{}
			err = env.withStore(cmd.Context(), cfg, func(s *store.Store) error {
				tokens, err := s.RegistrationTokens(cmd.Context(), env.now())
				for _, t := range tokens {
					listed = append(listed, listedTokenOf(t))
					rows = append(rows, []string{t.ID, fmt.Sprintf("%d of %d", t.UsesLeft, t.Uses), when(t.CreatedAt), when(t.ExpiresAt), t.Note})
				}
				return err
			})
			if err != nil {
				return err
			}
			return env.print(listed, func(w io.Writer) {
				table(w, []string{"ID", "USES LEFT", "MADE", "EXPIRES", "NOTE"}, rows)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newRegistrationTokenRevokeCommand(env *environment) *cobra.Command {
	andClients := false
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a token useless, and with --and-clients end what was registered with it",
		Long: `Make an initial access token useless. Applications that have registered with it
stay; with --and-clients they end at once, with all their grants and tokens.`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			cfg, err := env.load()
			if err != nil {
				return err
			}
			ended := 0
			err = env.withStore(ctx, cfg, func(s *store.Store) (err error) {
				ended, err = s.RevokeRegistrationToken(ctx, args[0], andClients, env.now())
				return err
			})
			if errors.Is(err, oidc.ErrNotFound) {
				return withHint(fmt.Errorf("registration token %q: %w", args[0], oidc.ErrNotFound), "gatehouse client registration-token list shows all tokens")
			}
			if err != nil {
				return err
			}
			env.audit(ctx, cfg, "client registration-token revoke", slog.String("registration_token", args[0]), slog.Int("clients_ended", ended))
			return env.print(map[string]any{"id": args[0], "clients_ended": ended}, func(w io.Writer) {
				fmt.Fprintf(w, "token %s is revoked; %s ended\n", plain(args[0]), counted(ended, "client"))
			})
		},
	}
	cmd.Flags().BoolVar(&andClients, "and-clients", false, "end the applications that were registered with it, too")
	env.addOutput(cmd)
	return cmd
}

func newClientRegisteredCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "registered",
		Short: "Applications that have registered themselves: list and end them",
		Long: `Applications that have registered themselves are kept in the database until their
time is over. They have no file; a file with the same id goes before them.`,
	}
	cmd.AddCommand(newRegisteredListCommand(env), newRegisteredRemoveCommand(env))
	asGroup(cmd)
	return cmd
}

// listedRegistration is a registered client as it is printed.
type listedRegistration struct {
	ClientID  string         `json:"client_id"`
	Token     string         `json:"registration_token,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	ExpiresAt time.Time      `json:"expires_at"`
	Metadata  map[string]any `json:"metadata,omitempty"`
	Problem   string         `json:"problem,omitempty"`
}

func newRegisteredListCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List them, with what they say of themselves",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := env.load()
			if err != nil {
				return err
			}
			policy, err := registrationPolicy(cfg)
			if err != nil {
				return err
			}
			listed, rows := []listedRegistration{}, [][]string{}
			err = env.withStore(cmd.Context(), cfg, func(s *store.Store) error {
				all, err := s.Registrations(cmd.Context(), env.now())
				for _, r := range all {
					one, row := describeRegistration(policy, r)
					listed, rows = append(listed, one), append(rows, row)
				}
				return err
			})
			if err != nil {
				return err
			}
			return env.print(listed, func(w io.Writer) {
				table(w, []string{"ID", "NAME", "REDIRECT URI", "TOKEN", "EXPIRES"}, rows)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func describeRegistration(policy *clients.Policy, r oidc.Registration) (listedRegistration, []string) {
	one := listedRegistration{ClientID: r.ClientID, Token: r.TokenID, CreatedAt: r.CreatedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC()}
	row := []string{r.ClientID, "", "", r.TokenID, when(r.ExpiresAt)}
	if policy == nil {
		one.Problem = "registration is switched off"
		row[1] = one.Problem
		return one, row
	}
	m, err := policy.Read(r.Metadata)
	if err != nil {
		one.Problem = "no longer allowed: " + err.Error()
		row[1] = one.Problem
		return one, row
	}
	one.Metadata = clients.Describe(m.Client)
	row[1] = m.Client.Name
	if len(m.Client.RedirectURIs) > 0 {
		row[2] = m.Client.RedirectURIs[0]
	}
	return one, row
}

func newRegisteredRemoveCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "End one at once, with all its grants and tokens",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			cfg, err := env.load()
			if err != nil {
				return err
			}
			err = env.withStore(ctx, cfg, func(s *store.Store) error { return s.EndRegistration(ctx, args[0], env.now()) })
			if errors.Is(err, oidc.ErrNotFound) {
				return withHint(fmt.Errorf("registered client %q: %w", args[0], oidc.ErrNotFound), "gatehouse client registered list shows all; those with a file are removed with client remove")
			}
			if err != nil {
				return err
			}
			env.audit(ctx, cfg, "client registered remove", slog.String("client", args[0]))
			return env.print(map[string]any{"client_id": args[0], "removed": true}, func(w io.Writer) {
				fmt.Fprintf(w, "client %s is gone, with all that it was given\n", plain(args[0]))
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}
