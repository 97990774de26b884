package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// responseMode says how an answer reaches the client (OAuth 2.0 Multiple Response
// Type Encoding Practices, section 2.1; OAuth 2.0 Form Post Response Mode).
type responseMode string

const (
	modeQuery    responseMode = "query"
	modeFragment responseMode = "fragment"
	modeFormPost responseMode = "form_post"
)

// responseTypesSupported are all that OpenID Connect and OAuth 2.0 know (OAuth 2.0
// Multiple Response Type Encoding Practices, sections 3 and 5), in the spelling
// that discovery documents have.
var responseTypesSupported = []string{
	"code", "id_token", "id_token token", "code id_token", "code token", "code id_token token", "token",
}

var responseModesSupported = []string{string(modeQuery), string(modeFragment), string(modeFormPost)}

// Response is an answer to the client, sent through the browser.
type Response struct {
	// Location is the client's redirect URI with the parameters, for all modes but
	// form_post, where it is empty.
	Location string

	mode        responseMode
	redirectURI string
	parameters  url.Values
}

// newResponse makes the answer that mode asks for.
func newResponse(mode responseMode, redirectURI string, parameters url.Values) *Response {
	resp := &Response{mode: mode, redirectURI: redirectURI, parameters: parameters}
	switch mode {
	case modeFormPost:
	case modeFragment:
		resp.Location = redirectURI + "#" + parameters.Encode() // a redirect URI has no fragment of its own
	default:
		resp.Location = withParameters(redirectURI, parameters)
	}
	return resp
}

// ServeHTTP sends the browser to the client. 303 makes the browser use GET
// (RFC 9700, section 4.12: never 307, which would repeat a posted password).
func (resp *Response) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if resp.mode == modeFormPost {
		resp.post(w, r)
		return
	}
	h.Set("Location", resp.Location)
	w.WriteHeader(http.StatusSeeOther)
}

// submitScript sends the form at once. It is the only script that we ever send,
// and the policy of that page allows it and nothing else by its hash.
const submitScript = "document.forms[0].submit()"

var (
	submitPolicy = func() string {
		sum := sha256.Sum256([]byte(submitScript))
		return "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; frame-ancestors 'none'"
	}()
	// submitPage works without scripts, too: then the person presses the button.
	submitPage = template.Must(template.New("form_post").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Signed in</title></head><body>
<form method="post" action="{{.Action}}">{{range .Fields}}<input type="hidden" name="{{.Name}}" value="{{.Value}}">{{end}}
<noscript><p>Press the button to go back to the application.</p><button type="submit">Continue</button></noscript></form>
<script>{{.Script}}</script></body></html>
`))
)

type formField struct{ Name, Value string }

// post answers by a page that posts the parameters (OAuth 2.0 Form Post Response
// Mode, section 2).
func (resp *Response) post(w http.ResponseWriter, _ *http.Request) {
	var fields []formField
	for name, values := range resp.parameters {
		for _, value := range values {
			fields = append(fields, formField{name, value})
		}
	}
	slices.SortFunc(fields, func(a, b formField) int { return strings.Compare(a.Name, b.Name) })
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", submitPolicy)
	h.Set("Pragma", "no-cache")
	_ = submitPage.Execute(w, map[string]any{ // the browser has gone if this fails
		// Registered redirect URIs may have a scheme of their own, which the
		// template would otherwise take for a script.
		"Action": template.URL(resp.redirectURI),              //nolint:gosec // G203: registered by the operator, see matchRedirectURI
		"Fields": fields, "Script": template.JS(submitScript), //nolint:gosec // G203: a constant
	})
}

// parseResponse reads response_type and response_mode. The default mode keeps
// tokens out of the query (Multiple Response Type Encoding Practices, section 5),
// and nobody may ask for them there.
func parseResponse(form url.Values) (types []string, mode responseMode, err error) {
	types = strings.Fields(form.Get("response_type"))
	slices.Sort(types)
	types = slices.Compact(types)
	byDefault := modeFragment
	if len(types) == 0 || slices.Equal(types, []string{"code"}) || slices.Equal(types, []string{"none"}) {
		byDefault = modeQuery
	}
	switch mode = responseMode(form.Get("response_mode")); mode {
	case "":
		return types, byDefault, nil
	case modeFragment, modeFormPost:
		return types, mode, nil
	case modeQuery:
		if byDefault == modeFragment {
			return types, byDefault, fail("invalid_request", "response_mode query cannot carry tokens")
		}
		return types, mode, nil
	default:
		return types, byDefault, fail("unsupported_response_mode", "the response mode is not supported")
	}
}
