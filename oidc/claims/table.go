package claims

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"gatehouse/oidc"
)

// SourceUsername in a table stands for the name that the person signs in with.
const SourceUsername = "@username"

// Table says which directory attributes a claim is read from; the first that has
// a usable value gives it. A Table is immutable and may be used by many at once.
type Table struct {
	sources  map[string][]string // by claim; the parts of address as address.locality
	custom   map[string]Custom   // claims of the operator's own, by name
	domains  []string            // of mail addresses, the preferred ones first; lower case
	patterns *patterns
}

// DefaultTable returns the table for inetOrgPerson (RFC 2798), with the names
// that Active Directory, eduPerson and schac use where those are different.
// Claims without a standard attribute (profile, picture) have none until an
// operator names one.
func DefaultTable() Table {
	return Table{
		patterns: &patterns{},
		sources: map[string][]string{
			"name":               {"displayName", "cn"},
			"family_name":        {"sn"},
			"given_name":         {"givenName"},
			"middle_name":        {"middleName"},
			"nickname":           {"eduPersonNickname"},
			"preferred_username": {SourceUsername},
			"profile":            {},
			"picture":            {},
			"website":            {"labeledURI", "wWWHomePage"},
			"gender":             {"gender", "schacGender"},
			"birthdate":          {"birthdate", "dateOfBirth", "schacDateOfBirth"},
			"zoneinfo":           {"zoneinfo", "timezone"},
			"locale":             {"preferredLanguage"},
			"updated_at":         {"modifyTimestamp", "whenChanged"},

			"email":          {"mail"},
			"email_verified": {"true"},
			"alt_emails":     {"mail", "mailAlternateAddress"},

			"address.formatted":      {"postalAddress"},
			"address.street_address": {"street", "streetAddress"},
			"address.locality":       {"l"},
			"address.region":         {"st"},
			"address.postal_code":    {"postalCode"},
			"address.country":        {"co", "c"},

			"phone_number":          {"telephoneNumber", "mobile"},
			"phone_number_verified": {"true"},
		},
	}
}

// With returns a table in which the claims of over are read from the attributes
// given there instead. The parts of address are written address.locality and so
// on; an empty list switches a claim off; email_verified and
// phone_number_verified also take the constants true and false; @username is the
// name of sign-in. All that is wrong comes back as oidc.Problems, the claim's
// name as the key.
func (t Table) With(over map[string][]string) (Table, error) {
	out := t
	out.sources = maps.Clone(t.sources)
	var problems oidc.Problems
	for _, claim := range slices.Sorted(maps.Keys(over)) {
		if _, known := t.sources[claim]; !known {
			problems = append(problems, unknownClaim(claim, t.sources))
			continue
		}
		for _, source := range over[claim] {
			if !usableSource(claim, source) {
				problems = append(problems, oidc.Problem{
					Key: claim, Message: fmt.Sprintf("%q is not the name of a directory attribute", source),
					Hint: "write a name such as displayName, or " + SourceUsername + " for the name of sign-in",
				})
			}
		}
		out.sources[claim] = slices.Clone(over[claim])
	}
	if err := problems.Err(); err != nil {
		return Table{}, err
	}
	return out, nil
}

// WithEmailDomains returns a table that prefers, of several mail addresses, the
// one in the first of these domains that has one. A directory keeps values in no
// order, so without a preference the first one that it sends is taken.
func (t Table) WithEmailDomains(domains []string) Table {
	t.domains = make([]string, len(domains))
	for i, d := range domains {
		t.domains[i] = strings.ToLower(strings.TrimPrefix(d, "@"))
	}
	return t
}

func unknownClaim(claim string, known map[string][]string) oidc.Problem {
	p := oidc.Problem{Key: claim, Message: "no such claim"}
	switch {
	case claim == "groups" || claim == "roles":
		p.Message = "is made from group membership, not from an attribute"
		p.Hint = "a client file's groups_claim says how groups look"
	case claim == "address":
		p.Message = "is an object, its parts have attributes"
		p.Hint = "write address.formatted, address.street_address, address.locality, address.region, address.postal_code, address.country"
	default:
		p.Hint = "known are " + strings.Join(slices.Sorted(maps.Keys(known)), ", ")
	}
	return p
}

var attributeName = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)+)(;[A-Za-z0-9-]+)*$`) // RFC 4512, section 2.5

func usableSource(claim, source string) bool {
	if source == SourceUsername {
		return !isFlag(claim)
	}
	return attributeName.MatchString(source)
}

// isFlag reports whether a claim is a boolean that goes with another claim.
func isFlag(claim string) bool { return strings.HasSuffix(claim, "_verified") }

// Attributes returns the directory attributes that the table reads, sorted, for
// the directory to ask for them.
func (t Table) Attributes() []string {
	var names []string
	for claim, sources := range t.sources {
		for _, source := range sources {
			constant := isFlag(claim) && (source == "true" || source == "false")
			if source != SourceUsername && !constant {
				names = append(names, source)
			}
		}
	}
	for _, c := range t.custom {
		names = append(names, c.Attributes...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ClaimsSupported returns the claims that the table can give, with groups, roles
// and sub, sorted, for discovery.
func (t Table) ClaimsSupported() []string {
	names := []string{"sub", "groups", "roles"}
	for claim, sources := range t.sources {
		if len(sources) > 0 {
			name, _, _ := strings.Cut(claim, ".")
			names = append(names, name)
		}
	}
	names = append(names, slices.Collect(maps.Keys(t.custom))...)
	slices.Sort(names)
	return slices.Compact(names)
}

// ScopesSupported returns the scopes that have a meaning of their own and those
// of the operator's own claims, for discovery.
func (t Table) ScopesSupported() []string {
	scopes := []string{ScopeOpenID, "profile", "email", "address", "phone", "groups", "roles", ScopeOffline}
	for _, name := range slices.Sorted(maps.Keys(t.custom)) {
		if scope := t.custom[name].Scope; !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// scopeClaims are the claims of the standard scopes (OpenID Connect Core 1.0,
// section 5.4), and of groups and roles. It is only read. openid has none: by
// itself it must not tell who the person is.
var scopeClaims = map[string][]string{
	"profile": {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile",
		"picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	"email":   {"email", "email_verified", "alt_emails"},
	"address": {"address"},
	"phone":   {"phone_number", "phone_number_verified"},
	"groups":  {"groups"},
	"roles":   {"roles"},
}

// ClaimsOf returns the names of the claims that a scope gives.
func (t Table) ClaimsOf(scope string) []string {
	names := slices.Clone(scopeClaims[scope])
	for _, name := range slices.Sorted(maps.Keys(t.custom)) {
		if t.custom[name].Scope == scope {
			names = append(names, name)
		}
	}
	return names
}

// Available returns those of single claims that belong to a scope of final, and
// these scopes, sorted: what asking for the claims gives besides the scopes that
// were asked for.
func (t Table) Available(names, final []string) (available, scopes []string) {
	for _, name := range names {
		if scope := t.scopeOf(name); scope != "" && slices.Contains(final, scope) {
			available = append(available, name)
			scopes = append(scopes, scope)
		}
	}
	slices.Sort(scopes)
	return available, slices.Compact(scopes)
}

// scopeOf returns the scope that a claim belongs to, or "".
func (t Table) scopeOf(claim string) string {
	if c, ok := t.custom[claim]; ok {
		return c.Scope
	}
	for scope, names := range scopeClaims {
		if slices.Contains(names, claim) {
			return scope
		}
	}
	return ""
}

// patterns keeps compiled expressions of group filters. Client files change
// rarely, so the few that a process ever sees are kept.
type patterns struct{ compiled sync.Map }

// get returns the compiled expression, or nil if it is none.
func (p *patterns) get(expr string) *regexp.Regexp {
	if p == nil {
		re, _ := regexp.Compile(expr)
		return re
	}
	if re, ok := p.compiled.Load(expr); ok {
		return re.(*regexp.Regexp)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		re = nil
	}
	p.compiled.Store(expr, re)
	return re
}
