package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
	"gatehouse/oidc/keys"
)

// An operator, or a program that the operator trusts, may have a token made for a
// client and a person, and have any token judged (row O1). Whoever can call this is
// let in by something else: an account on the machine, a file's mode.

// TokenOrder says what token is to be made.
type TokenOrder struct {
	ClientID string
	Username string   // what the person types at sign-in
	Subject  string   // or their directory id
	Scopes   []string // at least one
	// Resources are what the token is for (RFC 8707); none means the default.
	Resources []string
	IDToken   bool // make an ID token, too, if openid is granted
	// By is who has it made, for the audit log.
	By string
}

// MadeToken is a token that was made. The secrets are nowhere else.
type MadeToken struct {
	AccessToken string
	IDToken     string // "" for none
	ExpiresIn   time.Duration
	Scopes      []string
	Audience    []string
	GrantID     string
}

// MakeToken makes an access token for a person, by the rules that a sign-in meets:
// account state, allowed groups, scope maps. Nobody types a password and nobody is
// asked for consent, so the token has no auth_time, and no refresh token comes with
// it. A refusal is an *Error, and so is a directory that can't tell.
func (p *Provider) MakeToken(ctx context.Context, o TokenOrder) (MadeToken, error) {
	made, err := p.makeToken(ctx, o)
	if err == nil {
		return made, nil
	}
	e := asError(err)
	oidc.Audit(ctx, p.Log, oidc.EventTokenRefused, slog.String("client_id", o.ClientID), slog.String("asked_by", o.By),
		slog.String("error", e.Code), slog.String("reason", e.Description))
	return MadeToken{}, e
}

func (p *Provider) makeToken(ctx context.Context, o TokenOrder) (MadeToken, error) {
	c, err := p.Clients.Client(o.ClientID)
	if errors.Is(err, oidc.ErrNotFound) {
		return MadeToken{}, fail("invalid_request", "there is no client of this id").because(err)
	}
	if err != nil {
		return MadeToken{}, err
	}
	resources, err := p.parseResources(c, o.Resources)
	if err != nil {
		return MadeToken{}, err
	}
	scopes, err := parseScopes(strings.Join(o.Scopes, " "))
	if err != nil {
		return MadeToken{}, err
	}
	if len(scopes) == 0 || slices.Contains(scopes, claims.ScopeOffline) {
		return MadeToken{}, fail("invalid_scope", "name one scope at least, and not offline_access: no refresh token is made")
	}
	who, err := p.ordered(ctx, c, o, scopes)
	if err != nil {
		return MadeToken{}, err
	}
	now := p.Now()
	s := &session{person: who, scopes: who.decision.Granted, grant: oidc.Grant{
		ID: oidc.NewID(), ClientID: c.ID, Subject: who.user.ID, Scopes: who.decision.Granted, Resources: resources, Withheld: who.withheld, CreatedAt: now,
	}}
	if s.audience, err = p.audience(c, s, resources); err != nil {
		return MadeToken{}, err
	}
	t, err := p.newTokens(c, s, nil, "", now)
	if err != nil {
		return MadeToken{}, err
	}
	if !o.IDToken {
		t.idToken = ""
	}
	if err := p.Store.IssueToken(ctx, s.grant, t.access); err != nil {
		return MadeToken{}, err
	}
	p.auditGrant(ctx, oidc.EventTokenIssued, s.grant, s.scopes, slog.String("asked_by", o.By), slog.String("audience", strings.Join(s.audience, " ")),
		slog.Bool("id_token", t.idToken != ""))
	return MadeToken{
		AccessToken: t.accessSecret, IDToken: t.idToken, ExpiresIn: t.access.ExpiresAt.Sub(now),
		Scopes: s.scopes, Audience: s.audience, GrantID: s.grant.ID,
	}, nil
}

// ordered finds the person that a token is for and what they may have.
func (p *Provider) ordered(ctx context.Context, c *oidc.Client, o TokenOrder, scopes []string) (person, error) {
	if (o.Username == "") == (o.Subject == "") {
		return person{}, fail("invalid_request", "name the person, by the name of sign-in or by the directory's id")
	}
	var user *oidc.User
	var err error
	if o.Subject == "" {
		if user, err = p.Directory.UserByName(ctx, o.Username); err == nil {
			o.Subject = user.ID
		}
	}
	if err == nil { // by id in any case, as whenever the token is used
		user, err = p.Directory.User(ctx, o.Subject)
	}
	var refused *oidc.SignInError
	switch {
	case errors.Is(err, oidc.ErrNotFound), errors.As(err, &refused):
		return person{}, fail("access_denied", "the directory has no such person").because(err)
	case err != nil:
		return person{}, fmt.Errorf("look the person up: %w", err)
	}
	decision := claims.Resolve(c, user, scopes)
	if !decision.Admitted {
		if user.State != oidc.StateActive {
			return person{}, fail("access_denied", "the account is "+user.State.String())
		}
		return person{}, p.deniedBy(c, decision)
	}
	subject, err := claims.Subject(c, user, p.PairwiseSalt)
	if err != nil {
		return person{}, err
	}
	known, err := p.remembered(ctx, c, user.ID)
	return person{user: user, decision: decision, subject: subject, withheld: known.Withheld}, err
}

// Verdict says what a token is worth now.
type Verdict struct {
	Active bool           `json:"active"`
	Kind   string         `json:"kind,omitempty"`   // access_token, refresh_token or id_token, "" for what is none of ours
	Reason string         `json:"reason,omitempty"` // why it is not active
	Note   string         `json:"note,omitempty"`   // what could not be looked at
	Claims map[string]any `json:"claims,omitempty"` // what it says; of opaque tokens, what introspection says
}

// CheckToken judges an access, refresh or ID token of any client, live. by is who
// asks, for the audit log. The error is for what can't be told.
func (p *Provider) CheckToken(ctx context.Context, text, by string) (Verdict, error) {
	v, client, err := p.checkToken(ctx, text)
	if err != nil {
		return Verdict{}, asError(err)
	}
	oidc.Audit(ctx, p.Log, oidc.EventTokenChecked, slog.String("asked_by", by), slog.String("client_id", client), slog.String("kind", v.Kind),
		slog.Bool("active", v.Active), slog.String("reason", v.Reason))
	return v, nil
}

func (p *Provider) checkToken(ctx context.Context, text string) (v Verdict, clientID string, err error) {
	token, grant, refresh, err := p.anyToken(ctx, text, "")
	if errors.Is(err, oidc.ErrNotFound) {
		return p.checkJWT(ctx, text)
	}
	if err != nil {
		return v, "", err
	}
	v.Kind = "access_token"
	if refresh {
		v.Kind = "refresh_token"
	}
	c, err := p.Clients.Client(grant.ClientID)
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		v.Reason = "its client is no more"
		return v, grant.ClientID, nil
	case err != nil:
		return v, "", err
	case !grant.RevokedAt.IsZero():
		v.Reason = "it was revoked at " + at(grant.RevokedAt)
	case !token.UsedAt.IsZero():
		v.Reason = "it was used at " + at(token.UsedAt)
	case !p.Now().Before(token.ExpiresAt):
		v.Reason = "it expired at " + at(token.ExpiresAt)
	default:
		v.Claims, err = p.describe(ctx, c, token, grant, refresh)
		if errors.Is(err, errNoLonger) {
			v.Reason, err = err.Error(), nil
		}
		v.Active = err == nil && v.Reason == ""
	}
	return v, grant.ClientID, err
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// checkJWT judges what the store doesn't know: an ID token, if anything.
func (p *Provider) checkJWT(ctx context.Context, text string) (v Verdict, clientID string, err error) {
	j, err := keys.ParseJWS(text)
	if err != nil {
		v.Reason = "it is unknown here: never issued, changed, revoked, or long expired"
		return v, "", nil //nolint:nilerr // the error is the verdict
	}
	m, err := parseJWT(j.Payload)
	if err != nil {
		v.Reason = err.Error()
		return v, "", nil //nolint:nilerr // the error is the verdict
	}
	c, err := p.clientOfJWT(m)
	if errors.Is(err, oidc.ErrNotFound) {
		v.Reason = "it names no client of this server"
		return v, "", nil
	}
	if err != nil {
		return v, "", err
	}
	_, err = p.verifyOwn(c, text)
	if errors.Is(err, oidc.ErrUnavailable) {
		return v, c.ID, err
	}
	if err != nil { // whoever wrote it may have written anything: nothing of it is repeated
		v.Reason = "its signature is not one of this server for client " + c.ID + ": " + err.Error()
		return v, c.ID, nil //nolint:nilerr // the error is the verdict
	}
	if strings.EqualFold(j.Header.Typ, typAccessToken) {
		v.Kind, v.Reason = "access_token", "it was issued here, and is revoked or expired"
		return v, c.ID, nil
	}
	if v.Reason, err = p.whyNoIDToken(c, j, m); err != nil || v.Reason != "" {
		return v, c.ID, err
	}
	v.Kind = "id_token"
	if err := json.Unmarshal(j.Payload, &v.Claims); err != nil {
		return v, c.ID, fmt.Errorf("read an ID token: %w", err)
	}
	return p.checkSubject(ctx, c, v)
}

// clientOfJWT returns the client that a JWT says it is for.
func (p *Provider) clientOfJWT(m jwtClaims) (*oidc.Client, error) {
	for _, name := range []string{"azp", "client_id"} {
		if id, err := m.text(name); err == nil && id != "" {
			return p.Clients.Client(id)
		}
	}
	aud, _, err := m.audience()
	if err != nil || len(aud) != 1 {
		return nil, oidc.ErrNotFound
	}
	return p.Clients.Client(aud[0])
}

// whyNoIDToken says why a JWT that we signed is no ID token that holds, "" if it is.
func (p *Provider) whyNoIDToken(c *oidc.Client, j *keys.JWS, m jwtClaims) (string, error) {
	issuer, errIssuer := m.text("iss")
	aud, _, errAudience := m.audience()
	expires, hasExpires, errExpires := m.moment("exp")
	if err := errors.Join(errIssuer, errAudience, errExpires); err != nil {
		return "", err // we have signed it
	}
	switch {
	case j.Header.Typ != "" && !strings.EqualFold(j.Header.Typ, "JWT"), !hasExpires:
		return "it is neither an access token nor an ID token", nil
	case issuer != p.issuerOf(c):
		return "it names another issuer", nil
	case !slices.Contains(aud, c.ID):
		return "it is not for the client that it names", nil
	case !p.Now().Before(expires):
		return "it expired at " + at(expires), nil
	}
	return "", nil
}

// checkSubject looks the person of an ID token up. ID tokens are not kept, so that
// only a subject that is the directory's id leads to somebody.
func (p *Provider) checkSubject(ctx context.Context, c *oidc.Client, v Verdict) (Verdict, string, error) {
	subject, _ := v.Claims["sub"].(string)
	if c.SubjectType != claims.SubjectPublic && c.SubjectType != "" {
		v.Active, v.Note = true, "the subject does not lead to a person, so nobody was looked up"
		return v, c.ID, nil
	}
	_, err := p.live(ctx, c, oidc.Grant{Subject: subject}, []string{claims.ScopeOpenID})
	if errors.Is(err, errNoLonger) {
		v.Reason, v.Claims = err.Error(), nil
		return v, c.ID, nil
	}
	v.Active = err == nil
	return v, c.ID, err
}
