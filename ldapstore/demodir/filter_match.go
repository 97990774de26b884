package demodir

import (
	"slices"
	"strings"
)

// fits reports whether values of a syntax can be compared by a rule.
func (k syntax) fits(rule syntax) bool {
	letters := func(s syntax) bool { return s == text || s == exact }
	return k == rule || letters(k) && letters(rule)
}

// match says whether an entry with these attributes is meant.
func (f *filter) match(e *entry, attrs []attribute) verdict {
	switch f.kind {
	case filterAnd:
		return f.combine(e, attrs, yes, no)
	case filterOr:
		return f.combine(e, attrs, no, yes)
	case filterNot:
		return negate(f.terms[0].match(e, attrs))
	}
	if !f.known {
		return undefined
	}
	if f.kind == filterExtensible {
		return f.matchExtensible(e, attrs)
	}
	for i := range attrs {
		a := &attrs[i]
		if a.kind.is(f.like) && a.hasOptions(f.options) && f.matchValues(a) {
			return yes
		}
	}
	return no
}

// combine goes through the terms of an and, or an or: decisive ends it, and without
// any it is the rest, unless something could not be said.
func (f *filter) combine(e *entry, attrs []attribute, rest, decisive verdict) verdict {
	for _, t := range f.terms {
		switch t.match(e, attrs) {
		case decisive:
			return decisive
		case undefined:
			rest = undefined
		}
	}
	return rest
}

func negate(v verdict) verdict {
	switch v {
	case yes:
		return no
	case no:
		return yes
	default:
		return undefined
	}
}

// matchValues says whether one of the values is meant.
func (f *filter) matchValues(a *attribute) bool {
	switch f.kind {
	case filterPresent:
		return true
	case filterSubstrings:
		return slices.ContainsFunc(a.normals, f.matchPieces)
	case filterGreaterOrEqual, filterLessOrEqual:
		return slices.ContainsFunc(a.normals, func(v string) bool {
			order := f.rules.compare(v, f.value)
			return order == 0 || (order > 0) == (f.kind == filterGreaterOrEqual)
		})
	default:
		return slices.ContainsFunc(a.normals, f.equal)
	}
}

func (f *filter) equal(value string) bool {
	if f.rules == class {
		return kindOf(value, f.value)
	}
	return value == f.value
}

func (f *filter) matchPieces(value string) bool {
	value, ok := strings.CutPrefix(value, f.initial)
	if !ok {
		return false
	}
	for _, m := range f.middle {
		if _, value, ok = strings.Cut(value, m); !ok {
			return false
		}
	}
	return strings.HasSuffix(value, f.final)
}

func (f *filter) matchExtensible(e *entry, attrs []attribute) verdict {
	for i := range attrs {
		a := &attrs[i]
		if f.like != nil && !a.kind.is(f.like) || !a.hasOptions(f.options) || a.kind.name == "userPassword" || !a.kind.syntax.fits(f.rules) {
			continue
		}
		for _, v := range a.values {
			if n, ok := f.rules.normal(v); ok && f.equal(n) {
				return yes
			}
		}
	}
	if !f.dn {
		return no
	}
	for _, rdn := range strings.Split(e.dn.Key(), ",") {
		for _, part := range rdnParts(rdn) {
			n, ok := f.rules.normal(part.value)
			if ok && n == f.value && (f.like == nil || strings.EqualFold(part.attribute, f.like.name)) {
				return yes
			}
		}
	}
	return no
}
