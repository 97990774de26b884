package provider

import (
	"context"
	"net/http"

	"gatehouse/oidc"
)

// endpoint answers with a JSON object or a protocol error.
func endpoint[T any](p *Provider, status int, answer func(*http.Request) (T, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := answer(r)
		if err != nil {
			p.writeError(w, r, err)
			return
		}
		writeJSON(w, status, body)
	})
}

// clientEndpoint is an endpoint that authenticated clients post a form to.
func (p *Provider) clientEndpoint(status int, answer func(context.Context, *oidc.Client, *http.Request) (map[string]any, error)) http.Handler {
	return endpoint(p, status, func(r *http.Request) (map[string]any, error) {
		if err := postedForm(r); err != nil {
			return nil, err
		}
		found, err := p.fosite.AuthenticateClient(r.Context(), r, r.PostForm)
		if err != nil {
			return nil, err
		}
		return answer(r.Context(), clientIn(found), r)
	})
}

// tokenEndpoint is a clientEndpoint to which a token is sent (RFC 7009, section 2.1;
// RFC 7662, section 2.1).
func (p *Provider) tokenEndpoint(answer func(ctx context.Context, c *oidc.Client, token, hint string) (map[string]any, error)) http.Handler {
	return p.clientEndpoint(http.StatusOK, func(ctx context.Context, c *oidc.Client, r *http.Request) (map[string]any, error) {
		token := r.PostForm.Get("token")
		if token == "" {
			return nil, fail("invalid_request", "token is missing")
		}
		return answer(ctx, c, token, r.PostForm.Get("token_type_hint"))
	})
}
