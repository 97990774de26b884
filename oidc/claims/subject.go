package claims

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"gatehouse/oidc"
)

// The subject types of a client (OpenID Connect Core 1.0, section 8; attribute
// is ours).
const (
	SubjectPublic    = "public"
	SubjectPairwise  = "pairwise"
	SubjectAttribute = "attribute"
)

// Subject returns the sub of a person for a client. Public, the default, is the
// directory's stable id. Pairwise is a digest of that id which no two sectors
// share; salt must be secret and must never change. Attribute is the value of one
// directory attribute, for an application that already knows people by it.
//
// It fails rather than return a sub that is empty, ambiguous, or not the at most
// 255 ASCII characters that OpenID Connect Core 1.0, section 2 allows.
func Subject(c *oidc.Client, u *oidc.User, salt []byte) (string, error) {
	if u.ID == "" {
		return "", errors.New("the directory gave no stable id for the person")
	}
	switch c.SubjectType {
	case SubjectPublic, "":
		return usableSubject(u.ID)
	case SubjectPairwise:
		if len(salt) == 0 {
			return "", errors.New("no salt for pairwise subjects")
		}
		mac := hmac.New(sha256.New, salt)
		_, _ = mac.Write([]byte(Sector(c) + "|" + u.ID)) // a hash never fails
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
	case SubjectAttribute:
		values := u.Values(c.SubjectAttribute)
		if len(values) != 1 {
			return "", fmt.Errorf("attribute %s has %d values, a subject needs exactly one", c.SubjectAttribute, len(values))
		}
		return usableSubject(values[0])
	default:
		return "", fmt.Errorf("subject type %q is not known", c.SubjectType)
	}
}

func usableSubject(sub string) (string, error) {
	if sub == "" || len(sub) > 255 || strings.ContainsFunc(sub, func(c rune) bool { return c < ' ' || c > '~' }) {
		return "", errors.New("a subject must be 1 to 255 printable ASCII characters")
	}
	return sub, nil
}

// Sector is what a pairwise subject is bound to (OpenID Connect Core 1.0, section
// 8.1): the host of the sector identifier, or else of the client's first redirect
// URI, so that adding a URI keeps subjects as they are. Without a host of its own the client is its own sector:
// all native applications share 127.0.0.1, and must not share their people.
func Sector(c *oidc.Client) string {
	if c.SectorIdentifierURI != "" {
		if u, err := url.Parse(c.SectorIdentifierURI); err == nil && u.Hostname() != "" {
			return strings.ToLower(u.Hostname())
		}
	}
	if len(c.RedirectURIs) > 0 {
		if u, err := url.Parse(c.RedirectURIs[0]); err == nil {
			host := strings.ToLower(u.Hostname())
			ip, err := netip.ParseAddr(host)
			loopback := host == "localhost" || err == nil && ip.IsLoopback()
			if host != "" && !loopback {
				return host
			}
		}
	}
	return "client:" + c.ID
}
