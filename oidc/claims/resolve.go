package claims

import (
	"slices"
	"strings"

	"gatehouse/oidc"
)

// The scopes with rules of their own.
const (
	ScopeOpenID  = "openid"
	ScopeOffline = "offline_access" // OpenID Connect Core 1.0, section 11
)

// Decision says what one client may have of one person, and why.
type Decision struct {
	Admitted bool
	// Final holds every scope that the client's maps give this person, sorted. It
	// is filled for those who are refused, too, so that explain can show it.
	Final []string
	// Granted holds the scopes asked for that are there, in the order of the
	// request; empty unless Admitted.
	Granted []string
	// Missing holds the scopes asked for that are not in Final.
	Missing []string
	Reasons []Reason
}

// Refusal returns the reason why nobody is admitted, and false if the person is.
func (d Decision) Refusal() (Reason, bool) {
	for _, r := range d.Reasons {
		if r.Refuses() {
			return r, true
		}
	}
	return Reason{}, false
}

// Resolve decides about a request for scopes. The person is not admitted if the
// account is not active, if the client has allowed groups and the person is in
// none, if openid is asked for and missing, if any scope is missing and the
// client does not narrow, or if nothing is left of what was asked for.
//
// offline_access is no right of a person: it is granted where the client may use
// refresh tokens and otherwise ignored (OpenID Connect Core 1.0, section 11). It
// is never missing and never in Final.
func Resolve(c *oidc.Client, u *oidc.User, requested []string) Decision {
	d, ok := begin(c, u)
	granted := d.choose(c, requested)
	narrows := c.OnMissingScope == oidc.MissingNarrow
	for _, scope := range d.Missing {
		if !narrows || scope == ScopeOpenID {
			d.because(Reason{Kind: KindMissing, Scope: scope, Detail: whoHas(c, scope)})
			ok = false
			continue
		}
		d.because(Reason{Kind: KindNarrowed, Scope: scope, Detail: whoHas(c, scope)})
	}
	return d.end(ok, requested, granted)
}

// Narrow decides what remains of scopes granted earlier, at refresh, userinfo
// and introspection. It never returns a scope that is not in granted. The grant
// is over (not Admitted) if the account is not active, if the person is in none
// of the allowed groups any more, if openid was granted and is lost, or if
// nothing is left. Other lost scopes fall away silently, whatever the client
// wants at sign-in: a token already given may be worth less, not nothing.
func Narrow(c *oidc.Client, u *oidc.User, granted []string) Decision {
	d, ok := begin(c, u)
	remaining := d.choose(c, granted)
	for _, scope := range d.Missing {
		if scope == ScopeOpenID {
			d.because(Reason{Kind: KindMissing, Scope: scope, Detail: whoHas(c, scope)})
			ok = false
			continue
		}
		d.because(Reason{Kind: KindNarrowed, Scope: scope, Detail: whoHas(c, scope)})
	}
	return d.end(ok, granted, remaining)
}

// begin finds the final set and judges the account and the allowed groups.
func begin(c *oidc.Client, u *oidc.User) (d Decision, ok bool) {
	if u == nil {
		d.because(Reason{Kind: KindNoPerson, Detail: "there is no person to decide about"})
		return d, false
	}
	wanted := make([]oidc.DN, 0, len(c.AllowedGroups)+len(c.Scopes.Groups))
	wanted = append(wanted, c.AllowedGroups...)
	for _, m := range c.Scopes.Groups {
		wanted = append(wanted, m.Group)
	}
	found := memberships(u.Groups, wanted)
	allowed, mapped := found[:len(c.AllowedGroups):len(c.AllowedGroups)], found[len(c.AllowedGroups):]

	ok = true
	if u.State != oidc.StateActive {
		d.because(Reason{Kind: KindAccountState, Detail: "the account is " + u.State.String()})
		ok = false
	}
	if len(allowed) > 0 && !d.allow(allowed) {
		d.because(Reason{Kind: KindNotAllowed, Detail: "in none of the client's allowed groups " + dnList(c.AllowedGroups)})
		ok = false
	}
	d.addFinal(c, mapped)
	return d, ok
}

// allow notes the first allowed group the person is in.
func (d *Decision) allow(allowed []*oidc.Group) bool {
	for _, group := range allowed {
		if group != nil {
			d.because(Reason{Kind: KindAllowedGroup, Group: group.DN, Path: group.Path})
			return true
		}
	}
	return false
}

// addFinal adds up the scopes for everyone and those of the person's groups.
func (d *Decision) addFinal(c *oidc.Client, mapped []*oidc.Group) {
	for _, scope := range c.Scopes.Everyone {
		d.give(Reason{Kind: KindEveryone, Scope: scope})
	}
	for i, group := range mapped {
		if group == nil {
			continue
		}
		for _, scope := range c.Scopes.Groups[i].Scopes {
			d.give(Reason{Kind: KindGroup, Scope: scope, Group: group.DN, Path: group.Path})
		}
	}
	slices.Sort(d.Final)
	d.Final = slices.Compact(d.Final)
}

func (d *Decision) give(r Reason) {
	if r.Scope == "" || r.Scope == ScopeOffline {
		return
	}
	d.Final = append(d.Final, r.Scope)
	d.because(r)
}

// choose parts what was asked for into what is there, which it returns, and
// Missing.
func (d *Decision) choose(c *oidc.Client, requested []string) (granted []string) {
	seen := make(map[string]bool, len(requested))
	for _, scope := range requested {
		if scope == "" || seen[scope] {
			continue
		}
		seen[scope] = true
		if scope == ScopeOffline {
			if !c.HasGrantType("refresh_token") {
				d.because(Reason{Kind: KindIgnored, Scope: scope, Detail: "the client does not have the grant type refresh_token"})
				continue
			}
			d.because(Reason{Kind: KindOffline, Scope: scope})
			granted = append(granted, scope)
			continue
		}
		if _, found := slices.BinarySearch(d.Final, scope); found {
			granted = append(granted, scope)
			continue
		}
		d.Missing = append(d.Missing, scope)
	}
	return granted
}

// end admits the person unless something kept them out or nothing is left.
func (d Decision) end(ok bool, asked, granted []string) Decision {
	isScope := func(scope string) bool { return scope != "" }
	isRight := func(scope string) bool { return scope != ScopeOffline }
	if ok && slices.ContainsFunc(asked, isScope) && !slices.ContainsFunc(granted, isRight) {
		d.because(Reason{Kind: KindNothing, Detail: "none of the scopes asked for is left"})
		ok = false
	}
	d.Admitted = ok
	if ok {
		d.Granted = granted
	}
	return d
}

func (d *Decision) because(r Reason) { d.Reasons = append(d.Reasons, r) }

// whoHas says which groups a client's maps give a scope to.
func whoHas(c *oidc.Client, scope string) string {
	var groups []oidc.DN
	for _, m := range c.Scopes.Groups {
		if slices.Contains(m.Scopes, scope) {
			groups = append(groups, m.Group)
		}
	}
	if len(groups) == 0 {
		return "no scope map of this client gives it to anyone"
	}
	return "it is given to members of " + dnList(groups)
}

func dnList(groups []oidc.DN) string {
	texts := make([]string, len(groups))
	for i, g := range groups {
		texts[i] = g.String()
	}
	return strings.Join(texts, " or ")
}
