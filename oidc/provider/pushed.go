package provider

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/store"
)

const (
	pushedPrefix = "urn:ietf:params:oauth:request_uri:" // RFC 9126, section 2.2
	pushedLife   = time.Minute
)

// pushedRequest is what is kept of a pushed request, sealed: parameters may say who
// is about to sign in.
type pushedRequest struct {
	Form   url.Values `json:"form"`
	Signed bool       `json:"signed,omitempty"`
}

// PushedAuthorization answers RFC 9126. What is pushed is judged as the
// authorisation endpoint would; credentials are not kept.
func (p *Provider) PushedAuthorization() http.Handler {
	return p.crossOrigin(p.clientEndpoint(http.StatusCreated, p.push))
}

func (p *Provider) push(ctx context.Context, c *oidc.Client, r *http.Request) (map[string]any, error) {
	if r.PostForm.Has("request_uri") { // RFC 9126, section 2.1
		return nil, fail("invalid_request", "request_uri must not be pushed")
	}
	form, repeated := keepKnown(r.PostForm)
	form.Set("client_id", c.ID)
	a := &Authorization{Form: form, RequestedAt: p.Now(), pushed: true}
	if err := p.resolve(ctx, a, ""); err != nil {
		return nil, err
	}
	a.Form.Del(sealParameter)
	a.read()
	err := p.checkAddressee(ctx, a)
	var page *PageError
	if errors.As(err, &page) {
		return nil, fail("invalid_request", "redirect_uri is missing or not registered for this client").because(err)
	}
	if err != nil {
		return nil, err
	}
	if a.types, a.mode, err = parseResponse(a.Form); err != nil {
		return nil, err
	}
	if err := p.checkRequest(ctx, a, repeated); err != nil {
		return nil, err
	}
	uri, err := p.keepPushed(ctx, a)
	if err != nil {
		return nil, err
	}
	return map[string]any{"request_uri": uri, "expires_in": int64(p.pushedLife() / time.Second)}, nil
}

func (p *Provider) pushedLife() time.Duration {
	if p.PushedLife > 0 {
		return p.PushedLife
	}
	return pushedLife
}

func (p *Provider) keepPushed(ctx context.Context, a *Authorization) (uri string, err error) {
	data, err := json.Marshal(pushedRequest{Form: a.Form, Signed: a.signed})
	if err != nil {
		return "", fmt.Errorf("keep a pushed request: %w", err)
	}
	uri = pushedPrefix + oidc.NewSecret("")
	err = p.Store.PushRequest(ctx, store.PushedRequest{
		Hash: oidc.HashOf(uri), ClientID: a.Client.ID, Sealed: p.seal(data, "pushed "+uri), ExpiresAt: p.Now().Add(p.pushedLife()),
	})
	return uri, err
}

// resolvePushed takes a pushed request over as a whole: nothing that stands beside
// its request_uri counts (RFC 9126, section 4). It may be visited again until its
// sign-in has ended, by whatever answer, or its time is over.
func (p *Provider) resolvePushed(ctx context.Context, a *Authorization, c *oidc.Client, uri string) error {
	refused := func(err error) error {
		return fail("invalid_request_uri", "request_uri is unknown, was used, or has expired").because(err)
	}
	kept, err := p.Store.PushedRequest(ctx, oidc.HashOf(uri))
	switch {
	case errors.Is(err, oidc.ErrNotFound):
		return refused(err)
	case err != nil:
		return err
	case kept.ClientID != c.ID:
		return refused(errors.New("it belongs to another client"))
	case !p.Now().Before(kept.ExpiresAt):
		return refused(errors.New("it has expired"))
	}
	data, err := p.unseal(kept.Sealed, "pushed "+uri)
	if err != nil {
		return refused(err)
	}
	var was pushedRequest
	if err := json.Unmarshal(data, &was); err != nil {
		return refused(err)
	}
	a.Form, a.signed, a.pushed, a.once = was.Form, was.Signed, true, &kept.Hash
	return nil
}

// spend is what the answer to a pushed request uses up; nil for any other.
func (a *Authorization) spend() *store.Once {
	if a.once == nil {
		return nil
	}
	return &store.Once{Hash: *a.once, Until: a.until}
}

// end makes an answer the last one to a pushed request, or to a device.
func (p *Provider) end(ctx context.Context, a *Authorization) {
	if a.device != nil {
		if err := p.Store.DenyDevice(ctx, a.device.Hash, p.Now()); err != nil && !errors.Is(err, oidc.ErrUsed) {
			// The page says no, and the device gives up when its time is over.
			p.Log.LogAttrs(ctx, slog.LevelWarn, "cannot tell a device that it was refused", slog.String("error", err.Error()))
		}
		return
	}
	once := a.spend()
	if once == nil {
		return
	}
	if err := p.Store.UseOnce(ctx, *once); err != nil && !errors.Is(err, oidc.ErrUsed) {
		// The answer stands: it gives nothing away, and the request dies with its time.
		p.Log.LogAttrs(ctx, slog.LevelWarn, "cannot end a pushed request", slog.String("error", err.Error()))
	}
}

// newAEAD returns what the provider seals with.
func newAEAD(derive func(purpose string, n int) []byte) (cipher.AEAD, error) {
	if derive == nil {
		return nil, errors.New("provider: Derive is missing")
	}
	block, err := aes.NewCipher(derive("authorization requests", 32))
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	return aead, nil
}

// seal encrypts data; only who names the same purpose gets it back.
func (p *Provider) seal(data []byte, purpose string) []byte {
	nonce := make([]byte, p.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: crypto/rand
	return p.aead.Seal(nonce, nonce, data, []byte(purpose))
}

func (p *Provider) unseal(sealed []byte, purpose string) ([]byte, error) {
	if len(sealed) < p.aead.NonceSize() {
		return nil, errors.New("the seal is cut short")
	}
	data, err := p.aead.Open(nil, sealed[:p.aead.NonceSize()], sealed[p.aead.NonceSize():], []byte(purpose))
	if err != nil {
		return nil, errors.New("the seal is broken")
	}
	return data, nil
}
