package ldapstore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/oidc"
)

func TestAnswersToABindMeanWhatTheKindSays(t *testing.T) {
	t.Parallel()
	policy := func(code int8) []ldap.Control {
		return []ldap.Control{&ldap.ControlBeheraPasswordPolicy{Expire: -1, Grace: -1, Error: code}}
	}
	grace := []ldap.Control{&ldap.ControlBeheraPasswordPolicy{Expire: -1, Grace: 2, Error: -1}}
	netscape := []ldap.Control{&ldap.ControlVChuPasswordMustChange{MustChange: true}}
	const active, disabled, expired = oidc.StateActive, oidc.StateDisabled, oidc.StateExpired
	const cannotTell = oidc.SignInReason("can't tell")
	ad := func(data string) string {
		return "80090308: LdapErr: DSID-0C090436, comment: AcceptSecurityContext error, data " + data + ", v4563"
	}
	for _, c := range []struct {
		kind     string
		code     uint16
		text     string
		controls []ldap.Control
		state    oidc.AccountState
		want     oidc.SignInReason
	}{
		{"openldap", 0, "", nil, active, ""},
		{"openldap", 0, "", grace, active, ""},
		{"openldap", 0, "", policy(-1), active, ""},
		{"openldap", 0, "", policy(2), active, oidc.ReasonMustChange},
		{"openldap", 0, "", policy(0), active, oidc.ReasonPasswordExpired},
		{"openldap", 0, "", policy(1), active, oidc.ReasonLocked},
		{"openldap", 0, "", nil, disabled, oidc.ReasonDisabled},
		{"openldap", 0, "", nil, expired, oidc.ReasonAccountExpired},
		{"openldap", 0, "", netscape, active, oidc.ReasonMustChange},
		{"openldap", 49, "", nil, active, oidc.ReasonWrongPassword},
		{"openldap", 49, "", nil, disabled, oidc.ReasonWrongPassword},
		{"openldap", 49, "", nil, expired, oidc.ReasonWrongPassword},
		{"openldap", 49, "", policy(0), active, oidc.ReasonPasswordExpired},
		{"openldap", 49, "", policy(1), active, oidc.ReasonLocked},
		{"openldap", 49, "", policy(1), disabled, oidc.ReasonWrongPassword},
		{"openldap", 49, "", netscape, active, oidc.ReasonPasswordExpired},
		{"openldap", 48, "", nil, active, oidc.ReasonWrongPassword},
		{"openldap", 32, "", nil, active, oidc.ReasonUnknownUser},
		{"openldap", 53, "", nil, active, cannotTell},
		{"openldap", 51, "", nil, active, cannotTell},
		{"openldap", 52, "", nil, active, cannotTell},
		{"openldap", 10, "", nil, active, cannotTell},
		{"openldap", 13, "", nil, active, cannotTell},
		{"openldap", 1, "", nil, active, cannotTell},
		{"openldap", ldap.ErrorNetwork, "", nil, active, cannotTell},
		{"389ds", 19, "", nil, active, oidc.ReasonLocked},
		{"389ds", 53, "", nil, disabled, oidc.ReasonWrongPassword},
		{"389ds", 53, "", nil, active, oidc.ReasonWrongPassword},
		{"freeipa", 49, "", netscape, active, oidc.ReasonPasswordExpired},
		{"ad", 49, ad("52e"), nil, active, oidc.ReasonWrongPassword},
		{"ad", 49, ad("533"), nil, disabled, oidc.ReasonDisabled},
		{"ad", 49, ad("532"), nil, active, oidc.ReasonPasswordExpired},
		{"ad", 49, ad("773"), nil, active, oidc.ReasonMustChange},
		{"ad", 49, ad("775"), nil, active, oidc.ReasonLocked},
		{"ad", 49, ad("701"), nil, expired, oidc.ReasonAccountExpired},
		{"ad", 49, ad("530"), nil, active, oidc.ReasonOutsideHours},
		{"ad", 49, ad("999"), nil, active, oidc.ReasonWrongPassword},
		{"ad", 49, "no data", nil, active, oidc.ReasonWrongPassword},
	} {
		k, ok := kindNamed(c.kind)
		if !ok {
			t.Fatalf("no kind %s", c.kind)
		}
		var err error
		if c.code != 0 {
			err = ldap.NewError(c.code, errors.New(c.text))
		}
		verdict := k.judge(err, c.controls, c.state)
		got := oidc.SignInReason("")
		var refused *oidc.SignInError
		switch {
		case errors.As(verdict, &refused):
			got = refused.Reason
		case errors.Is(verdict, oidc.ErrUnavailable):
			got = cannotTell
		case verdict != nil:
			t.Fatalf("strange verdict %v", verdict)
		}
		if got != c.want {
			t.Errorf("%s, code %d %q, controls %v, account %v: got %q, want %q", c.kind, c.code, c.text, c.controls, c.state, got, c.want)
		}
	}
}

func TestStatesAreReadByTheTableOfTheKind(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 11, 22, 12, 0, 0, 0, time.UTC)
	const unreadable = oidc.AccountState(-1)
	for _, c := range []struct {
		kind, attribute, value string
		want                   oidc.AccountState
	}{
		{"openldap", "pwdAccountLockedTime", "000001010000Z", oidc.StateDisabled},
		{"openldap", "pwdAccountLockedTime", "20251122115500Z", oidc.StateActive},
		{"openldap", "pwdEndTime", "20251122120000Z", oidc.StateExpired},
		{"openldap", "pwdEndTime", "20251122120001Z", oidc.StateActive},
		{"openldap", "pwdEndTime", "tomorrow", unreadable},
		{"openldap", "pwdStartTime", "20251122120001Z", oidc.StateDisabled},
		{"openldap", "pwdStartTime", "20251122120000Z", oidc.StateActive},
		{"openldap", "shadowExpire", "20414", oidc.StateExpired},
		{"openldap", "shadowExpire", "20415", oidc.StateActive},
		{"openldap", "shadowExpire", "-1", oidc.StateActive},
		{"openldap", "shadowExpire", "0", oidc.StateExpired},
		{"openldap", "shadowExpire", "never", unreadable},
		{"openldap", "nsAccountLock", "TRUE", oidc.StateActive},
		{"389ds", "nsAccountLock", "true", oidc.StateDisabled},
		{"389ds", "nsAccountLock", "false", oidc.StateActive},
		{"custom", "loginDisabled", "TRUE", oidc.StateDisabled},
		{"freeipa", "krbPrincipalExpiration", "20200101000000Z", oidc.StateExpired},
		{"ad", "userAccountControl", "512", oidc.StateActive},
		{"ad", "userAccountControl", "514", oidc.StateDisabled},
		{"ad", "userAccountControl", "x", unreadable},
		{"ad", "accountExpires", "0", oidc.StateActive},
		{"ad", "accountExpires", "9223372036854775807", oidc.StateActive},
		{"ad", "accountExpires", "133000000000000000", oidc.StateExpired},
		{"lldap", "pwdAccountLockedTime", "000001010000Z", oidc.StateActive},
	} {
		k, _ := kindNamed(c.kind)
		table := newTable(k, &Options{BaseDN: "dc=x"})
		e := &entry{attributes: map[string][]string{strings.ToLower(c.attribute): {c.value}}}
		got, err := table.state(e, now)
		if err != nil {
			got = unreadable
		}
		if got != c.want {
			t.Errorf("%s: %s=%s is %v, %v, want %v", c.kind, c.attribute, c.value, got, err, c.want)
		}
	}
}

func TestTheKindIsRecognised(t *testing.T) {
	t.Parallel()
	for want, root := range map[string]map[string][]string{
		"openldap":   {"structuralobjectclass": {"OpenLDAProotDSE"}, "objectclass": {"top", "OpenLDAProotDSE"}},
		"ad":         {"supportedcapabilities": {"1.2.840.113556.1.4.1670", "1.2.840.113556.1.4.800"}},
		"389ds":      {"vendorname": {"389 Project"}},
		"freeipa":    {"vendorname": {"389 Project"}, "ipatopologypluginversion": {"1.0"}},
		"lldap":      {"vendorname": {"LLDAP"}},
		"apacheds":   {"vendorname": {"Apache Software Foundation"}, "vendorversion": {"2.0.0.AM27"}},
		"edirectory": {"vendorname": {"NetIQ Corporation"}, "vendorversion": {"LDAP Agent for NetIQ eDirectory 9.2"}},
		"glauth":     {"servername": {"unknown"}, "supportedcapabilities": {""}},
		"custom":     {},
	} {
		if got := recogniseKind(&entry{attributes: root}); got != want {
			t.Errorf("%v is %s, want %s", root, got, want)
		}
		if _, ok := kindNamed(want); !ok {
			t.Errorf("%s is no kind", want)
		}
	}
}

func TestOptionsAreCheckedAllAtOnce(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Options{
		URL: []string{
			"ldap://ldap.example.org", "http://ldap.example.org", "ldaps://", "ldaps://host/dc=example", "ldaps://me:secret@host", "::", "ldaps://ok.example.org",
		},
		CAFile: empty, BindDN: "cn=reader,,", UserBaseDN: []string{"people"}, Kind: "openldp",
		Table: map[string][]string{
			"user_filter": {"objectClass=person"}, "group_filter": {"("}, "login_attributes": {"uid)(cn", "ok"}, "id_attribute": {"-"}, "id_format": {"none"},
			"account_rules": {"loginDisabled off"}, "member_attributes": {"none", "member"}, "ignore_references": {"maybe"}, "colour": {"red"},
			"member_of_attribute": {"a", "b"}, "entry_dn_attribute": {"none"},
		},
		Attributes: []string{"*"},
	})
	var problems oidc.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %v", err)
	}
	keys := map[string]int{}
	for _, p := range problems {
		keys[p.Key]++
		if p.Hint == "" {
			t.Errorf("no hint with %s", p)
		}
	}
	for key, want := range map[string]int{
		"directory.url": 6, "directory.ca_file": 1, "directory.bind_dn": 1, "directory.bind_password_file": 1, "directory.base_dn": 1,
		"directory.user_base_dn": 1, "directory.kind": 1, "directory.user_filter": 1, "directory.group_filter": 1,
		"directory.login_attributes": 1, "directory.id_attribute": 1, "directory.attributes": 1, "directory.id_format": 1,
		"directory.account_rules": 1, "directory.member_attributes": 1, "directory.ignore_references": 1, "directory.colour": 1,
		"directory.member_of_attribute": 1, "directory.entry_dn_attribute": 0,
	} {
		if keys[key] != want {
			t.Errorf("%d problems with %s, want %d", keys[key], key, want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password in the URL is repeated: %v", err)
	}
}

func TestPlainConnectionsAreForLoopbackOnly(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]bool{
		"ldap://127.0.0.1": true, "ldap://localhost:3890": true, "ldap://[::1]": true, "ldap://LOCALHOST": true,
		"ldap://10.0.0.1": false, "ldap://ldap.example.org": false, "ldap://127.0.0.1.example.org": false, "ldap://0.0.0.0": false,
	} {
		_, problem := parseURL(url, false)
		if (problem == nil) != want {
			t.Errorf("%s: %v", url, problem)
		}
		if problem != nil && !strings.Contains(problem.Hint, "start_tls") {
			t.Errorf("%s: the hint does not say what to do: %s", url, problem.Hint)
		}
		if _, problem := parseURL(url, true); problem != nil {
			t.Errorf("%s with StartTLS: %v", url, problem)
		}
	}
}

func TestARefusedPasswordRestsBeforeItIsTriedAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	password := "old"
	a := &serviceAccount{dn: "cn=x", read: func() (string, error) { return password, nil }, now: func() time.Time { return now }}
	if got, err := a.current(); err != nil || got != "old" {
		t.Fatalf("got %q, %v", got, err)
	}
	a.refuse("old")
	if _, err := a.current(); err == nil {
		t.Error("the refused password is given out at once")
	}
	password = "new"
	if got, err := a.current(); err != nil || got != "new" {
		t.Errorf("got %q, %v", got, err)
	}
	a.refuse("old") // a late refusal of another connection
	if got, err := a.current(); err != nil || got != "new" {
		t.Errorf("got %q, %v", got, err)
	}
	a.refuse("new")
	now = now.Add(refusedPause)
	if got, err := a.current(); err != nil || got != "new" {
		t.Errorf("after the pause: %q, %v", got, err)
	}
	a.refuse("new")
	password = ""
	if _, err := a.current(); err == nil {
		t.Error("an empty password is given out")
	}
}

func TestAnEntryCutShortIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	k, _ := kindNamed("ad")
	table := &table{Kind: k}
	e := newEntry(&ldap.Entry{DN: "cn=x", Attributes: []*ldap.EntryAttribute{
		{Name: "objectGUID", Values: []string{"0123456789abcdef"}},
		{Name: "memberOf", Values: nil},
		{Name: "memberOf;range=0-1499", Values: []string{"cn=y"}},
	}})
	if _, err := table.user(e, time.Now()); !errors.Is(err, oidc.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
