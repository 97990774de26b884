package provider

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

const (
	grantDevice  = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628, section 3.4
	devicePrefix = "ghd_"

	deviceLife  = 10 * time.Minute
	devicePause = 5 * time.Second // RFC 8628, section 3.2: what devices take for granted
	deviceSlack = time.Second     // a network brings two polls nearer to each other than they were sent

	// userCodeLetters are those of RFC 8628, section 6.1: on any keyboard, in one case,
	// never taken for one another, and without vowels that would make words. Eight of
	// them have 34.5 bits.
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// NormalUserCode returns what somebody typed as it is shown on devices, such as
// WDJB-MJHT, whatever its case, hyphens and blanks (RFC 8628, section 6.1); "" if it
// can be no user code.
func NormalUserCode(typed string) string {
	if len(typed) > 64 {
		return ""
	}
	var b strings.Builder
	for _, c := range []byte(strings.ToUpper(typed)) {
		if strings.IndexByte(userCodeLetters, c) >= 0 {
			b.WriteByte(c)
		}
	}
	code := b.String()
	if len(code) != userCodeLength {
		return ""
	}
	return code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
}

func newUserCode() string {
	var b strings.Builder
	for b.Len() < userCodeLength {
		var random [1]byte
		_, _ = rand.Read(random[:]) // never fails: crypto/rand
		if int(random[0]) < 256/len(userCodeLetters)*len(userCodeLetters) {
			b.WriteByte(userCodeLetters[int(random[0])%len(userCodeLetters)])
		}
	}
	return NormalUserCode(b.String())
}

// userCodeHash is what a user code is found under. It is keyed: who reads the database
// could try all codes there are in minutes.
func (p *Provider) userCodeHash(code string) (h oidc.Hash) {
	mac := hmac.New(sha256.New, p.Derive("user codes", sha256.Size))
	mac.Write([]byte(code))
	copy(h[:], mac.Sum(nil))
	return h
}

// deviceCodeHash keeps device codes apart from authorization codes, whose table they
// share once a person has allowed them.
func deviceCodeHash(code string) oidc.Hash { return oidc.HashOf("device code\x00" + code) }

// DeviceAuthorization answers the device authorization endpoint (RFC 8628, section
// 3.1).
func (p *Provider) DeviceAuthorization() http.Handler {
	return p.crossOrigin(p.clientEndpoint(http.StatusOK, p.startDevice))
}

func (p *Provider) startDevice(ctx context.Context, c *oidc.Client, r *http.Request) (map[string]any, error) {
	if !c.HasGrantType(grantDevice) {
		return nil, fail("unauthorized_client", "the client may not use the device authorization grant")
	}
	scopes, err := askedScopes(r.PostForm)
	if err != nil {
		return nil, err
	}
	resources, err := p.parseResources(c, r.PostForm["resource"])
	if err != nil {
		return nil, err
	}
	code, userCode, err := p.keepDevice(ctx, c, scopes, resources)
	if err != nil {
		return nil, err
	}
	oidc.Audit(ctx, p.Log, oidc.EventDeviceIssued, slog.String("client_id", c.ID), slog.String("scopes", strings.Join(scopes, " ")))
	query := "?" + url.Values{"user_code": {userCode}}.Encode()
	return map[string]any{
		"device_code": code, "user_code": userCode, "expires_in": int64(p.deviceLife() / time.Second), "interval": int64(devicePause / time.Second),
		"verification_uri": p.Issuer + PathDevice, "verification_uri_complete": p.Issuer + PathDevice + query,
		"verification_uri_qr": p.Issuer + PathDeviceQR + query, // no RFC's, but further members are ignored
	}, nil
}

// askedScopes reads the scope parameter of a request that is about a person. There
// is no default (RFC 6749, section 3.3).
func askedScopes(form url.Values) ([]string, error) {
	scopes, err := parseScopes(form.Get("scope"))
	if err == nil && len(scopes) == 0 {
		err = fail("invalid_scope", "the scope parameter is missing")
	}
	return scopes, err
}

func (p *Provider) keepDevice(ctx context.Context, c *oidc.Client, scopes, resources []string) (code, userCode string, err error) {
	code = oidc.NewSecret(devicePrefix)
	for range 5 { // until the user code is one that no other device has
		userCode = newUserCode()
		err = p.Store.StartDevice(ctx, store.DeviceCode{
			Hash: deviceCodeHash(code), UserHash: p.userCodeHash(userCode), ClientID: c.ID, Scopes: scopes, Resources: resources,
			Pause: devicePause, ExpiresAt: p.Now().Add(p.deviceLife()),
		})
		if !errors.Is(err, oidc.ErrUsed) {
			break
		}
	}
	return code, userCode, err
}

func (p *Provider) deviceLife() time.Duration {
	if p.DeviceLife > 0 {
		return p.DeviceLife
	}
	return deviceLife
}

// Device finds the device that shows a user code and waits for somebody to allow it.
// What comes next is for Next to say, and it always asks the person (RFC 8628,
// section 5.4). One that is unknown, has expired or was decided on is
// oidc.ErrNotFound.
func (p *Provider) Device(ctx context.Context, userCode, uiLocales string) (*Authorization, error) {
	code := NormalUserCode(userCode)
	if code == "" {
		return nil, fmt.Errorf("not a user code: %w", oidc.ErrNotFound)
	}
	d, err := p.Store.DeviceByUserCode(ctx, p.userCodeHash(code))
	if err != nil {
		return nil, err
	}
	if !d.DecidedAt.IsZero() || !p.Now().Before(d.ExpiresAt) {
		return nil, fmt.Errorf("the device code has expired or was decided on: %w", oidc.ErrNotFound)
	}
	c, err := p.Clients.Client(d.ClientID)
	if err != nil {
		return nil, err
	}
	if !c.HasGrantType(grantDevice) {
		return nil, fmt.Errorf("the client may no longer use the device authorization grant: %w", oidc.ErrNotFound)
	}
	a := &Authorization{
		Client: c, Form: url.Values{}, RequestedAt: p.Now(), Scopes: d.Scopes, UILocales: uiLocales, UserCode: code,
		maxAge: -1, device: &d,
	}
	if uiLocales != "" {
		a.Form.Set("ui_locales", uiLocales)
	}
	return a, nil
}

// allowDevice writes what the person has allowed. The device gets it when it asks
// next. No session is named: signing out of the browser at hand is not meant to end
// what another device does.
func (p *Provider) allowDevice(ctx context.Context, a *Authorization, v Visitor, who person, remember *oidc.ConsentRecord) (Step, error) {
	g := oidc.Grant{
		ID: oidc.NewID(), ClientID: a.Client.ID, Subject: v.Session.Subject, Scopes: who.decision.Granted, Resources: a.device.Resources, Withheld: who.withheld,
		AuthTime: v.Session.AuthTime, AMR: v.Session.AMR, CreatedAt: p.Now(), ExpiresAt: a.device.ExpiresAt,
	}
	err := p.Store.SaveAuthorization(ctx, store.Authorization{
		Grant: g, Code: oidc.Code{Hash: a.device.Hash, GrantID: g.ID, ExpiresAt: a.device.ExpiresAt},
		Session: v.Change, Consent: remember, Device: &a.device.Hash,
	})
	if errors.Is(err, oidc.ErrUsed) {
		return Step{Device: &DeviceStep{Outcome: DeviceGone}}, nil
	}
	if err != nil {
		return Step{}, err
	}
	p.auditGrant(ctx, oidc.EventDeviceAllowed, g, g.Scopes)
	return Step{Device: &DeviceStep{Outcome: DeviceAllowed}}, nil
}

// DenyDevice notes that the person in front of the browser declined; the device is
// told when it asks next. Where that comes too late it is no error.
func (p *Provider) DenyDevice(ctx context.Context, a *Authorization, subject string) error {
	if err := p.Store.DenyDevice(ctx, a.device.Hash, p.Now()); err != nil && !errors.Is(err, oidc.ErrUsed) {
		return err
	}
	oidc.Audit(ctx, p.Log, oidc.EventConsentDenied, slog.String("client_id", a.Client.ID), slog.String("subject", subject))
	return nil
}

// deviceHandler is the device access token request (RFC 8628, section 3.4).
type deviceHandler struct{ *Provider }

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (deviceHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (deviceHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(grantDevice)
}

// HandleTokenEndpointRequest reads the device code and judges it. Nothing is used up;
// that the device has asked is noted only while it waits.
func (h deviceHandler) HandleTokenEndpointRequest(ctx context.Context, r fosite.AccessRequester) error {
	c, form := clientOf(r), r.GetRequestForm()
	if !c.HasGrantType(grantDevice) {
		return fail("unauthorized_client", "the client may not use the device authorization grant")
	}
	if form.Get("device_code") == "" {
		return fail("invalid_request", "device_code is missing")
	}
	d, err := h.Store.DeviceCode(ctx, deviceCodeHash(form.Get("device_code")))
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return fail("invalid_grant", "the device code is unknown").because(err)
	case err != nil:
		return err
	case d.ClientID != c.ID:
		return fail("invalid_grant", "the device code is unknown").because(errors.New("the device code belongs to another client"))
	case d.Denied:
		return fail("access_denied", "the person declined, or may not use this application")
	case !d.DecidedAt.IsZero():
		return h.allowed(ctx, sessionOf(r), d)
	case !h.Now().Before(d.ExpiresAt):
		return fail("expired_token", "the device code has expired")
	}
	hasty, err := h.Store.PollDevice(ctx, d.Hash, h.Now(), deviceSlack, devicePause)
	switch {
	case err != nil:
		return err
	case hasty:
		return fail("slow_down", "the device asks too often: it must wait 5 seconds longer from now on")
	}
	return fail("authorization_pending", "nobody has allowed the device yet")
}

// allowed judges the code that a person's consent has left.
func (h deviceHandler) allowed(ctx context.Context, s *session, d store.DeviceCode) error {
	code, grant, err := h.Store.Code(ctx, d.Hash)
	if errors.Is(err, oidc.ErrNotFound) {
		return fail("expired_token", "the device code has expired").because(err)
	}
	if err != nil {
		return err
	}
	s.code, s.grant, s.scopes = code, grant, grant.Scopes
	switch {
	case !code.UsedAt.IsZero():
		return fail("invalid_grant", "the device code has been used before").because(oidc.ErrUsed)
	case !grant.RevokedAt.IsZero():
		return fail("invalid_grant", "the grant was revoked").because(oidc.ErrRevoked)
	case !h.Now().Before(code.ExpiresAt):
		return fail("expired_token", "the device code has expired")
	}
	return nil
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler.
func (h deviceHandler) PopulateTokenEndpointResponse(ctx context.Context, r fosite.AccessRequester, resp fosite.AccessResponder) error {
	if !h.CanHandleTokenEndpointRequest(ctx, r) {
		return fosite.ErrUnknownRequest
	}
	return codeHandler(h).spend(ctx, r, resp)
}
