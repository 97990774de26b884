package ldapstore

import (
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

// Options says which directory to read and how. What is left empty has a
// default, or is taken from the Kind of the server.
type Options struct {
	// URL lists the servers, ldap:// or ldaps://, all holding the same data. Reads
	// go to the first that answers.
	URL []string
	// StartTLS encrypts ldap:// connections before anything else is said.
	StartTLS bool
	// CAFile is a PEM file of the authorities to trust; "" trusts the system's.
	CAFile string
	// BindDN is the account that reads; "" reads anonymously.
	BindDN string
	// BindPassword gives the account's password. It is called again when the
	// directory refuses the one it gave, so that a rotated password is noticed.
	BindPassword func() (string, error)
	// BaseDN is where people and groups are looked for, unless one of the next
	// two says otherwise.
	BaseDN      string
	UserBaseDN  string
	GroupBaseDN string
	// Kind names the table of filters and attributes, see Kinds; "" finds it out
	// from the root DSE.
	Kind string
	// UserFilter says which entries are people.
	UserFilter string
	// LoginAttributes are the attributes that a typed name is compared with. The
	// first one names the person.
	LoginAttributes []string
	// IDAttribute holds the stable id.
	IDAttribute string
	// GroupFilter says which entries are groups.
	GroupFilter string
	// DirectGroupsOnly leaves out groups that a person is in through another group.
	DirectGroupsOnly bool
	// Attributes are read of each person; nil means DefaultAttributes.
	Attributes []string
	// Timeout bounds every call; 0 means 3 s.
	Timeout time.Duration
	// PoolSize bounds the connections for reads, and those for binds, to each
	// server; 0 means 16.
	PoolSize int
	// Log hears of servers lost and found; nil means nobody does.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultAttributes lists what is read of a person unless Options say otherwise:
// what the standard claims are made from (OpenID Connect Core 1.0, section 5.1).
func DefaultAttributes() []string {
	return []string{
		"cn", "sn", "givenName", "initials", "displayName", "title",
		"mail", "mailAlternateAddress", "telephoneNumber", "mobile",
		"postalAddress", "street", "l", "st", "postalCode", "c", "co",
		"preferredLanguage", "labeledURI", "o", "ou", "departmentNumber",
		"employeeNumber", "employeeType", "uid", "uidNumber", "gidNumber",
		"createTimestamp", "modifyTimestamp",
	}
}

// endpoint is one server of Options.URL.
type endpoint struct {
	url      string
	host     string
	address  string
	tls      bool // from the first byte
	startTLS bool // after one request
}

func (e endpoint) encrypted() bool { return e.tls || e.startTLS }

// settle fills the defaults in and reports every problem at once.
func (o *Options) settle() ([]endpoint, *x509.CertPool, error) {
	var problems oidc.Problems
	add := func(key, hint, format string, args ...any) {
		problems = append(problems, oidc.Problem{Key: "directory." + key, Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	var endpoints []endpoint
	if len(o.URL) == 0 {
		add("url", "name at least one server, as in ldaps://ldap.example.org", "no server is named")
	}
	for _, text := range o.URL {
		e, problem := parseURL(text, o.StartTLS)
		if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		endpoints = append(endpoints, e)
	}
	roots, err := readRoots(o.CAFile)
	if err != nil {
		add("ca_file", "name a PEM file that holds the certificate of the authority that signed the directory's", "%v", err)
	}
	if o.BindDN != "" && o.BindPassword == nil {
		add("bind_password_file", "name the file that holds the password of bind_dn", "bind_dn is set but there is no password for it")
	}
	o.settleBases(add)
	o.settleNames(add)
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.PoolSize <= 0 {
		o.PoolSize = 16
	}
	if o.Attributes == nil {
		o.Attributes = DefaultAttributes()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return endpoints, roots, problems.Err()
}

func (o *Options) settleBases(add func(key, hint, format string, args ...any)) {
	if o.UserBaseDN == "" {
		o.UserBaseDN = o.BaseDN
	}
	if o.GroupBaseDN == "" {
		o.GroupBaseDN = o.BaseDN
	}
	if o.UserBaseDN == "" || o.GroupBaseDN == "" {
		add("base_dn", "name the entry under which people and groups live, as in dc=example,dc=org", "it is not known where to look for people and groups")
	}
	for _, dn := range []struct{ key, value string }{
		{"bind_dn", o.BindDN},
		{"base_dn", o.BaseDN},
		{"user_base_dn", o.UserBaseDN},
		{"group_base_dn", o.GroupBaseDN},
	} {
		// Active Directory also takes user@domain and DOMAIN\user as the name of a bind.
		if dn.value == "" || dn.key == "bind_dn" && !strings.Contains(dn.value, "=") {
			continue
		}
		if _, err := oidc.ParseDN(dn.value); err != nil {
			add(dn.key, "write it as in ou=people,dc=example,dc=org", "%v", err)
		}
	}
}

func (o *Options) settleNames(add func(key, hint, format string, args ...any)) {
	if _, ok := kindNamed(o.Kind); o.Kind != "" && !ok {
		add("kind", "one of "+strings.Join(Kinds(), ", ")+", or leave it out", "there is no kind %q", o.Kind)
	}
	for _, f := range []struct{ key, value string }{{"user_filter", o.UserFilter}, {"group_filter", o.GroupFilter}} {
		if f.value == "" {
			continue
		}
		if _, err := ldap.CompileFilter(f.value); err != nil {
			add(f.key, "write it as in (objectClass=person)", "not an LDAP filter: %v", err)
		}
	}
	for _, name := range o.LoginAttributes {
		if !validAttribute(name) {
			add("login_attributes", "name attributes, as in uid and mail", "%q is not the name of an attribute", name)
		}
	}
	for _, name := range o.Attributes {
		if !validAttribute(name) {
			add("attributes", "name attributes, as in givenName", "%q is not the name of an attribute", name)
		}
	}
	if o.IDAttribute != "" && !validAttribute(o.IDAttribute) {
		add("id_attribute", "leave it out unless the kind's own does not fit", "%q is not the name of an attribute", o.IDAttribute)
	}
}

// validAttribute reports whether name is an attribute description (RFC 4512,
// section 2.5): nothing in it can change the meaning of a filter.
func validAttribute(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;_"
	return name != "" && strings.Trim(name, allowed) == "" && !strings.ContainsRune("-;._", rune(name[0]))
}

// parseURL reads one server's address and refuses to send passwords in the clear
// to another machine.
func parseURL(text string, startTLS bool) (endpoint, *oidc.Problem) {
	refuse := func(hint, format string, args ...any) (endpoint, *oidc.Problem) {
		return endpoint{}, &oidc.Problem{Key: "directory.url", Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	const form = "write it as in ldaps://ldap.example.org or ldap://ldap.example.org:389"
	u, err := url.Parse(text)
	if err != nil {
		return refuse(form, "not a URL")
	}
	if u.User != nil {
		return refuse("put the account into bind_dn and its password into bind_password_file", "%s holds a name or a password", u.Redacted())
	}
	port := u.Port()
	switch u.Scheme {
	case "ldap":
		if port == "" {
			port = "389"
		}
	case "ldaps":
		if port == "" {
			port = "636"
		}
	default:
		return refuse(form, "%s starts with neither ldap:// nor ldaps://", text)
	}
	if u.Hostname() == "" {
		return refuse(form, "%s names no host", text)
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return refuse("put the base into base_dn", "%s holds more than a host and a port", text)
	}
	e := endpoint{
		url:      u.Scheme + "://" + u.Host,
		host:     u.Hostname(),
		address:  net.JoinHostPort(u.Hostname(), port),
		tls:      u.Scheme == "ldaps",
		startTLS: startTLS,
	}
	if e.tls && e.startTLS {
		return refuse("write ldap:// or leave start_tls out", "%s is encrypted from the start, so start_tls does not fit", text)
	}
	if !e.encrypted() && !isLoopback(e.host) {
		return refuse("use ldaps://, or set start_tls: true", "%s would send passwords unencrypted over the network", text)
	}
	return e, nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// readRoots reads the authorities to trust; no file means the system's.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // which crypto/tls takes for the system's
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the file cannot be read: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return roots, nil
}
