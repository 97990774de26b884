package demodir

import (
	"context"
	"errors"
	"slices"

	ber "github.com/go-asn1-ber/asn1-ber"

	"gatehouse/oidc"
)

// passwordChange is a request to change a password (RFC 3062, section 2).
type passwordChange struct {
	identity string // whose; "" for the one who is bound
	old      string
	hasOld   bool
	password string
}

// preparePasswordModify lets the one who is bound choose a password.
func (c *conn) preparePasswordModify(m *message, op Operation) (Operation, func(context.Context, Fault), *result) {
	request, ok := decodePasswordChange(m.op)
	if !ok {
		return op, nil, &result{code: codeProtocolError, text: "the change of a password could not be decoded"}
	}
	op.DN = request.identity
	return op, func(context.Context, Fault) {
		policyError := int64(policyNone)
		answer := c.changePassword(request, &policyError)
		var controls []control
		if m.control(controlPolicy) != nil && policyError != policyNone {
			l := login{policyError: policyError}
			controls = append(controls, control{oid: controlPolicy, value: l.policyValue()})
		}
		c.reply(m, encodeResult(opExtendedResponse, answer), controls...)
	}, nil
}

func decodePasswordChange(op *ber.Packet) (request passwordChange, ok bool) {
	if len(op.Children) != 2 || op.Children[1].ClassType != ber.ClassContext || op.Children[1].TagType != ber.TypePrimitive || op.Children[1].Tag != 1 {
		return request, len(op.Children) == 1
	}
	raw := []byte(content(op.Children[1]))
	if _, err := checkBER(raw, 0, maxRequestNodes); err != nil {
		return request, false
	}
	p, err := ber.DecodePacketErr(raw)
	if err != nil || p.ClassType != ber.ClassUniversal || p.Tag != ber.TagSequence || p.TagType != ber.TypeConstructed {
		return request, false
	}
	for _, part := range p.Children {
		if part.ClassType != ber.ClassContext || part.TagType != ber.TypePrimitive {
			return request, false
		}
		switch part.Tag {
		case 0:
			request.identity = content(part)
		case 1:
			request.old, request.hasOld = content(part), true
		case 2:
			request.password = content(part)
		default:
			return request, false
		}
	}
	return request, true
}

var errKept = errors.New("the password stays as it is")

// changePassword reads and writes in one step: two changes can't both be made with
// the same old password. The connection keeps the restrictions of its bind, where
// OpenLDAP would lift them.
func (c *conn) changePassword(request passwordChange, policyError *int64) result {
	if c.key == "" {
		return result{code: codeStrongerAuthRequired, text: "only authenticated users may change passwords"}
	}
	if request.identity != "" {
		dn, err := oidc.ParseDN(request.identity)
		switch {
		case err != nil:
			return result{code: codeInvalidAttributeSyntax, text: "Invalid DN"}
		case dn.Key() != c.key && request.hasOld:
			return result{code: codeUnwillingToPerform, text: "unwilling to verify old password"}
		case dn.Key() != c.key:
			return result{code: codeInsufficientAccessRights}
		}
	}
	if request.password == "" {
		return result{code: codeUnwillingToPerform, text: "passwords are not generated here"}
	}
	answer := result{}
	err := c.server.editEntry(c.identity, func(d *draft, e *entry) error {
		if answer = c.server.judgePassword(d, e, request, policyError); answer.code != codeSuccess {
			return errKept
		}
		return d.setPassword(e, request.password)
	})
	switch {
	case errors.Is(err, ErrNoEntry):
		return result{code: codeNoSuchObject}
	case err != nil && !errors.Is(err, errKept):
		return result{code: codeOther, text: "the password could not be kept"}
	}
	return answer
}

// judgePassword holds a new password against the old one and the policy.
func (s *Server) judgePassword(d *draft, e *entry, request passwordChange, policyError *int64) result {
	is := func(password string) bool {
		return slices.ContainsFunc(e.values("userPassword"), func(stored string) bool { return passwordIs(stored, password) })
	}
	if request.hasOld && !is(request.old) {
		return result{code: codeUnwillingToPerform, text: "unwilling to verify old password"}
	}
	if least := d.minLength(e); int64(len(request.password)) < least {
		*policyError = policyTooShort
		return result{code: codeConstraintViolation, text: "Password fails quality checking policy"}
	}
	return result{}
}

// minLength is the least length of a password under the policy that an entry names.
func (d *draft) minLength(e *entry) int64 {
	dn, err := oidc.ParseDN(e.first("pwdPolicySubentry"))
	p := d.entries[dn.Key()]
	if err != nil || p == nil || p.first("pwdCheckQuality") == "" || p.first("pwdCheckQuality") == "0" {
		return 0
	}
	return integerOf(p, "pwdMinLength")
}
