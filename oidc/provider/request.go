package provider

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// knownParameters are the parameters of an authorisation request that we read.
// All others are ignored, as RFC 6749, section 3.1, demands, and not kept.
var knownParameters = []string{
	"response_type", "client_id", "redirect_uri", "scope", "state", "response_mode", "nonce", "display", "prompt", "max_age",
	"ui_locales", "id_token_hint", "login_hint", "acr_values", "claims", "code_challenge", "code_challenge_method",
	"request", "request_uri", "registration", "resource",
}

// keepKnown returns the known parameters of form that have a value: one without
// is treated as absent (RFC 6749, section 3.1).
func keepKnown(form url.Values) (kept url.Values, repeated bool) {
	kept = make(url.Values, len(knownParameters))
	for _, name := range knownParameters {
		values := form[name]
		if name == "resource" { // RFC 8707, section 2: as often as there are resources
			if values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" }); len(values) > 0 {
				kept[name] = values
			}
			continue
		}
		if len(values) > 1 {
			repeated = true
		}
		if len(values) > 0 && values[0] != "" {
			kept[name] = values[:1]
		}
	}
	return kept, repeated
}

// matchRedirectURI reports whether requested is registered: character by
// character, but for the port of a loopback IP literal, which a native
// application chooses when it starts (RFC 8252, section 7.3).
func matchRedirectURI(registered []string, requested string) bool {
	if slices.Contains(registered, requested) {
		return true
	}
	want, err := url.Parse(requested)
	if err != nil || want.Scheme != "http" || want.User != nil || !isLoopbackLiteral(want.Hostname()) {
		return false
	}
	for _, r := range registered {
		have, err := url.Parse(r)
		if err != nil || have.Scheme != "http" || have.Hostname() != want.Hostname() {
			continue
		}
		have.Host = want.Host // the registered text with the requested port
		if have.String() == requested {
			return true
		}
	}
	return false
}

func isLoopbackLiteral(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

var (
	scopeToken    = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,128}$`) // RFC 6749, section 3.3
	challengeS256 = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)               // RFC 7636, section 4.2
	verifierText  = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)         // RFC 7636, section 4.1
)

// parseScopes reads a space-separated list; what is said twice counts once.
func parseScopes(text string) ([]string, error) {
	var scopes []string
	for _, s := range strings.Fields(text) {
		if !scopeToken.MatchString(s) {
			return nil, fail("invalid_scope", "a requested scope is malformed")
		}
		if slices.Contains(scopes, s) {
			continue
		}
		if scopes = append(scopes, s); len(scopes) > 100 {
			return nil, fail("invalid_scope", "too many scopes are requested")
		}
	}
	return scopes, nil
}

// parsePrompt reads the prompt parameter (OpenID Connect Core 1.0, section
// 3.1.2.1).
func parsePrompt(text string) ([]string, error) {
	prompts := strings.Fields(text)
	for _, p := range prompts {
		switch p {
		case "none", "login", "consent", "select_account":
		default:
			return nil, fail("invalid_request", "the prompt parameter has a value that is not supported")
		}
	}
	if len(prompts) > 1 && slices.Contains(prompts, "none") {
		return nil, fail("invalid_request", "prompt=none cannot be combined with other values")
	}
	return prompts, nil
}

// parseMaxAge reads max_age in seconds; -1 stands for not given.
func parseMaxAge(text string) (time.Duration, error) {
	if text == "" {
		return -1, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return 0, fail("invalid_request", "max_age is not a number of seconds")
	}
	if seconds > math.MaxInt32 {
		return -1, nil // older than any session can be
	}
	return time.Duration(seconds) * time.Second, nil
}

// acrPassword is the one class of authentication there is: a password, of an
// account that an organisation has given out.
const acrPassword = "urn:gatehouse:acr:password"

// acr returns the authentication context class that was asked for, if it is one
// that a password gives (OpenID Connect Core 1.0, sections 3.1.2.1 and 5.5.1.1).
func (a *Authorization) acr() string {
	asked := append(strings.Fields(a.Form.Get("acr_values")), a.claims.acr...)
	if len(asked) == 0 { // OpenID Connect Registration 1.0, section 2
		asked = a.Client.DefaultACRValues
	}
	for _, value := range asked {
		if value == acrPassword {
			return value
		}
	}
	return ""
}

// requestedClaims is the claims parameter, as far as we act on it.
type requestedClaims struct {
	names   oidc.RequestedClaims
	subject string   // the sub that must be signed in, "" for anybody
	acr     []string // classes of authentication that will do
	acrMust bool     // and no other
}

// parseClaims reads the claims parameter (OpenID Connect Core 1.0, section 5.5).
// known tells the claims that exist here: others can never be answered, so they
// are not kept, and neither are the values asked for but that of sub.
func parseClaims(text string, known func(string) bool) (requestedClaims, error) {
	var out requestedClaims
	if text == "" {
		return out, nil
	}
	var members struct {
		UserInfo map[string]json.RawMessage `json:"userinfo"`
		IDToken  map[string]json.RawMessage `json:"id_token"`
	}
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return out, fail("invalid_request", "the claims parameter is not the JSON object that it should be").because(err)
	}
	pick := func(asked map[string]json.RawMessage) []string {
		var names []string
		for name := range asked {
			if known(name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	out.names = oidc.RequestedClaims{IDToken: pick(members.IDToken), UserInfo: pick(members.UserInfo)}
	for _, asked := range []map[string]json.RawMessage{members.IDToken, members.UserInfo} {
		sub, err := askedValues(asked["sub"])
		if err != nil {
			return out, err
		}
		switch {
		case len(sub.Values) == 0:
		case len(sub.Values) > 1, out.subject != "" && out.subject != sub.Values[0]:
			return out, fail("invalid_request", "the claims parameter asks for two subjects")
		default:
			out.subject = sub.Values[0]
		}
	}
	acr, err := askedValues(members.IDToken["acr"])
	if err != nil {
		return out, err
	}
	out.acr, out.acrMust = acr.Values, acr.Essential && len(acr.Values) > 0
	return out, nil
}

// askedClaim is one member of the claims parameter (section 5.5.1).
type askedClaim struct {
	Essential bool     `json:"essential"`
	Value     string   `json:"value"`
	Values    []string `json:"values"`
}

// askedValues reads one member; Value is then the only one of Values.
func askedValues(raw json.RawMessage) (asked askedClaim, err error) {
	if raw == nil {
		return asked, nil
	}
	if err := json.Unmarshal(raw, &asked); err != nil {
		return asked, fail("invalid_request", "the claims parameter asks for a claim in a form that it does not have").because(err)
	}
	if asked.Value != "" {
		asked.Values = []string{asked.Value}
	}
	return asked, nil
}

// checkPKCE judges the challenge of an authorisation request (RFC 7636, section
// 4.4.1; RFC 9700, section 2.1.1).
func checkPKCE(c *oidc.Client, form url.Values) error {
	challenge, method := form.Get("code_challenge"), form.Get("code_challenge_method")
	if challenge == "" {
		if method != "" {
			return fail("invalid_request", "code_challenge_method is given without code_challenge")
		}
		if c.RequirePKCE || c.Public() {
			return fail("invalid_request", "PKCE is required: code_challenge is missing")
		}
		return nil
	}
	if method != "S256" { // absent means plain
		return fail("invalid_request", "code_challenge_method must be S256")
	}
	if !challengeS256.MatchString(challenge) {
		return fail("invalid_request", "code_challenge is not the base64url form of a SHA-256 hash")
	}
	return nil
}

// hintSubject returns the sub of an id_token_hint that we signed, expired or not
// (OpenID Connect Core 1.0, section 3.1.2.1).
func (p *Provider) hintSubject(c *oidc.Client, token string) (string, error) {
	if token == "" {
		return "", nil
	}
	j, err := keys.ParseJWS(token)
	if err == nil && j.Header.Typ != "" && !strings.EqualFold(j.Header.Typ, "JWT") { // RFC 8725, section 3.11
		err = errors.New("it is no ID token by its typ")
	}
	var payload []byte
	if err == nil {
		payload, err = p.verifyOwn(c, token)
	}
	if errors.Is(err, oidc.ErrUnavailable) { // "can't tell" is no "no"
		return "", err
	}
	if err != nil {
		return "", fail("invalid_request", "id_token_hint is not an ID token of this server").because(err)
	}
	var hint struct {
		Issuer  string `json:"iss"`
		Subject string `json:"sub"`
		Expires int64  `json:"exp"` // signed userinfo has none
	}
	if err := json.Unmarshal(payload, &hint); err != nil {
		return "", fail("invalid_request", "id_token_hint is not an ID token of this server").because(err)
	}
	if hint.Issuer != p.issuerOf(c) || hint.Subject == "" || hint.Expires == 0 {
		return "", fail("invalid_request", "id_token_hint is not an ID token of this server").
			because(errors.New("another issuer, no subject or no end"))
	}
	return hint.Subject, nil
}

// withParameters returns uri with parameters added to its query. What the client
// registered stays as it is, character by character.
func withParameters(uri string, parameters url.Values) string {
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
		if strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&") {
			separator = ""
		}
	}
	return uri + separator + parameters.Encode()
}

// answerError sends a protocol error to the client through the browser (RFC
// 6749, section 4.1.2.1; iss by RFC 9207, section 2).
func (p *Provider) answerError(a *Authorization, e *Error) *Response {
	parameters := url.Values{"error": {e.Code}, "error_description": {e.Description}, "iss": {p.issuerOf(a.Client)}}
	if a.state != "" {
		parameters.Set("state", a.state)
	}
	return newResponse(a.mode, a.RedirectURI, parameters)
}

func missingScopes(scopes []string) string {
	const most = 20
	if len(scopes) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(scopes[:most], " "), len(scopes)-most)
	}
	return strings.Join(scopes, " ")
}
