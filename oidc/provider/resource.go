package provider

import (
	"slices"

	"gatehouse/oidc"
)

// parseResources reads the resource parameters of a client (RFC 8707, section 2).
// What the operator has not allowed for it is invalid_target.
func (p *Provider) parseResources(c *oidc.Client, values []string) ([]string, error) {
	var resources []string
	for _, v := range values {
		switch {
		case v == "" || slices.Contains(resources, v):
		case !p.mayTarget(c, v):
			return nil, fail("invalid_target", "a resource is asked for that tokens of this client are not for")
		default:
			resources = append(resources, v)
		}
	}
	return resources, nil
}

// mayTarget reports whether access tokens of a client may be for a resource, as its
// file says now. This server itself is always one: its userinfo.
func (p *Provider) mayTarget(c *oidc.Client, resource string) bool {
	switch resource {
	case "":
		return false
	case p.issuerOf(c), c.DefaultResource, p.DefaultResource:
		return true
	}
	return slices.Contains(c.Audience, resource)
}

// askedResources reads what a token request asks for. It may ask for less than the
// grant was given for, not for more (section 2.2). A grant that is made here and
// now keeps it; of one that is kept already, nothing is written.
func (p *Provider) askedResources(c *oidc.Client, s *session, values []string) ([]string, error) {
	asked, err := p.parseResources(c, values)
	if err != nil {
		return nil, err
	}
	granted := s.grant.Resources
	for _, resource := range asked {
		if len(granted) > 0 && !slices.Contains(granted, resource) && resource != p.issuerOf(c) {
			return nil, fail("invalid_target", "a resource is asked for that was not granted")
		}
	}
	if len(granted) == 0 {
		s.grant.Resources = asked
	}
	return asked, nil
}

// audience says what an access token is for: what the client asks for this time;
// else what the grant was given for; else a default (RFC 9068, section 3). With
// openid, a token that is not narrowed is for userinfo, too, as OpenID Connect Core
// 1.0, section 5.3, has it. One that is can be handed to its resource, which then
// can't ask userinfo with it.
func (p *Provider) audience(c *oidc.Client, s *session, asked []string) ([]string, error) {
	if len(asked) > 0 {
		return asked, nil
	}
	var audience []string
	for _, resource := range s.grant.Resources { // the file may have changed
		if p.mayTarget(c, resource) {
			audience = append(audience, resource)
		}
	}
	switch {
	case len(audience) > 0:
	case len(s.grant.Resources) > 0:
		return nil, fail("invalid_target", "tokens of this client are no longer for the resources that were granted")
	case c.DefaultResource != "":
		audience = []string{c.DefaultResource}
	case p.DefaultResource != "":
		audience = []string{p.DefaultResource}
	default:
		audience = slices.Clone(c.Audience)
	}
	ours := p.issuerOf(c)
	if (len(audience) == 0 || slices.Contains(s.scopes, "openid")) && !slices.Contains(audience, ours) {
		audience = append(audience, ours)
	}
	return audience, nil
}

// meantForUs reports whether an access token of c is for this server itself. One
// from before there were audiences is.
func (p *Provider) meantForUs(c *oidc.Client, t oidc.Token) bool {
	return len(t.Audience) == 0 || slices.Contains(t.Audience, p.issuerOf(c))
}

// meantFor reports whether an access token of c is for the client caller, and c's
// file still allows that.
func (p *Provider) meantFor(caller, c *oidc.Client, t oidc.Token) bool {
	return slices.ContainsFunc(t.Audience, func(a string) bool {
		return (a == caller.ID || slices.Contains(caller.ResourceIdentifiers, a)) && p.mayTarget(c, a)
	})
}
