package demodir

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"gatehouse/oidc"
)

// Record is one entry as an LDIF file states it.
type Record struct {
	DN         oidc.DN
	Line       int // of its dn
	Attributes []Attribute
}

// Attribute is one value of a Record. Names may come again, in any order.
type Attribute struct {
	Name  string // attribute description (RFC 4512, section 2.5): name and options
	Value string
	Line  int
}

// ParseLDIF reads the content records of an LDIF file (RFC 2849). Values may be
// raw UTF-8, as OpenLDAP's tools take it. Change records and values from URLs are
// refused. The error is an oidc.Problems that names every bad line.
func ParseLDIF(data []byte) ([]Record, error) {
	p := ldifParser{}
	for _, line := range unfold(data, &p) {
		p.line(line)
	}
	p.endRecord()
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	return p.records, nil
}

// logicalLine is a line with its folded continuations put back; number is that of
// its first part. A blank line ends a record.
type logicalLine struct {
	number int
	text   string
}

func unfold(data []byte, p *ldifParser) []logicalLine {
	var lines []logicalLine
	var current strings.Builder
	start := 0 // line where the text being gathered began, 0 for none
	comment := false
	flush := func() {
		if start > 0 && !comment {
			lines = append(lines, logicalLine{start, current.String()})
		}
		current.Reset()
		start, comment = 0, false
	}
	number := 0
	for len(data) > 0 {
		number++
		raw, rest, _ := bytes.Cut(data, []byte("\n"))
		data = rest
		raw = bytes.TrimSuffix(raw, []byte("\r"))
		switch {
		case len(raw) == 0:
			flush()
			lines = append(lines, logicalLine{number, ""})
		case raw[0] == ' ' && start > 0:
			current.Write(raw[1:])
		case raw[0] == ' ':
			p.problem(number, "the line begins with a blank but continues nothing", "only a line that continues the one before it begins with a blank")
		default:
			flush()
			start, comment = number, raw[0] == '#'
			current.Write(raw)
		}
	}
	flush()
	return lines
}

type ldifParser struct {
	records  []Record
	problems oidc.Problems
	current  *Record
	skip     bool // the record's beginning is bad: nothing more is said of it
	begun    bool // a record or a version line has been seen
}

func (p *ldifParser) problem(line int, message, hint string) {
	p.problems = append(p.problems, oidc.Problem{Line: line, Message: message, Hint: hint})
}

func (p *ldifParser) endRecord() {
	if p.current != nil {
		p.records = append(p.records, *p.current)
	}
	p.current, p.skip = nil, false
}

func (p *ldifParser) line(l logicalLine) {
	if l.text == "" {
		p.endRecord()
		return
	}
	if p.skip {
		return
	}
	first := !p.begun
	p.begun = true
	name, value, err := ldifValue(l.text)
	if err != nil {
		p.problem(l.number, err.Error(), "")
		p.skip = p.current == nil
		return
	}
	lower := strings.ToLower(name)
	switch {
	case p.current == nil && first && lower == "version":
		if value != "1" {
			p.problem(l.number, fmt.Sprintf("version %q of LDIF is not known", value), "the version is 1")
		}
	case p.current == nil && lower == "dn":
		dn, err := oidc.ParseDN(value)
		if err != nil {
			p.problem(l.number, err.Error(), "")
			p.skip = true
			return
		}
		p.current = &Record{DN: dn, Line: l.number}
	case p.current == nil:
		p.problem(l.number, `the record does not begin with "dn:"`, "each entry begins with its dn and ends with a blank line")
		p.skip = true
	case lower == "changetype" || lower == "control":
		p.problem(l.number, "this is a change record; only entries are read", "")
		p.current, p.skip = nil, true
	case lower == "dn":
		p.problem(l.number, "a second dn in one record", "put a blank line before it")
	default:
		p.current.Attributes = append(p.current.Attributes, Attribute{Name: name, Value: value, Line: l.number})
	}
}

// ldifValue reads name: text, name:: base64.
func ldifValue(line string) (name, value string, err error) {
	name, rest, found := strings.Cut(line, ":")
	if !found {
		return "", "", fmt.Errorf(`there is no ":" after the attribute's name`)
	}
	if !validDescription(name) {
		return "", "", fmt.Errorf("%q is no attribute name", name)
	}
	switch {
	case strings.HasPrefix(rest, "<"):
		return "", "", fmt.Errorf("the value of %s is at a URL, which is not read", name)
	case strings.HasPrefix(rest, ":"):
		raw, err := base64.StdEncoding.DecodeString(strings.Trim(rest[1:], " "))
		if err != nil {
			return "", "", fmt.Errorf("the value of %s is not base64", name)
		}
		return name, string(raw), nil
	}
	value = strings.TrimLeft(rest, " ")
	if !utf8.ValidString(value) || strings.ContainsAny(value, "\x00\r") {
		return "", "", fmt.Errorf("the value of %s is not a line of UTF-8 text; it has to be base64, after two colons", name)
	}
	return name, value, nil
}

// validDescription reports whether s is an attribute description (RFC 4512,
// section 2.5): a name or a numeric OID, and options.
func validDescription(s string) bool {
	for i, part := range strings.Split(s, ";") {
		if part == "" {
			return false
		}
		for j, c := range []byte(part) {
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			digit := c >= '0' && c <= '9'
			switch {
			case letter || digit || j > 0 && c == '-':
			case i == 0 && j > 0 && c == '.':
			default:
				return false
			}
		}
	}
	return true
}
