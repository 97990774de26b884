package ldapstore

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"
)

// Look-ups are nearly all that is ever said to a directory, so the few messages
// that they consist of are written and read here, in one go on one connection.
// go-ldap builds a tree of a thousand small objects for each of them.

// Tags of RFC 4511, section 4.
const (
	tagBoolean              = 0x01
	tagSet                  = 0x31
	tagBindRequest          = 0x60
	tagBindResponse         = 0x61
	tagSearchRequest        = 0x63
	tagSearchEntry          = 0x64
	tagSearchDone           = 0x65
	tagSearchReference      = 0x73
	tagIntermediateResponse = 0x79
	tagControls             = 0xa0
	tagSimplePassword       = 0x80
)

// open begins an element whose length is not known yet; shut ends it.
func open(b []byte, tag byte) (_ []byte, at int) {
	b = append(b, tag, 0)
	return b, len(b)
}

// shut writes the length of the element that open began at this place.
func shut(b []byte, at int) []byte {
	n := len(b) - at
	if n < 0x80 {
		b[at-1] = byte(n) //nolint:gosec // G115: less than 0x80
		return b
	}
	size := 1
	for n>>(8*size) > 0 {
		size++
	}
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)[:len(b)+size]
	copy(b[at+size:], b[at:at+n])
	b[at-1] = 0x80 | byte(size)
	for i := range size {
		b[at+i] = byte(n >> (8 * (size - 1 - i))) //nolint:gosec // one byte of it is meant
	}
	return b
}

// appendText appends a string under tag.
func appendText(b []byte, tag byte, text string) []byte {
	b, at := open(b, tag)
	return shut(append(b, text...), at)
}

// appendNumber appends an INTEGER or ENUMERATED (X.690, section 8.3).
func appendNumber(b []byte, tag byte, n int) []byte {
	b, at := open(b, tag)
	size := 1
	for n>>(8*size-1) != 0 && n>>(8*size-1) != -1 {
		size++
	}
	for i := size - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i))) //nolint:gosec // one byte of it is meant
	}
	return shut(b, at)
}

// number reads an INTEGER or ENUMERATED that is not negative.
func number(content []byte) (int, bool) {
	if len(content) == 0 || len(content) > 5 || content[0]&0x80 != 0 {
		return 0, false
	}
	n := 0
	for _, c := range content {
		n = n<<8 | int(c)
	}
	return n, true
}

// control is a control as it travels (RFC 4511, section 4.1.11).
type control struct {
	oid      string
	critical bool
	value    []byte // nil for none
}

// The controls of look-ups.
const (
	oidPaging         = "1.2.840.113556.1.4.319"    // RFC 2696
	oidPasswordPolicy = "1.3.6.1.4.1.42.2.27.8.5.1" // draft-behera-ldap-password-policy
)

// pagingControl asks for one page.
func pagingControl(size int, cookie []byte) control {
	value, at := open(nil, tagSequence)
	value = appendNumber(value, tagInteger, size)
	value = appendTLV(value, tagOctetString, cookie)
	return control{oid: oidPaging, value: shut(value, at)}
}

func appendControls(b []byte, controls []control) []byte {
	if len(controls) == 0 {
		return b
	}
	b, all := open(b, tagControls)
	for _, c := range controls {
		var at int
		b, at = open(b, tagSequence)
		b = appendText(b, tagOctetString, c.oid)
		if c.critical {
			b = append(b, tagBoolean, 1, 0xff)
		}
		if c.value != nil {
			b = appendTLV(b, tagOctetString, c.value)
		}
		b = shut(b, at)
	}
	return shut(b, all)
}

// appendBind appends a simple bind (RFC 4511, section 4.2).
func appendBind(b []byte, id int, dn, password string, controls ...control) []byte {
	b, message := open(b, tagSequence)
	b = appendNumber(b, tagInteger, id)
	b, request := open(b, tagBindRequest)
	b = appendNumber(b, tagInteger, 3)
	b = appendText(b, tagOctetString, dn)
	b = appendText(b, tagSimplePassword, password)
	b = shut(b, request)
	return shut(appendControls(b, controls), message)
}

// appendSearch appends a search (RFC 4511, section 4.5.1). Aliases are never
// followed.
func appendSearch(b []byte, id int, q *query, timeLimit int, controls ...control) ([]byte, error) {
	b, message := open(b, tagSequence)
	b = appendNumber(b, tagInteger, id)
	b, request := open(b, tagSearchRequest)
	b = appendText(b, tagOctetString, q.base)
	b = appendNumber(b, tagEnumerated, q.scope)
	b = appendNumber(b, tagEnumerated, ldap.NeverDerefAliases)
	b = appendNumber(b, tagInteger, q.limit)
	b = appendNumber(b, tagInteger, timeLimit)
	b = append(b, tagBoolean, 1, 0)
	b, err := appendFilter(b, q.filter)
	if err != nil {
		return nil, err
	}
	b, attributes := open(b, tagSequence)
	for _, name := range q.attributes {
		b = appendText(b, tagOctetString, name)
	}
	b = shut(b, attributes)
	b = shut(b, request)
	return shut(appendControls(b, controls), message), nil
}

// message is one message of the server. Its parts are valid until the next one
// is read.
type message struct {
	id       int
	op       byte
	content  []byte // of the operation
	controls []byte // what follows it
}

// parseMessage splits what is inside the envelope (RFC 4511, section 4.1.1).
func parseMessage(content []byte) (message, error) {
	tag, raw, rest, err := takeTLV(content)
	if err != nil {
		return message{}, err
	}
	id, ok := number(raw)
	if tag != tagInteger || !ok {
		return message{}, fmt.Errorf("%w: a message has no number", errBadMessage)
	}
	m := message{id: id}
	m.op, m.content, m.controls, err = takeTLV(rest)
	return m, err
}

// eachControl calls f with the controls of a message.
func (m *message) eachControl(f func(oid string, value []byte) error) error {
	if len(m.controls) == 0 {
		return nil
	}
	tag, list, _, err := takeTLV(m.controls)
	if err != nil || tag != tagControls {
		return errors.Join(err, fmt.Errorf("%w: no controls where they belong", errBadMessage))
	}
	for len(list) > 0 {
		var one []byte
		if _, one, list, err = takeTLV(list); err != nil {
			return err
		}
		_, oid, rest, err := takeTLV(one)
		if err != nil {
			return err
		}
		var value []byte
		for len(rest) > 0 {
			var tag byte
			var content []byte
			if tag, content, rest, err = takeTLV(rest); err != nil {
				return err
			}
			if tag == tagOctetString {
				value = content
			}
		}
		if err := f(string(oid), value); err != nil {
			return err
		}
	}
	return nil
}

// result reads an LDAPResult (RFC 4511, section 4.1.9): nil for success, or go-ldap's
// error, which everybody knows how to look into.
func (m *message) result() error {
	tag, raw, rest, err := takeTLV(m.content)
	if err != nil {
		return err
	}
	code, ok := number(raw)
	if tag != tagEnumerated || !ok || code > 0xffff {
		return fmt.Errorf("%w: an answer has no result code", errBadMessage)
	}
	_, matched, rest, err := takeTLV(rest)
	if err != nil {
		return err
	}
	_, text, _, err := takeTLV(rest)
	if err != nil {
		return err
	}
	if code == ldap.LDAPResultSuccess {
		return nil
	}
	return &ldap.Error{ResultCode: uint16(code), MatchedDN: string(matched), Err: errors.New(string(text))} //nolint:gosec // checked above
}

// nextPage reads the cookie of a page; none means that it was the last.
func (m *message) nextPage() (cookie []byte, err error) {
	err = m.eachControl(func(oid string, value []byte) error {
		if oid != oidPaging {
			return nil
		}
		_, inner, _, err := takeTLV(value)
		if err != nil {
			return err
		}
		_, _, rest, err := takeTLV(inner) // an estimate of the size
		if err != nil {
			return err
		}
		_, raw, _, err := takeTLV(rest)
		cookie = append([]byte(nil), raw...)
		return err
	})
	return cookie, err
}

// policyControls reads the controls of a bind's answer that tell of a password
// policy, as go-ldap has them.
func (m *message) policyControls() (controls []ldap.Control, err error) {
	err = m.eachControl(func(oid string, value []byte) error {
		switch oid {
		case oidPasswordPolicy:
			c, err := passwordPolicy(value)
			if err != nil {
				return err
			}
			controls = append(controls, c)
		case ldap.ControlTypeVChuPasswordMustChange:
			controls = append(controls, &ldap.ControlVChuPasswordMustChange{MustChange: true})
		}
		return nil
	})
	return controls, err
}

// passwordPolicy reads the response control of the password policy draft
// (draft-behera-ldap-password-policy-10, section 6.2).
func passwordPolicy(value []byte) (*ldap.ControlBeheraPasswordPolicy, error) {
	c := &ldap.ControlBeheraPasswordPolicy{Expire: -1, Grace: -1, Error: -1}
	if len(value) == 0 {
		return c, nil
	}
	tag, list, _, err := takeTLV(value)
	if err != nil || tag != tagSequence {
		return nil, errors.Join(err, fmt.Errorf("%w: the control of the password policy cannot be read", errBadMessage))
	}
	for len(list) > 0 {
		var content []byte
		if tag, content, list, err = takeTLV(list); err != nil {
			return nil, err
		}
		switch tag {
		case 0xa0: // warning
			kind, raw, _, err := takeTLV(content)
			if err != nil {
				return nil, err
			}
			n, ok := number(raw)
			switch {
			case !ok:
				return nil, fmt.Errorf("%w: the control of the password policy has no number", errBadMessage)
			case kind == 0x80:
				c.Expire = int64(n)
			case kind == 0x81:
				c.Grace = int64(n)
			}
		case 0x81: // error
			n, ok := number(content)
			if !ok || n > 127 {
				return nil, fmt.Errorf("%w: the control of the password policy has no number", errBadMessage)
			}
			c.Error, c.ErrorString = int8(n), ldap.BeheraPasswordPolicyErrorMap[int8(n)] //nolint:gosec // checked above
		}
	}
	return c, nil
}

// entry reads a SearchResultEntry (RFC 4511, section 4.5.2). All its texts are
// parts of one string; lower gives an attribute's name in lower case.
func (m *message) entry(lower func(string) string) (*entry, error) {
	tag, dn, rest, err := takeTLV(string(m.content))
	if err != nil || tag != tagOctetString {
		return nil, errors.Join(err, fmt.Errorf("%w: an entry has no name", errBadMessage))
	}
	_, list, _, err := takeTLV(rest)
	if err != nil {
		return nil, err
	}
	attributes, values, err := countValues(list)
	if err != nil {
		return nil, err
	}
	e := &entry{dn: dn, attributes: make(map[string][]string, attributes)}
	all := make([]string, 0, values)
	for list != "" {
		var one, set string
		_, one, list, _ = takeTLV(list) // countValues has seen that it can be read
		_, name, rest, _ := takeTLV(one)
		_, set, _, _ = takeTLV(rest)
		first := len(all)
		for set != "" {
			var value string
			_, value, set, _ = takeTLV(set)
			all = append(all, value)
		}
		key, own := lower(name), all[first:len(all):len(all)]
		if before, ok := e.attributes[key]; ok { // cn and CN in one entry
			own = append(before, own...)
		}
		e.attributes[key] = own
	}
	return e, nil
}

// countValues reads a list of attributes through and counts.
func countValues(list string) (attributes, values int, err error) {
	for list != "" {
		var one, rest string
		if _, one, list, err = takeTLV(list); err != nil {
			return 0, 0, err
		}
		if _, _, rest, err = takeTLV(one); err != nil {
			return 0, 0, err
		}
		tag, set, _, err := takeTLV(rest)
		if err != nil || tag != tagSet {
			return 0, 0, errors.Join(err, fmt.Errorf("%w: an attribute has no set of values", errBadMessage))
		}
		attributes++
		for set != "" {
			if _, _, set, err = takeTLV(set); err != nil {
				return 0, 0, err
			}
			values++
		}
	}
	return attributes, values, nil
}

// appendFilter compiles a filter (RFC 4515). It knows what filters here are made
// of, and leaves all else to go-ldap.
func appendFilter(b []byte, filter string) ([]byte, error) {
	if !strings.ContainsRune(filter, utf8.RuneError) { // which go-ldap refuses
		if whole, rest, ok := appendPlain(b, filter, 0); ok && rest == "" {
			return whole, nil
		}
	}
	packet, err := ldap.CompileFilter(filter)
	if err != nil {
		return nil, err
	}
	return append(b, packet.Bytes()...), nil
}

// maxFilterDepth is far beyond what anyone writes.
const maxFilterDepth = 100

// appendPlain compiles one filter of equality, presence, and, or and not at the
// beginning of text, and returns what follows it.
func appendPlain(b []byte, text string, depth int) (_ []byte, rest string, ok bool) {
	if len(text) < 3 || text[0] != '(' || depth > maxFilterDepth {
		return nil, "", false
	}
	if tag := filterSet(text[1]); tag != 0 {
		return appendSet(b, tag, text[2:], depth)
	}
	end := strings.IndexByte(text, ')')
	if end < 0 {
		return nil, "", false
	}
	name, value, found := strings.Cut(text[1:end], "=")
	if !found || !validAttribute(name) {
		return nil, "", false
	}
	rest = text[end+1:]
	if value == "*" {
		return appendText(b, tagFilterPresent, name), rest, true
	}
	b, at := open(b, tagFilterEqual)
	b = appendText(b, tagOctetString, name)
	if b, ok = appendValue(b, value); !ok {
		return nil, "", false
	}
	return shut(b, at), rest, true
}

// appendSet compiles the filters of an and, or or not.
func appendSet(b []byte, tag byte, text string, depth int) (_ []byte, rest string, ok bool) {
	b, at := open(b, tag)
	n := 0
	for ; text != "" && text[0] == '('; n++ {
		if b, text, ok = appendPlain(b, text, depth+1); !ok {
			return nil, "", false
		}
	}
	if text == "" || text[0] != ')' || tag == tagFilterNot && n != 1 {
		return nil, "", false
	}
	return shut(b, at), text[1:], true
}

// Tags of filters (RFC 4511, section 4.5.1.7).
const (
	tagFilterAnd     = 0xa0
	tagFilterOr      = 0xa1
	tagFilterNot     = 0xa2
	tagFilterEqual   = 0xa3
	tagFilterPresent = 0x87
)

func filterSet(operator byte) byte {
	switch operator {
	case '&':
		return tagFilterAnd
	case '|':
		return tagFilterOr
	case '!':
		return tagFilterNot
	default:
		return 0
	}
}

// appendValue takes the escapes out of a value (RFC 4515, section 3).
func appendValue(b []byte, value string) (_ []byte, ok bool) {
	b, at := open(b, tagOctetString)
	for value != "" {
		i := strings.IndexAny(value, "\\*(")
		if i < 0 {
			b = append(b, value...)
			break
		}
		b = append(b, value[:i]...)
		if value[i] != '\\' || len(value) < i+3 {
			return nil, false
		}
		high, ok1 := hexDigit(value[i+1])
		low, ok2 := hexDigit(value[i+2])
		if !ok1 || !ok2 {
			return nil, false
		}
		b = append(b, high<<4|low)
		value = value[i+3:]
	}
	return shut(b, at), true
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	default:
		return 0, false
	}
}
