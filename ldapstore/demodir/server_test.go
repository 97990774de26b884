package demodir_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"gatehouse/ldapstore/demodir"
)

const (
	base   = "dc=lindenhof,dc=example"
	people = "ou=people," + base
	groups = "ou=groups," + base
)

func start(t *testing.T, opts demodir.Options) *demodir.Server {
	t.Helper()
	s, err := demodir.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, s *demodir.Server) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c.SetTimeout(20 * time.Second)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// reader returns a connection of the service account.
func reader(t *testing.T, s *demodir.Server) *ldap.Conn {
	t.Helper()
	c := dial(t, s)
	if err := c.Bind(s.ServiceDN, s.ServicePassword); err != nil {
		t.Fatal(err)
	}
	return c
}

func search(base string, scope int, filter string, attributes ...string) *ldap.SearchRequest {
	return ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
}

// code returns the result code that an error of go-ldap stands for.
func code(t *testing.T, err error) uint16 {
	t.Helper()
	if err == nil {
		return 0
	}
	var e *ldap.Error
	if !errors.As(err, &e) {
		t.Fatalf("not an answer of LDAP: %v", err)
	}
	return e.ResultCode
}

// names returns the naming values of entries, sorted.
func names(r *ldap.SearchResult) string {
	if r == nil {
		return ""
	}
	var list []string
	for _, e := range r.Entries {
		rdn, _, _ := strings.Cut(e.DN, ",")
		_, value, _ := strings.Cut(rdn, "=")
		list = append(list, value)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestTheRootDSEIsReadWithoutABind(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, demodir.Options{}))
	r, err := c.Search(search("", ldap.ScopeBaseObject, "(objectClass=*)", "*", "+"))
	if err != nil || len(r.Entries) != 1 {
		t.Fatal(r, err)
	}
	e := r.Entries[0]
	for name, want := range map[string]string{
		"objectClass": "top OpenLDAProotDSE", "namingContexts": base, "supportedLDAPVersion": "3",
		"vendorName": "Gatehouse demonstration directory", "structuralObjectClass": "OpenLDAProotDSE",
	} {
		if got := strings.Join(e.GetAttributeValues(name), " "); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	for _, oid := range []string{"1.2.840.113556.1.4.319", "1.3.6.1.4.1.42.2.27.8.5.1"} {
		if !slices.Contains(e.GetAttributeValues("supportedControl"), oid) {
			t.Errorf("the control %s is not announced", oid)
		}
	}
	if r, _ = c.Search(search("", ldap.ScopeBaseObject, "(objectClass=*)")); len(r.Entries[0].Attributes) != 1 {
		t.Errorf("user attributes are %v, not objectClass alone", r.Entries[0].Attributes)
	}
	if r, _ = c.Search(search("", ldap.ScopeBaseObject, "(objectClass=person)")); len(r.Entries) != 0 {
		t.Error("a filter that is false for the root DSE lets it through")
	}
}

func TestNothingElseIsReadWithoutABind(t *testing.T) {
	t.Parallel()
	c := dial(t, start(t, demodir.Options{}))
	for _, r := range []*ldap.SearchRequest{
		search(base, ldap.ScopeWholeSubtree, "(uid=amelie)"), search("", ldap.ScopeWholeSubtree, "(uid=amelie)"), search(base, ldap.ScopeBaseObject, "(objectClass=*)"),
	} {
		if _, err := c.Search(r); code(t, err) != ldap.LDAPResultUnwillingToPerform {
			t.Errorf("%q answered %v", r.BaseDN, err)
		}
	}
	if _, err := c.Compare("uid=amelie,"+people, "sn", "Rousseau"); code(t, err) != ldap.LDAPResultUnwillingToPerform {
		t.Errorf("compare answered %v", err)
	}
}

func TestEachAccountOfTheOfficeBindsAsItsStateSays(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	c := reader(t, s)
	for _, a := range demodir.Accounts() {
		r, err := c.Search(search(people, ldap.ScopeSingleLevel, "(uid="+a.Username+")", "displayName"))
		if err != nil || len(r.Entries) != 1 {
			t.Fatalf("%s is not one entry: %v %v", a.Username, r, err)
		}
		if got := r.Entries[0].GetAttributeValue("displayName"); !strings.HasPrefix(got, a.Name) {
			t.Errorf("%s is %q in the directory and %q in the list", a.Username, got, a.Name)
		}
		want, policy := uint16(0), int8(-1)
		switch a.Username {
		case "bjorn":
			want, policy = ldap.LDAPResultInvalidCredentials, 1
		case "elena":
			want, policy = ldap.LDAPResultInvalidCredentials, 0
		case "pieter":
			policy = 2
		}
		b, err := dial(t, s).SimpleBind(ldap.NewSimpleBindRequest(r.Entries[0].DN, a.Password, []ldap.Control{ldap.NewControlBeheraPasswordPolicy()}))
		if code(t, err) != want || policyError(t, b) != policy {
			t.Errorf("%s: result %d (%v), policy error %d; want %d and %d", a.Username, code(t, err), err, policyError(t, b), want, policy)
		}
		b, err = dial(t, s).SimpleBind(ldap.NewSimpleBindRequest(r.Entries[0].DN, a.Password, nil))
		if code(t, err) != want || len(b.Controls) != 0 {
			t.Errorf("%s without asking for the policy: %v, controls %v", a.Username, err, b.Controls)
		}
		if err := dial(t, s).Bind(r.Entries[0].DN, a.Password+"x"); code(t, err) != ldap.LDAPResultInvalidCredentials {
			t.Errorf("%s with a wrong password: %v", a.Username, err)
		}
	}
}

func policyError(t *testing.T, b *ldap.SimpleBindResult) int8 {
	t.Helper()
	c, ok := ldap.FindControl(b.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	if !ok {
		t.Error("the policy was asked for and does not answer")
		return -2
	}
	return c.Error
}

func TestBadBindsAreRefusedAndLeaveNobodyBound(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	for _, bad := range []struct {
		name, dn, password string
		want               uint16
	}{
		{"an entry that is not there", "uid=nobody," + people, "x", ldap.LDAPResultInvalidCredentials},
		{"an entry without a password", people, "x", ldap.LDAPResultInvalidCredentials},
		{"a name that is no DN", "amelie", "morning-train", ldap.LDAPResultInvalidDNSyntax},
		{"a password that differs in case", "uid=amelie," + people, "Morning-Train", ldap.LDAPResultInvalidCredentials},
		{"the stored form of the password", "uid=amelie," + people, "{SSHA}", ldap.LDAPResultInvalidCredentials},
	} {
		c := reader(t, s)
		if err := c.Bind(bad.dn, bad.password); code(t, err) != bad.want {
			t.Errorf("%s: %v", bad.name, err)
		}
		if _, err := c.Search(search(base, ldap.ScopeBaseObject, "(objectClass=*)")); code(t, err) != ldap.LDAPResultUnwillingToPerform {
			t.Errorf("%s: who was bound before still is: %v", bad.name, err)
		}
	}
	c := dial(t, s)
	if err := c.UnauthenticatedBind("uid=amelie," + people); code(t, err) != ldap.LDAPResultUnwillingToPerform {
		t.Errorf("a bind without a password: %v", err)
	}
	if err := c.UnauthenticatedBind(""); err != nil {
		t.Errorf("an anonymous bind: %v", err)
	}
	if err := c.ExternalBind(); code(t, err) != ldap.LDAPResultAuthMethodNotSupported {
		t.Errorf("a SASL bind: %v", err)
	}
	if err := c.Bind("UID=Amelie , OU=People,"+base, "morning-train"); err != nil {
		t.Errorf("another spelling of the name: %v", err)
	}
}

func TestAPersonSeesTheirOwnEntryOnly(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	c := dial(t, s)
	if err := c.Bind("uid=siobhan,"+people, "harbour-light"); err != nil {
		t.Fatal(err)
	}
	r, err := c.Search(search("uid=siobhan,"+people, ldap.ScopeBaseObject, "(objectClass=*)", "cn"))
	if err != nil || len(r.Entries) != 1 || r.Entries[0].GetAttributeValue("cn") != "Siobhán O'Neill" {
		t.Error(r, err)
	}
	for _, dn := range []string{base, people, "uid=fatma," + people, "uid=nobody," + people} {
		_, err := c.Search(search(dn, ldap.ScopeWholeSubtree, "(objectClass=*)"))
		var e *ldap.Error
		if !errors.As(err, &e) || e.ResultCode != ldap.LDAPResultNoSuchObject || e.MatchedDN != "" {
			t.Errorf("%s: %v", dn, err)
		}
	}
	c = dial(t, s)
	if err := c.Bind("uid=pieter,"+people, "second-key"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Search(search("uid=pieter,"+people, ldap.ScopeBaseObject, "(objectClass=*)")); code(t, err) != ldap.LDAPResultInsufficientAccessRights {
		t.Errorf("who has to change the password first may search: %v", err)
	}
}

func TestPasswordsAreNeverToldInAnyWay(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	c := reader(t, s)
	r, err := c.Search(search(base, ldap.ScopeWholeSubtree, "(objectClass=*)", "*", "+", "userPassword", "2.5.4.35"))
	if err != nil || len(r.Entries) < 20 {
		t.Fatal(r, err)
	}
	for _, e := range r.Entries {
		for _, a := range e.Attributes {
			if strings.EqualFold(a.Name, "userPassword") || strings.Contains(strings.Join(a.Values, " "), "SSHA") {
				t.Errorf("%s shows %s", e.DN, a.Name)
			}
		}
	}
	for _, filter := range []string{"(userPassword=*)", "(!(userPassword=*))", "(userPassword>=a)", "(userPassword=*SSHA*)", "(:caseExactMatch:={SSHA})"} {
		if r, err := c.Search(search(base, ldap.ScopeWholeSubtree, filter)); err != nil || len(r.Entries) != 0 {
			t.Errorf("%s finds %s, %v", filter, names(r), err)
		}
	}
	if _, err := c.Compare("uid=amelie,"+people, "userPassword", "x"); code(t, err) != ldap.LDAPResultInsufficientAccessRights {
		t.Errorf("compare: %v", err)
	}
}

func TestScopesReachAsFarAsTheySay(t *testing.T) {
	t.Parallel()
	c := reader(t, start(t, demodir.Options{}))
	for scope, want := range map[int]string{
		ldap.ScopeBaseObject: "lindenhof", ldap.ScopeSingleLevel: "groups people policies services",
		ldap.ScopeWholeSubtree: "groups lindenhof people policies services", ldap.ScopeChildren: "groups people policies services",
	} {
		r, err := c.Search(search(base, scope, "(|(ou=*)(dc=*))", "1.1"))
		if err != nil || names(r) != want {
			t.Errorf("scope %d: %q, %v; want %q", scope, names(r), err, want)
		}
	}
	_, err := c.Search(search("uid=x,uid=nobody,"+people, ldap.ScopeWholeSubtree, "(objectClass=*)"))
	var e *ldap.Error
	if !errors.As(err, &e) || e.ResultCode != ldap.LDAPResultNoSuchObject || e.MatchedDN != people {
		t.Errorf("a base that is not there: %v", err)
	}
}

func TestOnlyTheAttributesAskedForAreSent(t *testing.T) {
	t.Parallel()
	c := reader(t, start(t, demodir.Options{}))
	user := "cn displayName employeeNumber givenName l mail manager objectClass postalCode preferredLanguage sn st street telephoneNumber title uid"
	operational := "createTimestamp entryCSN entryDN entryUUID hasSubordinates memberOf modifyTimestamp structuralObjectClass"
	for asked, want := range map[string]string{
		"": user, "*": user, "+": operational, "1.1": "", "1.1 cn": "cn", "CN memberof": "cn memberOf", "2.5.4.4 surname": "sn", "* entryUUID": user + " entryUUID",
		"nosuchthing": "", "name": "cn givenName l sn st title", "cn;lang-de": "", "* +": user + " " + operational,
	} {
		r, err := c.Search(search("uid=giulia,"+people, ldap.ScopeBaseObject, "(objectClass=*)", strings.Fields(asked)...))
		if err != nil || len(r.Entries) != 1 {
			t.Fatal(r, err)
		}
		var got []string
		for _, a := range r.Entries[0].Attributes {
			got = append(got, a.Name)
			if len(a.Values) == 0 {
				t.Errorf("%q: %s has no value", asked, a.Name)
			}
		}
		sorted := strings.Fields(want)
		slices.Sort(got)
		slices.Sort(sorted)
		if !slices.Equal(got, sorted) {
			t.Errorf("%q gets %v, not %v", asked, got, sorted)
		}
	}
	typesOnly := search("uid=giulia,"+people, ldap.ScopeBaseObject, "(objectClass=*)", "cn")
	typesOnly.TypesOnly = true
	if r, err := c.Search(typesOnly); err != nil || len(r.Entries[0].Attributes) != 1 || len(r.Entries[0].Attributes[0].Values) != 0 {
		t.Error("typesOnly:", r, err)
	}
}

func TestLimitsAndPages(t *testing.T) {
	t.Parallel()
	c := reader(t, start(t, demodir.Options{SizeLimit: 20}))
	limited := search(people, ldap.ScopeSingleLevel, "(uid=*)", "uid")
	limited.SizeLimit = 3
	r, err := c.Search(limited)
	if code(t, err) != ldap.LDAPResultSizeLimitExceeded || len(r.Entries) != 3 {
		t.Errorf("a limit of 3 gives %d entries and %v", len(r.Entries), err)
	}
	limited.SizeLimit = 13
	if r, err = c.Search(limited); err != nil || len(r.Entries) != 13 {
		t.Errorf("a limit that is just enough gives %d entries and %v", len(r.Entries), err)
	}
	all := search(base, ldap.ScopeWholeSubtree, "(objectClass=*)", "1.1")
	if r, err = c.Search(all); code(t, err) != ldap.LDAPResultSizeLimitExceeded || len(r.Entries) != 20 {
		t.Errorf("the server's limit of 20 gives %d entries and %v", len(r.Entries), err)
	}
	for _, size := range []uint32{1, 5, 28, 1000} {
		r, err = c.SearchWithPaging(search(base, ldap.ScopeWholeSubtree, "(objectClass=*)", "1.1"), size)
		seen := map[string]bool{}
		for _, e := range r.Entries {
			seen[e.DN] = true
		}
		if err != nil || len(r.Entries) != 28 || len(seen) != 28 {
			t.Errorf("pages of %d give %d entries, %d of them different, and %v", size, len(r.Entries), len(seen), err)
		}
	}
	bad := ldap.NewControlPaging(5)
	bad.Cookie = []byte("nonsense")
	if _, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, 0, 0, 0, false, "(objectClass=*)", nil, []ldap.Control{bad})); code(t, err) != ldap.LDAPResultProtocolError {
		t.Errorf("a cookie of nonsense: %v", err)
	}
	unknown := ldap.NewControlString("1.2.3.4", true, "")
	if _, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, 0, 0, 0, false, "(objectClass=*)", nil, []ldap.Control{unknown})); code(t, err) != ldap.LDAPResultUnavailableCriticalExtension {
		t.Errorf("a critical control that nobody knows: %v", err)
	}
}

func TestOtherOperations(t *testing.T) {
	t.Parallel()
	s := start(t, demodir.Options{})
	c := reader(t, s)
	who, err := c.WhoAmI(nil)
	if err != nil || who.AuthzID != "dn:"+s.ServiceDN {
		t.Error(who, err)
	}
	if who, err = dial(t, s).WhoAmI(nil); err != nil || who.AuthzID != "" {
		t.Error(who, err)
	}
	if _, err := c.Extended(ldap.NewExtendedRequest("1.2.3.4", nil)); code(t, err) != ldap.LDAPResultProtocolError {
		t.Errorf("an unknown extended operation: %v", err)
	}
	dn := "uid=giulia," + people
	if same, err := c.Compare(dn, "sn", "CONTI"); err != nil || !same {
		t.Error(same, err)
	}
	if same, err := c.Compare(dn, "sn", "Conti2"); err != nil || same {
		t.Error(same, err)
	}
	for name, want := range map[string]uint16{"mobile": ldap.LDAPResultNoSuchAttribute, "nosuchthing": ldap.LDAPResultUndefinedAttributeType} {
		if _, err := c.Compare(dn, name, "x"); code(t, err) != want {
			t.Errorf("comparing %s: %v", name, err)
		}
	}
	modify := ldap.NewModifyRequest(dn, nil)
	modify.Replace("sn", []string{"X"})
	for what, err := range map[string]error{
		"modify": c.Modify(modify), "delete": c.Del(ldap.NewDelRequest(dn, nil)),
		"add": c.Add(ldap.NewAddRequest("uid=new,"+people, nil)), "rename": c.ModifyDN(ldap.NewModifyDNRequest(dn, "uid=x", true, "")),
	} {
		if code(t, err) != ldap.LDAPResultUnwillingToPerform {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.Unbind(); err != nil {
		t.Error(err)
	}
}
