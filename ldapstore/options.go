package ldapstore

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"gatehouse/oidc"
)

// Options says which directory to read and how. What is left empty has a
// default, or is taken from the Kind of the server.
type Options struct {
	// URL lists the servers, all holding the same data: ldap:// or ldaps://; ldapi://
	// and the path of a socket; ldap+srv:// or ldaps+srv:// and a domain whose SRV
	// records name the servers. Reads go to the first that answers.
	URL []string
	// StartTLS encrypts ldap:// connections before anything else is said.
	StartTLS bool
	// CAFile is a PEM file of the authorities to trust; "" trusts the system's. It
	// is read again when it changes, and so are the next two.
	CAFile string
	// ClientCertFile and ClientKeyFile are shown to servers that ask who connects.
	ClientCertFile string
	ClientKeyFile  string
	// BindDN is the account that reads. With "" the server is told to take the
	// account from the client certificate, or from the owner of the process at the
	// other end of the socket (SASL EXTERNAL); if there is neither, it is read
	// anonymously.
	BindDN string
	// BindPassword gives the account's password. It is called again when the
	// directory refuses the one it gave, so that a rotated password is noticed.
	BindPassword func() (string, error)
	// BaseDN is where people and groups are looked for, unless one of the next
	// two says otherwise, which may name several places.
	BaseDN      string
	UserBaseDN  []string
	GroupBaseDN []string
	// Kind names the table of filters and attributes, see Kinds; "" finds it out
	// from the root DSE.
	Kind string
	// Table is laid over the kind's table, key by key; see TableKeys. The one value
	// "none" does without.
	Table map[string][]string
	// DirectGroupsOnly leaves out groups that a person is in through another group.
	DirectGroupsOnly bool
	// PasswordChange lets people replace a password that has expired or must be
	// changed, see ChangePassword.
	PasswordChange bool
	// PasswordChangeURL is where the organisation has people change passwords; "" for
	// nowhere that is known.
	PasswordChangeURL string
	// Attributes are read of each person; nil means DefaultAttributes.
	Attributes []string
	// Timeout bounds every call, with what its caller makes of the answer: servers
	// have five sixths of it, or all but half a second. 0 means 3 s.
	Timeout time.Duration
	// PoolSize bounds the connections for reads, and those for binds, to each
	// server; 0 means 16.
	PoolSize int
	// Resolver looks names and SRV records up; nil means net.DefaultResolver.
	Resolver *net.Resolver
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

// settle fills the defaults in and reports every problem at once.
func (o *Options) settle() ([]endpoint, *trust, error) {
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
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	files := o.settleTrust(endpoints, add)
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
	return endpoints, files, problems.Err()
}

// settleTrust reads the files of TLS, and makes sure that every server would know
// the same account.
func (o *Options) settleTrust(endpoints []endpoint, add func(key, hint, format string, args ...any)) *trust {
	t := &trust{caFile: o.CAFile, certFile: o.ClientCertFile, keyFile: o.ClientKeyFile, log: o.Log, now: o.Now}
	if err := t.readAuthorities(); err != nil {
		add("ca_file", "name a PEM file that holds the certificate of the authority that signed the directory's", "%v", err)
	}
	switch {
	case o.ClientCertFile != "" && o.ClientKeyFile == "":
		add("client_key_file", "name the PEM file with the private key of the client certificate", "there is a client certificate, but no key to it")
	case o.ClientCertFile == "" && o.ClientKeyFile != "":
		add("client_cert_file", "name the PEM file with the client certificate", "there is a key, but no client certificate to it")
	default:
		if err := t.readPair(); err != nil {
			add("client_cert_file", "name a certificate in PEM, and in client_key_file the private key that was made for it", "%v", err)
		}
	}
	external, other := 0, ""
	for _, e := range endpoints {
		if o.external(e) {
			external++
		} else {
			other = e.url
		}
		if o.ClientCertFile != "" && !e.encrypted() && e.network == "tcp" {
			add("client_cert_file", "write ldaps://, or set start_tls: true", "a certificate can't be shown to %s, which is not encrypted", e.url)
			return t
		}
	}
	if o.BindDN == "" && external > 0 && other != "" {
		add("bind_dn", "name an account, or list servers of one sort only", "it is missing: at %s neither a certificate nor a socket says who asks", other)
	}
	return t
}

// external reports whether the server takes the account from the connection
// itself (SASL EXTERNAL, RFC 4422, appendix A).
func (o *Options) external(e endpoint) bool {
	return o.BindDN == "" && (e.network == "unix" || e.encrypted() && o.ClientCertFile != "")
}

func (o *Options) settleBases(add func(key, hint, format string, args ...any)) {
	if o.BaseDN == "" && (len(o.UserBaseDN) == 0 || len(o.GroupBaseDN) == 0) {
		add("base_dn", "name the entry under which people and groups live, as in dc=example,dc=org", "it is not known where to look for people and groups")
	}
	check := func(key, value string) {
		if _, err := oidc.ParseDN(value); err != nil {
			add(key, "write it as in ou=people,dc=example,dc=org", "%v", err)
		}
	}
	// Active Directory also takes user@domain and DOMAIN\user as the name of a bind.
	if strings.Contains(o.BindDN, "=") {
		check("bind_dn", o.BindDN)
	}
	if o.BaseDN != "" {
		check("base_dn", o.BaseDN)
	}
	for _, dn := range o.UserBaseDN {
		check("user_base_dn", dn)
	}
	for _, dn := range o.GroupBaseDN {
		check("group_base_dn", dn)
	}
}

func (o *Options) settleNames(add func(key, hint, format string, args ...any)) {
	if _, ok := kindNamed(o.Kind); o.Kind != "" && !ok {
		add("kind", "one of "+strings.Join(Kinds(), ", ")+", or leave it out", "there is no kind %q", o.Kind)
	}
	o.settleTable(add)
	for _, name := range o.Attributes {
		if err := checkAttribute(name); err != nil {
			add("attributes", "name attributes, as in givenName", "%v", err)
		}
	}
}

// validAttribute reports whether name is an attribute description (RFC 4512,
// section 2.5): nothing in it can change the meaning of a filter.
func validAttribute(name string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.;_"
	return name != "" && strings.Trim(name, allowed) == "" && !strings.ContainsRune("-;._", rune(name[0]))
}
