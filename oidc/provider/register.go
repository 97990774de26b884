package provider

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/clients"
	"gatehouse/oidc/store"
)

// PathRegister is where clients register themselves; one of them is managed at its id
// beneath it.
const PathRegister = "/oauth2/register"

// InitialPrefix begins initial access tokens, managePrefix registration access tokens.
const (
	InitialPrefix = "ghi_"
	managePrefix  = "ghm_"
)

// RegistrationStore keeps the clients that have registered themselves.
type RegistrationStore interface {
	RegistrationTokenUsable(ctx context.Context, h oidc.Hash, now time.Time) (bool, error)
	Register(ctx context.Context, n store.NewRegistration) (tokenID string, err error)
	Registration(ctx context.Context, clientID string) (oidc.Registration, error)
	UpdateRegistration(ctx context.Context, r oidc.Registration, now time.Time) error
	EndRegistration(ctx context.Context, clientID string, now time.Time) error
	NextOpenEnd(ctx context.Context, now time.Time) (time.Time, error)
}

// Registration says how clients may register themselves.
type Registration struct {
	Policy       *clients.Policy
	Store        RegistrationStore
	Open         bool          // also without an initial access token
	OpenLimit    int           // how many there may be that had none
	OpenLifespan time.Duration // how long they live
	Lifespan     time.Duration // how long those live that had one, from their last update
	Logos        bool          // their logos are fetched and shown
	// Seal keeps a secret in a form that signs.
	Seal func(clientID, secret string) string
}

// Register answers the client registration endpoint (RFC 7591, section 3; OpenID
// Connect Registration 1.0, section 3).
func (p *Provider) Register() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := p.register(r)
		if err != nil {
			p.refuseRegistration(w, r, "", err)
			return
		}
		writeJSON(w, http.StatusCreated, answer)
	})
}

// ManageRegistration answers below PathRegister: reading, changing and deleting one's
// own registration (RFC 7592).
func (p *Provider) ManageRegistration() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept, token, err := p.ownRegistration(r)
		var answer map[string]any
		switch {
		case err != nil:
		case r.Method == http.MethodPut:
			answer, err = p.updateRegistration(r, kept, token)
		case r.Method == http.MethodDelete:
			err = p.endRegistration(r.Context(), kept.ClientID)
		default:
			answer, err = p.readRegistration(kept, token)
		}
		switch {
		case err != nil:
			p.refuseRegistration(w, r, kept.ClientID, err)
		case answer == nil:
			w.Header().Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, http.StatusOK, answer)
		}
	})
}

func (p *Provider) refuseRegistration(w http.ResponseWriter, r *http.Request, clientID string, err error) {
	var bad *clients.MetadataError
	if errors.As(err, &bad) {
		err = fail(bad.Code, bad.Description)
	}
	attrs := []slog.Attr{slog.String("error", asError(err).Code), slog.String("reason", asError(err).Error()), slog.String("method", r.Method)}
	if clientID != "" {
		attrs = append(attrs, slog.String("client", clientID))
	}
	oidc.Audit(r.Context(), p.Log, oidc.EventRegistrationRefused, attrs...)
	p.writeError(w, r, err)
}

// bearerOf returns the bearer token of the header, "" for none (RFC 6750, section 2.1).
func bearerOf(r *http.Request) (string, error) {
	if r.Header.Get("Authorization") == "" {
		return "", nil
	}
	return bearerToken(r)
}

// register judges metadata, makes the client and keeps it. What was said is kept: the
// answer leaves after the commit.
func (p *Provider) register(r *http.Request) (map[string]any, error) {
	ctx, o := r.Context(), p.Registration
	token, err := bearerOf(r)
	if err != nil {
		return nil, err
	}
	if err := p.mayRegister(ctx, token); err != nil {
		return nil, err
	}
	m, err := p.readMetadata(r)
	if err != nil {
		return nil, err
	}
	now := p.Now().Truncate(time.Second) // as the answer has it
	n := store.NewRegistration{OpenLimit: o.OpenLimit, Registration: oidc.Registration{
		ClientID: clients.RegisteredPrefix + oidc.NewID(), CreatedAt: now, ExpiresAt: now.Add(o.OpenLifespan), Origins: m.Client.Origins(),
	}}
	if token != "" {
		h := oidc.HashOf(token)
		n.Token, n.ExpiresAt = &h, now.Add(o.Lifespan)
	}
	if n.Metadata, err = m.Kept(); err != nil {
		return nil, err
	}
	n.Logo = p.fetchLogo(ctx, m.Client)
	secret := p.giveSecret(m, &n.Registration)
	access := oidc.NewSecret(managePrefix)
	n.AccessHash = oidc.HashOf(access)
	id, err := o.Store.Register(ctx, n)
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return nil, errInitialToken().because(err)
	case errors.Is(err, oidc.ErrLimit):
		return nil, p.full(ctx, now, err)
	case err != nil:
		return nil, err
	}
	oidc.Audit(ctx, p.Log, oidc.EventRegistered, slog.String("client", n.ClientID), slog.String("registration_token", id),
		slog.Any("redirect_origins", n.Origins), slog.Time("expires_at", n.ExpiresAt))
	return p.registrationAnswer(n.Registration, m.Client, secret, access), nil
}

// full says that there are as many open registrations as there may be, and when the next
// one ends.
func (p *Provider) full(ctx context.Context, now time.Time, err error) error {
	e := fail("temporarily_unavailable", "as many clients as may be have registered themselves, try again later").because(err)
	if next, err := p.Registration.Store.NextOpenEnd(ctx, now); err == nil {
		e.RetryAfter = next.Sub(now)
	}
	return e
}

// mayRegister judges an initial access token, "" for none, before anything is read or
// fetched for its bearer. It is used up with the commit.
func (p *Provider) mayRegister(ctx context.Context, token string) error {
	if token == "" {
		if p.Registration.Open {
			return nil
		}
		return fail("invalid_token", "an initial access token is needed to register")
	}
	usable, err := p.Registration.Store.RegistrationTokenUsable(ctx, oidc.HashOf(token), p.Now())
	if err == nil && !usable {
		return errInitialToken()
	}
	return err
}

func errInitialToken() *Error {
	return fail("invalid_token", "the initial access token is unknown, used up, expired or revoked")
}

// readMetadata reads what is posted and checks what takes more than a look at it.
func (p *Provider) readMetadata(r *http.Request) (*clients.Metadata, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" { // also keeps the forms of other sites out
		return nil, fail("invalid_client_metadata", "the body must be application/json")
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, clients.MaxMetadata+1))
	if err != nil {
		return nil, fail("invalid_client_metadata", "the body cannot be read").because(err)
	}
	m, err := p.Registration.Policy.Read(data)
	if err != nil {
		return nil, err
	}
	c := m.Client
	for _, response := range c.ResponseAlgs() {
		if !strings.HasPrefix(response.Alg, "HS") && !slices.Contains(p.Keys.Algorithms(), response.Alg) {
			return nil, fail("invalid_client_metadata", response.Key+": the server has no key for this algorithm")
		}
	}
	return m, p.checkSector(r.Context(), c)
}

// checkSector fetches a sector identifier. Why that fails is not told: it would map our
// network for a stranger.
func (p *Provider) checkSector(ctx context.Context, c *oidc.Client) error {
	refused := func(description string, err error) error {
		return fail("invalid_client_metadata", "sector_identifier_uri: "+description).because(err)
	}
	if c.SectorIdentifierURI != "" && p.Fetch == nil {
		return refused("this server fetches nothing", nil)
	}
	get := func(ctx context.Context, url string, limit int64) ([]byte, error) {
		return p.Fetch.Get(ctx, url, limit)
	}
	switch err := clients.CheckSector(ctx, get, c); {
	case errors.Is(err, clients.ErrSector):
		return refused("it does not list all redirect_uris", err)
	case err != nil:
		return refused("it can't be fetched, or is not a JSON list of texts", err)
	}
	return nil
}

// fetchLogo returns a logo as a data URI, or "": where people sign in, their browsers
// ask no stranger's server for a picture, which would tell it who does when, and could
// be another one tomorrow.
func (p *Provider) fetchLogo(ctx context.Context, c *oidc.Client) string {
	if !p.Registration.Logos || c.LogoURI == "" || p.Fetch == nil {
		return ""
	}
	data, err := p.Fetch.Get(ctx, c.LogoURI, maxLogo)
	if err != nil {
		p.Log.LogAttrs(ctx, slog.LevelInfo, "a registered client's logo can't be fetched",
			slog.String("request_id", oidc.RequestID(ctx)), slog.String("error", err.Error()))
		return ""
	}
	return pictureURI(data)
}

// secretNeeded reports whether a client proves who it is, or signs, with a secret.
func secretNeeded(c *oidc.Client) bool {
	return !c.Public() && c.TokenEndpointAuthMethod != authPrivateKeyJWT || clients.NeedsSealedSecret(c)
}

// giveSecret sees to it that a registration has the secret that its client needs and no
// other, and returns it if it is new.
func (p *Provider) giveSecret(m *clients.Metadata, r *oidc.Registration) (secret string) {
	sealed := clients.NeedsSealedSecret(m.Client)
	switch {
	case !secretNeeded(m.Client):
		r.SecretHash, r.SecretSealed = "", ""
		return ""
	case r.SecretHash != "" && !sealed:
		r.SecretSealed = "" // what need not be known is not kept
		return ""
	case r.SecretHash != "" && r.SecretSealed != "":
		return ""
	case r.SecretHash != "" && m.ClientSecret != "": // which has been verified
		r.SecretSealed = p.Registration.Seal(r.ClientID, m.ClientSecret)
		return ""
	}
	secret, r.SecretHash = clients.NewSecret()
	if sealed {
		r.SecretSealed = p.Registration.Seal(r.ClientID, secret)
	}
	return secret
}

// registrationAnswer is the client information response (RFC 7591, section 3.2.1; RFC
// 7592, section 3).
func (p *Provider) registrationAnswer(r oidc.Registration, c *oidc.Client, secret, access string) map[string]any {
	answer := clients.Describe(c)
	maps.Copy(answer, map[string]any{
		"client_id": r.ClientID, "client_id_issued_at": r.CreatedAt.Unix(),
		"registration_client_uri": p.Issuer + PathRegister + "/" + url.PathEscape(r.ClientID), "registration_access_token": access,
	})
	if secret != "" {
		answer["client_secret"] = secret
	}
	if secret != "" || r.SecretHash != "" {
		answer["client_secret_expires_at"] = r.ExpiresAt.Unix()
	}
	return answer
}
