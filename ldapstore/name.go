package ldapstore

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"
	"golang.org/x/text/unicode/norm"
)

// named looks for the people whom a typed name belongs to; two are enough to
// know that it is ambiguous.
func (d *Directory) named(ctx context.Context, t *table, name string) ([]*entry, *server, error) {
	if !searchable(name) {
		return nil, nil, nil
	}
	var filters []string
	for _, form := range forms(name) {
		for _, attribute := range t.LoginAttributes {
			filters = append(filters, equal(attribute, form))
		}
	}
	account, err := d.unqualified(ctx, t, name)
	if err != nil {
		return nil, nil, err
	}
	if account != "" {
		for _, form := range forms(account) {
			filters = append(filters, equal(accountName, form))
		}
	}
	return d.people(ctx, t, anyOf(filters...))
}

// searchable reports whether any entry could have this name.
func searchable(name string) bool {
	return strings.TrimSpace(name) != "" && len(name) <= 1024 && isText(name)
}

// forms returns a name as it was typed, composed and decomposed: ö may be one
// character or two (Unicode Standard Annex 15), people cannot see which, and not
// every server takes them for the same (RFC 4518, section 2.3).
func forms(name string) []string {
	all := []string{name}
	for _, form := range []string{norm.NFC.String(name), norm.NFD.String(name)} {
		if !slices.Contains(all, form) {
			all = append(all, form)
		}
	}
	return all
}

// accountName is the attribute that names a person within a domain.
const accountName = "sAMAccountName"

// domain is what a domain of Active Directory is called.
type domain struct {
	netbios string // as in EXAMPLE\alice
	dns     string // as in alice@example.org
}

// unqualified returns the account of a name that was typed with the domain of
// this directory, as in EXAMPLE\alice or alice@example.org; "" if it is no such
// name. Windows lets people in by either, even if the entry has another
// userPrincipalName.
func (d *Directory) unqualified(ctx context.Context, t *table, name string) (string, error) {
	if !t.QualifiedNames || !slices.ContainsFunc(t.LoginAttributes, func(a string) bool { return strings.EqualFold(a, accountName) }) {
		return "", nil
	}
	before, after, backslash := strings.Cut(name, `\`)
	at := strings.LastIndexByte(name, '@')
	if !backslash && at < 0 {
		return "", nil
	}
	own, err := d.domainOf(ctx)
	switch {
	case err != nil:
		return "", err
	case backslash && strings.EqualFold(before, own.netbios) && before != "":
		return strings.TrimSpace(after), nil
	case !backslash && at > 0 && strings.EqualFold(name[at+1:], own.dns) && own.dns != "":
		return strings.TrimSpace(name[:at]), nil
	default:
		return "", nil
	}
}

// domainOf asks what the directory's domain is called, once.
func (d *Directory) domainOf(ctx context.Context) (domain, error) {
	if known := d.domain.Load(); known != nil {
		return *known, nil
	}
	const purpose = "reading the name of the domain"
	a, err := d.search(ctx, query{
		purpose: purpose, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", limit: 1,
		attributes: []string{"defaultNamingContext", "configurationNamingContext"},
	})
	if err != nil {
		return domain{}, err
	}
	root := &entry{}
	if len(a.entries) > 0 {
		root = a.entries[0]
	}
	own := domain{}
	// AD LDS has no domain, and other servers have no such attributes.
	if base, places := root.first("defaultNamingContext"), root.first("configurationNamingContext"); base != "" && places != "" {
		a, err := d.search(ctx, query{
			purpose: purpose, base: "CN=Partitions," + places, scope: ldap.ScopeSingleLevel, limit: 2,
			filter:     allOf("(objectClass=crossRef)", equal("nCName", base)),
			attributes: []string{"nETBIOSName", "dnsRoot"},
		})
		if err != nil {
			return domain{}, err
		}
		if len(a.entries) > 1 {
			return domain{}, unavailable(purpose, errors.New("there is more than one"))
		}
		if len(a.entries) == 1 {
			own = domain{netbios: a.entries[0].first("nETBIOSName"), dns: a.entries[0].first("dnsRoot")}
		}
	}
	d.domain.Store(&own)
	return own, nil
}
