package demodir

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// What one request may be. OpenLDAP takes 256 KiB from those who have not bound.
const (
	maxRequestBytes = 256 << 10
	maxRequestNodes = 32 << 10 // elements of one request
	maxRequestDepth = 100
	maxControls     = 32
)

// The protocolOp of a message (RFC 4511, section 4.2 and on), by application tag.
const (
	opBindRequest ber.Tag = iota
	opBindResponse
	opUnbindRequest
	opSearchRequest
	opSearchEntry
	opSearchDone
	opModifyRequest
	opModifyResponse
	opAddRequest
	opAddResponse
	opDeleteRequest
	opDeleteResponse
	opRenameRequest
	opRenameResponse
	opCompareRequest
	opCompareResponse
	opAbandonRequest
	opSearchReference  ber.Tag = 19
	opExtendedRequest  ber.Tag = 23
	opExtendedResponse ber.Tag = 24
)

// The result codes that are given (RFC 4511, section 4.1.9).
const (
	codeSuccess                      = 0
	codeProtocolError                = 2
	codeSizeLimitExceeded            = 4
	codeCompareFalse                 = 5
	codeCompareTrue                  = 6
	codeAuthMethodNotSupported       = 7
	codeStrongerAuthRequired         = 8
	codeReferral                     = 10
	codeUnavailableCriticalExtension = 12
	codeNoSuchAttribute              = 16
	codeUndefinedAttributeType       = 17
	codeConstraintViolation          = 19
	codeInvalidAttributeSyntax       = 21
	codeNoSuchObject                 = 32
	codeInvalidDNSyntax              = 34
	codeInvalidCredentials           = 49
	codeInsufficientAccessRights     = 50
	codeBusy                         = 51
	codeUnwillingToPerform           = 53
	codeOther                        = 80
)

const (
	controlPaged      = "1.2.840.113556.1.4.319"    // RFC 2696
	controlPolicy     = "1.3.6.1.4.1.42.2.27.8.5.1" // draft-behera-ldap-password-policy
	controlManageDSA  = "2.16.840.1.113730.3.4.2"   // RFC 3296: there are no referrals, so it changes nothing
	extensionWhoAmI   = "1.3.6.1.4.1.4203.1.11.3"   // RFC 4532
	extensionPassword = "1.3.6.1.4.1.4203.1.11.1"   // RFC 3062
	extensionGoodbye  = "1.3.6.1.4.1.1466.20036"    // Notice of Disconnection
	featureAllOpAttrs = "1.3.6.1.4.1.4203.1.5.1"    // RFC 3673: "+"
	featureTrueFalse  = "1.3.6.1.4.1.4203.1.5.3"    // RFC 4526: (&) and (|)
)

var errMessage = errors.New("the message could not be decoded")

// message is one request.
type message struct {
	id       int64
	op       *ber.Packet
	controls []control
}

type control struct {
	oid      string
	critical bool
	value    string
	hasValue bool
}

func (m *message) control(oid string) *control {
	for i := range m.controls {
		if m.controls[i].oid == oid {
			return &m.controls[i]
		}
	}
	return nil
}

// result is the answer that ends an operation.
type result struct {
	code          int64
	matched, text string
	referral      string // where to ask instead
}

// readFrame reads one LDAPMessage without trusting its length, and calls begun
// once its first byte is there.
func readFrame(r *bufio.Reader, limit int, begun func()) ([]byte, error) {
	if _, err := r.Peek(1); err != nil {
		return nil, err
	}
	begun()
	head := make([]byte, 2, 6)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	if head[0] != 0x30 {
		return nil, errMessage
	}
	length := int(head[1])
	if length >= 0x80 { // the length is in as many bytes as this says
		n := length & 0x7f
		if n == 0 || n > 4 {
			return nil, errMessage
		}
		head = head[:2+n]
		if _, err := io.ReadFull(r, head[2:]); err != nil {
			return nil, err
		}
		length = 0
		for _, b := range head[2:] {
			length = length<<8 | int(b)
		}
	}
	if length > limit {
		return nil, fmt.Errorf("%w: %d bytes are too many", errMessage, length)
	}
	frame := make([]byte, len(head)+length)
	copy(frame, head)
	if _, err := io.ReadFull(r, frame[len(head):]); err != nil {
		return nil, err
	}
	return frame, nil
}

// checkBER walks over elements before anything is made of them: it refuses
// indefinite lengths and long tags (RFC 4511, section 5.1), lengths that don't
// add up, and what is too deep or too many. It returns how many it may still see.
func checkBER(b []byte, depth, budget int) (int, error) {
	for len(b) > 0 {
		if budget--; budget < 0 || depth > maxRequestDepth || len(b) < 2 || b[0]&0x1f == 0x1f {
			return 0, errMessage
		}
		constructed := b[0]&0x20 != 0
		length, at := int(b[1]), 2
		if length >= 0x80 {
			n := length & 0x7f
			if n == 0 || n > 4 || len(b) < 2+n {
				return 0, errMessage
			}
			length = 0
			for _, c := range b[2 : 2+n] {
				length = length<<8 | int(c)
			}
			at += n
		}
		if length > len(b)-at {
			return 0, errMessage
		}
		if constructed {
			var err error
			if budget, err = checkBER(b[at:at+length], depth+1, budget); err != nil {
				return 0, err
			}
		}
		b = b[at+length:]
	}
	return budget, nil
}

// decodeMessage reads the envelope: id, operation, controls.
func decodeMessage(frame []byte) (*message, error) {
	if _, err := checkBER(frame, 0, maxRequestNodes); err != nil {
		return nil, err
	}
	p, err := ber.DecodePacketErr(frame)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	if len(p.Children) < 2 || len(p.Children) > 3 {
		return nil, errMessage
	}
	m := &message{op: p.Children[1]}
	id, ok := number(p.Children[0], ber.TagInteger)
	if !ok || id < 0 || id > 1<<31-1 || m.op.ClassType != ber.ClassApplication {
		return nil, errMessage
	}
	m.id = id
	if len(p.Children) == 3 {
		if m.controls, err = decodeControls(p.Children[2]); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func decodeControls(p *ber.Packet) ([]control, error) {
	if p.ClassType != ber.ClassContext || p.TagType != ber.TypeConstructed || p.Tag != 0 || len(p.Children) > maxControls {
		return nil, errMessage
	}
	var controls []control
	for _, c := range p.Children {
		if len(c.Children) == 0 || !isOctets(c.Children[0]) {
			return nil, errMessage
		}
		k := control{oid: content(c.Children[0])}
		for i, part := range c.Children[1:] {
			switch {
			case i == 0 && part.ClassType == ber.ClassUniversal && part.Tag == ber.TagBoolean:
				k.critical = content(part) != "\x00"
			case !k.hasValue && isOctets(part):
				k.value, k.hasValue = content(part), true
			default:
				return nil, errMessage
			}
		}
		controls = append(controls, k)
	}
	return controls, nil
}

// content returns the bytes inside an element as they were sent.
func content(p *ber.Packet) string { return p.Data.String() }

func isOctets(p *ber.Packet) bool {
	return p.ClassType == ber.ClassUniversal && p.TagType == ber.TypePrimitive && p.Tag == ber.TagOctetString
}

// number reads an INTEGER or ENUMERATED of at most 32 bits.
func number(p *ber.Packet, tag ber.Tag) (int64, bool) {
	if p.ClassType != ber.ClassUniversal || p.TagType != ber.TypePrimitive || p.Tag != tag || p.Data.Len() == 0 || p.Data.Len() > 5 {
		return 0, false
	}
	n, err := ber.ParseInt64(p.Data.Bytes())
	return n, err == nil
}

func sequence(children ...*ber.Packet) *ber.Packet {
	p := ber.NewSequence("")
	for _, c := range children {
		p.AppendChild(c)
	}
	return p
}

func octetString(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

// encodeMessage puts an operation of the server into its envelope.
func encodeMessage(id int64, op *ber.Packet, controls ...control) []byte {
	p := sequence(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""), op)
	if len(controls) > 0 {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, c := range controls {
			list.AppendChild(sequence(octetString(c.oid), octetString(c.value)))
		}
		p.AppendChild(list)
	}
	return p.Bytes()
}

// encodeResult makes an LDAPResult (RFC 4511, section 4.1.9) and what follows it.
func encodeResult(op ber.Tag, r result, more ...*ber.Packet) *ber.Packet {
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, op, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, r.code, ""))
	p.AppendChild(octetString(r.matched))
	p.AppendChild(octetString(r.text))
	if r.referral != "" {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 3, nil, "")
		list.AppendChild(octetString(r.referral))
		p.AppendChild(list)
	}
	for _, c := range more {
		p.AppendChild(c)
	}
	return p
}
