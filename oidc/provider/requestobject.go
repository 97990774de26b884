package provider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// maxRequestObject is the largest request object that is fetched, in bytes.
const maxRequestObject = 64 << 10

// resolve replaces a.Form by what the request consists of: the parameters of a
// pushed request alone, or of a request object, by value or by reference, laid over
// those beside it (OpenID Connect Core 1.0, section 6; RFC 9101; RFC 9126). A
// request that was resolved before says so by its seal.
func (p *Provider) resolve(ctx context.Context, a *Authorization, seal string) error {
	if seal != "" {
		return p.resumeResolved(a, seal)
	}
	object, uri := a.Form.Get("request"), a.Form.Get("request_uri")
	if object == "" && uri == "" {
		return nil
	}
	if object != "" && uri != "" { // RFC 9101, section 5
		return fail("invalid_request", "request and request_uri are both given")
	}
	c, err := p.Clients.Client(a.Form.Get("client_id"))
	if errors.Is(err, oidc.ErrNotFound) {
		return nil // checkAddressee says so
	}
	if err != nil {
		return err
	}
	switch {
	case strings.HasPrefix(uri, pushedPrefix):
		err = p.resolvePushed(ctx, a, c, uri)
	case uri != "":
		if object, err = p.fetchRequestObject(ctx, c, uri); err == nil {
			err = p.resolveObject(ctx, a, c, object)
		}
	default:
		err = p.resolveObject(ctx, a, c, object)
	}
	if err != nil {
		return err
	}
	return p.sealResolved(a)
}

// resolveObject verifies a request object and takes its parameters over.
func (p *Provider) resolveObject(ctx context.Context, a *Authorization, c *oidc.Client, object string) error {
	refused := func(err error) error {
		if errors.Is(err, oidc.ErrUnavailable) { // "can't tell" is no "no"
			return err
		}
		return fail("invalid_request_object", "the request object is not valid").because(err)
	}
	j, err := keys.ParseJWS(object)
	if err != nil {
		return refused(err)
	}
	signed := true
	if c.RequestObjectSigningAlg == keys.None {
		signed, err = false, j.VerifyNone()
	} else {
		err = p.verifyClientJWS(ctx, c, j, requestObjectAlgorithms(c))
	}
	if err != nil {
		return refused(err)
	}
	m, err := parseJWT(j.Payload)
	if err != nil {
		return refused(err)
	}
	if err := p.checkRequestObject(c, j, m); err != nil {
		return refused(err)
	}
	inner, err := parametersOf(m)
	if err != nil {
		return refused(err)
	}
	if outer := a.Form.Get("response_type"); outer != "" && inner.Has("response_type") && outer != inner.Get("response_type") && !c.RequireSignedRequestObject {
		return refused(errors.New("response_type differs from that beside it")) // OpenID Connect Core 1.0, section 6.1
	}
	form := url.Values{}
	if !c.RequireSignedRequestObject { // else RFC 9101, section 6.3: only what is inside counts
		for name, values := range a.Form {
			form[name] = values
		}
	}
	for name, values := range inner {
		form[name] = values
	}
	form.Del("request")
	form.Del("request_uri")
	form.Set("client_id", c.ID)
	a.Form, a.signed = form, signed
	return nil
}

// requestObjectAlgorithms returns what a client may sign its request objects with.
func requestObjectAlgorithms(c *oidc.Client) (all []string) {
	if alg := c.RequestObjectSigningAlg; alg != "" {
		return []string{alg}
	}
	if c.HasKeys() {
		all = append(all, keys.Asymmetric()...)
	}
	if c.SecretSealed != "" {
		all = append(all, keys.Symmetric()...)
	}
	return all
}

// checkRequestObject judges the claims that are about the object itself (RFC 9101,
// sections 4, 6.3 and 10.8).
func (p *Provider) checkRequestObject(c *oidc.Client, j *keys.JWS, m jwtClaims) error {
	if typ := strings.TrimPrefix(strings.ToLower(j.Header.Typ), "application/"); typ != "" && typ != "jwt" && typ != "oauth-authz-req+jwt" {
		return errors.New("its typ says that it is something else")
	}
	issuer, errIssuer := m.text("iss")
	subject, errSubject := m.text("sub")
	id, errID := m.text("client_id")
	aud, _, errAud := m.audience()
	expires, errTimes := m.checkTimes(p.Now(), 0)
	if err := errors.Join(errIssuer, errSubject, errID, errAud, errTimes); err != nil {
		return err
	}
	strict := c.RequireSignedRequestObject
	switch {
	case id != "" && id != c.ID:
		return errors.New("client_id differs from that beside it")
	case issuer != c.ID && (issuer != "" || strict):
		return errors.New("iss is not the client's id")
	case !slices.Contains(aud, p.issuerOf(c)) && (aud != nil || strict):
		return errors.New("aud is not this server")
	case expires.IsZero() && strict:
		return errors.New("exp is missing")
	case subject == c.ID: // it might be a client assertion
		return errors.New("sub is the client's id")
	}
	return nil
}

// parametersOf returns the parameters of a request object as they would stand in a
// query: numbers letter by letter, objects as their JSON.
func parametersOf(m jwtClaims) (url.Values, error) {
	form := url.Values{}
	for _, name := range knownParameters {
		raw, there := m[name]
		if !there {
			continue
		}
		if name == "resource" {
			values, err := severalTexts(raw)
			if err != nil {
				return nil, fmt.Errorf("%s is malformed", name)
			}
			form[name] = values
			continue
		}
		if name == "request" || name == "request_uri" { // RFC 9101, section 4
			return nil, fmt.Errorf("there is a %s in it", name)
		}
		var text string
		switch raw = bytes.TrimSpace(raw); raw[0] {
		case '"':
			if err := json.Unmarshal(raw, &text); err != nil {
				return nil, fmt.Errorf("%s is malformed", name)
			}
		case '{':
			var compact bytes.Buffer
			if err := json.Compact(&compact, raw); err != nil {
				return nil, fmt.Errorf("%s is malformed", name)
			}
			text = compact.String()
		case '[', 'n':
			return nil, fmt.Errorf("%s is of a type that no parameter has", name)
		default:
			text = string(raw)
		}
		if text != "" {
			form.Set(name, text)
		}
	}
	return form, nil
}

// severalTexts reads a text or a list of texts: what may be there several times as a
// parameter is a list within a request object.
func severalTexts(raw json.RawMessage) (values []string, err error) {
	if json.Unmarshal(raw, &values) == nil {
		return slices.DeleteFunc(values, func(v string) bool { return v == "" }), nil
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return nil, err
	}
	if one == "" {
		return nil, nil
	}
	return []string{one}, nil
}

// fetchRequestObject fetches a request object from an address that the client has
// registered (OpenID Connect Core 1.0, section 6.2). A fragment that can be a
// SHA-256 is one: of the content, which then must not have changed.
func (p *Provider) fetchRequestObject(ctx context.Context, c *oidc.Client, uri string) (string, error) {
	if p.Fetch == nil {
		return "", fail("request_uri_not_supported", "request_uri is not supported")
	}
	refused := func(description string, err error) (string, error) {
		return "", fail("invalid_request_uri", description).because(err)
	}
	address, fragment, _ := strings.Cut(uri, "#")
	registered := slices.ContainsFunc(c.RequestURIs, func(r string) bool { return r == uri || r == address })
	if len(uri) > 2048 || !registered {
		return refused("request_uri is not registered for this client", nil)
	}
	body, err := p.Fetch.Get(ctx, address, maxRequestObject)
	if err != nil {
		return refused("the request object cannot be fetched", err)
	}
	if want, err := base64.RawURLEncoding.DecodeString(fragment); err == nil && len(want) == sha256.Size {
		if sum := sha256.Sum256(body); subtle.ConstantTimeCompare(sum[:], want) != 1 {
			return refused("the request object is not the one that request_uri names", nil)
		}
	}
	return string(bytes.TrimSpace(body)), nil
}

// resolved is what is to be known of a request whose parameters came in a way of
// their own, when its person comes back from the sign-in page.
type resolved struct {
	Signed bool      `json:"signed,omitempty"`
	Pushed bool      `json:"pushed,omitempty"`
	Once   oidc.Hash `json:"once,omitzero"`
	Until  time.Time `json:"until"`
}

const (
	// sealParameter is no parameter of a request: Begin never reads it, and the seal
	// is bound to all the others, so that nobody can add it to anything.
	sealParameter = "gatehouse_seal"

	// resolvedLife is how long a sign-in for such a request may take.
	resolvedLife = 2 * time.Hour
)

func (p *Provider) sealResolved(a *Authorization) error {
	r := resolved{Signed: a.signed, Pushed: a.pushed, Until: p.Now().Add(resolvedLife)}
	if a.once != nil {
		r.Once = *a.once
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("seal a request: %w", err)
	}
	a.until = r.Until
	a.Form.Set(sealParameter, base64.RawURLEncoding.EncodeToString(p.seal(data, "resolved "+a.Form.Encode())))
	return nil
}

func (p *Provider) resumeResolved(a *Authorization, seal string) error {
	refused := func(err error) error {
		return fail("invalid_request", "the sign-in has taken too long, or was tampered with").because(err)
	}
	data, err := base64.RawURLEncoding.DecodeString(seal)
	if err == nil {
		data, err = p.unseal(data, "resolved "+a.Form.Encode())
	}
	var r resolved
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return refused(err)
	}
	if !p.Now().Before(r.Until) {
		return refused(errors.New("it has expired"))
	}
	a.signed, a.pushed, a.until = r.Signed, r.Pushed, r.Until
	if r.Once != (oidc.Hash{}) {
		a.once = &r.Once
	}
	a.Form.Set(sealParameter, seal)
	return nil
}
