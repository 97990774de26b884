package demodir

import (
	"context"
	"slices"

	ber "github.com/go-asn1-ber/asn1-ber"

	"gatehouse/oidc"
)

// prepareCompare answers whether an entry has a value (RFC 4511, section 4.10).
func (c *conn) prepareCompare(m *message) (Operation, func(context.Context, Fault), *result) {
	op := Operation{Kind: Compare, Conn: c.number}
	if len(m.op.Children) != 2 || len(m.op.Children[1].Children) != 2 || !isOctets(m.op.Children[0]) {
		return op, nil, &result{code: codeProtocolError, text: "the comparison could not be decoded"}
	}
	op.DN = content(m.op.Children[0])
	name, value := content(m.op.Children[1].Children[0]), content(m.op.Children[1].Children[1])
	return op, func(context.Context, Fault) {
		c.reply(m, encodeResult(opCompareResponse, c.compare(op.DN, name, value)))
	}, nil
}

func (c *conn) compare(name, attribute, value string) result {
	if refusal := c.forbidden(); refusal != nil {
		return *refusal
	}
	dn, err := oidc.ParseDN(name)
	if err != nil {
		return result{code: codeInvalidDNSyntax, text: "invalid DN"}
	}
	snap := c.server.tree.current.Load()
	e := snap.byKey[dn.Key()]
	kind, options := snap.schema.find(attribute)
	switch {
	case e == nil || !c.sees(e):
		return result{code: codeNoSuchObject}
	case kind == nil:
		return result{code: codeUndefinedAttributeType}
	case kind.name == "userPassword":
		return result{code: codeInsufficientAccessRights}
	}
	normal, ok := kind.syntax.normal(value)
	answer := result{code: codeNoSuchAttribute}
	for _, a := range snap.attributes(e) {
		if !a.kind.is(kind) || !a.hasOptions(options) {
			continue
		}
		if ok && slices.Contains(a.normals, normal) {
			return result{code: codeCompareTrue}
		}
		answer = result{code: codeCompareFalse}
	}
	return answer
}

// prepareExtended answers "Who am I?" (RFC 4532), changes passwords (RFC 3062) and
// refuses all else.
func (c *conn) prepareExtended(m *message) (Operation, func(context.Context, Fault), *result) {
	op := Operation{Kind: Extended, Conn: c.number}
	if len(m.op.Children) == 0 || m.op.Children[0].ClassType != ber.ClassContext || m.op.Children[0].Tag != 0 {
		return op, nil, &result{code: codeProtocolError, text: "the extended operation could not be decoded"}
	}
	switch content(m.op.Children[0]) {
	case extensionWhoAmI:
	case extensionPassword:
		return c.preparePasswordModify(m, op)
	default:
		return op, nil, &result{code: codeProtocolError, text: "unsupported extended operation"}
	}
	return op, func(context.Context, Fault) {
		who := ""
		if c.identity != "" {
			who = "dn:" + c.identity
		}
		c.reply(m, encodeResult(opExtendedResponse, result{}, ber.NewString(ber.ClassContext, ber.TypePrimitive, 11, who, "")))
	}, nil
}

// prepareWrite refuses: entries are changed by the methods of Server.
func (c *conn) prepareWrite(*message) (Operation, func(context.Context, Fault), *result) {
	op := Operation{Kind: Write, Conn: c.number}
	if refusal := c.forbidden(); refusal != nil {
		return op, nil, refusal
	}
	return op, nil, &result{code: codeUnwillingToPerform, text: "the directory is read only"}
}
