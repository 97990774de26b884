package ldapstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// connect resolves the name, tries every address and encrypts.
func (p *probe) connect(ctx context.Context) bool {
	if p.server.network == "unix" {
		return p.connectSocket(ctx)
	}
	addresses, ok := p.resolve(ctx)
	if !ok || !p.reach(ctx, addresses) {
		return false
	}
	bounded, cancel := p.d.bounded(ctx)
	defer cancel()
	begin := time.Now()
	c, err := p.server.dialer.dial(bounded, p.server.endpoint)
	if err != nil {
		p.explainDial(ctx, err)
		return false
	}
	p.conn = c
	if secure, ok := c.stream.(*tls.Conn); ok {
		p.judgeTLS(secure.ConnectionState(), time.Since(begin))
	} else {
		p.found(LevelNote, "tls", "", "the connection is not encrypted; it does not leave this machine")
	}
	return true
}

func (p *probe) connectSocket(ctx context.Context) bool {
	bounded, cancel := p.d.bounded(ctx)
	defer cancel()
	c, err := p.server.dialer.dial(bounded, p.server.endpoint)
	switch {
	case errors.Is(err, os.ErrNotExist):
		p.found(LevelProblem, "connect", "look whether the directory listens on it, and for the path in its own configuration", "there is no socket %s", p.server.address)
	case errors.Is(err, os.ErrPermission):
		p.found(LevelProblem, "connect", "let the server's account write to the socket and enter its folder", "the socket %s may not be used", p.server.address)
	case err != nil:
		p.found(LevelProblem, "connect", "look whether the directory runs", "%v", err)
	default:
		p.conn = c
		p.found(LevelOK, "connect", "", "the socket answers")
	}
	return err == nil
}

// resolve looks the host up.
func (p *probe) resolve(ctx context.Context) ([]string, bool) {
	host, port, err := net.SplitHostPort(p.server.address)
	if err != nil {
		return nil, false
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{p.server.address}, true
	}
	bounded, cancel := p.d.bounded(ctx)
	defer cancel()
	begin := time.Now()
	found, err := p.d.options.Resolver.LookupHost(bounded, host)
	var failed *net.DNSError
	switch {
	case errors.As(err, &failed) && failed.IsNotFound:
		p.found(LevelProblem, "resolve", "look for a typing mistake in directory.url, and whether this machine asks the right name server", "the name %s does not exist", host)
		return nil, false
	case err != nil:
		p.found(LevelProblem, "resolve", "look at the name servers of this machine", "the name %s cannot be looked up: %v", host, err)
		return nil, false
	}
	p.found(LevelOK, "resolve", "", "%s is %s, in %s", host, some(found), roughly(time.Since(begin)))
	addresses := make([]string, len(found))
	for i, address := range found {
		addresses[i] = net.JoinHostPort(address, port)
	}
	return addresses, true
}

// reach tries each address by itself: net.Dialer would hide that one of them is
// dead, and wait for it.
func (p *probe) reach(ctx context.Context, addresses []string) bool {
	reached := 0
	for _, address := range addresses {
		begin := time.Now()
		err := p.knock(ctx, address)
		if err == nil {
			reached++
			p.found(LevelOK, "connect", "", "%s answers in %s", address, roughly(time.Since(begin)))
			continue
		}
		message, hint := explainConnect(address, err)
		if other := p.otherPort(ctx, address); other != "" {
			hint = other
		}
		level := LevelProblem
		if reached > 0 {
			level = LevelWarning
		}
		p.found(level, "connect", hint, "%s", message)
	}
	return reached > 0
}

func (p *probe) knock(ctx context.Context, address string) error {
	bounded, cancel := p.d.bounded(ctx)
	defer cancel()
	c, err := p.server.dialer.net.DialContext(bounded, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

func explainConnect(address string, err error) (message, hint string) {
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return address + " refuses the connection", "look whether the directory runs there, and on which port"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, errTimeout):
		return address + " does not answer", "look for a firewall between the two"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no way to " + address, "look at the routes of this machine; an address of the other IP version may be left out of the name"
	default:
		return fmt.Sprintf("%s cannot be connected to: %v", address, err), "look at the network between the two"
	}
}

// otherPort looks whether the other usual port would answer.
func (p *probe) otherPort(ctx context.Context, address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	switch {
	case port == "636" && p.knock(ctx, net.JoinHostPort(host, "389")) == nil:
		return "port 389 answers: write ldap:// and set start_tls: true"
	case port == "389" && p.knock(ctx, net.JoinHostPort(host, "636")) == nil:
		return "port 636 answers: write ldaps://, and leave start_tls out"
	}
	return ""
}

// explainDial says why there is no encrypted connection.
func (p *probe) explainDial(ctx context.Context, err error) {
	var failed *TLSError
	if errors.As(err, &failed) && len(failed.Chain()) > 0 {
		p.judgeChain(failed.Chain(), failed)
		return
	}
	e := p.server.endpoint
	switch {
	case e.tls && p.speaksLDAP(ctx):
		p.found(LevelProblem, "tls", "write ldap:// and set start_tls: true, or name the port for LDAPS, which is mostly 636", "the port speaks LDAP without TLS")
	case e.startTLS && p.speaksTLS(ctx):
		p.found(LevelProblem, "tls", "write ldaps://, and leave start_tls out", "the port speaks TLS from the start")
	case errors.As(err, &failed):
		message, hint := failed.Explain()
		p.found(LevelProblem, "tls", hint, "%s: %v", message, failed.Err)
	case e.startTLS:
		p.found(LevelProblem, "tls", "look whether the directory has a certificate and allows StartTLS; or use ldaps://", "%v", err)
	default:
		p.found(LevelProblem, "connect", "", "%v", err)
	}
}

// speaksTLS looks whether a port speaks TLS from the first byte, whatever its
// certificate.
func (p *probe) speaksTLS(ctx context.Context) bool {
	e := p.server.endpoint
	e.tls, e.startTLS = true, false
	bounded, cancel := p.d.bounded(ctx)
	defer cancel()
	c, err := p.server.dialer.dial(bounded, e)
	if err == nil {
		c.close()
		return true
	}
	var failed *TLSError
	return errors.As(err, &failed) && len(failed.Chain()) > 0
}

// speaksLDAP looks whether a port speaks LDAP without TLS. Nothing is said but a
// question for the root DSE.
func (p *probe) speaksLDAP(ctx context.Context) bool {
	e := p.server.endpoint
	e.tls, e.startTLS = false, false
	bounded, cancel := p.d.bounded(ctx)
	defer cancel()
	c, err := p.server.dialer.dial(bounded, e)
	if err != nil {
		return false
	}
	defer c.close()
	_, err = c.search(bounded, &query{scope: ldap.ScopeBaseObject, filter: "(objectClass=*)", attributes: []string{noAttributes}})
	_, answered := resultCode(err)
	return err == nil || answered
}

// bind signs the service account in, once.
func (p *probe) bind(ctx context.Context) bool {
	o := &p.d.options
	switch {
	case o.external(p.server.endpoint):
		p.signIn = bindExternal
	case o.BindDN == "":
		p.found(LevelNote, "bind", "", "there is no account: the directory is read anonymously")
		return true
	case p.refused:
		p.found(LevelNote, "bind", "", "the account is not tried here: another server has refused it")
		return false
	default:
		password, err := o.BindPassword()
		if err != nil || password == "" {
			p.found(LevelProblem, "bind", "write the password into directory.bind_password_file", "the password of the account cannot be read: %v", orEmpty(err))
			return false
		}
		p.signIn = func(ctx context.Context, c *conn) error {
			controls, err := c.bind(ctx, o.BindDN, password)
			return p.judgeBind(controls, err)
		}
	}
	bounded, cancel := p.d.bounded(ctx)
	defer cancel()
	begin := time.Now()
	err := p.signIn(bounded, p.conn)
	if err == nil {
		p.found(LevelOK, "bind", "", "signed in as %s, in %s", p.whoAmI(ctx), roughly(time.Since(begin)))
		return true
	}
	code, answered := resultCode(unwrapService(err))
	p.refused = p.refused || answered && code == ldap.LDAPResultInvalidCredentials
	message, hint := explainBind(err, code, answered, o.external(p.server.endpoint))
	p.found(LevelProblem, "bind", hint, "%s", message)
	return false
}

func orEmpty(err error) string {
	if err == nil {
		return "it is empty"
	}
	return err.Error()
}

// unwrapService looks through the wrapping that keeps the codes of the service
// account's bind from being taken for those of something else.
func unwrapService(err error) error {
	var service *serviceError
	if errors.As(err, &service) {
		return service.cause
	}
	return err
}

// judgeBind adds what a password policy says about the account.
func (p *probe) judgeBind(controls []ldap.Control, err error) error {
	if reason, stated := policyReason(controls, err == nil); err == nil && stated {
		return fmt.Errorf("the directory lets it in but restricts it: %s", reason)
	}
	policy, ok := ldap.FindControl(controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	const hint = "give the account a policy without expiry, or change its password in time: the file is read again, nothing has to be restarted"
	switch {
	case err != nil || !ok || p.told:
	case policy.Expire >= 0:
		p.found(LevelWarning, "bind", hint, "the password of the account expires in %s", roughly(time.Duration(policy.Expire)*time.Second))
	case policy.Grace >= 0:
		p.found(LevelWarning, "bind", hint, "the password of the account has expired; the directory lets it in %d times more", policy.Grace)
	}
	p.told = true
	return err
}

func explainBind(err error, code uint16, answered, external bool) (message, hint string) {
	text := fmt.Sprint(unwrapService(err))
	if _, alert, found := strings.Cut(text, "remote error: tls: "); found {
		// In TLS 1.3 the server looks at the client's certificate after the handshake.
		return explainAlert("remote error: tls: " + alert)
	}
	if !answered {
		return "the account cannot sign in: " + text, "look at the log of the directory"
	}
	if refused, known := adSubCode(text); known {
		switch refused.reason {
		case oidc.ReasonWrongPassword:
		default:
			return fmt.Sprintf("the directory does not let the account in: %s", strings.ReplaceAll(string(refused.reason), "_", " ")),
				"mend the account in the directory; service accounts should have passwords that don't expire"
		}
	}
	switch code {
	case ldap.LDAPResultInvalidCredentials:
		if external {
			return "the directory knows no account for what the connection shows", "map the certificate or the socket to an account, in OpenLDAP with olcAuthzRegexp"
		}
		return "the directory refuses the account's name or password", "compare directory.bind_dn and the file of directory.bind_password_file with the directory; a line break at the end of the file does not matter, a blank does"
	case ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultConfidentialityRequired:
		return "the directory wants the connection to be encrypted", "write ldaps://, or set start_tls: true"
	case ldap.LDAPResultAuthMethodNotSupported, ldap.LDAPResultInappropriateAuthentication:
		return fmt.Sprintf("the directory does not take this way of signing in (result code %d)", code), "set directory.bind_dn and directory.bind_password_file"
	case ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultNoSuchObject:
		return fmt.Sprintf("the directory does not take directory.bind_dn for a name (result code %d)", code), "write the whole name of the account, as in cn=gatehouse,ou=services,dc=example,dc=org"
	case ldap.LDAPResultUnwillingToPerform:
		return "the directory is not willing to let the account in (result code 53)", "look whether the account is switched off, and at the log of the directory"
	case ldap.LDAPResultReferral:
		return "the directory sends us to another server, which Gatehouse does not follow with a password", "name that server in directory.url"
	default:
		return "the account cannot sign in: " + text, "look at the log of the directory"
	}
}

// whoAmI asks for whom the directory takes us (RFC 4532); not every one says.
func (p *probe) whoAmI(ctx context.Context) string {
	who := ""
	err := p.ask(ctx, func(ctx context.Context, c *conn) error {
		return c.do(ctx, func(l *ldap.Conn) error {
			answer, err := l.WhoAmI(nil)
			if err == nil {
				who = answer.AuthzID
			}
			return err
		})
	})
	switch {
	case err == nil && strings.TrimPrefix(who, "dn:") != "":
		return strings.TrimSpace(strings.TrimPrefix(who, "dn:"))
	case p.d.options.BindDN != "":
		return p.d.options.BindDN
	default:
		return "whom the connection shows"
	}
}
