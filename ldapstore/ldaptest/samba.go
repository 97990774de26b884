package ldaptest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"
)

// pythonAD is the distribution's own: another one has no module samba.
const pythonAD = "/usr/bin/python3"

const packagesAD = "samba-ad-dc, samba-ad-provision and samba-dsdb-modules"

// Domain is the name that people of Active Directory may write before their own,
// as in EXAMPLE\alice.
const Domain = "EXAMPLE"

// provision sets a domain up, without what takes half of the time and is nothing
// to a reader of LDAP: rights in the file system, texts for Windows' own tools, and
// a last check of the whole schema.
const provision = `
import sys, ldb, samba.provision as p
p.setsysvolacl = lambda *a, **k: None
p.read_ms_ldif = lambda path: "dn: CN=DisplaySpecifiers,${CONFIGDN}\nobjectClass: container\n\n"
class Check(p.dbcheck):
    def check_database(self, DN=None, scope=ldb.SCOPE_SUBTREE, **k):
        return 0 if scope == ldb.SCOPE_SUBTREE else super().check_database(DN=DN, scope=scope, **k)
p.dbcheck = Check
from samba.netcmd.main import cmd_sambatool
sys.exit(cmd_sambatool()._run("samba-tool", *sys.argv[1:]))
`

// StartAD starts a Samba domain controller of its own for a test, filled with the
// people and groups given; nil stands for People and Groups. It ends with the
// test. Active Directory has no choice of ports, so it listens on a loopback
// address that nobody else uses. The first one of a process takes some seconds.
func StartAD(t testing.TB, people []Person, groups []Group) *Server {
	t.Helper()
	program := need(t, "samba", packagesAD)
	if !executable(pythonAD) {
		missing(t, pythonAD, packagesAD)
	}
	if people == nil && groups == nil {
		people, groups = People(), Groups()
	}
	s := &Server{
		t: t, dir: t.TempDir(), Kind: kindAD, BaseDN: BaseDN, program: program, people: people,
		AdminDN: "cn=Administrator,cn=Users," + BaseDN, AdminPassword: "Aa1 " + rand.Text(),
		ServiceDN: "cn=reader,ou=services," + BaseDN, ServicePassword: rand.Text(),
	}
	s.CAFile = filepath.Join(s.dir, "ca.pem")
	s.command = s.commandAD
	err := s.provision()
	if err == nil {
		err = s.begin(s.chooseAddress)
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		missing(t, "the right to listen on port 389", "(none: run as root, or with the capability CAP_NET_BIND_SERVICE)")
	case err != nil:
		t.Fatalf("starting Samba: %v", err)
	}
	s.admin("filling Active Directory", func(c *ldap.Conn) error { return s.fillAD(c, people, groups) })
	return s
}

// provisioned is a domain as it is set up, for all tests of a process: it takes
// seconds of work, and is the same every time. It is kept in memory, so that
// nothing is left behind.
var provisioned struct {
	once     sync.Once
	dir      string // where it was set up
	password string
	files    map[string][]byte // by path below dir
	err      error
}

// provision writes the files of a fresh domain.
func (s *Server) provision() error {
	p := &provisioned
	p.once.Do(func() {
		p.dir, p.password = s.dir, s.AdminPassword
		if p.err = s.provisionFirst(); p.err == nil {
			p.files, p.err = readFiles(s.dir)
		}
	})
	if p.err != nil || p.dir == s.dir {
		return p.err
	}
	s.AdminPassword = p.password
	for path, content := range p.files {
		if filepath.Base(path) == "smb.conf" { // the one file that says where it is
			content = bytes.ReplaceAll(content, []byte(p.dir), []byte(s.dir))
		}
		path = filepath.Join(s.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return os.MkdirAll(filepath.Join(s.dir, "run"), 0o700)
}

func readFiles(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil {
			files[name], err = os.ReadFile(path)
		}
		return err
	})
	return files, err
}

func (s *Server) provisionFirst() error {
	file := filepath.Join(s.dir, "empty.conf")
	if err := os.WriteFile(file, []byte("[global]\n"), 0o600); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(s.dir, "run"), 0o700); err != nil {
		return err
	}
	return s.tool(pythonAD, "-c", provision, "domain", "provision", "-s", file, "--targetdir="+s.dir, "--server-role=dc",
		"--realm=EXAMPLE.ORG", "--domain="+Domain, "--adminpass="+s.AdminPassword, "--host-name=dc1", "--host-ip=127.0.0.1",
		"--dns-backend=NONE", "--option=posix:eadb="+filepath.Join(s.dir, "eadb.tdb"))
}

// chooseAddress finds an address on which both ports are free, and makes a
// certificate for it.
func (s *Server) chooseAddress() error {
	b := make([]byte, 3)
	_, _ = rand.Read(b) // never fails
	ip := net.IPv4(127, 1+b[0]%254, b[1], 1+b[2]%254)
	for _, port := range []string{"389", "636"} {
		l, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", net.JoinHostPort(ip.String(), port))
		if err != nil {
			return err
		}
		defer func() { _ = l.Close() }()
	}
	s.URL, s.LDAPSURL = "ldap://"+ip.String()+":389", "ldaps://"+ip.String()+":636"
	return certificates(s.dir, ip)
}

func (s *Server) commandAD() []string {
	host, _, _ := strings.Cut(strings.TrimPrefix(s.URL, "ldap://"), ":")
	args := []string{"-i", "-M", "single", "--debug-stdout", "-s", filepath.Join(s.dir, "etc", "smb.conf")}
	for _, option := range []string{
		"server services=ldap", "dcerpc endpoint servers=-", "interfaces=" + host + "/8", "bind interfaces only=yes",
		"pid directory=" + s.dir + "/run", "ncalrpc dir=" + s.dir + "/run/nc", "ldap server require strong auth=no",
		"tls certfile=" + s.dir + "/server.pem", "tls keyfile=" + s.dir + "/server.key", "tls cafile=" + s.CAFile,
	} {
		args = append(args, "--option="+option)
	}
	return args
}

// fillAD makes people and groups, over LDAP as an administrator's tool would.
func (s *Server) fillAD(c *ldap.Conn, people []Person, groups []Group) error {
	domain := ldap.NewModifyRequest(s.BaseDN, nil)
	domain.Replace("pwdProperties", []string{"0"}) // no rules for good passwords
	domain.Replace("minPwdLength", []string{"0"})
	domain.Replace("minPwdAge", []string{"0"})
	domain.Replace("lockoutThreshold", []string{"5"})
	if err := c.Modify(domain); err != nil {
		return fmt.Errorf("changing the policy: %w", err)
	}
	for _, name := range []string{"people", "groups", "services"} {
		if err := add(c, "ou="+name+","+s.BaseDN, "objectClass", "organizationalUnit", "ou", name); err != nil {
			return err
		}
	}
	if err := add(c, s.ServiceDN, "objectClass", "user", "sAMAccountName", "reader", "unicodePwd", unicodePassword(s.ServicePassword),
		"userAccountControl", "66048"); err != nil {
		return err
	}
	for _, p := range people {
		if err := s.addPersonAD(c, p); err != nil {
			return err
		}
	}
	if err := s.addGroupsAD(c, groups); err != nil {
		return err
	}
	return s.expireAD(c, people)
}

// add adds an entry; pairs are attribute and value in turn.
func add(c *ldap.Conn, dn string, pairs ...string) error {
	values := map[string][]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		values[pairs[i]] = append(values[pairs[i]], pairs[i+1])
	}
	r := ldap.NewAddRequest(dn, nil)
	for name, v := range values {
		r.Attribute(name, v)
	}
	if err := c.Add(r); err != nil {
		return fmt.Errorf("adding %s: %w", dn, err)
	}
	return nil
}

func (s *Server) addPersonAD(c *ldap.Conn, p Person) error {
	pairs := []string{
		"objectClass", "user", "sAMAccountName", p.UID, "userPrincipalName", p.UID + "@example.org", "sn", p.Surname, "givenName", p.GivenName,
		"displayName", p.GivenName + " " + p.Surname,
	}
	if !p.NoPassword {
		pairs = append(pairs, "unicodePwd", unicodePassword(Password(p.UID)))
	}
	switch p.Account {
	case Disabled:
		pairs = append(pairs, "userAccountControl", "514")
	case AccountExpired:
		pairs = append(pairs, "userAccountControl", "512", "accountExpires", "133000000000000000")
	case MustChange:
		pairs = append(pairs, "userAccountControl", "512", "pwdLastSet", "0")
	case Active:
		control := "512"
		if p.NoPassword {
			control = "544" // none is needed
		}
		pairs = append(pairs, "userAccountControl", control)
	default:
		pairs = append(pairs, "userAccountControl", "512")
	}
	if len(p.More["mail"]) == 0 && isASCII(p.UID) {
		pairs = append(pairs, "mail", p.UID+"@example.org")
	}
	for name, values := range p.More {
		if name == "cn" || name == "objectClass" || strings.HasPrefix(name, "pwd") {
			continue // said by the RDN, or OpenLDAP's own
		}
		for _, v := range values {
			pairs = append(pairs, name, v)
		}
	}
	return add(c, p.dn(kindAD), pairs...)
}

// addGroupsAD makes all groups first: they name each other as members.
func (s *Server) addGroupsAD(c *ldap.Conn, groups []Group) error {
	for _, g := range groups {
		name := strings.TrimPrefix(strings.ReplaceAll(g.RDN, `\2C`, ""), "cn=")
		pairs := []string{"objectClass", "group", "sAMAccountName", name, "groupType", "-2147483646"}
		if g.Description != "" {
			pairs = append(pairs, "description", g.Description)
		}
		if err := add(c, g.DN(), pairs...); err != nil {
			return err
		}
	}
	for _, g := range groups {
		r := ldap.NewModifyRequest(g.DN(), nil)
		members := make([]string, len(g.Members))
		for i, m := range g.Members {
			members[i] = s.memberAD(m)
		}
		if len(members) > 0 {
			r.Add("member", members)
			if err := c.Modify(r); err != nil {
				return fmt.Errorf("filling %s: %w", g.DN(), err)
			}
		}
		for _, p := range s.people {
			if p.GID != "" && p.GID == g.GID {
				if err := s.setPrimaryGroup(c, p, g); err != nil {
					return fmt.Errorf("making %s the primary group: %w", g.DN(), err)
				}
			}
		}
	}
	return nil
}

// memberAD translates the name of a member: bare uids, and DNs that begin with one.
func (s *Server) memberAD(member string) string {
	uid, _, found := strings.Cut(strings.TrimPrefix(member, "uid="), ",ou=people,")
	if !strings.Contains(member, "=") || found && strings.HasPrefix(member, "uid=") {
		return s.PersonDN(uid)
	}
	return member
}

// setPrimaryGroup makes a group somebody's primary one, who has to be a member
// first; the server takes the membership away again.
func (s *Server) setPrimaryGroup(c *ldap.Conn, p Person, g Group) error {
	join := ldap.NewModifyRequest(g.DN(), nil)
	join.Add("member", []string{p.dn(kindAD)})
	if err := c.Modify(join); err != nil {
		return err
	}
	found, err := c.Search(ldap.NewSearchRequest(g.DN(), ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"primaryGroupToken"}, nil))
	if err != nil {
		return err
	}
	choose := ldap.NewModifyRequest(p.dn(kindAD), nil)
	choose.Replace("primaryGroupID", []string{found.Entries[0].GetAttributeValue("primaryGroupToken")})
	return c.Modify(choose)
}

// expireAD makes passwords too old that are to be. Nobody may backdate one over
// LDAP, so the database is changed beneath the server, by a control that Samba's
// own tests use; and a policy of its own needs an age above one day.
func (s *Server) expireAD(c *ldap.Conn, people []Person) error {
	ticks := func(seconds int64) string { return strconv.FormatInt(-seconds*10_000_000, 10) }
	policy := []string{
		"objectClass", "msDS-PasswordSettings", "msDS-PasswordSettingsPrecedence", "1", "msDS-PasswordReversibleEncryptionEnabled", "FALSE",
		"msDS-PasswordHistoryLength", "0", "msDS-PasswordComplexityEnabled", "FALSE", "msDS-MinimumPasswordLength", "0",
		"msDS-MinimumPasswordAge", "0", "msDS-MaximumPasswordAge", ticks(42 * 86400), "msDS-LockoutThreshold", "0",
		"msDS-LockoutObservationWindow", ticks(1800), "msDS-LockoutDuration", ticks(1800),
	}
	args := []string{"-c", backdate, filepath.Join(s.dir, "etc", "smb.conf"), filepath.Join(s.dir, "private", "sam.ldb")}
	known := len(args)
	for _, p := range people {
		if p.Account == PasswordExpired {
			policy = append(policy, "msDS-PSOAppliesTo", p.dn(kindAD))
			args = append(args, p.dn(kindAD))
		}
	}
	if len(args) == known {
		return nil
	}
	if err := add(c, "cn=expiring,cn=Password Settings Container,cn=System,"+s.BaseDN, policy...); err != nil {
		return err
	}
	return s.tool(pythonAD, args...)
}

const backdate = `
import sys
from samba.auth import system_session
from samba.param import LoadParm
from samba.samdb import SamDB
lp = LoadParm()
lp.load(sys.argv[1])
db = SamDB(url=sys.argv[2], session_info=system_session(), lp=lp)
for dn in sys.argv[3:]:
    db.modify_ldif("dn: %s\nchangetype: modify\nreplace: pwdLastSet\npwdLastSet: 133000000000000000\n" % dn,
                   controls=["local_oid:1.3.6.1.4.1.7165.4.3.12:0"])
`

// unicodePassword is the form in which Active Directory takes a password
// (MS-ADTS, section 3.1.1.3.1.5).
func unicodePassword(password string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		b.WriteByte(byte(unit))
		b.WriteByte(byte(unit >> 8))
	}
	return b.String()
}
