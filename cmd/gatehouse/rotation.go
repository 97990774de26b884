package main

import (
	"context"
	"log/slog"
	"time"

	"gatehouse/config"
	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// keyMargin is how much longer than their tokens keys are kept: clocks differ, and a
// server may sign for a moment longer with a key that another no longer signs with.
const keyMargin = 10 * time.Minute

// keyPolicy says when keys are rotated that sign for the clients with these
// lifespans. A key verifies until what it has signed has expired, and a while longer
// for those who send an old ID token as id_token_hint when they have used its refresh
// token for long; that while is bounded, or a JWKS would grow and grow.
func keyPolicy(cfg *config.Config, of ...oidc.Lifespans) keys.Policy {
	keep, hints := time.Duration(0), time.Duration(0)
	for _, l := range of {
		l = l.Or(lifespans(cfg))
		keep, hints = max(keep, l.ID, l.Access), max(hints, l.Refresh)
	}
	return keys.Policy{
		RotateAfter: cfg.Keys.RotateAfter, PublishBefore: cfg.Keys.PublishBefore,
		KeepFor: max(keep, min(hints, 2*cfg.Keys.RotateAfter)) + keyMargin,
	}
}

// rotate does what is due by time with the keys of the server and of the clients that
// have their own.
func (h *house) rotate(ctx context.Context, told *tellOnce) {
	if h.config.Keys.RotateAfter <= 0 {
		return
	}
	all, own := []oidc.Lifespans{{}}, h.own.Known()
	var problems oidc.Problems
	for _, c := range h.clients.All() {
		all = append(all, c.Lifespans)
		if ring := own[c.ID]; ring != nil && c.OwnIssuer {
			problems = append(problems, problemsOf(h.tendKeys(ctx, ring, c.ID, keyPolicy(h.config, c.Lifespans)))...)
		}
	}
	problems = append(problems, problemsOf(h.tendKeys(ctx, h.keys, "", keyPolicy(h.config, all...)))...)
	switch err := problems.Err(); {
	case err == nil:
		told.rotation = ""
	case err.Error() != told.rotation:
		told.rotation = err.Error()
		h.log.ErrorContext(ctx, "cannot rotate keys, the old ones go on signing", slog.String("error", err.Error()))
	}
}

// tendKeys does what is due with one folder of keys. clientID is "" for the server's.
func (h *house) tendKeys(ctx context.Context, ring *keys.Ring, clientID string, policy keys.Policy) error {
	done, err := ring.Tend(policy)
	for _, d := range done {
		event, attrs := oidc.EventKeyRotated, []slog.Attr{slog.String("kid", d.Kid)}
		if d.Retired {
			event = oidc.EventKeyRetired
		} else {
			attrs = append(attrs, slog.Time("active_from", d.ActiveFrom))
		}
		if clientID != "" {
			attrs = append(attrs, slog.String("client_id", clientID))
		}
		oidc.Audit(ctx, h.log, event, attrs...)
	}
	return err
}

// publishKeys tells the server's keys which algorithms its clients ask for.
func (h *house) publishKeys() {
	if h.clients == nil || h.keys == nil {
		return
	}
	var asked []string
	for _, c := range h.clients.All() {
		if c.OwnIssuer {
			continue
		}
		for _, r := range c.ResponseAlgs() {
			asked = append(asked, r.Alg)
		}
	}
	h.keys.Publish(asked)
}
