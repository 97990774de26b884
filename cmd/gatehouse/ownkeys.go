package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
)

// ownAlgorithms returns the algorithms that a client with an issuer of its own needs
// keys for. There is always one: a key set with nothing in it stops some libraries.
func ownAlgorithms(c *oidc.Client) (needed []string) {
	for _, r := range c.ResponseAlgs() {
		if slices.Contains(keys.Asymmetric(), r.Alg) && !slices.Contains(needed, r.Alg) {
			needed = append(needed, r.Alg)
		}
	}
	if len(needed) == 0 {
		return []string{keys.ES256}
	}
	return needed
}

// keysOf returns the keys of a client with an issuer of its own. A client that has
// just come, or wants another algorithm, gets its key here.
func (h *house) keysOf(c *oidc.Client) (provider.Keys, error) {
	return h.own.Ring(c.ID, ownAlgorithms(c))
}

// makeOwnKeys sees to it that every client with an issuer of its own has keys.
func (h *house) makeOwnKeys() error {
	if h.clients == nil || h.keys == nil {
		return nil // which is told already
	}
	var problems oidc.Problems
	for _, c := range h.clients.All() {
		if !c.OwnIssuer {
			continue
		}
		_, err := h.keysOf(c)
		var told oidc.Problems
		switch {
		case err == nil:
		case errors.As(err, &told):
			problems = append(problems, told...)
		default:
			problems = append(problems, oidc.Problem{
				Key: "client " + c.ID, Message: "its keys can't be made: " + err.Error(),
				Hint: "let the server write to keys_dir, or make them with gatehouse key create --client " + c.ID,
			})
		}
	}
	return problems.Err()
}

// reloadOwn takes over changed keys of clients with an issuer of their own.
func (h *house) reloadOwn(ctx context.Context, told *tellOnce) {
	changed, err := h.own.Reload(func(id string) bool {
		c, err := h.clients.Client(id)
		return err == nil && c.OwnIssuer
	})
	h.reloaded(ctx, "keys of clients", len(changed) > 0, errors.Join(err, h.makeOwnKeys()), &told.own)
}

// brokenOwnKeys tells what is wrong with keys of clients that have their own. Where
// there are none yet, the server makes them.
func (e *environment) brokenOwnKeys(cfg *config.Config, set *clients.Set) (problems []oidc.Problem) {
	if set == nil {
		return nil
	}
	for _, c := range set.All() {
		if !c.OwnIssuer {
			continue
		}
		if _, err := keys.LoadClient(cfg.KeysDir, c.ID, nil, e.now); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, problemsOf(err)...)
		}
	}
	return problems
}

// keysFlag says whose keys a command is about: the server's, or those of a client
// with an issuer of its own.
type keysFlag struct{ client string }

func (f *keysFlag) addTo(env *environment, cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.client, "client", "", "the keys of the client with this `id`, which has own_issuer")
	_ = cmd.RegisterFlagCompletionFunc("client", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return env.completeClient(cmd, nil, typed)
	}) // the flag is there
}

// open reads the keys and makes none.
func (f *keysFlag) open(env *environment, cfg *config.Config) (*keys.Ring, error) {
	if f.client == "" {
		return env.openKeys(cfg)
	}
	c, err := f.find(cfg)
	if err != nil {
		return nil, err
	}
	ring, err := keys.LoadClient(cfg.KeysDir, c.ID, ownAlgorithms(c), env.now)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, withHint(fmt.Errorf("client %s has no keys yet: %w", c.ID, err), "the running server makes them, or gatehouse key create --client "+c.ID)
	}
	return ring, err
}

// first makes the keys that a client needs and returns them, or nothing if they were
// there. The server does so by itself where it may write.
func (f *keysFlag) first(env *environment, cfg *config.Config) ([]keys.Info, error) {
	c, err := f.find(cfg)
	if err != nil {
		return nil, err
	}
	if _, err := keys.LoadClient(cfg.KeysDir, c.ID, nil, env.now); !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	ring, err := keys.OpenClient(cfg.KeysDir, c.ID, ownAlgorithms(c), env.now)
	if err != nil {
		return nil, err
	}
	return ring.List(), nil
}

// find returns the client that is meant.
func (f *keysFlag) find(cfg *config.Config) (*oidc.Client, error) {
	set, err := clients.Open(cfg.ClientsDir)
	if err != nil {
		return nil, err
	}
	c, err := findClient(set, f.client)
	if err != nil {
		return nil, err
	}
	if !c.OwnIssuer {
		return nil, withHint(fmt.Errorf("client %s has no keys of its own", c.ID), "gatehouse client set "+c.ID+" own_issuer true gives it an issuer with keys; the application then has to be set up anew")
	}
	return c, nil
}

// revokeKeys puts new keys in the place of all that a client has, and ends what was
// given to it.
func (e *environment) revokeKeys(cmd *cobra.Command, of keysFlag) error {
	cfg, err := e.load()
	if err != nil {
		return err
	}
	ring, err := of.open(e, cfg)
	if err != nil {
		return err
	}
	made, err := ring.Replace()
	if err != nil {
		return err
	}
	for _, k := range made {
		e.audit(cmd.Context(), cfg, "key rotate", slog.String("kid", k.Kid), slog.String("client", of.client), slog.Bool("revoked", true))
	}
	ended, failed := e.endGrants(cmd.Context(), cfg, of.client)
	if failed != nil {
		failed = withHint(fmt.Errorf("the keys are replaced, but the client's grants could not be ended: %w", failed), "gatehouse grant revoke --client "+of.client)
	}
	err = e.print(map[string]any{"keys": made, "grants_ended": ended}, func(w io.Writer) {
		for _, k := range made {
			fmt.Fprintf(w, "key %s (%s) signs from now on, all others are deleted\n", k.Kid, k.Alg)
		}
		if failed == nil {
			fmt.Fprintf(w, "grants ended: %d\n", ended)
		}
	})
	return errors.Join(err, failed)
}

// replaceOwnKeys gives a client with an issuer of its own new keys.
func (e *environment) replaceOwnKeys(ctx context.Context, cfg *config.Config, c *oidc.Client) error {
	if !c.OwnIssuer {
		return nil
	}
	ring, err := keys.OpenClient(cfg.KeysDir, c.ID, ownAlgorithms(c), e.now)
	if err != nil {
		return err
	}
	made, err := ring.Replace()
	for _, k := range made {
		e.audit(ctx, cfg, "key rotate", slog.String("kid", k.Kid), slog.String("client", c.ID), slog.Bool("revoked", true))
	}
	return err
}

// firstKeys makes the keys of a client that has none yet.
func (e *environment) firstKeys(cmd *cobra.Command, of keysFlag) (made bool, err error) {
	cfg, err := e.load()
	if err != nil {
		return false, err
	}
	infos, err := of.first(e, cfg)
	if err != nil || len(infos) == 0 {
		return false, err
	}
	for _, k := range infos {
		e.audit(cmd.Context(), cfg, "key create", slog.String("kid", k.Kid), slog.String("client", of.client))
	}
	return true, e.printKeys(infos)
}
