package ldapstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"
)

// errCut means that a server has more values than it sends.
var errCut = errors.New("the directory sent a part of the values only")

// maxRanges bounds how often the next values of one attribute are asked for. Active
// Directory sends 1,500 at a time.
const maxRanges = 1000

// wholeValues asks for the values that were held back: Active Directory sends
// member;range=0-1499, and beside it a member without any, where there are more
// (MS-ADTS, section 3.1.1.3.1.3.3).
func (d *Directory) wholeValues(ctx context.Context, entries []*entry) error {
	for _, e := range entries {
		for name, values := range e.attributes {
			attribute, next, last, ok := parseRange(name)
			if !ok {
				continue
			}
			delete(e.attributes, name)
			for range maxRanges {
				if last {
					break
				}
				var more []string
				var err error
				if more, next, last, err = d.nextValues(ctx, e.dn, attribute, next); err != nil {
					return err
				}
				values = append(values[:len(values):len(values)], more...)
			}
			if !last {
				return unavailable("reading many values", errCut)
			}
			e.attributes[attribute] = values
		}
	}
	return nil
}

// nextValues reads the values of an attribute from a place on.
func (d *Directory) nextValues(ctx context.Context, dn, attribute string, from int) (values []string, next int, last bool, err error) {
	const purpose = "reading many values"
	a, err := d.searchOnce(ctx, query{
		purpose: purpose, base: dn, scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", limit: 1,
		attributes: []string{fmt.Sprintf("%s;range=%d-*", attribute, from)},
	})
	if err != nil {
		return nil, 0, false, err
	}
	if len(a.entries) == 1 {
		for name, values := range a.entries[0].attributes {
			own, next, last, ok := parseRange(name)
			if ok && own == attribute && len(values) > 0 && (last || next == from+len(values)) {
				return values, next, last, nil
			}
		}
	}
	return nil, 0, false, unavailable(purpose, errCut)
}

// parseRange reads an attribute description in lower case with the range that a
// server chose, as in member;range=0-1499; the last one ends in *. next is the
// place after it.
func parseRange(description string) (attribute string, next int, last, ok bool) {
	attribute, option, found := strings.Cut(description, ";range=")
	from, to, dashed := strings.Cut(option, "-")
	if !found || !dashed || strings.Contains(to, ";") {
		return "", 0, false, false
	}
	if _, err := strconv.ParseUint(from, 10, 31); err != nil {
		return "", 0, false, false
	}
	if to == "*" {
		return attribute, 0, true, true
	}
	n, err := strconv.ParseUint(to, 10, 31)
	if err != nil {
		return "", 0, false, false
	}
	return attribute, int(n) + 1, false, true
}
