package storetest

import (
	"context"
	"testing"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

// Store is every method that a store has. Its own clock must be about the real
// one.
type Store interface {
	SaveAuthorization(ctx context.Context, a store.Authorization) error
	Code(ctx context.Context, h oidc.Hash) (oidc.Code, oidc.Grant, error)
	ExchangeCode(ctx context.Context, h oidc.Hash, issue store.Issue) error
	IssueToken(ctx context.Context, g oidc.Grant, access oidc.Token) error
	AccessToken(ctx context.Context, h oidc.Hash) (oidc.Token, oidc.Grant, error)
	RefreshToken(ctx context.Context, h oidc.Hash) (oidc.Token, oidc.Grant, error)
	RotateRefresh(ctx context.Context, old oidc.Hash, grace time.Duration, issue store.Issue) error
	RevokeGrant(ctx context.Context, grantID string, now time.Time) error
	RevokeAccessToken(ctx context.Context, h oidc.Hash) error
	RevokeClient(ctx context.Context, clientID string, now time.Time) (grants int, err error)
	Grants(ctx context.Context, f store.GrantFilter, now time.Time) ([]oidc.Grant, error)
	Session(ctx context.Context, h oidc.Hash) (oidc.Session, error)
	SaveSession(ctx context.Context, change oidc.SessionChange) error
	TouchSession(ctx context.Context, h oidc.Hash, lastSeen time.Time) error
	EndSession(ctx context.Context, h oidc.Hash) error
	EndSessions(ctx context.Context, subject string) (ended int, err error)
	Consent(ctx context.Context, subject, clientID string) (oidc.ConsentRecord, error)
	RevokeConsent(ctx context.Context, subject, clientID string) error
	UseOnce(ctx context.Context, o store.Once) error
	PushRequest(ctx context.Context, p store.PushedRequest) error
	PushedRequest(ctx context.Context, h oidc.Hash) (store.PushedRequest, error)
	StartDevice(ctx context.Context, d store.DeviceCode) error
	DeviceCode(ctx context.Context, h oidc.Hash) (store.DeviceCode, error)
	DeviceByUserCode(ctx context.Context, userHash oidc.Hash) (store.DeviceCode, error)
	PollDevice(ctx context.Context, h oidc.Hash, now time.Time, slack, more time.Duration) (hasty bool, err error)
	DenyDevice(ctx context.Context, h oidc.Hash, now time.Time) error
	Register(ctx context.Context, n store.NewRegistration) (tokenID string, err error)
	Registration(ctx context.Context, clientID string) (oidc.Registration, error)
	RegistrationRevision(ctx context.Context, clientID string) (revision int64, err error)
	UpdateRegistration(ctx context.Context, r oidc.Registration, now time.Time) error
	EndRegistration(ctx context.Context, clientID string, now time.Time) error
	Registrations(ctx context.Context, now time.Time) ([]oidc.Registration, error)
	NextOpenEnd(ctx context.Context, now time.Time) (time.Time, error)
	OriginRegistered(ctx context.Context, origin string) (bool, error)
	RegistrationTokenUsable(ctx context.Context, h oidc.Hash, now time.Time) (bool, error)
	CreateRegistrationToken(ctx context.Context, t oidc.RegistrationToken) error
	RegistrationTokens(ctx context.Context, now time.Time) ([]oidc.RegistrationToken, error)
	RevokeRegistrationToken(ctx context.Context, id string, andClients bool, now time.Time) (ended int, err error)
	Clean(ctx context.Context, now time.Time, batch int) (deleted int, err error)
	EachSubject(ctx context.Context, now time.Time, f func(subject string) error) error
	Holds(ctx context.Context, subject string, now time.Time) (bool, error)
	Ping(ctx context.Context) error
}

// Run runs all cases. Open returns an empty store and closes it at the end of
// its test.
func Run(t *testing.T, open func(t *testing.T) Store) {
	t.Helper()
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"codes", codeCases()},
		{"tokens", tokenCases()},
		{"refresh", refreshCases()},
		{"grants", grantCases()},
		{"sessions", sessionCases()},
		{"consents", consentCases()},
		{"subjects", subjectCases()},
		{"once", onceCases()},
		{"devices", deviceCases()},
		{"registrations", registrationCases()},
		{"clean", cleanCases()},
		{"contexts", contextCases()},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(&fixture{T: t, s: open(t), ctx: t.Context(), now: time.Now().Truncate(time.Microsecond).UTC()})
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(f *fixture)
}

// fixture is one empty store and the words to fill it with.
type fixture struct {
	*testing.T
	s   Store
	ctx context.Context
	now time.Time
}

// in returns the time that is d from the test's beginning.
func (f *fixture) in(d time.Duration) time.Time { return f.now.Add(d) }

// authorization returns a new authorization of a client by a person.
func (f *fixture) authorization(clientID, subject string) store.Authorization {
	g := f.grant(clientID, subject)
	return store.Authorization{Grant: g, Code: oidc.Code{
		Hash:          oidc.HashOf(oidc.NewSecret("code_")),
		GrantID:       g.ID,
		RedirectURI:   "https://app.example.org/callback?x=1&y=ü",
		Nonce:         "n-0S6_WzA2Mj",
		CodeChallenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
		ExpiresAt:     f.in(time.Minute),
	}}
}

func (f *fixture) grant(clientID, subject string) oidc.Grant {
	return oidc.Grant{
		ID:        oidc.NewID(),
		ClientID:  clientID,
		Subject:   subject,
		SessionID: oidc.NewID(),
		Scopes:    []string{"openid", "profile", "offline_access"},
		Claims:    oidc.RequestedClaims{IDToken: []string{"email"}, UserInfo: []string{"name", "https://example.org/Ü"}},
		Resources: []string{"https://api.example.org", "other"},
		Withheld:  []string{"address", "picture"},
		AuthTime:  f.in(-time.Hour).Truncate(time.Second),
		AMR:       []string{"pwd", "otp"},
		ACR:       "urn:example:acr",
		CreatedAt: f.now,
		ExpiresAt: f.in(time.Minute),
	}
}

// token returns a new token; its GrantID is what the store must find.
func (f *fixture) token(grantID string, life time.Duration) *oidc.Token {
	return &oidc.Token{
		Hash:      oidc.HashOf(oidc.NewSecret("")),
		GrantID:   grantID,
		Scopes:    []string{"openid", "profile"},
		IssuedAt:  f.now,
		ExpiresAt: f.in(life),
	}
}

// issue returns what a code or token of the grant may be exchanged for.
func (f *fixture) issue(grantID string) store.Issue {
	access := f.token(grantID, 5*time.Minute)
	access.Audience = []string{"https://api.example.org", "app"}
	return store.Issue{
		Now:            f.now,
		Access:         access,
		Refresh:        f.token(grantID, 24*time.Hour),
		GrantExpiresAt: f.in(48 * time.Hour),
	}
}

// saved writes a new authorization.
func (f *fixture) saved() store.Authorization {
	f.Helper()
	a := f.authorization("app", "person")
	f.ok(f.s.SaveAuthorization(f.ctx, a))
	return a
}

// exchanged writes a new authorization and exchanges its code.
func (f *fixture) exchanged() (store.Authorization, store.Issue) {
	f.Helper()
	a := f.saved()
	i := f.issue(a.Grant.ID)
	f.ok(f.s.ExchangeCode(f.ctx, a.Code.Hash, i))
	return a, i
}
