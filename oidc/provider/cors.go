package provider

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/oidc"
)

// Origins says whose scripts may ask.
type Origins interface {
	// AllowsOrigin reports whether an origin is one of any client.
	AllowsOrigin(ctx context.Context, origin string) (bool, error)
}

// crossOrigin lets scripts of a client's origins read what h answers (Fetch standard,
// section 3.2), and answers their preflights. Cookies are never part of it, so that a
// page can do nothing in the name of whoever looks at it.
func (p *Provider) crossOrigin(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Origin") // also without one: caches must keep the two apart
		origin := r.Header.Get("Origin")
		switch {
		case r.Method == http.MethodOptions:
			p.preflight(w, r, origin)
			return
		case origin != "" && p.mayAsk(r, origin):
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
		}
		h.ServeHTTP(w, r)
	})
}

// preflight answers the question that a browser asks before the request. It doesn't
// say in which client's name, so that an origin of any will do.
func (p *Provider) preflight(w http.ResponseWriter, r *http.Request, origin string) {
	if origin == "" || !p.ofAnyClient(r.Context(), origin) {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	permit(w.Header(), origin, "GET, POST")
	w.WriteHeader(http.StatusNoContent)
}

func permit(h http.Header, origin, methods string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
	h.Set("Access-Control-Max-Age", "600") // seconds
}

// mayAsk reports whether scripts of an origin may read the answer: those of the client
// that asks. Where none is named, or nobody knows it, an origin of any client may read
// what is wrong.
func (p *Provider) mayAsk(r *http.Request, origin string) bool {
	id := claimedClient(r)
	if id == "" {
		return p.ofAnyClient(r.Context(), origin)
	}
	c, err := p.Clients.Client(id)
	if err != nil {
		return p.ofAnyClient(r.Context(), origin)
	}
	return slices.Contains(c.Origins(), origin)
}

func (p *Provider) ofAnyClient(ctx context.Context, origin string) bool {
	if p.Origins == nil {
		return false
	}
	may, err := p.Origins.AllowsOrigin(ctx, origin)
	if err != nil {
		p.Log.LogAttrs(ctx, slog.LevelWarn, "cannot tell whether an origin may ask",
			slog.String("request_id", oidc.RequestID(ctx)), slog.String("error", err.Error()))
	}
	return may && err == nil
}

// claimedClient returns the id of the client that a request says it comes from, before
// anything is proven; "" for none.
func claimedClient(r *http.Request) string {
	if id, _, ok := r.BasicAuth(); ok {
		if decoded, err := url.QueryUnescape(id); err == nil {
			return decoded
		}
		return id
	}
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return ""
	}
	if err := r.ParseForm(); err != nil {
		return ""
	}
	return r.PostForm.Get("client_id")
}

// keepToOrigins takes an answer away from scripts that are not of the client whose
// token they have.
func keepToOrigins(w http.ResponseWriter, r *http.Request, c *oidc.Client) {
	if origin := r.Header.Get("Origin"); origin != "" && !slices.Contains(c.Origins(), origin) {
		w.Header().Del("Access-Control-Allow-Origin")
		w.Header().Del("Access-Control-Expose-Headers")
	}
}

// forEverybody answers the preflights of what scripts of any origin may read.
func forEverybody(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodOptions {
			permit(w.Header(), "*", http.MethodGet)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		h.ServeHTTP(w, r)
	})
}
