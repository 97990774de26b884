package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check judges what takes more than one value, or a look at the disk.
func (l *loader) check(c *Config, now time.Time) {
	l.checkRequired("")
	issuer := l.checkIssuer(c)
	l.checkListen(c, issuer)
	l.checkTLS(c, issuer, now)
	l.checkPaths(c)
	l.checkTimes(c)
	l.checkDefaultResource(c)
	if c.Registration.Mode == "open" && c.Registration.Consent == "none" {
		l.problem("registration.consent", "anybody could register an application and get data of people who were never asked", "write remembered or explicit, or set registration.mode: token")
	}
	l.checkLocalSocket(c)
	if _, several := l.found["directories"]; several {
		l.checkSeveral()
		return
	}
	l.checkDirectory(c)
}

// checkRequired looks for settings that nothing goes without.
func (l *loader) checkRequired(under string) {
	_, several := l.found["directories"]
	for _, s := range settings {
		_, written := l.found[s.key]
		elsewhere := !strings.HasPrefix(s.key, under) || several && strings.HasPrefix(s.key, "directory.")
		if s.required && !written && !elsewhere && !l.baseGiven(s.key) {
			l.problem(s.key, "it is missing", "add it to the configuration, or set "+Variable(s.key))
		}
	}
}

// checkDirectory judges the settings of one directory.
func (l *loader) checkDirectory(c *Config) {
	if c.Directory.CAFile != "" {
		l.checkAuthorities(c.Directory.CAFile)
	}
	l.checkClientCertificate(c.Directory)
	l.checkServers(c)
	l.checkBinding(c)
	l.checkNames(c)
}

// baseGiven is the one exception among required settings.
func (l *loader) baseGiven(key string) bool {
	_, users := l.found["directory.user_base_dn"]
	_, groups := l.found["directory.group_base_dn"]
	return key == "directory.base_dn" && users && groups
}

// checkIssuer holds the issuer to OpenID Connect Discovery 1.0, section 3, and
// further to an origin, as every address is below its root. It returns nil if
// nothing can be said about the rest of the configuration.
func (l *loader) checkIssuer(c *Config) *url.URL {
	if c.Issuer == "" {
		if _, written := l.found["issuer"]; written {
			l.problem("issuer", "it is empty", "write an address such as https://sso.example.org")
		}
		return nil
	}
	u, err := url.Parse(c.Issuer)
	bad := func(message, hint string) *url.URL {
		l.problem("issuer", message, hint)
		return nil
	}
	const form = "write an address such as https://sso.example.org"
	switch {
	case err != nil || u.Opaque != "" || u.Host == "" || strings.ContainsAny(c.Issuer, " \t\r\n\\\"<>"):
		return bad(fmt.Sprintf("%q is not an address", clip(c.Issuer)), form)
	case u.Scheme != "https" && u.Scheme != "http":
		return bad("it starts with neither https:// nor http://", form)
	case u.User != nil:
		return bad("a user or password in the issuer is not allowed", "leave out what stands before the @")
	case strings.Contains(c.Issuer, "?"):
		return bad("a query (?…) is not allowed", form)
	case strings.Contains(c.Issuer, "#"):
		return bad("a fragment (#…) is not allowed", form)
	case u.Path == "/":
		return bad("a slash at the end is not allowed: tokens would not match what applications expect", "write "+strings.TrimRight(c.Issuer, "/"))
	case u.Path != "":
		return bad("a path is not supported", "write "+u.Scheme+"://"+u.Host)
	case u.Hostname() == "" || !validPort(u.Host, u.Port()):
		return bad(fmt.Sprintf("%q is no host and port", clip(u.Host)), form)
	case u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80":
		return bad("the usual port is not written: browsers leave it out", "write "+u.Scheme+"://"+strings.TrimSuffix(u.Host, ":"+u.Port()))
	case u.Host != strings.ToLower(u.Host) || !strings.HasPrefix(c.Issuer, u.Scheme+"://"):
		return bad("capitals are not allowed: the issuer is compared letter by letter", "write "+u.Scheme+"://"+strings.ToLower(u.Host))
	case u.Scheme == "http" && !loopbackHost(u.Hostname()):
		return bad("http is for loopback hosts only: passwords and codes could be read on the way", "use https, with tls or behind a proxy that ends TLS")
	}
	return u
}

// checkDefaultResource holds it to RFC 8707, section 2.
func (l *loader) checkDefaultResource(c *Config) {
	text := c.DefaultResource
	if _, written := l.found["default_resource"]; !written {
		return
	}
	u, err := url.Parse(text)
	if err != nil || !u.IsAbs() || u.User != nil || strings.ContainsAny(text, "# \t\r\n\"<>\\") {
		l.problem("default_resource", fmt.Sprintf("%q is no absolute URI without a fragment", clip(text)), "write it like https://api.example.org")
	}
}

func validPort(host, port string) bool {
	if port == "" {
		return !strings.HasSuffix(host, ":")
	}
	n, err := strconv.Atoi(port)
	return err == nil && n > 0 && n <= 65535
}

// loopbackHost is about names as they are written: no resolver is asked.
func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (l *loader) checkListen(c *Config, issuer *url.URL) {
	host, port, err := net.SplitHostPort(c.Listen)
	if n, numberErr := strconv.ParseUint(port, 10, 16); err != nil || numberErr != nil || n == 0 && !loopbackHost(host) {
		l.problem("listen", fmt.Sprintf("%q is not an address with a port", clip(c.Listen)), "write 127.0.0.1:8080, [::1]:8080, or :443 for all addresses")
		return
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		l.problem("listen", fmt.Sprintf("%q is not an address of this machine", clip(host)), "write an IP address such as 127.0.0.1, or leave it out for all addresses")
		return
	}
	if c.TLS.Enabled() || len(c.TrustedProxies) > 0 || l.broken["trusted_proxies"] || l.broken["tls.cert_file"] || l.broken["tls.key_file"] {
		return
	}
	const hint = "set tls.cert_file and tls.key_file, or set trusted_proxies to the address of the proxy that ends TLS"
	switch {
	case !loopbackHost(host):
		l.problem("listen", "plain HTTP is open to other machines, and there is no trusted proxy it could be for", hint+"; or listen on 127.0.0.1")
	case issuer != nil && issuer.Scheme == "https":
		l.problem("trusted_proxies", "the issuer is https, but neither the server nor a proxy that it knows of speaks TLS", hint)
	}
}

func (l *loader) checkTimes(c *Config) {
	if c.Session.Absolute < c.Session.Idle && !l.broken["session.idle"] {
		l.problem(l.either("session.absolute", "session.idle"), fmt.Sprintf("session.absolute (%s) is shorter than session.idle (%s)", spell(c.Session.Absolute), spell(c.Session.Idle)), "lengthen session.absolute or shorten session.idle")
	}
	switch rotate := c.Keys.RotateAfter; {
	case rotate == 0 || l.broken["keys.rotate_after"] || l.broken["keys.publish_before"]:
	case rotate < 24*time.Hour:
		l.problem("keys.rotate_after", fmt.Sprintf("%s is shorter than a day: there would be more keys than applications care for", spell(rotate)), "write 90d, or 0s for rotation by command")
	case c.Keys.PublishBefore > rotate/2:
		l.problem(l.either("keys.publish_before", "keys.rotate_after"), fmt.Sprintf("keys.publish_before (%s) is more than half of keys.rotate_after (%s)", spell(c.Keys.PublishBefore), spell(rotate)), "shorten keys.publish_before or lengthen keys.rotate_after")
	}
	if c.Throttle.MaxWait < c.Throttle.Window && !l.broken["throttle.window"] {
		l.problem(l.either("throttle.max_wait", "throttle.window"), fmt.Sprintf("throttle.max_wait (%s) is shorter than throttle.window (%s)", spell(c.Throttle.MaxWait), spell(c.Throttle.Window)), "lengthen throttle.max_wait or shorten throttle.window")
	}
}

// either is the one of two settings that was written: a default is to blame for
// nothing.
func (l *loader) either(a, b string) string {
	if _, written := l.found[a]; !written {
		return b
	}
	return a
}

func (l *loader) checkServers(c *Config) {
	if _, written := l.found["directory.url"]; written && len(c.Directory.URL) == 0 {
		l.problem("directory.url", "no server is named", "name at least one, such as ldaps://ldap.example.org")
	}
	for _, text := range c.Directory.URL {
		if message, hint := serverFault(text, c.Directory.StartTLS); message != "" {
			l.problem("directory.url", message, hint)
		}
	}
}

// serverFault judges the address of one server. An address with a password in it
// is not echoed.
func serverFault(text string, startTLS bool) (message, hint string) {
	if path, found := strings.CutPrefix(text, "ldapi://"); found {
		return socketFault(text, path)
	}
	const form = "write ldaps://ldap.example.org, or ldap://ldap.example.org with start_tls: true"
	u, err := url.Parse(text)
	if strings.Contains(text, "@") {
		return "a user or password in the address is not allowed", "put them into bind_dn and bind_password_file"
	}
	if err != nil {
		return fmt.Sprintf("%q is not the address of a directory", clip(text)), form
	}
	scheme, srv := strings.CutSuffix(u.Scheme, "+srv")
	_, isNumber := netip.ParseAddr(u.Hostname())
	switch {
	case scheme != "ldap" && scheme != "ldaps":
		return fmt.Sprintf("%q is not the address of a directory", clip(text)), form
	case u.Hostname() == "" || !validPort(u.Host, u.Port()):
		return fmt.Sprintf("%q names no host and port", clip(text)), form
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Sprintf("%q holds more than a host and a port", clip(text)), "put the base into base_dn"
	case srv && (u.Port() != "" || isNumber == nil):
		return fmt.Sprintf("%q has to hold a domain alone: hosts and ports come from its SRV records", clip(text)), "write ldaps+srv://example.org"
	case scheme == "ldaps" && startTLS:
		return clip(text) + " is encrypted from the start, so start_tls does not fit", "write ldap://, or leave start_tls out"
	case scheme == "ldap" && !startTLS && (srv || !loopbackHost(u.Hostname())):
		return clip(text) + " would send passwords unencrypted over the network", "write ldaps://, or set start_tls: true"
	}
	return "", ""
}

func socketFault(text, path string) (message, hint string) {
	path, err := url.PathUnescape(path)
	if err != nil || !filepath.IsAbs(path) || filepath.Clean(path) == "/" || strings.ContainsAny(path, "?#\x00") {
		return fmt.Sprintf("%q names no socket", clip(text)), "write ldapi://%2Frun%2Fslapd%2Fldapi"
	}
	return "", ""
}

// checkBinding holds the account and its password together.
func (l *loader) checkBinding(c *Config) {
	d := c.Directory
	_, file := l.found["directory.bind_password_file"]
	_, plain := l.found["directory.bind_password"]
	switch {
	case d.BindDN != "" && !file && !plain && !l.broken["directory.bind_password_file"] && !l.broken["directory.bind_password"]:
		l.problem("directory.bind_password_file", "bind_dn is set, but there is no password for it", "name the file that holds it, or set "+Variable("directory.bind_password"))
	case d.BindDN == "" && (file || plain):
		l.problem(l.either("directory.bind_password_file", "directory.bind_password"), "there is a password, but no bind_dn that it belongs to", "set directory.bind_dn, or leave the password out to read anonymously")
	}
	if plain && d.BindPassword == "" {
		l.problem("directory.bind_password", "it is empty: a bind without a password succeeds without proving anything", "write the password, or leave bind_dn out to read anonymously")
	}
	if f := l.found["directory.bind_password"]; plain && f.file == l.file && l.file != "" {
		l.checkPrivate("directory.bind_password", l.file, "the configuration holds a password and ")
	}
	if file && d.BindPasswordFile != "" {
		if _, err := readSecret(d.BindPasswordFile); err != nil {
			l.problem("directory.bind_password_file", fmt.Sprintf("%s: %s", d.BindPasswordFile, reason(err)), "write the password into it, readable for the server's account alone")
			return
		}
		l.checkPrivate("directory.bind_password_file", d.BindPasswordFile, "")
	}
}

// checkNames looks at names and filters of the directory as far as that goes
// without knowing LDAP; the directory's own package looks closer.
func (l *loader) checkNames(c *Config) {
	d := c.Directory
	type named struct{ key, value string }
	dns := []named{{"directory.base_dn", d.BaseDN}}
	for _, dn := range d.UserBaseDN {
		dns = append(dns, named{"directory.user_base_dn", dn})
	}
	for _, dn := range d.GroupBaseDN {
		dns = append(dns, named{"directory.group_base_dn", dn})
	}
	for _, dn := range dns {
		if _, written := l.found[dn.key]; written && !strings.Contains(dn.value, "=") {
			l.problem(dn.key, fmt.Sprintf("%q is not a distinguished name", clip(dn.value)), "write one such as dc=example,dc=org")
		}
	}
	for _, filter := range []named{{"directory.user_filter", d.UserFilter}, {"directory.group_filter", d.GroupFilter}} {
		if _, written := l.found[filter.key]; written && !balanced(filter.value) {
			l.problem(filter.key, "it is not an LDAP filter: mind the parentheses", "write one such as (objectClass=inetOrgPerson)")
		}
	}
	for _, name := range d.LoginAttributes {
		if !attributeName(name) {
			l.problem("directory.login_attributes", fmt.Sprintf("%q is not the name of an attribute", clip(name)), "write names such as uid and mail")
		}
	}
	if _, written := l.found["directory.id_attribute"]; written && !attributeName(d.IDAttribute) {
		l.problem("directory.id_attribute", fmt.Sprintf("%q is not the name of an attribute", clip(d.IDAttribute)), "leave it out unless the kind's own doesn't fit")
	}
	if address := d.PasswordChangeURL; address != "" {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.ContainsAny(address, " \t\r\n\\\"<>") {
			l.problem("directory.password_change_url", fmt.Sprintf("%q is not an https address", clip(address)), "write one such as https://password.example.org/")
		}
	}
	for _, list := range []struct {
		key    string
		values []string
		hint   string
	}{
		{"directory.login_attributes", d.LoginAttributes, "name attributes such as [uid, mail], or leave it out"},
		{"directory.user_base_dn", d.UserBaseDN, "name a place such as ou=people,dc=example,dc=org, or leave it out"},
		{"directory.group_base_dn", d.GroupBaseDN, "name a place such as ou=groups,dc=example,dc=org, or leave it out"},
		{"directory.account_rules", d.AccountRules, "write none, or leave it out"},
		{"directory.member_attributes", d.MemberAttributes, "write none, or leave it out"},
		{"directory.group_display_attributes", d.GroupDisplayAttributes, "write none, or leave it out"},
	} {
		if _, written := l.found[list.key]; written && len(list.values) == 0 {
			l.problem(list.key, "it is empty", list.hint)
		}
	}
}

func balanced(filter string) bool {
	depth := 0
	for i, r := range filter {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth < 1 && i < len(filter)-1 {
			return false
		}
	}
	return depth == 0 && strings.HasPrefix(filter, "(")
}

// attributeName: RFC 4512, section 2.5.
func attributeName(name string) bool {
	return name != "" && len(name) <= 256 && !slices.Contains([]byte("-.;0123456789"), name[0]) &&
		strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;_") == ""
}
