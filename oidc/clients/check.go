package clients

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"gatehouse/oidc"
)

const (
	maxID    = 128
	maxLabel = 200
	letters  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits   = "0123456789"
)

// idFault keeps ids to characters that mean nothing special in URLs, in HTTP
// Basic credentials and in file names. A first character that is a letter or a
// digit keeps hidden files and options of commands apart from ids.
func idFault(id string) (message, hint string) {
	hint = "use 1 to 128 characters of A–Z a–z 0–9 . _ ~ -, the first a letter or digit"
	switch {
	case id == "":
		return "it is empty", hint
	case len(id) > maxID:
		return "it is longer than 128 characters", hint
	case strings.Trim(id, letters+digits+"._~-") != "":
		return "it holds a character that an id can't have", hint
	case strings.Trim(id[:1], letters+digits) != "":
		return "it doesn't start with a letter or digit", hint
	}
	return "", ""
}

// labelFault is about texts that people read. Marks that turn the direction of
// writing would let one name look like another.
func labelFault(text string) (message, hint string) {
	if !strings.ContainsFunc(text, visible) {
		return "it is empty", "fill it in or leave it out"
	}
	if len(text) > maxLabel {
		return "it is longer than 200 bytes", "shorten it"
	}
	for _, r := range text {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != joiner && r != nonJoiner {
			return "it holds a control character", "leave it out"
		}
	}
	return "", ""
}

// The two characters without a shape that words and emoji are written with. All
// others would let one label look like another.
const (
	nonJoiner = '\u200c'
	joiner    = '\u200d'
)

// visible reports whether a character has a shape. Some letters have none: the
// fillers of Hangul, and the Braille pattern without dots.
func visible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.Is(unicode.M, r) && !strings.ContainsRune("\u115f\u1160\u3164\uffa0\u2800", r)
}

// scopeFault: RFC 6749, section 3.3.
func scopeFault(scope string) (message, hint string) {
	if len(scope) > maxID {
		return "a scope is longer than 128 characters", "shorten it"
	}
	for i := range len(scope) {
		if c := scope[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return fmt.Sprintf("%q is not a scope", clip(scope)), "a scope is visible ASCII without blanks, quotes and backslashes"
		}
	}
	return "", ""
}

// audienceFault: client ids and URIs without fragment (RFC 8707, section 2).
func audienceFault(text string) (message, hint string) {
	if message, _ := idFault(text); message == "" {
		return "", ""
	}
	u, message, hint := parseURI(text)
	if message == "" && u.Host == "" && u.Opaque == "" && u.Path == "" {
		message, hint = "it is neither a client id nor an absolute URI", ""
	}
	return message, hint
}

func patternFault(pattern string) (message, hint string) {
	if len(pattern) > 1000 {
		return "it is longer than 1000 characters", "shorten it"
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return strings.TrimPrefix(err.Error(), "error parsing regexp: "), "write a regular expression such as ^cloud-"
	}
	return "", ""
}

// attributeFault: RFC 4512, section 2.5, without numeric names.
func attributeFault(name string) (message, hint string) {
	if name == "" || len(name) > maxID || strings.Trim(name, letters+digits+"-;") != "" || strings.Trim(name[:1], letters) != "" {
		return fmt.Sprintf("%q is not the name of an attribute", clip(name)), "write a name such as uid or employeeNumber"
	}
	return "", ""
}

func (d *draft) setAllowedGroups(v value) {
	d.client.AllowedGroups = nil
	seen := map[string]item{}
	for _, it := range v.items {
		if dn, ok := d.group("allowed_groups", it, seen); ok {
			d.client.AllowedGroups = append(d.client.AllowedGroups, dn)
		}
	}
	if len(v.items) == 0 && d.clean("allowed_groups") {
		// An empty list could mean "nobody" as well as "whoever": ask.
		d.problem(v.line, "allowed_groups", "it is empty", "name a group, or leave the key out to let in whoever can sign in")
	}
}

func (d *draft) setScopeGroups(v value) {
	seen := map[string]item{}
	for _, m := range v.maps {
		key := "scopes.groups." + m.group.text
		dn, ok := d.group("scopes.groups", m.group, seen)
		for _, scope := range m.scopes {
			if message, hint := scopeFault(scope.text); message != "" {
				d.problem(scope.line, key, message, hint)
				ok = false
			}
		}
		if ok {
			d.client.Scopes.Groups = append(d.client.Scopes.Groups, oidc.ScopeMap{Group: dn, Scopes: texts(m.scopes)})
		}
	}
}

// group reads a distinguished name that has not been there before, however it
// was spelt.
func (d *draft) group(key string, it item, seen map[string]item) (oidc.DN, bool) {
	dn, err := oidc.ParseDN(it.text)
	if err != nil {
		d.problem(it.line, key, fmt.Sprintf("%q is %v", clip(it.text), err), "write the group's distinguished name, such as cn=staff,ou=groups,dc=example,dc=org")
		return oidc.DN{}, false
	}
	if first, found := seen[dn.Key()]; found {
		d.problem(it.line, key, fmt.Sprintf("%s is the same group as %s on line %d", clip(it.text), clip(first.text), first.line), "join the two")
		return oidc.DN{}, false
	}
	seen[dn.Key()] = it
	return dn, true
}

// finish fills in defaults and judges what takes more than one key to judge.
func (d *draft) finish() {
	c := &d.client
	for _, f := range fields {
		if _, given := d.lines[f.key]; !given && f.def != "" {
			d.fillIn(&f)
		}
	}
	if c.Name == "" {
		c.Name = c.ID
	}
	d.require("client_id", "every client needs an id")
	d.finishAuthentication()
	d.finishAlgorithms()
	d.finishRedirects()
	d.finishSubject()
	d.finishResponses()
	d.finishGrants()
}

// finishResponses holds response types against grant types (RFC 7591, section
// 2.1).
func (d *draft) finishResponses() {
	if !d.clean("response_types") || !d.clean("grant_types") || !usesBrowser(&d.client) {
		return
	}
	for _, t := range d.client.ResponseTypes {
		for _, part := range strings.Fields(t) {
			need := grantImplicit
			if part == "code" {
				need = grantCode
			}
			if !d.client.HasGrantType(need) {
				d.problem(d.lines["response_types"], "response_types", fmt.Sprintf("%q needs the grant type %s", t, need), "add "+need+" to grant_types")
				return
			}
		}
	}
}

// fillIn sets a default that is a value of its own rather than words about one.
func (d *draft) fillIn(f *field) {
	switch f.key {
	case "grant_types":
		d.client.GrantTypes = []string{grantCode}
	case "response_types":
		d.client.ResponseTypes = []string{"code"}
	case "response_modes":
		// Whoever makes the link chooses the mode. A code in a fragment reaches no
		// application that waits for it in the query: it stays behind in the address,
		// for every script on the page to read, and can still be used.
		if slices.Equal(d.client.ResponseTypes, []string{"code"}) {
			d.client.ResponseModes = []string{"query", "form_post"}
		}
	case "require_pkce":
		d.client.RequirePKCE = true
	default:
		if f.kind == kindText && slices.Contains(f.values, f.def) {
			f.set(d, value{item: item{text: f.def}})
		}
	}
}

func (d *draft) finishAuthentication() {
	c := &d.client
	const method = "token_endpoint_auth_method"
	switch {
	case !d.clean(method):
	case c.Public():
		for _, key := range []string{"client_secret_hash", "client_secret_sealed"} {
			if line, given := d.lines[key]; given {
				d.problem(line, key, "a public client has no secret", "leave it out, or leave out token_endpoint_auth_method: none")
			}
		}
		if c.HasGrantType(grantClient) {
			d.problem(d.lines["grant_types"], "grant_types", "client_credentials is there, but a public client can't prove who it is", "leave client_credentials out, or give the client a secret")
		}
		if !c.RequirePKCE && d.clean("require_pkce") { // RFC 9700, section 2.1.1
			d.problem(d.lines["require_pkce"], "require_pkce", "a public client can't go without PKCE", "leave require_pkce out")
		}
	case c.TokenEndpointAuthMethod == authKey:
		if !c.HasKeys() && d.clean("jwks") && d.clean("jwks_uri") {
			d.problem(d.lines[method], "jwks", "it is missing, and token_endpoint_auth_method is private_key_jwt", "add the application's public keys as jwks, or their address as jwks_uri")
		}
	default:
		if _, given := d.lines["client_secret_hash"]; !given {
			d.problem(0, "client_secret_hash", "it is missing, and the client is not public", "have one made with gatehouse client reset-secret; for an app in a browser or on a device set token_endpoint_auth_method: none")
		}
	}
}

func (d *draft) finishRedirects() {
	c := &d.client
	for _, l := range []struct {
		key   string
		items []item
	}{{"redirect_uris", d.redirects}, {"post_logout_redirect_uris", d.logouts}} {
		for _, it := range l.items {
			message, hint := redirectFault(it.text, c.Public())
			if d.registered {
				if message, hint = registeredRedirectFault(it.text, c.ApplicationType); message != "" {
					d.problem(it.line, l.key, message, hint) // nothing is echoed to strangers
				}
				continue
			}
			if message != "" {
				d.problem(it.line, l.key, clip(it.text)+": "+message, hint)
			}
		}
	}
	if len(c.RedirectURIs) == 0 && usesBrowser(c) && d.clean("redirect_uris") {
		d.problem(d.lines["redirect_uris"], "redirect_uris", "there is none, and people sign in to the client", "add the address that the application wants people sent back to")
	}
}

// usesBrowser reports whether people are sent to the client by redirects.
func usesBrowser(c *oidc.Client) bool {
	return c.HasGrantType(grantCode) || c.HasGrantType(grantImplicit)
}

func (d *draft) finishSubject() {
	c := &d.client
	line, given := d.lines["subject_attribute"]
	switch {
	case c.SubjectType == subjectAttribute && !given:
		d.problem(d.lines["subject_type"], "subject_attribute", "it is missing, and subject_type is attribute", "name the attribute, such as uid")
	case c.SubjectType != subjectAttribute && given && d.clean("subject_type"):
		d.problem(line, "subject_attribute", "it is there, but subject_type is not attribute", "set subject_type: attribute, or leave it out")
	case c.SubjectType == subjectPairwise && c.SectorIdentifierURI == "" && d.clean("redirect_uris"):
		// OpenID Connect Core 1.0, section 8.1: the host is what ids are shared over.
		hosts := map[string]bool{}
		for _, it := range d.redirects {
			if u, err := url.Parse(it.text); err == nil {
				hosts[strings.ToLower(u.Hostname())] = true
			}
		}
		if len(hosts) != 1 || hosts[""] {
			d.problem(d.lines["subject_type"], "subject_type", "pairwise needs redirect_uris that are all on one host, or a sector_identifier_uri", "bring the redirect_uris to one host, make two clients, or add sector_identifier_uri")
		}
	}
}

func (d *draft) require(key, why string) {
	if _, given := d.lines[key]; !given {
		d.problem(0, key, "it is missing: "+why, "add a line "+key+": …")
	}
}
