package claims

import (
	"regexp"
	"slices"
	"strings"

	"gatehouse/oidc"
)

// defaultMaxGroups is how many values groups and roles hold unless the client
// says otherwise. Two hundred names are about 6 KB of JSON, which userinfo and
// an ID token bear.
const defaultMaxGroups = 200

// Request is what Build needs to know.
type Request struct {
	Client *oidc.Client
	User   *oidc.User
	Table  Table
	Scopes []string // granted: all of their claims are given
	Names  []string // single claims asked for by the claims parameter
	Final  []string // of the Decision: a single claim is given only if its scope is here
}

// Build returns the claims about the person, without sub. Values have the types
// of OpenID Connect Core 1.0, section 5.1: booleans, a number for updated_at, an
// object for address; lists of text for alt_emails, groups and roles. What the
// directory does not say is left out, with one exception: groups and roles are
// an empty list for who is in no group, so that an application takes away what it
// gave before. Where they are cut, groups_truncated or roles_truncated is true.
func Build(r Request) map[string]any {
	out := make(map[string]any)
	for _, scope := range r.Scopes {
		for _, claim := range scopeClaims[scope] {
			r.add(out, claim)
		}
		for claim, c := range r.Table.custom {
			if c.Scope == scope {
				r.add(out, claim)
			}
		}
	}
	for _, claim := range r.Names {
		if scope := r.Table.scopeOf(claim); scope != "" && slices.Contains(r.Final, scope) {
			r.add(out, claim)
		}
	}
	return out
}

// add puts one claim into out, if the directory knows it.
func (r *Request) add(out map[string]any, claim string) {
	if c, ok := r.Table.custom[claim]; ok {
		if value := c.read(r.User); value != nil {
			out[claim] = value
		}
		return
	}
	switch claim {
	case "groups", "roles":
		values, cut := r.groups()
		out[claim] = values
		if cut {
			out[claim+"_truncated"] = true
		}
	case "address":
		if address := r.address(); len(address) > 0 {
			out[claim] = address
		}
	case "alt_emails":
		if emails := r.otherEmails(); len(emails) > 0 {
			out[claim] = emails
		}
	case "email":
		if address := r.email(); address != "" {
			out[claim] = address
		}
	case "email_verified":
		if r.email() != "" {
			out[claim] = r.flag(claim)
		}
	case "phone_number_verified":
		if r.first("phone_number", textValue) != "" {
			out[claim] = r.flag(claim)
		}
	case "updated_at":
		for value := range r.values(claim) {
			if at, err := ParseGeneralizedTime(value); err == nil {
				out[claim] = at.Unix()
				return
			}
		}
	default:
		if value := r.first(claim, readerOf(claim)); value != "" {
			out[claim] = value
		}
	}
}

// readerOf returns how the value of a text claim is read; it answers "" for what
// is no usable value.
func readerOf(claim string) func(string) string {
	switch claim {
	case "profile", "picture", "website":
		return urlValue
	case "gender":
		return genderValue
	case "birthdate":
		return birthdateValue
	case "zoneinfo":
		return zoneValue
	case "locale":
		return localeValue
	default:
		return textValue
	}
}

// values yields the raw values of a claim's attributes, in the table's order.
func (r *Request) values(claim string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, source := range r.Table.sources[claim] {
			if source == SourceUsername {
				if !yield(r.User.Username) {
					return
				}
				continue
			}
			for _, value := range r.User.Values(source) {
				if !yield(value) {
					return
				}
			}
		}
	}
}

// first returns the first usable value of a claim, or "".
func (r *Request) first(claim string, read func(string) string) string {
	for value := range r.values(claim) {
		if v := read(value); v != "" {
			return v
		}
	}
	return ""
}

// flag reads a boolean claim from a constant or an attribute; what is unknown is
// false: nobody has vouched for it.
func (r *Request) flag(claim string) bool {
	for _, source := range r.Table.sources[claim] {
		if source == "true" || source == "false" {
			return source == "true"
		}
		if value := r.User.First(source); value != "" {
			return strings.EqualFold(value, "TRUE") // RFC 4517, section 3.3.3
		}
	}
	return false
}

// address is the address claim (OpenID Connect Core 1.0, section 5.1.1).
func (r *Request) address() map[string]any {
	address := make(map[string]any)
	if lines := r.first("address.formatted", postalValue); lines != "" {
		address["formatted"] = lines
	}
	for _, part := range []string{"street_address", "locality", "region", "postal_code", "country"} {
		if value := r.first("address."+part, textValue); value != "" {
			address[part] = value
		}
	}
	return address
}

// email returns the person's one address: of several, that in the preferred
// domain.
func (r *Request) email() string {
	for _, domain := range r.Table.domains {
		for value := range r.values("email") {
			if address := emailValue(value); strings.HasSuffix(strings.ToLower(address), "@"+domain) {
				return address
			}
		}
	}
	return r.first("email", emailValue)
}

// otherEmails returns the addresses besides the one that email gives.
func (r *Request) otherEmails() []string {
	seen := map[string]bool{strings.ToLower(r.email()): true}
	var others []string
	for value := range r.values("alt_emails") {
		email := emailValue(value)
		if email == "" || seen[strings.ToLower(email)] {
			continue
		}
		seen[strings.ToLower(email)] = true
		others = append(others, email)
	}
	return others
}

// groups returns the person's groups as this client wants them, sorted, and
// whether some were cut off. It is never nil.
func (r *Request) groups() (values []string, cut bool) {
	want := r.Client.GroupsClaim
	var match *regexp.Regexp
	if want.Match != "" {
		if match = r.Table.patterns.get(want.Match); match == nil {
			return []string{}, false // a pattern that means nothing lets nothing through
		}
	}
	values = make([]string, 0, len(r.User.Groups))
	for i := range r.User.Groups {
		value := textValue(groupValue(&r.User.Groups[i], want.Format))
		if value != "" && (match == nil || match.MatchString(value)) {
			values = append(values, value)
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	limit := want.Max
	if limit <= 0 {
		limit = defaultMaxGroups
	}
	if len(values) > limit {
		return values[:limit:limit], true
	}
	return values, false
}

func groupValue(g *oidc.Group, format string) string {
	switch format {
	case "dn":
		return g.DN
	case "id":
		return g.ID
	case "display_name":
		if g.DisplayName != "" {
			return g.DisplayName
		}
	}
	return g.Name
}
