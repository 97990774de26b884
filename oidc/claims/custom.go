package claims

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/oidc"
)

// Custom is a claim of the operator's own (row C6), such as quota for Nextcloud.
type Custom struct {
	Attributes []string // of the directory; the first with a usable value gives it
	Type       string   // one of CustomTypes
	Scope      string   // that gives it
}

// The types of custom claims. Times become numbers, seconds since 1970, as in
// OpenID Connect Core 1.0, section 5.1.
const (
	typeString  = "string"
	typeNumber  = "number"
	typeBoolean = "boolean"
	typeList    = "list"
	typeTime    = "generalized_time" // RFC 4517, section 3.3.13
	typeADTime  = "ad_time"          // 100 ns since 1601; 0 and the largest mean never
)

// CustomTypes lists the types that a custom claim can have.
func CustomTypes() []string {
	return []string{typeString, typeNumber, typeBoolean, typeList, typeTime, typeADTime}
}

// reserved are names of claims that the protocol itself uses (RFC 7519, section
// 4.1; OpenID Connect Core 1.0, section 2).
var reserved = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "c_hash", "s_hash", "sid",
	"client_id", "scope", "active", "token_type", "username", "cnf", "events", "act", "may_act", "address", "groups", "roles",
}

var (
	claimName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./:-]{0,127}$`)
	scopeName = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]{1,128}$`) // RFC 6749, section 3.3
)

// WithCustom returns a table that has these claims, too. All that is wrong comes
// back as oidc.Problems, the claim's name as the key.
func (t Table) WithCustom(custom map[string]Custom) (Table, error) {
	out := t
	out.custom = maps.Clone(custom)
	var problems oidc.Problems
	for _, name := range slices.Sorted(maps.Keys(custom)) {
		problems = append(problems, t.customProblems(name, custom[name])...)
	}
	if err := problems.Err(); err != nil {
		return Table{}, err
	}
	return out, nil
}

func (t Table) customProblems(name string, c Custom) (problems oidc.Problems) {
	report := func(message, hint string) {
		problems = append(problems, oidc.Problem{Key: name, Message: message, Hint: hint})
	}
	if _, standard := t.sources[name]; standard {
		report("is a claim of the specification, and has its type", "write its attributes alone, as in "+name+": [attribute]")
	}
	if slices.Contains(reserved, name) || strings.HasSuffix(name, "_truncated") {
		report("is a name that the protocol uses", "choose another name")
	}
	if !claimName.MatchString(name) {
		report("is not a name for a claim", "use letters, digits and _")
	}
	if !slices.Contains(CustomTypes(), c.Type) {
		report(fmt.Sprintf("there is no type %q", c.Type), "types are "+strings.Join(CustomTypes(), ", "))
	}
	switch {
	case c.Scope == ScopeOpenID: // row C8
		report("the scope openid by itself must not tell who a person is", "choose a scope of its own, such as "+name)
	case c.Scope == ScopeOffline, !scopeName.MatchString(c.Scope):
		report(fmt.Sprintf("%q cannot be its scope", c.Scope), "choose a scope of its own, such as "+name)
	}
	for _, source := range c.Attributes {
		if !attributeName.MatchString(source) {
			report(fmt.Sprintf("%q is not the name of a directory attribute", source), "write a name such as quotaBytes")
		}
	}
	return problems
}

// read returns the claim's value, or nil if the directory has none that is of the
// type.
func (c Custom) read(u *oidc.User) any {
	if c.Type == typeList {
		var list []string
		for _, source := range c.Attributes {
			for _, value := range u.Values(source) {
				if text := textValue(value); text != "" && !slices.Contains(list, text) {
					list = append(list, text)
				}
			}
		}
		if list == nil {
			return nil
		}
		slices.Sort(list) // a directory keeps values in no order
		return list
	}
	for _, source := range c.Attributes {
		for _, value := range u.Values(source) {
			if v := c.parse(value); v != nil {
				return v
			}
		}
	}
	return nil
}

func (c Custom) parse(value string) any {
	switch c.Type {
	case typeNumber:
		return number(value)
	case typeBoolean:
		switch strings.ToLower(strings.TrimSpace(value)) {
		case "true", "yes", "1":
			return true
		case "false", "no", "0":
			return false
		}
	case typeTime:
		if at, err := ParseGeneralizedTime(value); err == nil {
			return at.Unix()
		}
	case typeADTime:
		if at, ok := parseADTime(value); ok {
			return at.Unix()
		}
	default:
		if text := textValue(value); text != "" {
			return text
		}
	}
	return nil
}

// number reads a number without changing it: an integer of any length that JSON
// readers keep, or a decimal fraction.
func number(value string) any {
	value = strings.TrimSpace(value)
	if n, err := strconv.ParseInt(value, 10, 64); err == nil {
		return n
	}
	if f, err := strconv.ParseFloat(value, 64); err == nil && !strings.ContainsAny(value, "xXnN_pP") {
		return f
	}
	return nil
}

// parseADTime reads a time of Active Directory (MS-ADTS, section 3.1.1.2.2.2.10).
func parseADTime(value string) (time.Time, bool) {
	const never, unix1601 = 0x7FFFFFFFFFFFFFFF, 11644473600
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil || n <= 0 || n == never {
		return time.Time{}, false
	}
	return time.Unix(n/10_000_000-unix1601, n%10_000_000*100), true
}
