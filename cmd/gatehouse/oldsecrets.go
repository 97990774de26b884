package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/store"
)

// oldSecrets ends what a client was given for a secret that had been replaced already.
// client reset-secret ends all that there is, but a running server takes up to
// reloadEvery to learn of it, and whoever holds the old secret may use that time.
type oldSecrets struct {
	mu     sync.Mutex
	hashes map[string]string // by client, as they were at the last look
	spans  map[string]span   // clients whose secret has changed
}

// span is the time from the change of a file to the moment when it was read: what is
// made later is made for the new secret.
type span struct{ from, to time.Time }

// look compares the clients with those of the last look, and ends the grants that
// were made between a change and now: when the change is seen, and once more at the
// next look, for requests that were under way.
func (o *oldSecrets) look(ctx context.Context, h *house) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var failed []error
	for id, made := range o.spans {
		if err := h.endGrantsOf(ctx, id, made); err != nil {
			failed = append(failed, err) // and again at the next look
			continue
		}
		delete(o.spans, id)
	}
	now := map[string]string{}
	for _, c := range h.clients.All() {
		now[c.ID] = c.SecretHash
		if was, known := o.hashes[c.ID]; !known || was == c.SecretHash {
			continue
		}
		made := span{h.changedAt(c.ID), h.now()}
		if o.spans == nil {
			o.spans = map[string]span{}
		}
		o.spans[c.ID] = made
		failed = append(failed, h.endGrantsOf(ctx, c.ID, made))
	}
	o.hashes = now
	return errors.Join(failed...)
}

// changedAt returns when a client's file was written, or a time shortly ago.
func (h *house) changedAt(id string) time.Time {
	recently := h.now().Add(-2 * reloadEvery)
	path, err := clients.Path(h.config.ClientsDir, id)
	if err != nil {
		return recently
	}
	info, err := os.Stat(path)
	if err != nil {
		return recently
	}
	return info.ModTime().Add(-time.Second) // clocks of file systems are coarse
}

// endGrantsOf ends the grants of a client that were made within a span.
func (h *house) endGrantsOf(ctx context.Context, id string, made span) error {
	grants, err := h.store.Grants(ctx, store.GrantFilter{ClientID: id, Active: true}, h.now())
	if err != nil {
		return fmt.Errorf("end what client %s got for its old secret: %w", id, err)
	}
	for _, g := range grants {
		if g.CreatedAt.Before(made.from) || g.CreatedAt.After(made.to) {
			continue
		}
		if err := h.store.RevokeGrant(ctx, g.ID, h.now()); err != nil && !errors.Is(err, oidc.ErrNotFound) {
			return fmt.Errorf("end what client %s got for its old secret: %w", id, err)
		}
		oidc.Audit(ctx, h.log, oidc.EventRevoked, slog.String("client_id", id), slog.String("grant_id", g.ID),
			slog.String("reason", "the client's secret has changed"))
	}
	return nil
}
