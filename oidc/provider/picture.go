package provider

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"gatehouse/oidc"
)

// Photos reads the photos of persons.
type Photos interface {
	// Photo returns a person's photo, or oidc.ErrNotFound.
	Photo(ctx context.Context, id string) ([]byte, error)
}

// PathPicture is where photos of the directory are served, each below an address
// that names nobody.
const PathPicture = "/picture/"

// pictures makes the addresses of photos: client and person, sealed. An address
// is always the same, so that browsers can keep the photo, is another one for
// each client, so that clients cannot tell by it whom they have in common, and
// cannot be guessed.
type pictures struct {
	nonceKey []byte
	seal     cipher.AEAD
}

func newPictures(derive func(purpose string, n int) []byte) (*pictures, error) {
	block, err := aes.NewCipher(derive("picture", 32))
	if err != nil {
		return nil, fmt.Errorf("provider: the key of pictures: %w", err)
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("provider: the key of pictures: %w", err)
	}
	return &pictures{nonceKey: derive("picture nonce", 32), seal: seal}, nil
}

// token seals client and person. The nonce is a MAC of what is sealed, so that
// equal nonces mean equal texts (as in SIV, RFC 5297).
func (p *pictures) token(clientID, subject string) string {
	text := []byte(clientID + "\x00" + subject)
	mac := hmac.New(sha256.New, p.nonceKey)
	mac.Write(text)
	nonce := mac.Sum(nil)[:p.seal.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(p.seal.Seal(nonce, nonce, text, nil))
}

func (p *pictures) open(token string) (clientID, subject string, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < p.seal.NonceSize() || len(raw) > 1024 {
		return "", "", false
	}
	text, err := p.seal.Open(nil, raw[:p.seal.NonceSize()], raw[p.seal.NonceSize():], nil)
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(text), "\x00")
}

// addPicture puts the address of the photo into claims that may have one and have
// none from an attribute.
func (p *Provider) addPicture(out map[string]any, c *oidc.Client, who person, scopes, names []string, byScope bool) {
	asked := byScope && slices.Contains(scopes, "profile") ||
		slices.Contains(names, "picture") && slices.Contains(who.decision.Final, "profile")
	if p.Photos == nil || !asked || out["picture"] != nil {
		return
	}
	out["picture"] = p.Issuer + PathPicture + p.pictures.token(c.ID, who.user.ID)
}

// Picture answers with the photo that an address from the picture claim stands
// for, while the person may still be shown to the client.
func (p *Provider) Picture() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		photo, kind, err := p.picture(r.Context(), strings.TrimPrefix(r.URL.Path, PathPicture))
		h := w.Header()
		switch {
		case errors.Is(err, oidc.ErrNotFound):
			http.Error(w, "no picture", http.StatusNotFound)
			return
		case err != nil:
			p.writeError(w, r, err)
			return
		}
		sum := sha256.Sum256(photo)
		h.Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
		h.Set("Cache-Control", "private, max-age=600")
		h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin") // it is for pages of applications
		h.Set("X-Content-Type-Options", "nosniff")
		if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), h.Get("ETag")) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", kind)
		_, _ = w.Write(photo) //nolint:gosec // G705: a picture by its type, see pictureTypes; the browser has gone if this fails
	})
}

// pictureTypes are what a browser may be given as a picture: SVG, which can hold
// scripts, is not.
var pictureTypes = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}

func (p *Provider) picture(ctx context.Context, token string) (photo []byte, kind string, err error) {
	if p.Photos == nil {
		return nil, "", oidc.ErrNotFound
	}
	clientID, subject, ok := p.pictures.open(token)
	if !ok {
		return nil, "", oidc.ErrNotFound
	}
	c, err := p.Clients.Client(clientID)
	if err != nil {
		return nil, "", err
	}
	if _, err := p.live(ctx, c, oidc.Grant{Subject: subject}, []string{"profile"}); err != nil {
		if errors.Is(err, errNoLonger) {
			return nil, "", oidc.ErrNotFound
		}
		return nil, "", err
	}
	if known, err := p.remembered(ctx, c, subject); err != nil || slices.Contains(known.Withheld, "picture") {
		return nil, "", errors.Join(err, oidc.ErrNotFound)
	}
	if photo, err = p.Photos.Photo(ctx, subject); err != nil {
		return nil, "", err
	}
	if kind = http.DetectContentType(photo); !slices.Contains(pictureTypes, kind) {
		return nil, "", oidc.ErrNotFound
	}
	return photo, kind, nil
}
