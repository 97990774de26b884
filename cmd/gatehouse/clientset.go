package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/store"
)

// edit runs one change of a client's file, and tells and records what was done.
func (e *environment) edit(cmd *cobra.Command, id, what, done string, change func(dir string) (*oidc.Client, error)) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	client, err := change(cfg.ClientsDir)
	if errors.Is(err, oidc.ErrNotFound) && !fileExists(cfg, id) {
		return unknownClient(id)
	}
	if err != nil {
		return err
	}
	e.audit(cmd.Context(), cfg, what, slog.String("client", client.ID))
	err = e.showClient(client, done)
	e.warn(clients.Warnings(client))
	return err
}

// fileExists tells a client that isn't there from a scope map that isn't.
func fileExists(cfg *config.Config, id string) bool {
	path, err := clients.Path(cfg.ClientsDir, id)
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

func newClientSetCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set NAME KEY [VALUE...]",
		Short: "Set one key of a client, or take it out",
		Long: `Set one key of a client's file to a value, or a list to several values. Without a
value the key is taken out, and its default holds again. A running server takes
the change over by itself; sign-ins under way go on.

What weakens a client has verbs of its own that say so.

Keys:
` + clientKeys(),
		Example: `  gatehouse client set wiki redirect_uris https://wiki.example.org/oidc https://wiki.example.org/oidc2
  gatehouse client set wiki consent none
  gatehouse client set wiki lifespans.access 5m
  gatehouse client set wiki logo_uri`,
		Args:              arguments(2, -1),
		ValidArgsFunction: env.completeClientKey,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, key, values := args[0], args[1], args[2:]
			if err := weakens(id, key, values); err != nil {
				return err
			}
			done := fmt.Sprintf("client %s: %s is set", id, key)
			if len(values) == 0 {
				done = fmt.Sprintf("client %s: %s is taken out", id, key)
			}
			return env.edit(cmd, id, "client set "+key, done, func(dir string) (*oidc.Client, error) {
				return clients.SetField(dir, id, key, values...)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

// weakens refuses what has a verb with a warning in its name.
func weakens(id, key string, values []string) error {
	verb := ""
	switch {
	case key == "require_pkce" && len(values) == 1 && !strings.EqualFold(values[0], "true"):
		verb = "warning-insecure-client-disable-pkce"
	case key == "grant_types" && slices.Contains(values, "password"):
		verb = "warning-insecure-client-enable-password"
	case key == "id_token_signed_response_alg" && len(values) == 1 && values[0] == "RS256":
		verb = "warning-enable-legacy-crypto"
	default:
		return nil
	}
	return withHint(fmt.Errorf("setting %s to %s makes the client weaker, and has a verb of its own", key, strings.Join(values, " ")), "gatehouse client "+verb+" "+id)
}

// clientKeys lists the keys of a client file for the help.
func clientKeys() string {
	var b strings.Builder
	for _, k := range clients.Keys() {
		fmt.Fprintf(&b, "  %s (%s)\n", k.Name, k.Type)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (e *environment) completeClientKey(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var words []string
	switch len(args) {
	case 0:
		return e.completeClient(cmd, args, typed)
	case 1:
		for _, k := range clients.Keys() {
			words = append(words, k.Name+"\t"+k.Type)
		}
	default:
		for _, k := range clients.Keys() {
			if k.Name == args[1] {
				words = k.Values
			}
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func newClientSetImplicitScopesCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "set-implicit-scopes NAME [SCOPE...]",
		Short: "Set the scopes that everyone has who can sign in",
		Long: `Set the scopes that everyone in the directory has for this client, instead of
those set before. Without a scope nobody has any but through a group. What this
takes away is gone at the next use of a token.`,
		Example:           `  gatehouse client set-implicit-scopes wiki openid profile email`,
		Args:              arguments(1, -1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			done := fmt.Sprintf("client %s: everyone has %s", args[0], strings.Join(args[1:], " "))
			if len(args) == 1 {
				done = fmt.Sprintf("client %s: nobody has a scope but through a group", args[0])
			}
			return env.edit(cmd, args[0], "client set-implicit-scopes", done, func(dir string) (*oidc.Client, error) {
				return clients.SetImplicitScopes(dir, args[0], args[1:]...)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newClientCreateScopeMapCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create-scope-map NAME GROUP SCOPE...",
		Short: "Give scopes to the members of a directory group",
		Long: `Give the members of GROUP, a distinguished name, scopes for this client, beside
those they have already. Groups within the group count. Other clients are not
affected.`,
		Example:           `  gatehouse client create-scope-map wiki cn=staff,ou=groups,dc=example,dc=org openid profile email groups`,
		Args:              arguments(3, -1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			done := fmt.Sprintf("client %s: members of %s have %s", args[0], args[1], strings.Join(args[2:], " "))
			return env.edit(cmd, args[0], "client create-scope-map", done, func(dir string) (*oidc.Client, error) {
				return clients.AddScopeMap(dir, args[0], args[1], args[2:]...)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newClientDeleteScopeMapCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete-scope-map NAME GROUP [SCOPE...]",
		Short: "Take scopes from the members of a directory group",
		Long: `Take scopes for this client from the members of GROUP, or all that the group
gives if no scope is named. What they have through another group, or as everyone
has it, they keep. What is taken away is gone at the next use of a token.`,
		Example:           `  gatehouse client delete-scope-map wiki cn=staff,ou=groups,dc=example,dc=org groups`,
		Args:              arguments(2, -1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			done := fmt.Sprintf("client %s: %s no longer gives %s", args[0], args[1], strings.Join(args[2:], " "))
			if len(args) == 2 {
				done = fmt.Sprintf("client %s: %s no longer gives any scope", args[0], args[1])
			}
			return env.edit(cmd, args[0], "client delete-scope-map", done, func(dir string) (*oidc.Client, error) {
				return clients.DeleteScopeMap(dir, args[0], args[1], args[2:]...)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newClientDisablePKCECommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "warning-insecure-client-disable-pkce NAME",
		Short: "WARNING: let a client go without PKCE",
		Long: `Let a client sign people in without PKCE, for an application that can't do it.
Whoever gets hold of a code on its way through a browser can then use it, with
the client's secret. To require PKCE again: gatehouse client set NAME require_pkce`,
		Args:              arguments(1, 1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.edit(cmd, args[0], "client disable-pkce", fmt.Sprintf("client %s goes without PKCE", args[0]), func(dir string) (*oidc.Client, error) {
				return clients.SetField(dir, args[0], "require_pkce", "false")
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newClientPasswordCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "warning-insecure-client-enable-password NAME",
		Short: "WARNING: let a client take people's passwords itself",
		Long: `Let an application ask people for their passwords and exchange them for tokens (the
password grant), because it can't send them to the sign-in page. Whoever breaks
into it has every password that is typed there. Nobody is asked for consent. To
take it back: gatehouse client set NAME grant_types, with those it is to keep`,
		Args:              arguments(1, 1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.edit(cmd, args[0], "client enable-password", fmt.Sprintf("client %s takes people's passwords itself", args[0]), func(dir string) (*oidc.Client, error) {
				set, err := clients.Open(dir)
				if err != nil {
					return nil, err
				}
				client, err := set.Client(args[0])
				if err != nil || client.HasGrantType("password") {
					return client, err
				}
				return clients.SetField(dir, args[0], "grant_types", append(slices.Clone(client.GrantTypes), "password")...)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newClientLegacyCryptoCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "warning-enable-legacy-crypto NAME",
		Short: "WARNING: sign a client's ID tokens with RS256",
		Long: `Sign this client's ID tokens with RS256 instead of ES256, for an application that
knows nothing else. RS256 is older and slower, and its padding has a history. To
go back: gatehouse client set NAME id_token_signed_response_alg`,
		Args:              arguments(1, 1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.edit(cmd, args[0], "client enable-legacy-crypto", fmt.Sprintf("client %s gets ID tokens signed with RS256", args[0]), func(dir string) (*oidc.Client, error) {
				return clients.SetField(dir, args[0], "id_token_signed_response_alg", "RS256")
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newClientRemoveCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a client and end all its grants",
		Long: `Delete a client's file and end every grant and token that it has. Nobody can sign
in to it any more; sessions that the application keeps by itself go on until it
asks again.`,
		Args:              arguments(1, 1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := env.load()
			if err != nil {
				return err
			}
			err = clients.Remove(cfg.ClientsDir, args[0])
			if errors.Is(err, oidc.ErrNotFound) {
				return unknownClient(args[0])
			}
			if err != nil {
				return err
			}
			env.audit(cmd.Context(), cfg, "client remove", slog.String("client", args[0]))
			noKeys := keys.RemoveClient(cfg.KeysDir, args[0])
			ended, err := env.endGrants(cmd.Context(), cfg, args[0])
			if err != nil {
				return withHint(fmt.Errorf("the client is removed, but its grants could not be ended: %w", err), "gatehouse grant revoke --client "+args[0])
			}
			if noKeys != nil {
				return fmt.Errorf("the client is removed, but not its keys: %w", noKeys)
			}
			return env.print(map[string]any{"client_id": args[0], "grants_ended": ended}, func(w io.Writer) {
				fmt.Fprintf(w, "client %s is removed, grants ended: %d\n", args[0], ended)
			})
		},
	}
	env.addOutput(cmd)
	return cmd
}

func newClientResetSecretCommand(env *environment) *cobra.Command {
	fromStdin := false
	cmd := &cobra.Command{
		Use:   "reset-secret NAME",
		Short: "Give a client a new secret and end all its grants",
		Long: `Make a new secret for a client and print it once. The old secret stops working,
and every grant and token of this client ends: its people sign in again. A client
with an issuer of its own gets new keys, too, and the old ones are deleted. Other
clients are not affected.`,
		Args:              arguments(1, 1),
		ValidArgsFunction: env.completeClient,
		RunE: func(cmd *cobra.Command, args []string) error {
			return env.resetSecret(cmd.Context(), args[0], fromStdin)
		},
	}
	cmd.Flags().BoolVar(&fromStdin, "secret-stdin", false, "read the secret from standard input instead of making one: 32 to 64 letters and digits")
	env.addOutput(cmd)
	return cmd
}

func (e *environment) resetSecret(ctx context.Context, id string, fromStdin bool) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	set, err := clients.Open(cfg.ClientsDir)
	if err != nil {
		return err
	}
	client, err := findClient(set, id)
	if err != nil {
		return err
	}
	if client.Public() {
		return withHint(fmt.Errorf("client %s is public and has no secret", id), "to end its grants: gatehouse grant revoke --client "+id+"; to replace keys of its own: gatehouse key rotate --revoke --client "+id)
	}
	secret, hash, err := e.newSecret(fromStdin)
	if err != nil {
		return err
	}
	sealed, err := e.seal(cfg, client, secret)
	if err != nil {
		return err
	}
	if client, err = clients.SetSecret(cfg.ClientsDir, id, hash, sealed); err != nil {
		return err
	}
	e.audit(ctx, cfg, "client reset-secret", slog.String("client", id))
	// The new secret is in the file: it has to be shown whatever comes of the rest.
	noKeys := e.replaceOwnKeys(ctx, cfg, client)
	ended, failed := e.endGrants(ctx, cfg, id)
	shown := secret
	if fromStdin {
		shown = ""
	}
	err = e.print(withSecret(client, shown), func(w io.Writer) { e.tellReset(w, cfg, client, shown, ended, failed) })
	if failed != nil {
		failed = withHint(fmt.Errorf("the secret is changed, but the client's grants could not be ended: %w", failed), "gatehouse grant revoke --client "+id)
	}
	if noKeys != nil {
		noKeys = withHint(fmt.Errorf("the secret is changed, but the client's keys could not be replaced: %w", noKeys), "gatehouse key rotate --revoke --client "+id)
	}
	return errors.Join(err, noKeys, failed)
}

func (e *environment) tellReset(w io.Writer, cfg *config.Config, c *oidc.Client, secret string, ended int, failed error) {
	fmt.Fprintf(w, "client %s has a new secret", c.ID)
	if failed == nil {
		fmt.Fprintf(w, ", grants ended: %d", ended)
	}
	fmt.Fprint(w, "\n\n")
	e.tellApplication(w, cfg, c, secret)
}

// endGrants ends all grants of a client. No database means that there are none.
func (e *environment) endGrants(ctx context.Context, cfg *config.Config, id string) (ended int, err error) {
	err = e.withStore(ctx, cfg, func(s *store.Store) error {
		ended, err = s.RevokeClient(ctx, id, e.now())
		return err
	})
	if errors.Is(err, errNoDatabase) {
		return 0, nil
	}
	return ended, err
}
