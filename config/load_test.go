package config_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/config"
)

var update = flag.Bool("update", false, "write the reference document anew")

func TestTheReferenceIsThatOfTheTable(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("examples/gatehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const file = "../docs/configuration.md"
	want := config.Reference(string(example))
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(file); err != nil || string(have) != string(want) {
		t.Errorf("%s is not what the table says (%v): run go generate ./config", file, err)
	}
}

func TestTableAndTypeFitTogether(t *testing.T) {
	t.Parallel()
	for _, fault := range config.TableFaults() {
		t.Error(fault)
	}
}

func TestTheExampleLoads(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := os.CopyFS(h.path("etc"), os.DirFS("examples")); err != nil {
		t.Fatal(err)
	}
	h.write("etc/bind.pw", "x\n", 0o600)
	example, err := os.ReadFile("examples/gatehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	path := h.write("etc/gatehouse.yaml", strings.ReplaceAll(string(example), "/var/lib/gatehouse", h.path("data")), 0o644)
	c, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.ClientsDir != h.path("etc/clients.d") || len(c.Warnings) > 0 {
		t.Errorf("clients are in %s, warnings %v", c.ClientsDir, c.Warnings)
	}
}

func TestEverySettingIsReadFromTheFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, d := range []string{"templates", "static", "keys"} {
		if err := os.Mkdir(h.path(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cert, key := h.certificate("sso", "sso.example.org", time.Now().Add(-time.Hour), time.Now().Add(1000*time.Hour))
	c := h.mustLoad(`
issuer: https://sso.example.org:8443
listen: "[::]:8443"
tls: {cert_file: sso.pem, key_file: sso.key}
trusted_proxies: [127.0.0.1, 10.1.2.3/24, "fd00::/8", "::ffff:192.0.2.1"]
database: ` + h.path("data") + `/g.db
clients_dir: ./clients.d/
keys_dir: keys
templates_dir: templates
static_dir: static
log: {level: debug, format: json}
lifespans: {code: 30s, access: 10m, id: 2h, refresh: 14d, pushed_request: 90s, device_code: 5m}
require_pushed_authorization_requests: true
outbound: {allow: [10.1.0.0/16], ca_file: ca.pem}
refresh_grace: 0s
keys: {rotate_after: 90d, publish_before: 12h}
session: {idle: 1h, absolute: 7d, remember: on, remember_for: 90d}
throttle: {account_failures: 3, network_failures: 50, window: 10m, max_wait: 2h}
directory:
  url: ldap://ldap.example.org:1389
  start_tls: yes
  ca_file: sso.pem
  bind_dn: CN=Gate\, House,DC=x
  bind_password_file: bind.pw
  base_dn: dc=x
  user_base_dn: ou=people,dc=x
  group_base_dn: ou=groups,dc=x
  kind: 389ds
  login_attributes: [uid, mail]
  user_filter: (&(objectClass=person)(!(employeeType=robot)))
  id_attribute: nsUniqueId
  group_filter: (objectClass=groupOfNames)
  nested_groups: false
  password_change: off
  password_change_url: https://password.example.org/
  timeout: 1500ms
  cache: watch
  pool_size: 4
claims:
  nickname: displayName
  quota: {attributes: quotaBytes, type: number, scope: storage}
  email_verified: true
  picture: []
  address.locality: [l, "2.5.4.7"]
  preferred_username: '@username'
default_resource: https://api.example.org
registration:
  mode: open
  open_limit: 7
  open_lifespan: 2h
  open_rate: 5
  token_lifespan: 30d
  grant_types: [authorization_code, implicit]
  response_types: [code, code id_token]
  require_pkce: true
  consent: explicit
  logos: true
  scopes:
    everyone: [openid, profile]
    groups:
      CN=Staff,OU=Groups,DC=x: [email, groups]
local_socket: {path: g.sock, group: staff}
`)
	if c.File != h.path("gatehouse.yaml") {
		t.Errorf("file %s", c.File)
	}
	want := &config.Config{
		Issuer: "https://sso.example.org:8443", Listen: "[::]:8443", TLS: config.TLS{CertFile: cert, KeyFile: key},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("10.1.2.0/24"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.1/32")},
		Database:       h.path("data/g.db"), ClientsDir: h.path("clients.d"), KeysDir: h.path("keys"), TemplatesDir: h.path("templates"), StaticDir: h.path("static"),
		Log:             config.Log{Level: slog.LevelDebug, Format: "json"},
		Lifespans:       config.Lifespans{Code: 30 * time.Second, Access: 10 * time.Minute, ID: 2 * time.Hour, Refresh: 14 * 24 * time.Hour, PushedRequest: 90 * time.Second, DeviceCode: 5 * time.Minute},
		LocalSocket:     config.LocalSocket{Path: h.path("g.sock"), Group: "staff"},
		DefaultResource: "https://api.example.org", RequirePushed: true, Outbound: config.Outbound{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, CAFile: h.path("ca.pem")},
		RefreshGrace: 0,
		Keys:         config.Keys{RotateAfter: 90 * 24 * time.Hour, PublishBefore: 12 * time.Hour},
		Session:      config.Session{Idle: time.Hour, Absolute: 7 * 24 * time.Hour, Remember: true, RememberFor: 90 * 24 * time.Hour},
		Throttle:     config.Throttle{AccountFailures: 3, NetworkFailures: 50, Window: 10 * time.Minute, MaxWait: 2 * time.Hour},
		Directory: config.Directory{
			URL: []string{"ldap://ldap.example.org:1389"}, StartTLS: true, CAFile: cert, BindDN: `CN=Gate\, House,DC=x`, BindPasswordFile: h.path("bind.pw"),
			BaseDN: "dc=x", UserBaseDN: []string{"ou=people,dc=x"}, GroupBaseDN: []string{"ou=groups,dc=x"}, Kind: "389ds", LoginAttributes: []string{"uid", "mail"},
			UserFilter: "(&(objectClass=person)(!(employeeType=robot)))", IDAttribute: "nsUniqueId", GroupFilter: "(objectClass=groupOfNames)",
			NestedGroups: false, PasswordChange: "off", PasswordChangeURL: "https://password.example.org/", Timeout: 1500 * time.Millisecond, Cache: "watch", PoolSize: 4,
		},
		CustomClaims: map[string]config.CustomClaim{"quota": {Attributes: []string{"quotaBytes"}, Type: "number", Scope: "storage"}},
		Registration: config.Registration{
			Mode: "open", OpenLimit: 7, OpenLifespan: 2 * time.Hour, OpenRate: 5, TokenLifespan: 30 * 24 * time.Hour,
			GrantTypes: []string{"authorization_code", "implicit"}, ResponseTypes: []string{"code", "code id_token"}, RequirePKCE: true,
			Consent: "explicit", Logos: true, Scopes: config.RegistrationScopes{
				Everyone: []string{"openid", "profile"}, Groups: map[string][]string{"CN=Staff,OU=Groups,DC=x": {"email", "groups"}},
			},
		},
		Claims: map[string][]string{"nickname": {"displayName"}, "email_verified": {"true"}, "picture": {}, "address.locality": {"l", "2.5.4.7"}, "preferred_username": {"@username"}},
	}
	compare(t, c, want)
	if file, line := c.Where("directory.kind"); file != c.File || line != 28 {
		t.Errorf("directory.kind is at %s:%d", file, line)
	}
	if file, line := c.Where("claims.address.locality"); file != c.File || line != 44 {
		t.Errorf("claims.address.locality is at %s:%d", file, line)
	}
}

// compare compares all that is exported.
func compare(t *testing.T, got, want *config.Config) {
	t.Helper()
	g, w := reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem()
	for i := range g.NumField() {
		if f := g.Type().Field(i); f.IsExported() && f.Name != "File" && !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
			t.Errorf("%s: got  %#v\nwant %#v", f.Name, g.Field(i).Interface(), w.Field(i).Interface())
		}
	}
}

func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.mustLoad(good)
	d := config.Default()
	if c.Listen != d.Listen || c.Lifespans != d.Lifespans || c.Session != d.Session || c.Throttle != d.Throttle || c.RefreshGrace != 10*time.Second {
		t.Errorf("got %+v", c)
	}
	want := config.Default()
	if want.Lifespans.Refresh != 30*24*time.Hour || want.Lifespans.Code != time.Minute || !want.Directory.NestedGroups || want.Directory.Timeout != 3*time.Second || want.Log.Level != slog.LevelInfo || want.Database != "gatehouse.db" {
		t.Errorf("got %+v", want)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.mustLoad(good, "GATEHOUSE_DATABASE=data/other.db")
	if c.Database != h.path("data/other.db") || c.KeysDir != h.path("data/keys") || c.Directory.BindPasswordFile != h.path("bind.pw") {
		t.Errorf("got %s, %s, %s", c.Database, c.KeysDir, c.Directory.BindPasswordFile)
	}
}

func TestTheEnvironmentGoesBeforeTheFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.mustLoad(good,
		"GATEHOUSE_LISTEN=127.0.0.1:9999", "GATEHOUSE_TRUSTED_PROXIES=10.0.0.1, 10.0.0.2", "GATEHOUSE_LOG_LEVEL=warn", "GATEHOUSE_SESSION_REMEMBER=true",
		"GATEHOUSE_DIRECTORY_URL=ldaps://a.example.org ldaps://b.example.org", "GATEHOUSE_LIFESPANS_REFRESH=7d", "GATEHOUSE_DIRECTORY_POOL_SIZE=2",
		"GATEHOUSE_STATIC_DIR=", "HOME=/x", "OTHER_GATEHOUSE_LISTEN=x",
		"GATEHOUSE_CONFIG=/etc/x", "GATEHOUSE_TEST_REQUIRE=all", "GATEHOUSE_SERVICE_HOST=10.9.8.7", "GATEHOUSE_SERVICE_PORT_HTTP=80", "GATEHOUSE_PORT=tcp://10.9.8.7:80", "GATEHOUSE_PORT_80_TCP_ADDR=10.9.8.7")
	if c.Listen != "127.0.0.1:9999" || len(c.TrustedProxies) != 2 || c.Log.Level != slog.LevelWarn || !c.Session.Remember || len(c.Directory.URL) != 2 || c.Directory.URL[1] != "ldaps://b.example.org" ||
		c.Lifespans.Refresh != 7*24*time.Hour || c.Directory.PoolSize != 2 {
		t.Errorf("got %+v", c)
	}
	if file, _ := c.Where("listen"); file != "environment" {
		t.Errorf("listen is from %s", file)
	}
}

func TestTheFileMayBeLeftOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c, err := config.Load("", []string{
		"GATEHOUSE_ISSUER=http://localhost:8080", "GATEHOUSE_DATABASE=" + h.path("data/g.db"), "GATEHOUSE_CLIENTS_DIR=" + h.path("clients.d"), "GATEHOUSE_KEYS_DIR=" + h.path("data/keys"),
		"GATEHOUSE_DIRECTORY_URL=ldap://localhost:1389", "GATEHOUSE_DIRECTORY_BASE_DN=dc=x", "GATEHOUSE_DIRECTORY_BIND_DN=cn=x", "GATEHOUSE_DIRECTORY_BIND_PASSWORD=hunter2",
	})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Directory.Password(); err != nil || p.Reveal() != "hunter2" {
		t.Errorf("got %q, %v", p.Reveal(), err)
	}
}

func TestEveryWayToGiveThePasswordWorks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		env  []string
		mode os.FileMode
		want string
	}{
		"a file":                               {good, nil, 0o644, "s3cret-of-the-directory"},
		"a file by variable":                   {without("directory.bind_password_file"), []string{"GATEHOUSE_DIRECTORY_BIND_PASSWORD_FILE=bind.pw"}, 0o644, "s3cret-of-the-directory"},
		"a variable before a file":             {good, []string{"GATEHOUSE_DIRECTORY_BIND_PASSWORD=from env"}, 0o644, "from env"},
		"another file before a file":           {good, []string{"GATEHOUSE_DIRECTORY_BIND_PASSWORD_FILE=other.pw"}, 0o644, "other"},
		"a file by variable before a password": {with("directory.bind_password", "plain"), []string{"GATEHOUSE_DIRECTORY_BIND_PASSWORD_FILE=other.pw"}, 0o600, "other"},
		"a number in a private configuration":  {strings.Replace(good, "bind_password_file: bind.pw", "bind_password: 007", 1), nil, 0o600, "007"},
		"a word of YAML":                       {strings.Replace(good, "bind_password_file: bind.pw", "bind_password: yes", 1), nil, 0o600, "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.write("other.pw", "other\r\n", 0o400)
			file := c.file
			if strings.Contains(name, "before a password") {
				file = strings.Replace(file, "  bind_password_file: bind.pw\n", "", 1)
			}
			got, err := config.Load(h.write("gatehouse.yaml", file, c.mode), c.env)
			if err != nil {
				t.Fatal(err)
			}
			if p, err := got.Directory.Password(); err != nil || p.Reveal() != c.want {
				t.Errorf("got %q, %v", p.Reveal(), err)
			}
		})
	}
}

func TestAChangedPasswordIsReadAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.mustLoad(good)
	h.write("bind.pw", "new", 0o600)
	if p, err := c.Directory.Password(); err != nil || p.Reveal() != "new" {
		t.Errorf("got %q, %v", p.Reveal(), err)
	}
	if err := os.Remove(h.path("bind.pw")); err != nil {
		t.Fatal(err)
	}
	if p, err := c.Directory.Password(); err == nil || p != "" {
		t.Errorf("got %q, %v", p.Reveal(), err)
	}
}

func TestCredentialsOfSystemdAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := os.Mkdir(h.path("credentials"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := h.write("credentials/bind.pw", "from systemd", 0o440)
	env := []string{"GATEHOUSE_DIRECTORY_BIND_PASSWORD_FILE=" + file, "CREDENTIALS_DIRECTORY=" + h.path("credentials")}
	c := h.mustLoad(good, env...)
	if p, err := c.Directory.Password(); err != nil || p.Reveal() != "from systemd" {
		t.Errorf("got %q, %v", p.Reveal(), err)
	}
	if _, err := h.load(good, env[0]); err == nil {
		t.Error("a file that a group may read was taken without systemd")
	}
	h.write("credentials/bind.pw", "x", 0o444)
	if _, err := h.load(good, env...); err == nil {
		t.Error("a file that the world may read was taken")
	}
}

func TestASecretPrintsAsStars(t *testing.T) {
	t.Parallel()
	secret := config.Secret("hunter2")
	c := config.Default()
	c.Directory.BindPassword = secret
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret, "config", c)
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(asJSON) + fmt.Sprintf("%v %+v %#v %s %q %x %d %v %+v %#v %v", secret, secret, secret, secret, secret, secret, secret, c, *c, c.Directory, c.Describe())
	if strings.Contains(all, "hunter2") || strings.Contains(all, "68756e74657232") || !strings.Contains(all, "***") {
		t.Errorf("got %s", all)
	}
}

func TestDescribeSaysWhatHoldsAndWhereItIsFrom(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	c := h.mustLoad(with("log", "{level: debug}"), "GATEHOUSE_LIFESPANS_REFRESH=48h", "GATEHOUSE_DIRECTORY_BIND_PASSWORD=hunter2")
	got := map[string]string{}
	for _, d := range c.Describe() {
		got[d.Key] = d.Value + " (" + d.Source + ")"
	}
	for key, want := range map[string]string{
		"issuer": "https://sso.example.org (" + c.File + ":1)", "log.level": "debug (" + c.File + ":7)", "lifespans.refresh": "2d (environment)",
		"directory.bind_password": "*** (environment)", "lifespans.access": "1h (default)", "trusted_proxies": "[127.0.0.1/32] (" + c.File + ":3)", "directory.pool_size": "16 (default)",
	} {
		if got[key] != want {
			t.Errorf("%s: got %s, want %s", key, got[key], want)
		}
	}
}

func TestACertificateThatEndsSoonIsWarnedAbout(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.certificate("sso", "sso.example.org", time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour))
	c := h.mustLoad(with("tls", "{cert_file: sso.pem, key_file: sso.key}"))
	if len(c.Warnings) != 1 || c.Warnings[0].Key != "tls.cert_file" || !strings.Contains(c.Warnings[0].Message, "expires on") || c.Warnings[0].Line != 7 {
		t.Errorf("got %+v", c.Warnings)
	}
}

func TestProblemsHaveTheFieldsOfThoseOfOtherRooms(t *testing.T) {
	t.Parallel()
	type problem struct { // oidc.Problem
		File          string
		Line          int
		Key           string
		Message, Hint string
	}
	if p := problem(config.Problem{Line: 3}); p.Line != 3 {
		t.Error(p)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(good), "GATEHOUSE_LISTEN=x")
	f.Add([]byte("issuer: http://localhost\nlisten: :0\ntls: {cert_file: a}\nclaims: {a.b: [c], d: e}\n"), "GATEHOUSE_DIRECTORY_URL=ldap://[::1]:1,ldaps://x")
	f.Add([]byte("a: &a [*a]\n---\n- b"), "GATEHOUSE_TRUSTED_PROXIES=0.0.0.0/0 ::/0")
	f.Add([]byte("lifespans: {code: 99999999999999999999d, access: 1e9h}\nissuer: {a: b}\n? [x]\n: y"), "GATEHOUSE_SESSION_IDLE=-1s")
	dir := f.TempDir()
	now := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	f.Fuzz(func(t *testing.T, data []byte, variable string) {
		c, err := config.LoadBytes("x.yaml", filepath.Join(dir, "none"), data, []string{variable}, now)
		if (c == nil) == (err == nil) {
			t.Fatalf("%v with %v", c, err)
		}
		if err == nil {
			c.Describe()
			return
		}
		for _, p := range problemsOf(t, err) {
			if p.File == "" || p.Message == "" || p.Line < 0 {
				t.Fatalf("%+v", p)
			}
		}
	})
}
