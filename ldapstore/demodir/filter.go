package demodir

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// verdict is one of the three values a filter has for an entry (RFC 4511,
// section 4.5.1.7). Only an entry for which it is yes is sent.
type verdict uint8

const (
	undefined verdict = iota // can't be said: no such attribute, no such rule, no value of the kind
	no
	yes
)

// The context tags of a Filter.
const (
	filterAnd ber.Tag = iota
	filterOr
	filterNot
	filterEqual
	filterSubstrings
	filterGreaterOrEqual
	filterLessOrEqual
	filterPresent
	filterApprox
	filterExtensible
)

// What a filter may have: more is an attack, not a question.
const (
	maxFilterTerms = 4096
	maxFilterDepth = 32
)

var errFilter = errors.New("the filter could not be decoded")

// filter is one term of a search filter.
type filter struct {
	kind      ber.Tag
	terms     []*filter // of and, or, not
	attribute string    // "" only for an extensible match
	value     string
	initial   string
	middle    []string
	final     string
	rule      string // of an extensible match
	dn        bool   // dnAttributes of an extensible match

	// What the schema makes of it, by prepare.
	like    *attributeType
	options []string
	rules   syntax // by which values are compared
	known   bool   // the attribute, the rule and the values make sense
}

// decodeFilter reads a filter and counts its terms off budget.
func decodeFilter(p *ber.Packet, depth int, budget *int) (*filter, error) {
	if *budget--; *budget < 0 || depth > maxFilterDepth || p.ClassType != ber.ClassContext {
		return nil, errFilter
	}
	f := &filter{kind: p.Tag}
	switch p.Tag {
	case filterAnd, filterOr, filterNot:
		for _, c := range p.Children {
			t, err := decodeFilter(c, depth+1, budget)
			if err != nil {
				return nil, err
			}
			f.terms = append(f.terms, t)
		}
		if p.TagType != ber.TypeConstructed || p.Tag == filterNot && len(f.terms) != 1 {
			return nil, errFilter
		}
	case filterPresent:
		if p.TagType != ber.TypePrimitive {
			return nil, errFilter
		}
		f.attribute = content(p)
	case filterEqual, filterGreaterOrEqual, filterLessOrEqual, filterApprox:
		if len(p.Children) != 2 || !isOctets(p.Children[0]) || !isOctets(p.Children[1]) {
			return nil, errFilter
		}
		f.attribute, f.value = content(p.Children[0]), content(p.Children[1])
	case filterSubstrings:
		return f, f.decodeSubstrings(p)
	case filterExtensible:
		return f, f.decodeExtensible(p)
	default:
		return nil, errFilter
	}
	return f, nil
}

func (f *filter) decodeSubstrings(p *ber.Packet) error {
	if len(p.Children) != 2 || !isOctets(p.Children[0]) || len(p.Children[1].Children) == 0 {
		return errFilter
	}
	f.attribute = content(p.Children[0])
	pieces := p.Children[1].Children
	for i, c := range pieces {
		piece := content(c)
		switch {
		case c.ClassType != ber.ClassContext || c.TagType != ber.TypePrimitive || piece == "":
			return errFilter
		case c.Tag == 0 && i == 0:
			f.initial = piece
		case c.Tag == 1:
			f.middle = append(f.middle, piece)
		case c.Tag == 2 && i == len(pieces)-1:
			f.final = piece
		default:
			return errFilter
		}
	}
	return nil
}

func (f *filter) decodeExtensible(p *ber.Packet) error {
	for _, c := range p.Children {
		if c.ClassType != ber.ClassContext || c.TagType != ber.TypePrimitive {
			return errFilter
		}
		switch c.Tag {
		case 1:
			f.rule = content(c)
		case 2:
			f.attribute = content(c)
		case 3:
			f.value = content(c)
		case 4:
			f.dn = content(c) != "\x00"
		default:
			return errFilter
		}
	}
	if f.rule == "" && f.attribute == "" {
		return errFilter
	}
	return nil
}

// prepare looks up what the filter names and brings its values into normal form.
func (f *filter) prepare(s *schema) {
	for _, t := range f.terms {
		t.prepare(s)
	}
	if f.attribute != "" {
		f.like, f.options = s.find(f.attribute)
		if f.like == nil || f.like.name == "userPassword" {
			return // as if access to it were denied
		}
		f.rules = f.like.syntax
	}
	if f.rule != "" {
		rules, ok := matchingRule(f.rule)
		if !ok {
			return
		}
		f.rules = rules
	}
	switch f.kind {
	case filterPresent:
		f.known = true
	case filterSubstrings:
		f.known = true
		f.preparePieces()
	case filterGreaterOrEqual, filterLessOrEqual:
		f.value, f.known = f.rules.normal(f.value)
		f.known = f.known && f.rules.ordered()
	default:
		f.value, f.known = f.rules.normal(f.value)
	}
}

func (f *filter) preparePieces() {
	for _, p := range append([]*string{&f.initial, &f.final}, pointers(f.middle)...) {
		if *p == "" {
			continue
		}
		var ok bool
		*p, ok = f.rules.piece(*p)
		f.known = f.known && ok
	}
	f.initial = strings.TrimLeft(f.initial, " ")
	f.final = strings.TrimRight(f.final, " ")
}

func pointers(list []string) []*string {
	out := make([]*string, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// matchingRule returns the syntax whose values a rule compares (RFC 4517,
// section 4.2), by its name or OID.
func matchingRule(name string) (syntax, bool) {
	switch strings.ToLower(name) {
	case "caseignorematch", "2.5.13.2", "caseignoreia5match", "1.3.6.1.4.1.1466.109.114.2":
		return text, true
	case "caseexactmatch", "2.5.13.5", "caseexactia5match", "1.3.6.1.4.1.1466.109.114.1":
		return exact, true
	case "distinguishednamematch", "2.5.13.1":
		return named, true
	case "integermatch", "2.5.13.14":
		return integer, true
	case "telephonenumbermatch", "2.5.13.20":
		return phone, true
	case "booleanmatch", "2.5.13.13":
		return truth, true
	case "uuidmatch", "1.3.6.1.1.16.2":
		return unique, true
	case "generalizedtimematch", "2.5.13.27":
		return stamp, true
	case "objectidentifiermatch", "2.5.13.0":
		return class, true
	default:
		return 0, false
	}
}

// String returns the filter as text (RFC 4515).
func (f *filter) String() string {
	var b strings.Builder
	f.write(&b)
	return b.String()
}

func (f *filter) write(b *strings.Builder) {
	b.WriteByte('(')
	defer b.WriteByte(')')
	switch f.kind {
	case filterAnd, filterOr, filterNot:
		b.WriteByte("&|!"[f.kind])
		for _, t := range f.terms {
			t.write(b)
		}
	case filterSubstrings:
		fmt.Fprintf(b, "%s=%s*", f.attribute, escape(f.initial))
		for _, m := range f.middle {
			b.WriteString(escape(m) + "*")
		}
		b.WriteString(escape(f.final))
	case filterPresent:
		b.WriteString(f.attribute + "=*")
	case filterExtensible:
		b.WriteString(f.attribute)
		if f.dn {
			b.WriteString(":dn")
		}
		if f.rule != "" {
			b.WriteString(":" + f.rule)
		}
		b.WriteString(":=" + escape(f.value))
	default:
		sign := map[ber.Tag]string{filterEqual: "=", filterGreaterOrEqual: ">=", filterLessOrEqual: "<=", filterApprox: "~="}[f.kind]
		b.WriteString(f.attribute + sign + escape(f.value))
	}
}

// escape writes a value so that it can stand in a filter (RFC 4515, section 3).
func escape(value string) string {
	var b strings.Builder
	for _, c := range []byte(value) {
		if strings.IndexByte("*()\\\x00", c) >= 0 {
			b.WriteString(`\` + hex.EncodeToString([]byte{c}))
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
