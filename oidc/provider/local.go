package provider

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// maxOrder is the largest body that a program may send, in bytes: an ID token with
// two hundred groups fits.
const maxOrder = 256 << 10

// orderBody is what a program posts to /token. The names are those of the token
// endpoint, as far as it has them.
type orderBody struct {
	ClientID  string   `json:"client_id"`
	Username  string   `json:"username"`
	Subject   string   `json:"subject"`
	Scope     string   `json:"scope"`
	Resources []string `json:"resource"`
	IDToken   bool     `json:"id_token"`
}

// Local answers other programs on the same machine: POST /token makes a token for a
// client and a person, POST /check judges one, in JSON. Whoever reaches it may do
// both for everybody, so it must be reachable for nobody else: see local_socket in
// the configuration. peer says who asks, for the audit log.
func (p *Provider) Local(peer func(*http.Request) string) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /token", endpoint(p, http.StatusOK, func(r *http.Request) (MadeToken, error) {
		var body orderBody
		if err := readOrder(r, &body); err != nil {
			return MadeToken{}, err
		}
		return p.MakeToken(r.Context(), TokenOrder{
			ClientID: body.ClientID, Username: body.Username, Subject: body.Subject, Scopes: strings.Fields(body.Scope),
			Resources: body.Resources, IDToken: body.IDToken, By: peer(r),
		})
	}))
	mux.Handle("POST /check", endpoint(p, http.StatusOK, func(r *http.Request) (Verdict, error) {
		var body struct {
			Token string `json:"token"`
		}
		if err := readOrder(r, &body); err != nil {
			return Verdict{}, err
		}
		if body.Token == "" {
			return Verdict{}, fail("invalid_request", "token is missing")
		}
		return p.CheckToken(r.Context(), body.Token, peer(r))
	}))
	return http.MaxBytesHandler(mux, maxOrder)
}

// MarshalJSON writes the answer of the token endpoint (RFC 6749, section 5.1), with
// the audience and the grant's id, by which it can be revoked.
func (m MadeToken) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		AccessToken string   `json:"access_token"`
		TokenType   string   `json:"token_type"`
		ExpiresIn   int64    `json:"expires_in"`
		Scope       string   `json:"scope"`
		Audience    []string `json:"audience"`
		IDToken     string   `json:"id_token,omitempty"`
		GrantID     string   `json:"grant_id"`
	}{m.AccessToken, "Bearer", int64(m.ExpiresIn / time.Second), strings.Join(m.Scopes, " "), m.Audience, m.IDToken, m.GrantID})
}

// readOrder reads one JSON object and nothing else.
func readOrder(r *http.Request, into any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return fail("invalid_request", "the body must be application/json")
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fail("invalid_request", "the body is not the JSON object that it should be").because(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fail("invalid_request", "something follows the JSON object")
	}
	return nil
}
