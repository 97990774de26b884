package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/keys"
	"gatehouse/oidc/provider"
)

// ownAlgorithms returns the algorithms that a client with an issuer of its own needs
// keys for. There is always one: a key set with nothing in it stops some libraries.
func ownAlgorithms(c *oidc.Client) []string {
	if slices.Contains(keys.Asymmetric(), c.IDTokenSignedResponseAlg) {
		return []string{c.IDTokenSignedResponseAlg}
	}
	return []string{keys.ES256}
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
		if _, err := h.keysOf(c); err != nil {
			problems = append(problems, problemsOf(err)...)
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
