package ldapstore_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/demodir"
	"gatehouse/ldapstore/ldaptest"
)

// findings are what Examine told.
type findings []ldapstore.Finding

func examine(t testing.TB, o ldapstore.Options) (findings, ldapstore.Facts) {
	t.Helper()
	var all findings
	facts := open(t, o).Examine(t.Context(), func(f ldapstore.Finding) { all = append(all, f) })
	for _, f := range all {
		if f.Level == "" || f.Topic == "" || f.Message == "" || f.Level == ldapstore.LevelProblem && f.Hint == "" {
			t.Errorf("a finding says too little: %+v", f)
		}
		if text := fmt.Sprint(f); strings.Contains(text, "secret") {
			t.Errorf("a finding says too much: %s", text)
		}
	}
	return all, facts
}

func (all findings) String() string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "%s %s: %s\n  hint: %s\n", f.Level, f.Topic, f.Message, f.Hint)
	}
	return b.String()
}

// want looks for a finding that holds both texts.
func (all findings) want(t testing.TB, level ldapstore.Level, topic, message, hint string) ldapstore.Finding {
	t.Helper()
	for _, f := range all {
		if f.Level == level && f.Topic == topic && strings.Contains(f.Message, message) && strings.Contains(f.Hint, hint) {
			return f
		}
	}
	t.Errorf("there is no %s of %s with %q and the hint %q in\n%s", level, topic, message, hint, all)
	return ldapstore.Finding{}
}

// wantOnly makes sure that nothing else is as bad.
func (all findings) wantOnly(t testing.TB, level ldapstore.Level, topics ...string) {
	t.Helper()
	for _, f := range all {
		if f.Level == level && !strings.Contains(" "+strings.Join(topics, " ")+" ", " "+f.Topic+" ") {
			t.Errorf("%s of %s: %s", f.Level, f.Topic, f.Message)
		}
	}
}

func TestNothingIsWrongWithGoodDirectories(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) *ldaptest.Server{
		"openldap": func(t testing.TB) *ldaptest.Server { return ldaptest.Start(t) },
		"389ds":    func(t testing.TB) *ldaptest.Server { return ldaptest.Start389(t, nil, nil) },
		"ad":       func(t testing.TB) *ldaptest.Server { return ldaptest.StartAD(t, nil, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			o := options(s)
			o.URL = []string{s.LDAPSURL}
			all, facts := examine(t, o)
			all.wantOnly(t, ldapstore.LevelProblem)
			all.wantOnly(t, ldapstore.LevelWarning, "tls", "indexes", "latency") // the test's certificates are young, its machine is busy
			for _, topic := range []string{"connect", "tls", "bind", "root DSE", "search", "people", "groups", "account state", "writing", "limits"} {
				all.want(t, ldapstore.LevelOK, topic, "", "")
			}
			all.want(t, ldapstore.LevelOK, "writing", "may not write", "")
			all.want(t, ldapstore.LevelWarning, "tls", "expires in 29 days", "renewed")
			if name == "openldap" {
				all.want(t, ldapstore.LevelOK, "changes", "watch", "")
			} else {
				all.want(t, ldapstore.LevelOK, "clock", "same time", "")
			}
			if facts.Kind != name || name != "389ds" && facts.LockoutAfter != 5 {
				t.Errorf("%+v", facts)
			}
			wantWriterFound(t, s, map[string]string{"openldap": "uid, description, mail", "389ds": "uid", "ad": "more"}[name])
			for _, f := range all {
				if strings.Contains(strings.ToLower(f.Message+f.Hint), "alice") {
					t.Errorf("a finding names a person: %+v", f)
				}
			}
		})
	}
}

func TestTheEmbeddedDirectoryIsExaminedToo(t *testing.T) {
	t.Parallel()
	_, o := office(t, demodir.Options{SizeLimit: 10})
	all, _ := examine(t, o)
	all.wantOnly(t, ldapstore.LevelProblem)
	all.wantOnly(t, ldapstore.LevelWarning, "indexes", "latency")
	all.want(t, ldapstore.LevelOK, "limits", "10 entries; page by page", "")
	all.want(t, ldapstore.LevelNote, "tls", "not encrypted", "")
	all.want(t, ldapstore.LevelNote, "changes", "does not tell", "syncprov")
}

// front ends TLS with a certificate before a server that speaks none.
func front(t testing.TB, pair tls.Certificate, target string) string {
	t.Helper()
	l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = in.Close() }()
				out, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(target, "ldap://"))
				if err != nil {
					return
				}
				go func() {
					_, _ = io.Copy(out, in)
					_ = out.Close()
				}()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return "ldaps://" + l.Addr().String()
}

func TestTheCauseOfATLSFaultIsNamed(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	ca := ldaptest.NewAuthority(t, "Authority of the office")
	here := []net.IP{net.IPv4(127, 0, 0, 1)}
	day := 24 * time.Hour
	leafOnly := func(pair tls.Certificate) tls.Certificate {
		pair.Certificate = pair.Certificate[:1]
		return pair
	}
	cases := map[string]struct {
		pair    tls.Certificate
		caFile  string
		level   ldapstore.Level
		message string
		hint    string
	}{
		"all is well":           {ca.Issue(ldaptest.Certificate{Addresses: here}), ca.File, ldapstore.LevelOK, "TLS 1.3", ""},
		"an unknown authority":  {ca.Issue(ldaptest.Certificate{Addresses: here}), "", ldapstore.LevelProblem, "not trusted, Authority of the office; SHA-256", "compare the fingerprint"},
		"an authority not sent": {leafOnly(ca.Issue(ldaptest.Certificate{Addresses: here})), "", ldapstore.LevelProblem, "does not show the authority's own", "ask the people"},
		"no subjectAltName":     {ca.Issue(ldaptest.Certificate{CommonName: "127.0.0.1"}), ca.File, ldapstore.LevelProblem, "no subjectAltName", "subjectAltName=IP:127.0.0.1"},
		"another host":          {ca.Issue(ldaptest.Certificate{DNSNames: []string{"ldap.example.test"}}), ca.File, ldapstore.LevelProblem, "it is for ldap.example.test, not for 127.0.0.1", "directory.url"},
		"expired": {
			ca.Issue(ldaptest.Certificate{Addresses: here, NotBefore: time.Now().Add(-9 * day), NotAfter: time.Now().Add(-day)}),
			ca.File, ldapstore.LevelProblem, "expired on", "renewed",
		},
		"expires soon": {ca.Issue(ldaptest.Certificate{Addresses: here, NotAfter: time.Now().Add(9*day + time.Hour)}), ca.File, ldapstore.LevelWarning, "expires in 9 days", "renewed"},
		"too new":      {ca.Issue(ldaptest.Certificate{Addresses: here, NotBefore: time.Now().Add(day)}), ca.File, ldapstore.LevelProblem, "not valid before", "clock"},
		"everything at once": {
			ca.Issue(ldaptest.Certificate{CommonName: "x", NotBefore: time.Now().Add(-9 * day), NotAfter: time.Now().Add(-day)}),
			"", ldapstore.LevelProblem, "not trusted", "compare",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(s)
			o.URL, o.CAFile = []string{front(t, c.pair, s.URL)}, c.caFile
			all, _ := examine(t, o)
			f := all.want(t, c.level, "tls", c.message, c.hint)
			if c.level == ldapstore.LevelProblem {
				all.wantOnly(t, ldapstore.LevelProblem, "tls")
				_, err := open(t, o).UserByName(t.Context(), "alice")
				wantUnavailable(t, err)
			}
			switch name {
			case "everything at once":
				all.want(t, ldapstore.LevelProblem, "tls", "expired on", "")
				all.want(t, ldapstore.LevelProblem, "tls", "no subjectAltName", "")
			case "an unknown authority", "an authority not sent":
				// What was shown, once it is trusted, is all that it takes.
				o.CAFile = filepath.Join(t.TempDir(), "ca.pem")
				if err := os.WriteFile(o.CAFile, []byte(f.PEM), 0o600); err != nil {
					t.Fatal(err)
				}
				mustUser(t, open(t, o), "alice")
			}
		})
	}
}

func TestAWrongPortIsNamed(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.URL = []string{strings.Replace(s.URL, "ldap:", "ldaps:", 1)}
	all, _ := examine(t, o)
	all.want(t, ldapstore.LevelProblem, "tls", "speaks LDAP without TLS", "start_tls: true")
	o.URL, o.StartTLS = []string{strings.Replace(s.LDAPSURL, "ldaps:", "ldap:", 1)}, true
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelProblem, "tls", "speaks TLS from the start", "ldaps://")
	o.URL = []string{s.URL}
	all, _ = examine(t, o)
	all.wantOnly(t, ldapstore.LevelProblem)
}

func TestServersThatCannotBeReachedAreTold(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	_, resolver := startNameserver(t)
	closed := listen(t)
	address := closed.Addr().String()
	_ = closed.Close()
	o := options(s)
	o.Resolver, o.Timeout = resolver, time.Second
	o.URL = []string{"ldaps://ldap.gone.test", "ldap://" + address, "ldap://127.0.0.1:" + misbehave(t, manners{}, swallow)[len("127.0.0.1:"):]}
	all, _ := examine(t, o)
	all.want(t, ldapstore.LevelProblem, "resolve", "ldap.gone.test does not exist", "typing mistake")
	all.want(t, ldapstore.LevelProblem, "connect", "refuses the connection", "on which port")
	all.want(t, ldapstore.LevelProblem, "bind", "no answer in time", "log of the directory")

	o.URL = []string{"ldaps+srv://example.test"}
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelProblem, "resolve", "looking up the servers of example.test", "_ldap._tcp.example.test")

	o.URL = []string{"ldapi://%2Fnowhere%2Fldapi"}
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelProblem, "connect", "no socket /nowhere/ldapi", "path")
}

func TestTheAccountsTroubleIsTold(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t)
	o := options(s)
	o.URL = []string{s.URL, s.LDAPSURL}
	wrong := o
	wrong.BindPassword = func() (string, error) { return "wrong", nil }
	all, _ := examine(t, wrong)
	all.want(t, ldapstore.LevelProblem, "bind", "refuses the account's name or password", "bind_password_file")
	all.want(t, ldapstore.LevelNote, "bind", "not tried here", "")
	if n := len(s.Values(s.ServiceDN, "pwdFailureTime")); n != 1 {
		t.Errorf("the wrong password was tried %d times", n)
	}
	none := o
	none.BindDN = "nobody"
	all, _ = examine(t, none)
	all.want(t, ldapstore.LevelProblem, "bind", "for a name", "whole name")
	anonymous := o
	anonymous.BindDN, anonymous.BindPassword = "", nil
	all, _ = examine(t, anonymous)
	all.want(t, ldapstore.LevelNote, "bind", "anonymously", "")
	all.want(t, ldapstore.LevelProblem, "search", "may not see it", "dc=example,dc=org")
}

func TestWhatTheAccountMayNotReadIsTold(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.WithAccess(`access to attrs=pwdAccountLockedTime,mail by * none
access to attrs=member,uniqueMember,memberUid by * none`))
	all, _ := examine(t, options(s))
	all.want(t, ldapstore.LevelProblem, "account state", "may not read pwdAccountLockedTime", "stays signed in")
	all.want(t, ldapstore.LevelNote, "attributes", "mail", "")
	all.want(t, ldapstore.LevelProblem, "groups", "no group has members", "memberUid")

	o := options(ldaptest.Start(t, ldaptest.WithAccess("access to attrs=entryUUID by * none")))
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelProblem, "people", "no entryUUID", "stable id")

	o.Table, o.Kind = map[string][]string{"user_filter": {"(objectClass=device)"}, "group_filter": {"(objectClass=device)"}}, "lldap"
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelProblem, "people", "finds nobody", "inetOrgPerson")
	all.want(t, ldapstore.LevelWarning, "groups", "finds no group", "groupOfNames")
	all.want(t, ldapstore.LevelWarning, "root DSE", "but directory.kind is lldap", "leave directory.kind out")

	o = options(s)
	o.Table = map[string][]string{"login_attributes": {"mail", "o"}}
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelWarning, "people", "none of mail, o", "login_attributes")
	o.Table = map[string][]string{"login_attributes": {"uid", "objectClass"}}
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelWarning, "people", "belong to several people", "not unique")
}

// wantWriterFound examines with the administrator's account, and makes sure that
// nothing was written.
func wantWriterFound(t *testing.T, s *ldaptest.Server, may string) {
	t.Helper()
	state := func() string {
		values := s.Values(s.BaseDN, "contextCSN") // OpenLDAP's
		for _, attribute := range []string{"uid", "mail", "modifyTimestamp", "entryUSN", "uSNChanged"} {
			values = append(values, s.Values(s.PersonDN("alice"), attribute)...)
		}
		return fmt.Sprint(values)
	}
	before := state()
	o := options(s)
	o.URL, o.BindDN, o.BindPassword = []string{s.LDAPSURL}, s.AdminDN, func() (string, error) { return s.AdminPassword, nil }
	all, _ := examine(t, o)
	all.want(t, ldapstore.LevelWarning, "writing", may, "reads and does no more")
	if after := state(); after != before {
		t.Errorf("something was written:\n%s\n%s", before, after)
	}
}

func TestAnAccountThatMayWriteMembersOnlyIsFoundOut(t *testing.T) {
	t.Parallel()
	s := ldaptest.Start(t, ldaptest.WithAccess("access to attrs=member,uniqueMember by * write"))
	all, _ := examine(t, options(s))
	all.want(t, ldapstore.LevelWarning, "writing", "member", "")
}

func TestMissingIndexesAreTold(t *testing.T) {
	t.Parallel()
	// The server's own configuration, where it may be read, says it outright.
	readable := "database config\naccess to * by dn.exact=\"uid=reader,ou=services," + ldaptest.BaseDN + "\" read"
	o := options(ldaptest.Start(t, ldaptest.WithGlobal(readable)))
	o.Table = map[string][]string{"login_attributes": {"uid", "displayName"}}
	o.Attributes = []string{"displayName"}
	all, _ := examine(t, o)
	all.wantOnly(t, ldapstore.LevelProblem)
	o.Table = map[string][]string{"login_attributes": {"uid", "cn"}}
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelWarning, "indexes", "no equality index for cn", "add equality indexes")
}

func TestALookUpThatTakesLongIsTold(t *testing.T) {
	t.Parallel()
	s, o := office(t, demodir.Options{})
	s.Faults.Set(demodir.Search, demodir.Fault{
		Trouble: demodir.Delay, Wait: 40 * time.Millisecond,
		When: func(op demodir.Operation) bool { return strings.Contains(op.Filter, "(mail=") },
	})
	o.Table = map[string][]string{"login_attributes": {"uid", "mail"}}
	all, _ := examine(t, o)
	all.want(t, ldapstore.LevelWarning, "indexes", "mail (", "overlays")
	s.Faults.Set(demodir.Search, demodir.Fault{Trouble: demodir.Delay, Wait: 60 * time.Millisecond})
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelWarning, "latency", "the simplest question takes 6", "replica")
}

func TestDynamicGroupsAreWarnedAbout(t *testing.T) {
	t.Parallel()
	group := func(s *ldaptest.Server) {
		s.Add("cn=dynamic,ou=groups,"+s.BaseDN, map[string][]string{
			"objectClass": {"groupOfURLs"}, "cn": {"dynamic"}, "memberURL": {"ldap:///ou=people," + s.BaseDN + "??sub?(objectClass=inetOrgPerson)"},
		})
	}
	s := ldaptest.Start(t)
	group(s)
	all, _ := examine(t, options(s))
	all.want(t, ldapstore.LevelWarning, "dynlist", "does not say who is in them", "overlay dynlist")
	s = ldaptest.Start(t, ldaptest.WithGlobal("moduleload dynlist"), ldaptest.WithDatabase("overlay dynlist\ndynlist-attrset groupOfURLs memberURL member"))
	group(s)
	all, _ = examine(t, options(s))
	all.want(t, ldapstore.LevelWarning, "dynlist", "1 dynamic groups", "keep them few")
}

func TestClocksAreCompared(t *testing.T) {
	t.Parallel()
	o := options(ldaptest.Start(t, ldaptest.WithGlobal("moduleload back_monitor\ndatabase monitor\naccess to * by * read")))
	all, _ := examine(t, o)
	all.want(t, ldapstore.LevelOK, "clock", "same time", "")
	o.Now = func() time.Time { return time.Now().Add(time.Minute) }
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelWarning, "clock", "behind ours", "NTP")
	o.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelProblem, "clock", "ahead of ours", "NTP")

	o = options(ldaptest.Start(t))
	o.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	all, _ = examine(t, o)
	all.want(t, ldapstore.LevelWarning, "clock", "in the future", "NTP")
}

func TestReplicasThatLagAreTold(t *testing.T) {
	t.Parallel()
	behind := ldaptest.Start(t)
	ahead := ldaptest.Start(t)
	ahead.SetPassword(ahead.ServiceDN, behind.ServicePassword)
	state := func(s *ldaptest.Server) string { return fmt.Sprint(s.Values(s.BaseDN, "contextCSN")) }
	eventually(t, "one server is two seconds ahead of the other", func() bool {
		ahead.Modify(ldaptest.PersonDN("alice"), "title", time.Now().String())
		at := func(s *ldaptest.Server) time.Time {
			at, err := time.Parse("20060102150405.000000Z", strings.Trim(state(s), "[]")[:22])
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		return at(ahead).Sub(at(behind)) > 2*time.Second
	})
	o := options(behind)
	o.URL = []string{behind.URL, ahead.URL}
	all, _ := examine(t, o)
	if f := all.want(t, ldapstore.LevelWarning, "replication", "older than those of "+ahead.URL, "replication"); f.Server != behind.URL {
		t.Errorf("the one behind is %s", f.Server)
	}
}

func TestLimitsAreFound(t *testing.T) {
	t.Parallel()
	var people []ldaptest.Person
	for i := range 600 {
		people = append(people, ldaptest.Person{UID: fmt.Sprintf("person%04d", i), GivenName: "A", Surname: "B"})
	}
	ldif := ldaptest.WithLDIF(ldaptest.LDIF(people, nil))
	all, _ := examine(t, options(ldaptest.Start(t, ldif)))
	all.want(t, ldapstore.LevelOK, "limits", "500 entries; page by page", "")
	all, _ = examine(t, options(ldaptest.Start(t, ldif, ldaptest.WithGlobal("sizelimit size.soft=500 size.hard=500 size.prtotal=500"))))
	all.want(t, ldapstore.LevelWarning, "limits", "paging does not go beyond", "size.prtotal")
}
