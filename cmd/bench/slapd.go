//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"crypto/sha1" // {SSHA} is what slapd hashes passwords with unless told otherwise
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	base      = "dc=example,dc=org"
	serviceDN = "cn=gatehouse,ou=services," + base
	servicePW = "service-password"
)

// directory is a running slapd.
type directory struct {
	*process
	url string
}

// startDirectory runs slapd on loopback with n people in it.
func startDirectory(ctx context.Context, dir string, n int) (*directory, error) {
	if err := os.MkdirAll(filepath.Join(dir, "db"), 0o700); err != nil {
		return nil, err
	}
	conf, seed := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "seed.ldif")
	if err := os.WriteFile(conf, []byte(slapdConf(dir)), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(seed, []byte(people(n)), 0o600); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, systemProgram("slapadd"), "-q", "-f", conf, "-l", seed).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("slapadd: %w: %s", err, out)
	}
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	d := &directory{url: "ldap://" + address}
	if d.process, err = startProcess(filepath.Join(dir, "log"), systemProgram("slapd"), "-f", conf, "-h", d.url, "-d", "0"); err != nil {
		return nil, err
	}
	err = d.until(ctx, func() error {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func slapdConf(dir string) string {
	return strings.NewReplacer("DIR", dir, "BASE", base, "SERVICE", serviceDN).Replace(`include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
moduleload ppolicy
moduleload syncprov
pidfile DIR/pid
database mdb
suffix BASE
rootdn cn=admin,BASE
directory DIR/db
maxsize 1073741824
index objectClass,uid,mail,member,uniqueMember,memberUid,memberOf,entryUUID,entryCSN eq
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="SERVICE" read by * none
overlay memberof
overlay ppolicy
overlay syncprov
syncprov-sessionlog 1000
`)
}

// people is the LDIF of n people. Each is in one of the departments of fifty, which
// belong to divisions of five departments, and in the one group of all staff: a
// membership of three groups, one of them through another.
func people(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: Bench\n\n", base)
	for _, ou := range []string{"people", "groups", "services"} {
		fmt.Fprintf(&b, "dn: ou=%s,%s\nobjectClass: organizationalUnit\n\n", ou, base)
	}
	fmt.Fprintf(&b, "dn: %s\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\nuserPassword: %s\n\n", serviceDN, hashed(servicePW))
	departments := (n + 49) / 50
	for d := range departments {
		fmt.Fprintf(&b, "dn: %s\nobjectClass: groupOfNames\nmemberOf: %s\n", groupDN("dept", d), groupDN("division", d/5))
		for i := d * 50; i < min(n, d*50+50); i++ {
			fmt.Fprintf(&b, "member: %s\n", personDN(i))
		}
		b.WriteString("\n")
	}
	for d := 0; d*5 < departments; d++ {
		fmt.Fprintf(&b, "dn: %s\nobjectClass: groupOfNames\n", groupDN("division", d))
		for i := d * 5; i < min(departments, d*5+5); i++ {
			fmt.Fprintf(&b, "member: %s\n", groupDN("dept", i))
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "dn: %s\nobjectClass: groupOfNames\n", staffDN)
	for i := range n {
		fmt.Fprintf(&b, "member: %s\n", personDN(i))
	}
	b.WriteString("\n")
	for i := range n {
		// slapadd does not run the memberof overlay: what it would add is written here.
		fmt.Fprintf(&b, "dn: %s\nobjectClass: inetOrgPerson\nuid: %s\ncn: Person %d\nsn: %d\ngivenName: Person\nmail: %s\n"+
			"telephoneNumber: +49 30 %07d\nmemberOf: %s\nmemberOf: %s\nuserPassword: %s\n\n",
			personDN(i), username(i), i, i, mail(i), i, groupDN("dept", i/50), staffDN, hashed(password(i)))
	}
	return b.String()
}

const staffDN = "cn=staff,ou=groups," + base

func username(i int) string { return fmt.Sprintf("user%04d", i) }
func password(i int) string { return fmt.Sprintf("password of %04d", i) }
func mail(i int) string     { return username(i) + "@example.org" }
func personDN(i int) string { return "uid=" + username(i) + ",ou=people," + base }
func groupDN(kind string, i int) string {
	return fmt.Sprintf("cn=%s%03d,ou=groups,%s", kind, i, base)
}

// hashed is an {SSHA} password.
func hashed(password string) string {
	salt := make([]byte, 8)
	_, _ = rand.Read(salt) // never fails: crypto/rand
	sum := sha1.Sum(append([]byte(password), salt...))
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}

// systemProgram finds a program that Debian keeps in /usr/sbin, which may not be
// in the path.
func systemProgram(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	return "/usr/sbin/" + name
}

// freeAddress is a loopback address that nobody listens on at this moment.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
