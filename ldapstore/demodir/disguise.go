package demodir

import (
	"fmt"
	"strconv"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Disguise lets the directory pass for another sort of server in tests.
type Disguise struct {
	// RootDSE is what the server says of itself instead.
	RootDSE map[string][]string
	// MostValues is how many values of one attribute are sent at once. Where there
	// are more, Active Directory sends the first as attribute;range=0-1499, and
	// beside them the attribute without any (MS-ADTS, section 3.1.1.3.1.3.3).
	MostValues int
	// MostEntries is how many entries one answer has, a page too.
	MostEntries int
}

// rootDSE returns the entry that a disguised server has as its root, and a schema
// that knows its attributes.
func (d *Disguise) rootDSE(s *schema) (*entry, *schema) {
	e, _ := (&entry{}).with(s, "objectClass", "top") // a search for any entry has to find it
	for name, values := range d.RootDSE {
		s = s.with(name)
		if with, err := e.with(s, name, values...); err == nil {
			e = with
		}
	}
	return e, s
}

// cap shortens a page, or limits an answer that has none.
func (d *Disguise) cap(s *searching) {
	most := int64(d.MostEntries)
	if most == 0 {
		return
	}
	if s.page == nil && (s.request.sizeLimit == 0 || s.request.sizeLimit > most) {
		s.request.sizeLimit = most
	} else if s.page != nil {
		s.page.size = min(s.page.size, most)
	}
}

// takeRanges takes the ranges out of the attributes asked for, as in
// member;range=1500-*, and returns where they begin.
func takeRanges(names []string) map[string]int {
	var from map[string]int
	for i, name := range names {
		plain, option, found := strings.Cut(strings.ToLower(name), ";range=")
		begin, _, _ := strings.Cut(option, "-")
		n, err := strconv.Atoi(begin)
		if !found || err != nil || n < 0 {
			continue
		}
		if from == nil {
			from = map[string]int{}
		}
		names[i], from[plain] = plain, n
	}
	return from
}

// encodeRange adds the part of an attribute's values that is sent at once.
func (s *searching) encodeRange(list *ber.Packet, a *attribute) {
	most := s.conn.server.opts.Disguise.MostValues
	from := min(s.from[strings.ToLower(a.name)], len(a.values))
	to, end := from+most, strconv.Itoa(from+most-1)
	if to >= len(a.values) {
		to, end = len(a.values), "*"
	}
	if from == 0 {
		list.AppendChild(encodeValues(a.name, nil))
	}
	list.AppendChild(encodeValues(fmt.Sprintf("%s;range=%d-%s", a.name, from, end), a.values[from:to]))
}

func encodeValues(name string, values []string) *ber.Packet {
	set := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	for _, v := range values {
		set.AppendChild(octetString(v))
	}
	return sequence(octetString(name), set)
}
