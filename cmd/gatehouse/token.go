package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
	"gatehouse/oidc/store"
)

func newTokenCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make and check tokens for other programs",
		Long: `Make an access token for an application and a person, or say what a token is worth
and why. Programs that do it often use the local socket; see local_socket in the
configuration.`,
	}
	cmd.AddCommand(newTokenCreateCommand(env), newTokenCheckCommand(env))
	asGroup(cmd)
	return cmd
}

func newTokenCreateCommand(env *environment) *cobra.Command {
	var order provider.TokenOrder
	scope := ""
	cmd := &cobra.Command{
		Use:   "create --client ID --user NAME",
		Short: "Make an access token for a person, without their password",
		Long: `Make an access token of a client for a person. Whoever holds it is that person to
the client's APIs and to userinfo, until it expires. The person is not asked.

The rules are those of a sign-in: the account must be active, the client's groups
and scope maps decide, and they are asked again whenever the token is used. There
is no refresh token, and nothing says that somebody has signed in. The audit log
names the account that ran the command. gatehouse grant revoke ends the token.`,
		Example: `  gatehouse token create --client wiki --user ada --scope "openid email"
  gatehouse token create --client wiki --user ada --resource https://api.example.org -o json`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if order.ClientID == "" || (order.Username == "") == (order.Subject == "") {
				return usage("a client and a person are needed", "give --client ID and --user NAME, or --subject")
			}
			order.Scopes = strings.Fields(scope)
			return env.createToken(cmd.Context(), order)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&order.ClientID, "client", "", "the `id` of the client")
	flags.StringVar(&order.Username, "user", "", "the `name` that the person types at sign-in")
	flags.StringVar(&order.Subject, "subject", "", "the directory's `id` of the person, instead of --user")
	flags.StringVar(&scope, "scope", "openid", "the `scopes` of the token")
	flags.StringArrayVar(&order.Resources, "resource", nil, "what the token is for, a `URI` of the client's audience; may be given several times")
	flags.BoolVar(&order.IDToken, "id-token", false, "make an ID token, too")
	_ = cmd.RegisterFlagCompletionFunc("client", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return env.completeClient(cmd, nil, typed)
	}) // the flag is there
	env.addOutput(cmd)
	return cmd
}

func (e *environment) createToken(ctx context.Context, order provider.TokenOrder) error {
	return e.withProvider(ctx, func(p *provider.Provider) error {
		order.By = e.operator()
		made, err := p.MakeToken(ctx, order)
		if err != nil {
			return tokenError(err, order)
		}
		return e.print(made, func(w io.Writer) {
			fmt.Fprintf(w, "access token: %s\n", made.AccessToken)
			if made.IDToken != "" {
				fmt.Fprintf(w, "ID token:     %s\n", made.IDToken)
			}
			fmt.Fprintf(w, "expires:      %s\nscopes:       %s\naudience:     %s\ngrant:        %s\n",
				when(e.now().Add(made.ExpiresIn)), strings.Join(made.Scopes, " "), strings.Join(made.Audience, " "), made.GrantID)
		})
	})
}

// tokenError says what the provider refused, and what shows why.
func tokenError(err error, order provider.TokenOrder) error {
	var refused *provider.Error
	if !errors.As(err, &refused) {
		return err
	}
	plainly := errors.New(refused.Description)
	if refused.Status >= 500 && refused.Err != nil {
		plainly = fmt.Errorf("%s: %w", refused.Description, refused.Err)
	}
	if refused.Code == "access_denied" && order.Username != "" {
		return withHint(plainly, fmt.Sprintf("gatehouse explain --user %s --client %s shows the reason", order.Username, order.ClientID))
	}
	return plainly
}

func newTokenCheckCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check [TOKEN]",
		Short: "Say what a token is worth, and why",
		Long: `Judge an access, refresh or ID token of any client: whether this server made it,
whether it was revoked, used or has expired, and whether the person may still have
it. Nothing is changed or used up. Without TOKEN, or with -, it is read from
standard input, where it gets into no history of a shell.

Exit code 1 means that the token is worth nothing.`,
		Example: `  gatehouse token check < token.txt`,
		Args:    arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text := "-"
			if len(args) == 1 {
				text = args[0]
			}
			if text == "-" {
				data, err := io.ReadAll(io.LimitReader(env.stdin, 1<<20))
				if err != nil {
					return fmt.Errorf("read the token: %w", err)
				}
				text = string(data)
			}
			if text = strings.TrimSpace(text); text == "" {
				return usage("there is no token", "give it as an argument or on standard input")
			}
			return env.checkToken(cmd.Context(), text)
		},
	}
	env.addOutput(cmd)
	return cmd
}

func (e *environment) checkToken(ctx context.Context, text string) error {
	return e.withProvider(ctx, func(p *provider.Provider) error {
		verdict, err := p.CheckToken(ctx, text, e.operator())
		if err != nil {
			return tokenError(err, provider.TokenOrder{})
		}
		if err := e.print(verdict, func(w io.Writer) { writeVerdict(w, verdict) }); err != nil {
			return err
		}
		if !verdict.Active {
			return &exitError{code: exitFailed}
		}
		return nil
	})
}

func writeVerdict(w io.Writer, v provider.Verdict) {
	what := strings.ReplaceAll(v.Kind, "_", " ")
	if what == "" {
		what = "token"
	}
	if !v.Active {
		fmt.Fprintf(w, "this %s is worth nothing: %s\n", what, plain(v.Reason))
		return
	}
	fmt.Fprintf(w, "this %s is good\n", what)
	if v.Note != "" {
		fmt.Fprintf(w, "note: %s\n", v.Note)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Claims)) {
		value := fmt.Sprint(v.Claims[name])
		if seconds, ok := secondsOf(v.Claims[name]); ok && slices.Contains([]string{"exp", "iat", "auth_time"}, name) {
			value = when(time.Unix(seconds, 0))
		}
		fmt.Fprintf(w, "  %-12s %s\n", plain(name), plain(value))
	}
}

// secondsOf reads a number that may have come out of JSON.
func secondsOf(value any) (int64, bool) {
	switch n := value.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), true
	}
	return 0, false
}

// withProvider builds what serves tokens, on the database and the keys that the
// server uses, which may be running. Nothing is made that isn't there.
func (e *environment) withProvider(ctx context.Context, work func(*provider.Provider) error) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	h := &house{config: cfg, log: newLogger(cfg, e.stderr), now: e.now}
	table, err := claimsTable(cfg)
	if err != nil {
		return err
	}
	if h.clients, err = clients.Open(cfg.ClientsDir); err != nil {
		return err
	}
	if h.keys, err = e.openKeys(cfg); err != nil {
		return err
	}
	if h.directory, err = e.openDirectory(cfg, h.clients); err != nil {
		return err
	}
	defer h.directory.Close()
	policy, err := registrationPolicy(cfg)
	if err != nil {
		return err
	}
	keysOf := func(c *oidc.Client) (provider.Keys, error) {
		return keys.LoadClient(cfg.KeysDir, c.ID, ownAlgorithms(c), e.now)
	}
	return e.withStore(ctx, cfg, func(s *store.Store) error {
		h.store = s
		p, err := h.newProvider(table, policy, keysOf)
		if err != nil {
			return err
		}
		return work(p)
	})
}
