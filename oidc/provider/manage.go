package provider

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
)

// ownRegistration finds the registration that the request is about. Whoever has
// another's token, or none, learns nothing, not even whether there is such a client
// (RFC 7592, section 2).
func (p *Provider) ownRegistration(r *http.Request) (kept oidc.Registration, token string, err error) {
	refused := fail("invalid_token", "the registration access token does not fit")
	if token, err = bearerOf(r); err != nil || token == "" {
		return kept, "", refused
	}
	id := strings.TrimPrefix(r.URL.Path, PathRegister+"/")
	kept, err = p.Registration.Store.Registration(r.Context(), id)
	h := oidc.HashOf(token)
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return oidc.Registration{}, "", refused
	case err != nil:
		return oidc.Registration{}, "", err
	case subtle.ConstantTimeCompare(h[:], kept.AccessHash[:]) != 1:
		return oidc.Registration{}, "", refused
	}
	return kept, token, nil
}

// readRegistration answers RFC 7592, section 2.1. The registration access token stays
// the same for good: a new one whose answer got lost would leave the client without.
// A secret is not told again, since only its hash is kept.
func (p *Provider) readRegistration(kept oidc.Registration, token string) (map[string]any, error) {
	m, err := p.Registration.Policy.Read(kept.Metadata)
	if err != nil {
		return nil, fail("invalid_token", "the client is no longer allowed").because(err)
	}
	return p.registrationAnswer(kept, m.Client, "", token), nil
}

// updateRegistration answers RFC 7592, section 2.2: what is sent takes the place of
// all that there was. Members of an answer that clients must not send back
// (registration_access_token and the like) are passed over.
func (p *Provider) updateRegistration(r *http.Request, kept oidc.Registration, token string) (map[string]any, error) {
	ctx := r.Context()
	m, err := p.readMetadata(r)
	if err != nil {
		return nil, err
	}
	if m.ClientID != kept.ClientID {
		return nil, fail("invalid_client_metadata", "client_id is missing or not that of the client")
	}
	if m.ClientSecret != "" {
		right, err := p.Secrets.VerifySecret(ctx, &oidc.Client{ID: kept.ClientID, SecretHash: kept.SecretHash}, m.ClientSecret)
		if err != nil {
			return nil, err
		}
		if !right {
			return nil, fail("invalid_client_metadata", "client_secret is not that of the client")
		}
	}
	if err := p.sameSector(kept, m.Client); err != nil {
		return nil, err
	}
	before := kept
	if kept.Metadata, err = m.Kept(); err != nil {
		return nil, err
	}
	kept.Origins, kept.Logo = m.Client.Origins(), p.fetchLogo(ctx, m.Client)
	secret := p.giveSecret(m, &kept)
	now := p.Now().Truncate(time.Second)
	if kept.TokenID != "" { // those that nobody vouches for end at their time
		kept.ExpiresAt = now.Add(p.Registration.Lifespan)
	}
	switch err := p.Registration.Store.UpdateRegistration(ctx, kept, p.Now()); {
	case errors.Is(err, oidc.ErrUsed):
		return nil, fail("temporarily_unavailable", "the registration was changed at the same time, try again").because(err)
	case errors.Is(err, oidc.ErrNotFound):
		return nil, fail("invalid_token", "the registration access token does not fit").because(err)
	case err != nil:
		return nil, err
	}
	oidc.Audit(ctx, p.Log, oidc.EventRegistrationChanged, slog.String("client", kept.ClientID), slog.Any("redirect_origins", kept.Origins),
		slog.Bool("new_secret", secret != ""), slog.Time("expires_at", kept.ExpiresAt), slog.Int64("revision", before.Revision+1))
	return p.registrationAnswer(kept, m.Client, secret, token), nil
}

// sameSector keeps a client with pairwise subjects in its sector: by moving into
// another it would learn, with the tokens it has, whom that one knows by which id.
func (p *Provider) sameSector(kept oidc.Registration, c *oidc.Client) error {
	m, err := p.Registration.Policy.Read(kept.Metadata)
	if err != nil {
		return fail("invalid_token", "the client is no longer allowed").because(err)
	}
	was, is := *m.Client, *c
	was.ID, is.ID = kept.ClientID, kept.ClientID
	if is.SubjectType == claims.SubjectPairwise && (was.SubjectType != is.SubjectType || claims.Sector(&was) != claims.Sector(&is)) {
		return fail("invalid_client_metadata", "subject_type: a client can't move to another sector, register a new one")
	}
	return nil
}

func (p *Provider) endRegistration(ctx context.Context, clientID string) error {
	err := p.Registration.Store.EndRegistration(ctx, clientID, p.Now())
	if errors.Is(err, oidc.ErrNotFound) {
		return fail("invalid_token", "the registration access token does not fit").because(err)
	}
	if err != nil {
		return fmt.Errorf("end a registration: %w", err)
	}
	oidc.Audit(ctx, p.Log, oidc.EventRegistrationEnded, slog.String("client", clientID), slog.String("reason", "by the client"))
	return nil
}
