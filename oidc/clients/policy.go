package clients

import (
	"slices"
	"strings"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// Policy is what an operator lets clients have that register themselves.
type Policy struct {
	Scopes        oidc.ScopeMaps
	GrantTypes    []string
	ResponseTypes []string
	RequirePKCE   bool         // of confidential clients too
	Consent       oidc.Consent // explicit, remembered, or none
	// SignsWithSecret says whether secrets can be kept in a form that signs: without
	// it no HS algorithm and no client_secret_jwt can be registered.
	SignsWithSecret bool
}

// Settings are the parts of a Policy as an operator writes them.
type Settings struct {
	Everyone                  []string
	Groups                    map[string][]string // by distinguished name
	GrantTypes, ResponseTypes []string
	RequirePKCE               bool
	Consent                   string
}

// NewPolicy returns the policy that settings describe. What is wrong is
// oidc.Problems, with keys beneath registration.
func NewPolicy(s Settings) (*Policy, error) {
	p := &Policy{RequirePKCE: s.RequirePKCE, Consent: oidc.Consent(s.Consent), GrantTypes: s.GrantTypes, ResponseTypes: s.ResponseTypes, SignsWithSecret: true}
	d := &draft{lines: map[string]int{}}
	scopes := func(key string, list []string) (items []item) {
		for _, text := range list {
			if message, hint := scopeFault(text); message != "" {
				d.problem(0, key, message, hint)
			}
			items = append(items, item{text, 0})
		}
		return items
	}
	p.Scopes.Everyone = s.Everyone
	scopes("registration.scopes.everyone", s.Everyone)
	seen := map[string]item{}
	names := make([]string, 0, len(s.Groups))
	for name := range s.Groups {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		key := "registration.scopes.groups." + name
		items := scopes(key, s.Groups[name])
		if len(items) == 0 {
			d.problem(0, key, "this group gets no scopes", "list the scopes, or leave the group out")
		}
		if dn, ok := d.group(key, item{name, 0}, seen); ok {
			p.Scopes.Groups = append(p.Scopes.Groups, oidc.ScopeMap{Group: dn, Scopes: s.Groups[name]})
		}
	}
	for _, g := range []string{grantPassword, grantJWTBearer} {
		// Both let a client act for people who are not asked: an operator must know it.
		if slices.Contains(s.GrantTypes, g) {
			d.problem(0, "registration.grant_types", g+" is not for clients that register themselves", "make a client file for an application that needs it")
		}
	}
	for _, list := range []struct {
		key    string
		values []string
	}{{"grant_types", s.GrantTypes}, {"response_types", s.ResponseTypes}} {
		f := findField(list.key)
		for _, text := range list.values {
			switch {
			case !slices.Contains(f.values, text):
				d.problem(0, "registration."+list.key, text+" is not supported", "write any of "+oneOf(f.values))
			case slices.Contains(confidentialGrants, text): // those take the operator's word, client by client
				d.problem(0, "registration."+list.key, text+" is not for clients that register themselves", "leave it out, and make a client file for whoever needs it")
			}
		}
		if len(list.values) == 0 {
			d.problem(0, "registration."+list.key, "it is empty", "leave it out for the default")
		}
	}
	return p, oidc.Problems(d.problems).Err()
}

// settle fills in what metadata left open, and holds it to the policy and to the
// rules that client files are held to.
func (p *Policy) settle(d *draft, m *Metadata) error {
	c := &d.client
	c.Consent, c.OnMissingScope, c.RequirePKCE = p.Consent, oidc.MissingNarrow, p.RequirePKCE
	c.Scopes = p.Scopes
	for _, key := range []string{"client_id", "consent", "on_missing_scope", "require_pkce"} {
		d.lines[key] = 1
	}
	if c.IDTokenSignedResponseAlg == "" { // OpenID Connect Registration 1.0, section 2
		c.IDTokenSignedResponseAlg = keys.RS256
		d.lines["id_token_signed_response_alg"] = 1
	}
	p.settleGrants(d)
	if !slices.Contains([]string{authNone, authKey}, c.TokenEndpointAuthMethod) {
		d.lines["client_secret_hash"] = 1 // one is made
	}
	if c.TokenEndpointAuthMethod == authNone {
		c.RequirePKCE = true
	}
	d.finish()
	if c.Name == c.ID {
		c.Name = "" // whoever gives it an id names it after that
	}
	if err := d.firstProblem(); err != nil {
		return err
	}
	return p.permit(c, m)
}

// settleGrants fills in the grant types that the response types need, where the
// application leaves them out (RFC 7591, section 2.1).
func (p *Policy) settleGrants(d *draft) {
	c := &d.client
	if len(c.GrantTypes) > 0 || len(c.ResponseTypes) == 0 {
		return
	}
	for _, t := range c.ResponseTypes {
		for _, part := range strings.Fields(t) {
			grant := grantImplicit
			if part == "code" {
				grant = grantCode
			}
			if !slices.Contains(c.GrantTypes, grant) {
				c.GrantTypes = append(c.GrantTypes, grant)
			}
		}
	}
	d.lines["grant_types"] = 1
}

// permit says what of a valid client the operator doesn't allow.
func (p *Policy) permit(c *oidc.Client, m *Metadata) error {
	for _, g := range c.GrantTypes {
		if !slices.Contains(p.GrantTypes, g) {
			return metadataError("grant_types", g+" is not allowed for clients that register themselves", "allowed: "+strings.Join(p.GrantTypes, ", "))
		}
	}
	if usesBrowser(c) {
		for _, t := range c.ResponseTypes {
			if !slices.ContainsFunc(p.ResponseTypes, func(allowed string) bool { return sameWords(allowed, t) }) {
				return metadataError("response_types", t+" is not allowed for clients that register themselves", "allowed: "+strings.Join(p.ResponseTypes, ", "))
			}
		}
	}
	if c.SubjectType == subjectPairwise && c.SectorIdentifierURI == "" {
		for _, g := range c.GrantTypes {
			if !slices.Contains([]string{grantCode, grantImplicit, grantRefresh}, g) {
				// Only where answers go to the redirect URIs alone does their host prove
				// whose ids the client may learn.
				return metadataError("subject_type", "pairwise needs a sector_identifier_uri beside the grant type "+g, "")
			}
		}
	}
	if NeedsSealedSecret(c) && !p.SignsWithSecret {
		return metadataError("", "this server keeps no secrets that sign", "choose private_key_jwt and an asymmetric algorithm")
	}
	if m.scope == "" {
		return nil
	}
	asked := strings.Fields(m.scope)
	c.Scopes = oidc.ScopeMaps{Everyone: among(p.Scopes.Everyone, asked)}
	for _, group := range p.Scopes.Groups {
		if scopes := among(group.Scopes, asked); len(scopes) > 0 {
			c.Scopes.Groups = append(c.Scopes.Groups, oidc.ScopeMap{Group: group.Group, Scopes: scopes})
		}
	}
	if len(c.Scopes.Everyone)+len(c.Scopes.Groups) == 0 {
		return metadataError("scope", "none of these scopes can be had", "")
	}
	return nil
}

func among(list, asked []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !slices.Contains(asked, s) })
}

// sameWords reports whether two texts have the same words in any order.
func sameWords(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// registeredRedirectFault is redirectFault for applications that register themselves
// (OpenID Connect Registration 1.0, section 2, application_type; RFC 8252, sections
// 7.1 to 7.3).
func registeredRedirectFault(text, applicationType string) (message, hint string) {
	u, message, hint := parseURI(text)
	native := applicationType == applicationNative
	switch {
	case message != "":
		return message, hint
	case native:
		return redirectFault(text, true)
	case u.Scheme != "https":
		return "a web application must use https", "register as native to use a loopback address or a scheme of the app's own"
	case loopbackHost(u.Hostname()):
		return "a web application can't be on localhost", "register as native"
	}
	return hostFault(u)
}
