package demodir

import (
	"context"
	"encoding/binary"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"

	"gatehouse/oidc"
)

// The scopes of a search (RFC 4511, section 4.5.1.2); the last is of
// draft-sermersheim-ldap-subordinate-scope, which OpenLDAP takes.
const (
	scopeBase = iota
	scopeOne
	scopeSub
	scopeSubordinate
)

type searchRequest struct {
	base      string
	scope     int64
	sizeLimit int64
	typesOnly bool
	filter    *filter
	wanted    []string
}

func decodeSearch(p *ber.Packet) (*searchRequest, bool) {
	if len(p.Children) != 8 || !isOctets(p.Children[0]) || p.Children[7].TagType != ber.TypeConstructed {
		return nil, false
	}
	r := &searchRequest{base: content(p.Children[0]), typesOnly: content(p.Children[5]) != "\x00"}
	var ok1, ok2 bool
	r.scope, ok1 = number(p.Children[1], ber.TagEnumerated)
	r.sizeLimit, ok2 = number(p.Children[3], ber.TagInteger)
	budget := maxFilterTerms
	var err error
	r.filter, err = decodeFilter(p.Children[6], 0, &budget)
	if !ok1 || !ok2 || err != nil || r.scope < scopeBase || r.scope > scopeSubordinate || r.sizeLimit < 0 {
		return nil, false
	}
	for _, a := range p.Children[7].Children {
		if !isOctets(a) {
			return nil, false
		}
		r.wanted = append(r.wanted, content(a))
	}
	return r, true
}

// page is a request for a part of the results (RFC 2696). The cookie says behind
// which entry the part begins and how many came before it.
type page struct {
	size  int64
	after uint64
	sent  int64
}

func decodePage(k *control) (*page, *result) {
	malformed := &result{code: codeProtocolError, text: "paged results control could not be decoded"}
	if _, err := checkBER([]byte(k.value), 0, 8); err != nil {
		return nil, malformed
	}
	p, err := ber.DecodePacketErr([]byte(k.value))
	if err != nil || len(p.Children) != 2 || !isOctets(p.Children[1]) {
		return nil, malformed
	}
	size, ok := number(p.Children[0], ber.TagInteger)
	cookie := []byte(content(p.Children[1]))
	switch {
	case !ok || size < 0 || len(cookie) != 0 && len(cookie) != 12:
		return nil, malformed
	case len(cookie) == 0:
		return &page{size: size}, nil
	default:
		return &page{size: size, after: binary.BigEndian.Uint64(cookie), sent: int64(binary.BigEndian.Uint32(cookie[8:]))}, nil
	}
}

// response makes the control that goes with the end of a page; more says whether
// there is another.
func (p *page) response(more bool) control {
	var cookie []byte
	if more {
		cookie = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, p.after), uint32(p.sent)) //nolint:gosec // counts entries in memory
	}
	value := sequence(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0, ""), octetString(string(cookie)))
	return control{oid: controlPaged, value: string(value.Bytes())}
}

func (c *conn) prepareSearch(m *message) (Operation, func(context.Context, Fault), *result) {
	op := Operation{Kind: Search, Conn: c.number}
	r, ok := decodeSearch(m.op)
	if !ok {
		return op, nil, &result{code: codeProtocolError, text: "the search could not be decoded"}
	}
	op.DN, op.Filter = r.base, r.filter.String()
	var paging *page
	if k := m.control(controlPaged); k != nil {
		var refusal *result
		if paging, refusal = decodePage(k); refusal != nil {
			return op, nil, refusal
		}
		if r.sizeLimit > 0 && paging.size >= r.sizeLimit { // RFC 2696, section 3: then it is no paging
			paging = nil
		}
	}
	return op, func(ctx context.Context, fault Fault) {
		s := &searching{conn: c, ctx: ctx, message: m, request: r, page: paging, fault: fault}
		s.run()
	}, nil
}

// searching is one search on its way.
type searching struct {
	conn    *conn
	ctx     context.Context // of this one operation
	message *message
	request *searchRequest
	page    *page
	fault   Fault

	snap    *snapshot
	wanted  selection
	from    map[string]int // where the values begin that are asked for, see Disguise
	entries int64          // sent by this request
}

// run sends the entries and the end, unless a fault takes their place.
func (s *searching) run() {
	s.snap = s.conn.server.tree.current.Load()
	s.request.filter.prepare(s.snap.schema)
	if d := s.conn.server.opts.Disguise; d != nil {
		s.from = takeRanges(s.request.wanted)
		d.cap(s)
	}
	s.wanted = selectAttributes(s.snap.schema, s.request.wanted)
	found, end := s.find()
	more := false
	if end == nil {
		end, more = s.sendAll(found)
	}
	if s.fault.Trouble != 0 && end != nil { // it had no entry left to come at
		proceed, answer := s.suffer(s.fault)
		if answer != nil {
			end = answer
		} else if !proceed {
			return
		}
	}
	if end == nil || s.ctx.Err() != nil { // RFC 4511, section 4.11: an abandoned operation has no answer
		return
	}
	var controls []control
	if s.page != nil && end.code == codeSuccess { // OpenLDAP sends none with an error either
		controls = append(controls, s.page.response(more))
	}
	s.conn.reply(s.message, encodeResult(opSearchDone, *end), controls...)
}

// find returns the entries within the scope that the one who asks may see.
func (s *searching) find() ([]*entry, *result) {
	c, r := s.conn, s.request
	if r.base == "" && r.scope == scopeBase {
		s.page = nil
		if d := c.server.opts.Disguise; d != nil && d.RootDSE != nil {
			root, known := d.rootDSE(s.snap.schema)
			s.wanted = selectAttributes(known, r.wanted)
			return []*entry{root}, nil
		}
		return []*entry{s.snap.rootDSE()}, nil
	}
	if refusal := c.forbidden(); refusal != nil {
		return nil, refusal
	}
	if r.base == "" {
		return nil, &result{code: codeNoSuchObject}
	}
	dn, err := oidc.ParseDN(r.base)
	if err != nil {
		return nil, &result{code: codeInvalidDNSyntax, text: "invalid DN"}
	}
	base := s.snap.byKey[dn.Key()]
	if base == nil || !c.sees(base) {
		end := &result{code: codeNoSuchObject}
		if above := s.snap.closest(dn.Key()); base == nil && above != nil && c.sees(above) {
			end.matched = above.dn.String()
		}
		return nil, end
	}
	if r.scope == scopeBase {
		return []*entry{base}, nil
	}
	var found []*entry
	for _, e := range s.snap.entries {
		in := e.dn.Within(base.dn)
		switch r.scope {
		case scopeOne:
			in = e.parent == base.dn.Key() && e != base
		case scopeSubordinate:
			in = in && e != base
		}
		if in && c.sees(e) {
			found = append(found, e)
		}
	}
	return found, nil
}

// forbidden refuses those who have not bound, or must change their password first.
func (c *conn) forbidden() *result {
	switch {
	case c.key == "":
		return &result{code: codeUnwillingToPerform, text: "authentication required"}
	case c.restricted:
		return &result{code: codeInsufficientAccessRights, text: "Operations are restricted to bind/unbind/abandon/StartTLS/modify password"}
	default:
		return nil
	}
}

// sees reports whether the one bound may read an entry: the service account all, a
// person their own.
func (c *conn) sees(e *entry) bool {
	return c.key == c.server.serviceKey || c.key == e.dn.Key()
}

// sendAll sends what the filter lets through. It returns how the search ends, nil
// for with nothing at all, and whether there is another page.
func (s *searching) sendAll(found []*entry) (end *result, more bool) {
	limit := s.request.sizeLimit
	if own := int64(s.conn.server.opts.SizeLimit); s.page == nil && own > 0 && (limit == 0 || own < limit) {
		limit = own
	}
	before := int64(0)
	if s.page != nil {
		before = s.page.sent
	}
	for _, e := range found {
		if s.page != nil && e.seq <= s.page.after {
			continue
		}
		attrs := e.attrs
		if e.seq > 0 { // the root DSE has no more than it says
			attrs = s.snap.attributes(e)
		}
		if s.request.filter.match(e, attrs) != yes {
			continue
		}
		if s.ctx.Err() != nil {
			return nil, false
		}
		if limit > 0 && before+s.entries == limit {
			return &result{code: codeSizeLimitExceeded}, false
		}
		if s.page != nil && s.entries == s.page.size {
			return &result{}, s.page.size > 0
		}
		if s.fault.Trouble != 0 && s.entries == int64(s.fault.AfterEntries) {
			fault := s.fault
			s.fault = Fault{}
			s.conn.write(nil, true)
			if fault.Trouble == StopReading {
				s.conn.stopped.Store(true)
			}
			if proceed, answer := s.suffer(fault); !proceed {
				return answer, false
			}
		}
		s.conn.write(encodeMessage(s.message.id, s.encode(e, attrs)), false)
		s.entries++
		if s.page != nil {
			s.page.after, s.page.sent = e.seq, before+s.entries
		}
	}
	return &result{}, false
}

// suffer plays a fault, as conn.suffer does, and what only a search can have.
func (s *searching) suffer(f Fault) (proceed bool, answer *result) {
	if f.Trouble == Reference {
		p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, opSearchReference, nil, "")
		p.AppendChild(octetString(f.To))
		s.conn.write(encodeMessage(s.message.id, p), false)
	}
	return s.conn.suffer(s.ctx, f)
}

// encode makes a SearchResultEntry.
func (s *searching) encode(e *entry, attrs []attribute) *ber.Packet {
	list := ber.NewSequence("")
	for i := range attrs {
		a := &attrs[i]
		if a.kind.name == "userPassword" || !s.wanted.has(a) {
			continue
		}
		values := a.values
		if s.request.typesOnly {
			values = nil
		}
		if d := s.conn.server.opts.Disguise; d != nil && d.MostValues > 0 && len(values) > d.MostValues {
			s.encodeRange(list, a)
			continue
		}
		list.AppendChild(encodeValues(a.name, values))
	}
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, opSearchEntry, nil, "")
	p.AppendChild(octetString(e.dn.String()))
	p.AppendChild(list)
	return p
}

// selection is which attributes are asked for (RFC 4511, section 4.5.1.8).
type selection struct {
	user, operational bool
	kinds             []attribute // kind and options only
}

func selectAttributes(s *schema, names []string) selection {
	sel := selection{user: len(names) == 0}
	for _, name := range names {
		switch name {
		case "*":
			sel.user = true
		case "+": // RFC 3673
			sel.operational = true
		default: // "1.1" is no attribute and selects nothing
			if kind, options := s.find(strings.TrimSpace(name)); kind != nil {
				sel.kinds = append(sel.kinds, attribute{kind: kind, options: options})
			}
		}
	}
	return sel
}

func (s *selection) has(a *attribute) bool {
	if a.kind.operational && s.operational || !a.kind.operational && s.user {
		return true
	}
	for _, k := range s.kinds {
		if a.kind.is(k.kind) && a.hasOptions(k.options) {
			return true
		}
	}
	return false
}

// rootDSE returns what the server says of itself (RFC 4512, section 5.1).
func (s *snapshot) rootDSE() *entry {
	e := &entry{}
	for _, a := range []struct {
		name   string
		values []string
	}{
		{"objectClass", []string{"top", "OpenLDAProotDSE"}},
		{"structuralObjectClass", []string{"OpenLDAProotDSE"}},
		{"namingContexts", []string{s.base.String()}},
		{"supportedControl", []string{controlPolicy, controlManageDSA, controlPaged}},
		{"supportedExtension", []string{extensionPassword, extensionWhoAmI}},
		{"supportedFeatures", []string{featureAllOpAttrs, featureTrueFalse}},
		{"supportedLDAPVersion", []string{"3"}},
		{"vendorName", []string{"Gatehouse demonstration directory"}},
	} {
		if with, err := e.with(s.schema, a.name, a.values...); err == nil {
			e = with
		}
	}
	return e
}
