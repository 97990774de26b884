package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/config"
)

func TestEveryMistakeIsRefusedWithItsLineKeyAndAHint(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file string
		line int
		key  string
		says string // in message or hint
	}{
		"a default resource that is none":      {with("default_resource", "api"), 7, "default_resource", "absolute URI"},
		"a default resource with a fragment":   {with("default_resource", "https://a.example.org#b"), 7, "default_resource", "fragment"},
		"a socket in everybody's folder":       {with("local_socket", "{path: /tmp/gatehouse.sock}"), 7, "local_socket.path", "everybody on the machine"},
		"a socket in no folder":                {with("local_socket", "{path: /nowhere/gatehouse.sock}"), 7, "local_socket.path", "/nowhere"},
		"a group without a socket":             {with("local_socket", "{group: staff}"), 7, "local_socket.group", "local_socket.path is not"},
		"YAML that is cut short":               {good + "claims: [a\n", 0, "", "not YAML"},
		"a list instead of settings":           {"- a\n", 1, "", "settings"},
		"a second document":                    {good + "---\na: b\n", 12, "", "second document"},
		"an alias":                             {with("log", "{level: &a debug, format: *a}"), 7, "", "anchors"},
		"a misspelt setting":                   {with("clients_dri", "x"), 7, "clients_dri", "did you mean clients_dir?"},
		"a misspelt setting of the directory":  {good + "  bind_pasword: x\n", 12, "directory.bind_pasword", "did you mean directory.bind_password"},
		"a setting that misses its group":      {with("base_dn", "dc=x"), 7, "base_dn", "did you mean directory.base_dn?"},
		"a misspelt group":                     {with("lifespan", "{code: 1m}"), 7, "lifespan", "did you mean lifespans"},
		"a setting like nothing":               {with("xyzzy", "1"), 7, "xyzzy", "unknown setting"},
		"a setting with capitals":              {with("Issuer", "x"), 7, "Issuer", "did you mean issuer?"},
		"a setting with a dot":                 {with("log.level", "debug"), 7, "log.level", "beneath log:"},
		"a setting twice":                      {good + "issuer: https://x.example.org\n", 12, "issuer", "twice, first on line 1"},
		"a text instead of a group":            {with("log", "debug"), 7, "log", "no settings under it"},
		"a group instead of a text":            {with("issuer", "{a: b}"), 1, "issuer", "settings stand where"},
		"a list instead of a text":             {with("issuer", "[a, b]"), 1, "issuer", "a list stands"},
		"nothing":                              {with("issuer", ""), 1, "issuer", "no value"},
		"a tag":                                {with("issuer", "!!binary aGk="), 1, "issuer", "tags"},
		"a flag that is none":                  {good + "  nested_groups: perhaps\n", 12, "directory.nested_groups", "true or false"},
		"a number that is none":                {with("throttle", "{account_failures: many}"), 7, "throttle.account_failures", "whole number"},
		"a number out of bounds":               {with("throttle", "{account_failures: 0}"), 7, "throttle.account_failures", "between 1 and 1000"},
		"a duration without a unit":            {with("lifespans", "{access: 3600}"), 7, "lifespans.access", "not a duration"},
		"a negative duration":                  {with("lifespans", "{access: -1h}"), 7, "lifespans.access", "negative"},
		"an absurd duration":                   {with("lifespans", "{refresh: 9999d}"), 7, "lifespans.refresh", "between 1s and 730d"},
		"a code that lives for a day":          {with("lifespans", "{code: 24h}"), 7, "lifespans.code", "between 1s and 10m"},
		"an unknown level":                     {with("log", "{level: verbose}"), 7, "log.level", "debug, info, warn or error"},
		"a misspelt kind":                      {good + "  kind: openldpa\n", 12, "directory.kind", "did you mean openldap?"},
		"no issuer":                            {without("issuer"), 0, "issuer", "GATEHOUSE_ISSUER"},
		"an empty issuer":                      {with("issuer", "''"), 1, "issuer", "empty"},
		"an issuer over http":                  {with("issuer", "http://sso.example.org"), 1, "issuer", "loopback"},
		"an issuer over http to all addresses": {with("issuer", "http://0.0.0.0:8080"), 1, "issuer", "loopback"},
		"an issuer that looks like loopback":   {with("issuer", "http://localhost.example.org"), 1, "issuer", "loopback"},
		"an issuer with a slash":               {with("issuer", "https://sso.example.org/"), 1, "issuer", "write https://sso.example.org"},
		"an issuer with a path":                {with("issuer", "https://sso.example.org/oidc"), 1, "issuer", "path"},
		"an issuer with a query":               {with("issuer", "https://sso.example.org?"), 1, "issuer", "query"},
		"an issuer with a fragment":            {with("issuer", "'https://sso.example.org#'"), 1, "issuer", "fragment"},
		"an issuer with a password":            {with("issuer", "https://a:hunter2@sso.example.org"), 1, "issuer", "user or password"},
		"an issuer with the usual port":        {with("issuer", "https://sso.example.org:443"), 1, "issuer", "usual port"},
		"an issuer in capitals":                {with("issuer", "https://SSO.example.org"), 1, "issuer", "write https://sso.example.org"},
		"an issuer without a scheme":           {with("issuer", "sso.example.org"), 1, "issuer", "not an address"},
		"an issuer with a bad port":            {with("issuer", "https://sso.example.org:0"), 1, "issuer", "no host and port"},
		"an issuer of another scheme":          {with("issuer", "ftp://sso.example.org"), 1, "issuer", "https://"},
		"listening on a name":                  {with("listen", "sso.example.org:80"), 2, "listen", "IP address"},
		"listening on no port":                 {with("listen", "127.0.0.1"), 2, "listen", "with a port"},
		"listening on a port that is none":     {with("listen", "127.0.0.1:99999"), 2, "listen", "with a port"},
		"listening on any port everywhere":     {with("listen", ":0"), 2, "listen", "with a port"},
		"plain HTTP to everybody":              {strings.Replace(with("listen", ":8080"), "trusted_proxies: [127.0.0.1]\n", "", 1), 2, "listen", "trusted_proxies"},
		"https that nobody speaks":             {without("trusted_proxies"), 0, "trusted_proxies", "tls.cert_file"},
		"trusting the internet":                {with("trusted_proxies", "[0.0.0.0/0]"), 3, "trusted_proxies", "everybody"},
		"trusting half of it":                  {with("trusted_proxies", "[0.0.0.0/1, 128.0.0.0/1]"), 3, "trusted_proxies", "everybody"},
		"trusting the internet by IPv6":        {with("trusted_proxies", "['::/0']"), 3, "trusted_proxies", "everybody"},
		"trusting IPv4 by way of IPv6":         {with("trusted_proxies", "['::ffff:0:0/96']"), 3, "trusted_proxies", "everybody"},
		"trusting a name":                      {with("trusted_proxies", "[proxy]"), 3, "trusted_proxies", "neither an address nor"},
		"a database that is PostgreSQL":        {with("database", "postgres://gatehouse:hunter2@db/x"), 4, "database", "not supported yet"},
		"a database at an address":             {with("database", "file:x.db?mode=memory"), 4, "database", "a path"},
		"a database in no folder":              {with("database", "none/x.db"), 4, "database", "none is missing"},
		"a database that is a folder":          {with("database", "data"), 4, "database", "not a plain file"},
		"no client files":                      {with("clients_dir", "none"), 5, "clients_dir", "mkdir"},
		"client files that are one file":       {with("clients_dir", "bind.pw"), 5, "clients_dir", "not a folder"},
		"keys in no folder":                    {with("keys_dir", "none/keys"), 6, "keys_dir", "none is missing"},
		"keys that are a file":                 {with("keys_dir", "bind.pw"), 6, "keys_dir", "not a folder"},
		"templates that are missing":           {with("templates_dir", "none"), 7, "templates_dir", "missing"},
		"a certificate without a key":          {with("tls", "{cert_file: bind.pw}"), 0, "tls.key_file", "missing"},
		"a certificate that is missing":        {with("tls", "{cert_file: none.pem, key_file: good.key}"), 7, "tls.cert_file", "no such file"},
		"a certificate that is none":           {with("tls", "{cert_file: bind.pw, key_file: good.key}"), 7, "tls.cert_file", "can't be used"},
		"the key of another certificate":       {with("tls", "{cert_file: good.pem, key_file: other.key}"), 7, "tls.cert_file", "can't be used"},
		"a certificate that has expired":       {with("tls", "{cert_file: old.pem, key_file: old.key}"), 7, "tls.cert_file", "expired on"},
		"a certificate that is too new":        {with("tls", "{cert_file: new.pem, key_file: new.key}"), 7, "tls.cert_file", "not valid before"},
		"a certificate for another host":       {strings.Replace(with("tls", "{cert_file: other.pem, key_file: other.key}"), "trusted_proxies: [127.0.0.1]\n", "", 1), 6, "tls.cert_file", "not for sso.example.org"},
		"a key that the world can read":        {with("tls", "{cert_file: good.pem, key_file: open.key}"), 7, "tls.key_file", "chmod 600"},
		"a key that is a pipe":                 {with("tls", "{cert_file: good.pem, key_file: /dev/zero}"), 7, "tls.key_file", "not a plain file"},
		"TLS for an issuer over http":          {strings.Replace(with("tls", "{cert_file: good.pem, key_file: good.key}"), "https://sso.example.org", "http://localhost:8080", 1), 1, "issuer", "speaks https"},
		"a session that ends before it idles":  {with("session", "{idle: 20h}"), 7, "session.idle", "session.absolute (12h)"},
		"rotation every hour":                  {with("keys", "{rotate_after: 1h}"), 7, "keys.rotate_after", "shorter than a day"},
		"keys published for too long":          {with("keys", "{rotate_after: 7d, publish_before: 4d}"), 7, "keys.publish_before", "more than half of keys.rotate_after (7d)"},
		"a wait shorter than the window":       {with("throttle", "{max_wait: 5m}"), 7, "throttle.max_wait", "throttle.window (15m)"},
		"no directory":                         {without("directory.url"), 0, "directory.url", "missing"},
		"an empty list of directories":         {with("directory.url", "[]"), 8, "directory.url", "no server"},
		"a directory over http":                {with("directory.url", "https://ldap"), 8, "directory.url", "not the address"},
		"a directory without a host":           {with("directory.url", "ldaps://"), 8, "directory.url", "no host"},
		"a directory with a password":          {with("directory.url", "ldaps://cn=x:hunter2@ldap"), 8, "directory.url", "bind_password_file"},
		"a directory with a base":              {with("directory.url", "ldaps://ldap/dc=x"), 8, "directory.url", "base_dn"},
		"a socket without a path":              {with("directory.url", "ldapi://"), 8, "directory.url", "no socket"},
		"a socket that is a host":              {with("directory.url", "ldapi://ldap.example.org"), 8, "directory.url", "no socket"},
		"SRV records of a host and port":       {with("directory.url", "ldaps+srv://example.org:636"), 8, "directory.url", "domain alone"},
		"SRV records of an address":            {with("directory.url", "ldaps+srv://127.0.0.1"), 8, "directory.url", "domain alone"},
		"SRV records in the clear":             {with("directory.url", "ldap+srv://localhost"), 8, "directory.url", "start_tls: true"},
		"half of a client certificate":         {with("directory.client_cert_file", "good.pem"), 0, "directory.client_key_file", "missing"},
		"a client key that isn't there":        {with("directory.client_cert_file", "good.pem") + "  client_key_file: none.pem\n", 13, "directory.client_key_file", "name a PEM file"},
		"a directory twice":                    {with("directory.url", "[ldaps://a, ldaps://a]"), 8, "directory.url", "twice"},
		"passwords in the clear":               {with("directory.url", "ldap://ldap.example.org"), 8, "directory.url", "start_tls: true"},
		"TLS twice":                            {with("directory.url", "ldaps://ldap") + "  start_tls: true\n", 8, "directory.url", "from the start"},
		"authorities that are missing":         {good + "  ca_file: none.pem\n", 12, "directory.ca_file", "no such file"},
		"authorities that are none":            {good + "  ca_file: bind.pw\n", 12, "directory.ca_file", "no certificate"},
		"a page for passwords without TLS":     {with("directory.password_change_url", "http://password.example.org"), 12, "directory.password_change_url", "https"},
		"a page for passwords with a user":     {with("directory.password_change_url", "https://x@password.example.org"), 12, "directory.password_change_url", "https"},
		"a way to change passwords unknown":    {with("directory.password_change", "maybe"), 12, "directory.password_change", "page or off"},
		"an account without a password":        {without("directory.bind_password_file"), 0, "directory.bind_password_file", "no password"},
		"a password without an account":        {without("directory.bind_dn"), 9, "directory.bind_password_file", "no bind_dn"},
		"a password file that is missing":      {with("directory.bind_password_file", "none.pw"), 10, "directory.bind_password_file", "no such file"},
		"a password file that is empty":        {with("directory.bind_password_file", "empty.pw"), 10, "directory.bind_password_file", "empty"},
		"a password file with two lines":       {with("directory.bind_password_file", "two.pw"), 10, "directory.bind_password_file", "more than one line"},
		"a password file others can read":      {with("directory.bind_password_file", "world.pw"), 10, "directory.bind_password_file", "(mode 0604)"},
		"a password file a group can read":     {with("directory.bind_password_file", "group.pw"), 10, "directory.bind_password_file", "chmod 600"},
		"a password file that is a folder":     {with("directory.bind_password_file", "data"), 10, "directory.bind_password_file", "not a plain file"},
		"a password in an open configuration":  {strings.Replace(good, "bind_password_file: bind.pw", "bind_password: hunter2", 1), 10, "directory.bind_password", "chmod 600"},
		"no base":                              {without("directory.base_dn"), 0, "directory.base_dn", "missing"},
		"a base that is a name":                {with("directory.base_dn", "example.org"), 11, "directory.base_dn", "not a distinguished name"},
		"a filter that is cut short":           {good + "  user_filter: (&(a=b)\n", 12, "directory.user_filter", "parentheses"},
		"a filter without parentheses":         {good + "  group_filter: a=b\n", 12, "directory.group_filter", "parentheses"},
		"two filters":                          {good + "  group_filter: (a=b)(c=d)\n", 12, "directory.group_filter", "parentheses"},
		"an attribute that is none":            {good + "  login_attributes: ['uid)(x']\n", 12, "directory.login_attributes", "not the name"},
		"no attribute":                         {good + "  login_attributes: []\n", 12, "directory.login_attributes", "empty"},
		"an id of two words":                   {good + "  id_attribute: entry uuid\n", 12, "directory.id_attribute", "not the name"},
		"claims that are a list":               {with("claims", "[a]"), 7, "claims", "no claims under it"},
		"a claim with an unknown setting":      {with("claims", "{quota: {a: b}}"), 7, "claims.quota.a", "unknown setting"},
		"a claim of one's own without scope":   {with("claims", "{quota: {attributes: quotaBytes}}"), 7, "claims.quota", "needs attributes and a scope"},
		"a claim with two scopes":              {with("claims", "{quota: {attributes: quotaBytes, scope: [a, b]}}"), 7, "claims.quota.scope", "one value"},
		"a claim twice":                        {with("claims", "{nickname: a, nickname: b}"), 7, "claims.nickname", "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			furnish(h)
			got, err := h.load(c.file)
			problems := problemsOf(t, err)
			if len(problems) != 1 || got != nil {
				t.Fatalf("want one problem, got\n%v", err)
			}
			p := problems[0]
			if p.File != h.path("gatehouse.yaml") || c.line != 0 && p.Line != c.line || p.Key != c.key || !strings.Contains(p.Message+" | "+p.Hint, c.says) {
				t.Errorf("want line %d, key %q, saying %q; got %+v", c.line, c.key, c.says, p)
			}
			if strings.Contains(p.Message+p.Hint, "hunter2") {
				t.Errorf("the password is echoed: %+v", p)
			}
		})
	}
}

// furnish puts files into a house that something is wrong with.
func furnish(h house) {
	h.t.Helper()
	now := time.Now()
	h.certificate("good", "sso.example.org", now.Add(-time.Hour), now.Add(1000*time.Hour))
	h.certificate("other", "other.example.org", now.Add(-time.Hour), now.Add(1000*time.Hour))
	h.certificate("old", "sso.example.org", now.Add(-2*time.Hour), now.Add(-time.Hour))
	h.certificate("new", "sso.example.org", now.Add(time.Hour), now.Add(1000*time.Hour))
	key, err := os.ReadFile(h.path("good.key"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.write("open.key", string(key), 0o644)
	h.write("empty.pw", "\n", 0o600)
	h.write("two.pw", "a\nb\n", 0o600)
	h.write("world.pw", "hunter2", 0o604)
	h.write("group.pw", "hunter2", 0o640)
}

func TestWhatIsAllowedIsAllowed(t *testing.T) {
	t.Parallel()
	loopback := func(issuer string) string {
		return strings.Replace(strings.Replace(good, "https://sso.example.org", issuer, 1), "trusted_proxies: [127.0.0.1]\n", "", 1)
	}
	for name, file := range map[string]string{
		"http on localhost":                 loopback("http://localhost:8080"),
		"http on 127.x":                     loopback("http://127.0.0.2:8080"),
		"http on ::1":                       loopback("http://[::1]:8080"),
		"a port of the system's choice":     strings.Replace(loopback("http://127.0.0.1"), "127.0.0.1:8080", "127.0.0.1:0", 1),
		"all addresses behind a proxy":      with("listen", ":8080"),
		"a private network of proxies":      with("trusted_proxies", "[10.0.0.0/8, 'fc00::/7', 'fe80::1']"),
		"one server as a text":              with("directory.url", "ldaps://ldap.example.org"),
		"ldap:// on loopback":               with("directory.url", "[ldap://127.0.0.1:389, ldap://localhost, 'ldap://[::1]']"),
		"a socket":                          with("directory.url", "['ldapi://%2Frun%2Fslapd%2Fldapi', 'ldapi:///run/ldapi']"),
		"SRV records":                       with("directory.url", "[ldaps+srv://example.org]"),
		"SRV records and StartTLS":          with("directory.url", "ldap+srv://example.org") + "  start_tls: true\n",
		"StartTLS":                          with("directory.url", "ldap://ldap.example.org") + "  start_tls: true\n",
		"reading anonymously":               strings.Replace(without("directory.bind_dn"), "  bind_password_file: bind.pw\n", "", 1),
		"a base each":                       strings.Replace(good, "base_dn:", "user_base_dn: ou=p,dc=x\n  group_base_dn: ou=g,dc=x\n  #", 1),
		"binding by a name of a domain":     with("directory.bind_dn", "gatehouse@example.org"),
		"claims with capitals and dots":     with("claims", "{'https://example.org/Abteilung': departmentNumber}"),
		"own TLS behind a proxy's TLS":      with("tls", "{cert_file: other.pem, key_file: other.key}"),
		"own TLS":                           strings.Replace(with("tls", "{cert_file: good.pem, key_file: good.key}"), "trusted_proxies: [127.0.0.1]\n", "", 1),
		"comments, blank lines and Windows": "# hello\r\n\r\n" + strings.ReplaceAll(good, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			furnish(h)
			h.mustLoad(file)
		})
	}
}

func TestEveryProblemOfFileAndEnvironmentIsToldInOneRun(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, err := h.load(`issuer: http://sso.example.org
lissten: x
listen: nowhere
trusted_proxies: [0.0.0.0/0]
database: none/x.db
clients_dir: none
log: {level: loud}
lifespans: {code: -1s}
directory:
  url: [ldap://ldap.example.org, ftp://x]
  bind_dn: cn=x
  user_filter: (
`, "GATEHOUSE_ISUER=x", "GATEHOUSE_SESSION_IDLE=soon", "GATEHOUSE_CLAIMS=x")
	var got []string
	for _, p := range problemsOf(t, err) {
		got = append(got, fmt.Sprintf("%d %s", p.Line, p.Key))
		if p.Message == "" || p.Hint == "" && !strings.Contains(p.Message, "between") {
			t.Errorf("no hint: %+v", p)
		}
	}
	want := "0 GATEHOUSE_CLAIMS, 0 GATEHOUSE_ISUER, 0 GATEHOUSE_SESSION_IDLE, 0 directory.base_dn, 0 directory.bind_password_file, " +
		"1 issuer, 2 lissten, 3 listen, 4 trusted_proxies, 5 database, 6 clients_dir, 7 log.level, 8 lifespans.code, 10 directory.url, 10 directory.url, 12 directory.user_filter"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
	for _, part := range []string{"did you mean GATEHOUSE_ISSUER?", "environment: GATEHOUSE_SESSION_IDLE: \"soon\" is not a duration", "did you mean listen?", h.path("gatehouse.yaml") + ":6: clients_dir:"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in\n%v", part, err)
		}
	}
}

func TestBothWaysOfGivingAPasswordInOnePlaceAreAMistake(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, err := config.Load(h.write("gatehouse.yaml", good+"  bind_password: hunter2\n", 0o600), nil)
	if p := problemsOf(t, err); len(p) != 1 || p[0].Key != "directory.bind_password" || !strings.Contains(p[0].Message, "both") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	_, err = h.load(good, "GATEHOUSE_DIRECTORY_BIND_PASSWORD=hunter2", "GATEHOUSE_DIRECTORY_BIND_PASSWORD_FILE=bind.pw")
	if p := problemsOf(t, err); len(p) != 1 || p[0].File != "environment" || p[0].Key != "GATEHOUSE_DIRECTORY_BIND_PASSWORD" {
		t.Errorf("got %v", err)
	}
}

func TestAConfigurationThatCannotBeReadIsAProblem(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	big := h.write("big.yaml", strings.Repeat("#", 2<<20), 0o644)
	for path, says := range map[string]string{h.path("none.yaml"): "no such file", h.dir: "not a plain file", "/dev/zero": "not a plain file", big: "larger than 1 MiB"} {
		_, err := config.Load(path, nil)
		if p := problemsOf(t, err); len(p) != 1 || p[0].File != path || !strings.Contains(p[0].Message, says) || p[0].Hint == "" {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestAliasesCannotBlowUpTheConfiguration(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 30; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9))
	}
	if _, err := h.load(bomb); err == nil || !strings.Contains(err.Error(), ":1: anchors and aliases") {
		t.Errorf("got %v", err)
	}
}
