package demodir

import (
	"context"
	"slices"
	"strconv"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"

	"gatehouse/oidc"
)

// The errors of a password policy response.
const (
	policyNone             = -1
	policyPasswordExpired  = 0
	policyAccountLocked    = 1
	policyChangeAfterReset = 2
	policyTooShort         = 6
)

var invalidCredentials = result{code: codeInvalidCredentials}

// login is what a simple bind came to.
type login struct {
	result      result
	entry       *entry // who is bound; nil for nobody
	restricted  bool
	tellPolicy  bool // the policy has a word to say, even if it is an empty one
	policyError int64
	expiresIn   int64 // seconds until the password expires, 0 for no warning
	grace       bool  // this was a login with an expired password
	graceLeft   int64 // how many more there may be
}

func (c *conn) prepareBind(m *message) (Operation, func(context.Context, Fault), *result) {
	op := Operation{Kind: Bind, Conn: c.number}
	malformed := &result{code: codeProtocolError, text: "the bind could not be decoded"}
	if len(m.op.Children) != 3 || !isOctets(m.op.Children[1]) {
		return op, nil, malformed
	}
	op.DN = content(m.op.Children[1])
	version, ok := number(m.op.Children[0], ber.TagInteger)
	auth := m.op.Children[2]
	switch {
	case !ok || auth.ClassType != ber.ClassContext:
		return op, nil, malformed
	case version != 3:
		return op, nil, &result{code: codeProtocolError, text: "requested protocol version not supported"}
	case auth.Tag != 0 || auth.TagType != ber.TypePrimitive:
		return op, nil, &result{code: codeAuthMethodNotSupported, text: "only simple binds are taken"}
	}
	return op, func(context.Context, Fault) {
		c.identity, c.key, c.restricted = "", "", false // a failed bind leaves nobody bound
		l := c.server.login(op.DN, content(auth))
		if l.entry != nil {
			c.identity, c.key, c.restricted = l.entry.dn.String(), l.entry.dn.Key(), l.restricted
		}
		var controls []control
		if l.tellPolicy && m.control(controlPolicy) != nil {
			controls = append(controls, control{oid: controlPolicy, value: l.policyValue()})
		}
		c.reply(m, encodeResult(opBindResponse, l.result), controls...)
	}, nil
}

// login checks a name and a password in the order of OpenLDAP's ppolicy overlay: a
// locked account is told before the password is looked at, an expired one only to
// who has the right password.
func (s *Server) login(name, password string) login {
	if name == "" && password == "" {
		return login{}
	}
	dn, err := oidc.ParseDN(name)
	switch {
	case name != "" && err != nil:
		return login{result: result{code: codeInvalidDNSyntax, text: "invalid DN"}}
	case password == "": // RFC 4513, section 5.1.2
		return login{result: result{code: codeUnwillingToPerform, text: "unauthenticated bind (DN with no password) disallowed"}}
	}
	snap := s.tree.current.Load()
	e := snap.byKey[dn.Key()]
	if e == nil {
		return login{result: invalidCredentials}
	}
	policy := snap.policy(e)
	now := s.opts.Now()
	if policy.locked(e, now) {
		return login{result: invalidCredentials, tellPolicy: true, policyError: policyAccountLocked}
	}
	right := slices.ContainsFunc(e.values("userPassword"), func(stored string) bool { return passwordIs(stored, password) })
	if !right {
		return login{result: invalidCredentials, tellPolicy: true, policyError: policyNone}
	}
	l := login{entry: e, tellPolicy: true, policyError: policyNone}
	if e.first("pwdReset") == "TRUE" {
		l.restricted, l.policyError = true, policyChangeAfterReset
		return l
	}
	s.judgeAge(&l, policy, now)
	return l
}

// judgeAge refuses a password that is too old, or counts a grace login, or warns.
func (s *Server) judgeAge(l *login, policy policy, now time.Time) {
	changed, ok := parseStamp(l.entry.first("pwdChangedTime"))
	if !ok || policy.maxAge == 0 {
		return
	}
	left := changed.Add(policy.maxAge).Sub(now)
	if left >= 0 {
		if left <= policy.warning {
			l.expiresIn = int64(left / time.Second)
		}
		return
	}
	key := l.entry.dn.Key()
	err := s.tree.edit(func(d *draft) error { // read and written in one step: two logins can't share a grace
		e := d.entries[key]
		if e == nil {
			return ErrNoEntry
		}
		used := e.values("pwdGraceUseTime")
		left := policy.grace - int64(len(used))
		if left < 1 {
			return nil
		}
		l.grace, l.graceLeft = true, left-1
		at := now.UTC().Add(time.Duration(len(used))) // no two are the same, or they would be one value
		return d.set(e, "pwdGraceUseTime", append(slices.Clone(used), at.Format("20060102150405.000000000Z"))...)
	})
	if err != nil || !l.grace {
		*l = login{result: invalidCredentials, tellPolicy: true, policyError: policyPasswordExpired}
	}
}

// policyValue encodes a PasswordPolicyResponseValue.
func (l *login) policyValue() string {
	p := ber.NewSequence("")
	if l.expiresIn > 0 || l.grace {
		warning := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		if l.expiresIn > 0 {
			warning.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 0, l.expiresIn, ""))
		} else {
			warning.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, l.graceLeft, ""))
		}
		p.AppendChild(warning)
	}
	if l.policyError != policyNone {
		p.AppendChild(ber.NewInteger(ber.ClassContext, ber.TypePrimitive, 1, l.policyError, ""))
	}
	return string(p.Bytes())
}

// policy is what matters here of an entry of class pwdPolicy; times of zero are
// not set.
type policy struct {
	maxAge, warning, lockout time.Duration
	grace                    int64
}

// policy returns the one that an entry names, or none.
func (s *snapshot) policy(e *entry) policy {
	dn, err := oidc.ParseDN(e.first("pwdPolicySubentry"))
	p := s.byKey[dn.Key()]
	if err != nil || p == nil {
		return policy{}
	}
	seconds := func(name string) time.Duration { return time.Duration(integerOf(p, name)) * time.Second }
	return policy{
		maxAge: seconds("pwdMaxAge"), warning: seconds("pwdExpireWarning"), lockout: seconds("pwdLockoutDuration"),
		grace: integerOf(p, "pwdGraceAuthNLimit"),
	}
}

// integerOf reads an attribute that is an integer, or would not be there; 0 if it
// isn't.
func integerOf(e *entry, name string) int64 {
	n, _ := strconv.ParseInt(e.first(name), 10, 32) // see above
	return n
}

// locked reports whether an account is disabled, locked, or not within its time.
func (p policy) locked(e *entry, now time.Time) bool {
	if start, ok := parseStamp(e.first("pwdStartTime")); ok && now.Before(start) {
		return true
	}
	if end, ok := parseStamp(e.first("pwdEndTime")); ok && !now.Before(end) {
		return true
	}
	since, ok := parseStamp(e.first("pwdAccountLockedTime"))
	if !ok {
		return false
	}
	// The year 0 means until an administrator says otherwise.
	return since.Year() == 0 || p.lockout == 0 || now.Before(since.Add(p.lockout))
}
