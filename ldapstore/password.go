package ldapstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

var _ oidc.PasswordChanger = (*Directory)(nil)

// passwordModify is the operation of RFC 3062.
const passwordModify = "1.3.6.1.4.1.4203.1.11.1"

// offerChange says, in a refusal because of the password's age, what its person
// can do about it. accepted means that the directory let the bind succeed: then the
// person can sign in to change the password and nothing else. Active Directory
// refuses the bind, and takes the change from the service account, which it lets
// do no more than the old password allows.
func (d *Directory) offerChange(err error, t *table, accepted bool) {
	var refused *oidc.SignInError
	if !errors.As(err, &refused) || refused.Reason != oidc.ReasonMustChange && refused.Reason != oidc.ReasonPasswordExpired {
		return
	}
	refused.ChangeURL = d.options.PasswordChangeURL
	refused.MayChange = d.options.PasswordChange && (accepted || t.keepsUnicodePwd())
}

// graceLeft reports whether a bind was let in with an expired password, and may
// be so once more at least: to change the password takes another one.
func graceLeft(controls []ldap.Control) bool {
	policy, ok := ldap.FindControl(controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	return ok && policy.Grace > 0
}

// keepsUnicodePwd reports whether the password is changed by writing an attribute,
// as only Active Directory has it (MS-ADTS, section 3.1.1.3.1.5).
func (t *table) keepsUnicodePwd() bool { return t.Name == "ad" }

// ChangePassword replaces a password, on a connection of its own that ends with
// it: whatever a policy did to that connection is gone with it. It goes to the
// server that has just found the person, and to no other.
func (d *Directory) ChangePassword(ctx context.Context, id, oldPassword, newPassword string) error {
	switch {
	case !d.options.PasswordChange:
		return &oidc.PasswordError{Reason: oidc.PasswordImpossible, Err: errors.New("directory.password_change is off")}
	case oldPassword == "" || newPassword == "": // to nobody's network: RFC 4513, section 5.1.2; RFC 3062, section 2
		return refuse(oidc.ReasonEmptyPassword, nil)
	}
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	t, err := d.tableInForce(ctx)
	if err != nil {
		return err
	}
	e, state, found, err := d.whoseID(ctx, t, id)
	if err != nil {
		return err
	}
	switch state {
	case oidc.StateDisabled:
		return ofSubject(refuse(oidc.ReasonDisabled, nil), id)
	case oidc.StateExpired:
		return ofSubject(refuse(oidc.ReasonAccountExpired, nil), id)
	}
	if err := oidc.GuardBind(ctx, id); err != nil {
		return &oidc.SignInError{Reason: oidc.ReasonThrottled, Subject: id, Err: err}
	}
	begin := time.Now()
	if t.keepsUnicodePwd() {
		err = found.replaceUnicodePwd(ctx, e.dn, oldPassword, newPassword)
	} else {
		err = found.modifyPassword(ctx, t, e.dn, oldPassword, newPassword, state)
	}
	err = ofSubject(err, id)
	trace(ctx, Step{What: StepPassword, Server: found.url, DN: e.dn, Took: time.Since(begin), Err: err})
	return err
}

// whoseID looks up, live, the entry of an id.
func (d *Directory) whoseID(ctx context.Context, t *table, id string) (*entry, oidc.AccountState, *server, error) {
	value, ok := t.encodeID(id)
	if !ok {
		return nil, 0, nil, fmt.Errorf("%w: no entry can have this id", oidc.ErrNotFound)
	}
	people, found, err := d.people(ctx, t, equal(t.IDAttribute, value))
	switch {
	case err != nil:
		return nil, 0, nil, err
	case len(people) == 0:
		return nil, 0, nil, fmt.Errorf("%w: no entry has this id", oidc.ErrNotFound)
	case len(people) > 1:
		return nil, 0, nil, unavailable("looking up an id", errors.New("more than one entry has it"))
	}
	state, err := t.state(people[0], d.now())
	if err != nil {
		return nil, 0, nil, unavailable("reading an entry", err)
	}
	return people[0], state, found, nil
}

// modifyPassword signs in as the person and changes the password by RFC 3062. The
// bind proves the old password, and is the one try; must-change and grace let it
// succeed.
func (s *server) modifyPassword(ctx context.Context, t *table, dn, oldPassword, newPassword string, state oidc.AccountState) error {
	return fresh(ctx, s.binds, func(c *conn) error {
		controls, err := c.bind(ctx, dn, oldPassword)
		if err != nil {
			return t.judge(err, controls, state)
		}
		// The name is given although it is the one who is bound: some servers want
		// to hear it (lldap), and all take it.
		value := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSequence, nil, "")
		for tag, text := range []string{dn, oldPassword, newPassword} {
			value.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, ber.Tag(tag), text, ""))
		}
		request := ldap.NewExtendedRequest(passwordModify, value)
		request.Controls = []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}
		err = c.do(ctx, func(l *ldap.Conn) error {
			_, err := l.Extended(request)
			return err
		})
		return judgeChange(err)
	})
}

// replaceUnicodePwd has Active Directory replace one value by another, which it
// does for anybody who knows the old one.
func (s *server) replaceUnicodePwd(ctx context.Context, dn, oldPassword, newPassword string) error {
	if !s.encrypted() {
		return &oidc.PasswordError{Reason: oidc.PasswordImpossible, Err: errors.New("the connection is not encrypted: use ldaps:// or start_tls")}
	}
	return fresh(ctx, s.reads, func(c *conn) error {
		request := ldap.NewModifyRequest(dn, nil)
		request.Delete("unicodePwd", []string{unicodePwd(oldPassword)})
		request.Add("unicodePwd", []string{unicodePwd(newPassword)})
		return judgeUnicodePwd(c.do(ctx, func(l *ldap.Conn) error { return l.Modify(request) }))
	})
}

// unicodePwd is the form in which the attribute is written: in quotes, UTF-16 with
// the lower byte first (MS-ADTS, section 3.1.1.3.1.5).
func unicodePwd(password string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// fresh runs f on a connection that nobody used before and nobody uses after.
func fresh(ctx context.Context, p *pool, f func(*conn) error) error {
	if err := p.enter(ctx); err != nil {
		return unavailable("changing a password", err)
	}
	defer p.leave()
	c, err := p.dial(ctx)
	if err != nil {
		return unavailable("changing a password", err)
	}
	defer c.close()
	return f(c)
}

// judgeChange says what the answer to RFC 3062's operation means.
func judgeChange(err error) error {
	code, answered := resultCode(err)
	if err == nil || !answered {
		return uncertain(err)
	}
	refused := &oidc.PasswordError{Reason: oidc.PasswordImpossible, Text: diagnostic(err), Err: fmt.Errorf("result code %d", code)}
	if reason, ok := changeReason(err); ok {
		refused.Reason = reason
		return refused
	}
	switch code {
	case ldap.LDAPResultConstraintViolation, ldap.LDAPResultInvalidAttributeSyntax:
		refused.Reason = oidc.PasswordPolicy
	case ldap.LDAPResultInvalidCredentials:
		return refuse(oidc.ReasonWrongPassword, refused.Err)
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		return unavailable("changing a password", refused.Err)
	default:
		refused.Text = "" // about how the directory is set up, which is not the person's business
	}
	return refused
}

// uncertain is nil for nil, and for an exchange that broke off the answer that
// nobody knows what became of the change.
func uncertain(err error) error {
	if err == nil {
		return nil
	}
	return &oidc.PasswordError{Reason: oidc.PasswordUncertain, Err: unavailable("changing a password", err)}
}

// changeReason reads what a policy said about the new password.
func changeReason(err error) (oidc.PasswordReason, bool) {
	var failed *ldap.Error
	if !errors.As(err, &failed) || failed.Packet == nil || len(failed.Packet.Children) < 3 {
		return "", false
	}
	for _, child := range failed.Packet.Children[2].Children {
		control, err := ldap.DecodeControl(child)
		if err != nil {
			continue // newer than go-ldap knows: the result code says enough
		}
		policy, ok := control.(*ldap.ControlBeheraPasswordPolicy)
		if !ok {
			continue
		}
		switch policy.Error {
		case ldap.BeheraPasswordModNotAllowed:
			return oidc.PasswordForbidden, true
		case ldap.BeheraInsufficientPasswordQuality:
			return oidc.PasswordQuality, true
		case ldap.BeheraPasswordTooShort:
			return oidc.PasswordTooShort, true
		case ldap.BeheraPasswordTooYoung:
			return oidc.PasswordTooYoung, true
		case ldap.BeheraPasswordInHistory:
			return oidc.PasswordInHistory, true
		}
	}
	return "", false
}

// The Windows errors that a change of unicodePwd is refused with (MS-ERREF,
// section 2.2), as they begin the text of the answer.
const (
	errorAccessDenied        = "00000005"
	errorInvalidPassword     = "00000056"
	errorPasswordRestriction = "0000052D"
	errorAccountLockedOut    = "00000775"
)

// judgeUnicodePwd says what Active Directory's answer means.
func judgeUnicodePwd(err error) error {
	code, answered := resultCode(err)
	if err == nil || !answered {
		return uncertain(err)
	}
	cause := fmt.Errorf("result code %d", code)
	windows, _, _ := strings.Cut(said(err), ":")
	switch strings.ToUpper(strings.TrimSpace(windows)) {
	case errorInvalidPassword:
		return refuse(oidc.ReasonWrongPassword, cause)
	case errorAccountLockedOut:
		return refuse(oidc.ReasonLocked, cause)
	case errorPasswordRestriction:
		return &oidc.PasswordError{Reason: oidc.PasswordPolicy, Text: diagnostic(err), Err: cause}
	case errorAccessDenied:
		return &oidc.PasswordError{Reason: oidc.PasswordForbidden, Err: cause}
	}
	switch code {
	case ldap.LDAPResultConstraintViolation:
		return &oidc.PasswordError{Reason: oidc.PasswordPolicy, Text: diagnostic(err), Err: cause}
	case ldap.LDAPResultBusy, ldap.LDAPResultUnavailable:
		return unavailable("changing a password", cause)
	default:
		return &oidc.PasswordError{Reason: oidc.PasswordImpossible, Err: cause}
	}
}

// said returns the text that came with a result.
func said(err error) string {
	var failed *ldap.Error
	if !errors.As(err, &failed) || failed.Err == nil {
		return ""
	}
	return failed.Err.Error()
}

// diagnostic returns what the directory said as far as it is for people: without
// the codes of Active Directory and the names of Samba's functions.
func diagnostic(err error) string {
	text := said(err)
	if strings.Contains(text, "DSID-") {
		return ""
	}
	if _, after, found := strings.Cut(text, "check_password_restrictions: "); found {
		text = after
	}
	return strings.TrimSpace(strings.Trim(text, "\x00"))
}
