package provider

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// PathWebFinger is where RFC 7033, section 4, wants it.
const PathWebFinger = "/.well-known/webfinger"

const (
	relIssuer   = "http://openid.net/specs/connect/1.0/issuer" // OpenID Connect Discovery 1.0, section 2
	maxResource = 1 << 10                                      // bytes
	maxRels     = 20
)

// WebFinger answers which issuer somebody signs in at (RFC 7033; OpenID Connect
// Discovery 1.0, section 2): ours, whoever it is. Nobody is looked up, so that nobody
// learns who there is.
func (p *Provider) WebFinger() http.Handler {
	return forEverybody(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*") // RFC 7033, section 5
		query, err := url.ParseQuery(r.URL.RawQuery)
		resources, rels := query["resource"], query["rel"]
		switch {
		case err != nil, len(resources) != 1, len(rels) > maxRels: // RFC 7033, section 4.2
			p.writeError(w, r, fail("invalid_request", "the resource parameter must be there once"))
			return
		case !wellFormed(resources[0]):
			p.writeError(w, r, fail("invalid_request", "the resource is neither acct:NAME@HOST nor an https address"))
			return
		}
		type link struct {
			Rel  string `json:"rel"`
			Href string `json:"href"`
		}
		links := []link{}
		if len(rels) == 0 || slices.Contains(rels, relIssuer) { // section 4.3
			links = append(links, link{relIssuer, p.Issuer})
		}
		body, err := json.Marshal(map[string]any{"subject": resources[0], "links": links})
		if err != nil {
			p.writeError(w, r, err)
			return
		}
		write(w, http.StatusOK, "application/jrd+json", body)
	}))
}

// wellFormed reports whether a resource is a person's as OpenID Connect Discovery 1.0,
// section 2.1.2, makes it of what they typed.
func wellFormed(resource string) bool {
	if len(resource) > maxResource {
		return false
	}
	u, err := url.Parse(resource)
	if err != nil || u.Fragment != "" {
		return false
	}
	switch u.Scheme {
	case "acct": // RFC 7565, section 7
		at := strings.LastIndexByte(u.Opaque, '@')
		return at > 0 && at < len(u.Opaque)-1 && !strings.ContainsAny(u.Opaque, "/?# ") && u.RawQuery == ""
	case "https":
		return u.Hostname() != ""
	}
	return false
}
