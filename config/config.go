package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"
)

// Config is the configuration of one server. Paths are absolute, or relative to
// the working directory where there is no file.
type Config struct {
	File string `mapstructure:"-"` // the configuration file, or ""

	Issuer         string         `mapstructure:"issuer"` // an origin, without a slash at the end
	Listen         string         `mapstructure:"listen"` // host:port
	TLS            TLS            `mapstructure:"tls"`
	TrustedProxies []netip.Prefix `mapstructure:"trusted_proxies"`
	Database       string         `mapstructure:"database"`
	ClientsDir     string         `mapstructure:"clients_dir"`
	KeysDir        string         `mapstructure:"keys_dir"`
	Keys           Keys           `mapstructure:"keys"`
	TemplatesDir   string         `mapstructure:"templates_dir"` // "" for none
	StaticDir      string         `mapstructure:"static_dir"`    // "" for none
	Log            Log            `mapstructure:"log"`
	Lifespans      Lifespans      `mapstructure:"lifespans"`
	RefreshGrace   time.Duration  `mapstructure:"refresh_grace"`
	Session        Session        `mapstructure:"session"`
	Throttle       Throttle       `mapstructure:"throttle"`
	Directory      Directory      `mapstructure:"directory"`
	Outbound       Outbound       `mapstructure:"outbound"`
	LocalSocket    LocalSocket    `mapstructure:"local_socket"`

	// DefaultResource is what access tokens are for where nothing else says so.
	DefaultResource string       `mapstructure:"default_resource"`
	Registration    Registration `mapstructure:"registration"`

	RequirePushed bool `mapstructure:"require_pushed_authorization_requests"`

	// Directories is there instead of Directory where there are several.
	Directories []NamedDirectory `mapstructure:"-"`

	// EmailDomains are the domains of mail addresses to prefer.
	EmailDomains []string `mapstructure:"email_domains"`

	// Claims names the directory attributes of claims in place of the usual ones;
	// an empty list switches a claim off.
	Claims map[string][]string `mapstructure:"-"`

	// CustomClaims are claims that the operator adds, by name.
	CustomClaims map[string]CustomClaim `mapstructure:"-"`

	// Warnings tells what is valid and had better not be.
	Warnings []Problem `mapstructure:"-"`

	sources map[string]source
}

// Keys says when signing keys are rotated by time.
type Keys struct {
	RotateAfter   time.Duration `mapstructure:"rotate_after"` // 0 for never
	PublishBefore time.Duration `mapstructure:"publish_before"`
}

// TLS is the server's own certificate; both empty without one.
type TLS struct {
	CertFile string `mapstructure:"cert_file"`
	KeyFile  string `mapstructure:"key_file"`
}

// Enabled reports whether the server speaks TLS itself.
func (t TLS) Enabled() bool { return t.CertFile != "" || t.KeyFile != "" }

// Log says what is logged and how.
type Log struct {
	Level  slog.Level `mapstructure:"level"`
	Format string     `mapstructure:"format"` // text or json
}

// Lifespans are how long what is issued lasts.
type Lifespans struct {
	Code    time.Duration `mapstructure:"code"`
	Access  time.Duration `mapstructure:"access"`
	ID      time.Duration `mapstructure:"id"`
	Refresh time.Duration `mapstructure:"refresh"`
	// PushedRequest is how long a pushed authorization request can be used.
	PushedRequest time.Duration `mapstructure:"pushed_request"`
	// DeviceCode is how long a device may wait for its person.
	DeviceCode time.Duration `mapstructure:"device_code"`
}

// Outbound says where requests may go whose address an application has named.
type Outbound struct {
	Allow  []netip.Prefix `mapstructure:"allow"`
	CAFile string         `mapstructure:"ca_file"` // "" for the system's authorities alone
}

// Registration says whether applications may register themselves, and what they get.
type Registration struct {
	Mode          string             `mapstructure:"mode"` // off, token or open
	OpenLimit     int                `mapstructure:"open_limit"`
	OpenLifespan  time.Duration      `mapstructure:"open_lifespan"`
	OpenRate      int                `mapstructure:"open_rate"`
	TokenLifespan time.Duration      `mapstructure:"token_lifespan"`
	GrantTypes    []string           `mapstructure:"grant_types"`
	ResponseTypes []string           `mapstructure:"response_types"`
	RequirePKCE   bool               `mapstructure:"require_pkce"`
	Consent       string             `mapstructure:"consent"`
	Logos         bool               `mapstructure:"logos"`
	Scopes        RegistrationScopes `mapstructure:"scopes"`
}

// Enabled reports whether applications may register themselves.
func (r Registration) Enabled() bool { return r.Mode == "token" || r.Mode == "open" }

// RegistrationScopes are the scope maps of applications that register themselves.
type RegistrationScopes struct {
	Everyone []string            `mapstructure:"everyone"`
	Groups   map[string][]string `mapstructure:"-"` // by distinguished name
}

// LocalSocket is where other programs on the machine may have tokens made and
// checked.
type LocalSocket struct {
	Path  string `mapstructure:"path"`  // "" for none
	Group string `mapstructure:"group"` // of the machine, "" for the server's account alone
}

// Session says how long a browser stays signed in.
type Session struct {
	Idle        time.Duration `mapstructure:"idle"`
	Absolute    time.Duration `mapstructure:"absolute"`
	Remember    bool          `mapstructure:"remember"`
	RememberFor time.Duration `mapstructure:"remember_for"`
}

// Throttle says how many sign-ins may fail.
type Throttle struct {
	AccountFailures int           `mapstructure:"account_failures"`
	NetworkFailures int           `mapstructure:"network_failures"`
	Window          time.Duration `mapstructure:"window"`
	MaxWait         time.Duration `mapstructure:"max_wait"`
}

// Directory says where people are read from and how. What is empty follows from
// the kind of the directory.
type Directory struct {
	URL               []string      `mapstructure:"url"`
	StartTLS          bool          `mapstructure:"start_tls"`
	CAFile            string        `mapstructure:"ca_file"`
	ClientCertFile    string        `mapstructure:"client_cert_file"`
	ClientKeyFile     string        `mapstructure:"client_key_file"`
	BindDN            string        `mapstructure:"bind_dn"`
	BindPassword      Secret        `mapstructure:"bind_password"`
	BindPasswordFile  string        `mapstructure:"bind_password_file"`
	BaseDN            string        `mapstructure:"base_dn"`
	UserBaseDN        []string      `mapstructure:"user_base_dn"`
	GroupBaseDN       []string      `mapstructure:"group_base_dn"`
	Kind              string        `mapstructure:"kind"`
	LoginAttributes   []string      `mapstructure:"login_attributes"`
	UserFilter        string        `mapstructure:"user_filter"`
	IDAttribute       string        `mapstructure:"id_attribute"`
	GroupFilter       string        `mapstructure:"group_filter"`
	NestedGroups      bool          `mapstructure:"nested_groups"`
	PhotoAttributes   []string      `mapstructure:"photo_attributes"`
	PasswordChange    string        `mapstructure:"password_change"` // page or off
	PasswordChangeURL string        `mapstructure:"password_change_url"`
	Timeout           time.Duration `mapstructure:"timeout"`
	Cache             string        `mapstructure:"cache"`
	PoolSize          int           `mapstructure:"pool_size"`

	// More of what follows from the kind; "none" does without.
	QualifiedNames         string   `mapstructure:"qualified_names"`
	IDFormat               string   `mapstructure:"id_format"`
	AccountRules           []string `mapstructure:"account_rules"`
	PasswordExpiry         string   `mapstructure:"password_expiry"`
	MemberAttributes       []string `mapstructure:"member_attributes"`
	MemberNameAttribute    string   `mapstructure:"member_name_attribute"`
	MemberNameSource       string   `mapstructure:"member_name_source"`
	MemberOfAttribute      string   `mapstructure:"member_of_attribute"`
	TokenGroupsAttribute   string   `mapstructure:"token_groups_attribute"`
	PrimaryGroupSource     string   `mapstructure:"primary_group_source"`
	PrimaryGroupAttribute  string   `mapstructure:"primary_group_attribute"`
	EntryDNAttribute       string   `mapstructure:"entry_dn_attribute"`
	GroupNameAttribute     string   `mapstructure:"group_name_attribute"`
	GroupDisplayAttributes []string `mapstructure:"group_display_attributes"`
	IgnoreReferences       string   `mapstructure:"ignore_references"`
}

// Table returns what is written of all that otherwise follows from the kind, by
// key.
func (d Directory) Table() map[string][]string {
	table := map[string][]string{
		"login_attributes": d.LoginAttributes, "account_rules": d.AccountRules, "member_attributes": d.MemberAttributes,
		"group_display_attributes": d.GroupDisplayAttributes,
	}
	for key, text := range map[string]string{
		"user_filter": d.UserFilter, "qualified_names": d.QualifiedNames, "id_attribute": d.IDAttribute, "id_format": d.IDFormat,
		"password_expiry": d.PasswordExpiry, "group_filter": d.GroupFilter, "member_name_attribute": d.MemberNameAttribute,
		"member_name_source": d.MemberNameSource, "member_of_attribute": d.MemberOfAttribute, "token_groups_attribute": d.TokenGroupsAttribute,
		"primary_group_source": d.PrimaryGroupSource, "primary_group_attribute": d.PrimaryGroupAttribute, "entry_dn_attribute": d.EntryDNAttribute,
		"group_name_attribute": d.GroupNameAttribute, "ignore_references": d.IgnoreReferences,
	} {
		if text != "" {
			table[key] = []string{text}
		}
	}
	return table
}

// CustomClaim is a claim that no specification knows.
type CustomClaim struct {
	Attributes []string // of the directory, the first with a value first
	Type       string   // see oidc/claims
	Scope      string   // the scope that gives it
}

// Password returns the password of BindDN, from the file as it is now if there
// is one: passwords are changed while the server runs.
func (d Directory) Password() (Secret, error) {
	if d.BindPasswordFile != "" {
		return readSecret(d.BindPasswordFile)
	}
	return d.BindPassword, nil
}

// Secret is a text that must not reach a log, a listing or an error: it prints
// as stars, whatever the verb.
type Secret string

const stars = "***"

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// String returns stars.
func (Secret) String() string { return stars }

// Format writes stars.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, stars) }

// LogValue returns stars.
func (Secret) LogValue() slog.Value { return slog.StringValue(stars) }

// MarshalText returns stars.
func (Secret) MarshalText() ([]byte, error) { return []byte(stars), nil }
