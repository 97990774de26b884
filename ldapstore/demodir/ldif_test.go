package demodir_test

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"gatehouse/ldapstore/demodir"
)

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func TestLDIFIsReadAsRFC2849Says(t *testing.T) {
	t.Parallel()
	records, err := demodir.ParseLDIF([]byte("version: 1\r\n# a comment\r\n  that goes on\r\ndn: cn=a,\r\n  dc=x\r\ncn:a\r\ncn;lang-de:   b \r\n\r\n\r\n" +
		"dn:: Y249w6QsZGM9eA==\ndescription:: aGVsbG8=\n# between\nempty:\ntitle: a: b\nlong: one\n  two\n three\nlast: ü"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		got = append(got, fmt.Sprintf("%d %s", r.Line, r.DN))
		for _, a := range r.Attributes {
			got = append(got, fmt.Sprintf("%d %s=%q", a.Line, a.Name, a.Value))
		}
	}
	want := `4 cn=a, dc=x,6 cn="a",7 cn;lang-de="b ",10 cn=ä,dc=x,11 description="hello",13 empty="",14 title="a: b",15 long="one twothree",18 last="ü"`
	if strings.Join(got, ",") != want {
		t.Errorf("read\n%s, not\n%s", strings.Join(got, ","), want)
	}
}

func TestEveryBadLineOfLDIFIsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" x":                                     ":1: the line begins with a blank",
		"version: 2\ndn: cn=a\n":                 `:1: version "2"`,
		"cn: a\nsn: b\n\ndn: cn=b\n":             ":1: the record does not begin with",
		"dn: a\ncn: x\n":                         ":1: not a distinguished name",
		"dn: cn=a\nchangetype: delete\nx\n":      ":2: this is a change record",
		"dn: cn=a\ncn\n":                         `:2: there is no ":"`,
		"dn: cn=a\nc n: x\n":                     `:2: "c n" is no attribute name`,
		"dn: cn=a\n-\n":                          `:2: there is no ":"`,
		"dn: cn=a\njpegPhoto:< file:///etc/pw\n": ":2: the value of jpegPhoto is at a URL",
		"dn: cn=a\ncn:: ?\n":                     ":2: the value of cn is not base64",
		"dn: cn=a\ncn: \xff\n":                   ":2: the value of cn is not a line of UTF-8",
		"dn: cn=a\ncn: a\x00b\n":                 ":2: the value of cn is not a line of UTF-8",
		"dn: cn=a\ndn: cn=b\n":                   ":2: a second dn",
		"dn: cn=a\ncn: a\nb\n\ndn: cn=b\nc\n":    ":6: there is no",
	} {
		if _, err := demodir.ParseLDIF([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %s", text, err, want)
		}
	}
}

func TestTheOfficeIsInOrder(t *testing.T) {
	t.Parallel()
	records, err := demodir.ParseLDIF(demodir.Office())
	if err != nil {
		t.Fatal(err)
	}
	text := string(demodir.Office())
	for _, a := range demodir.Accounts() {
		if !strings.Contains(text, "\nuid: "+a.Username+"\n") || !strings.Contains(text, fmt.Sprintf("#   %-9s %s ", a.Username, a.Password)) {
			t.Errorf("%s and the password are not in the LDIF as the list has them", a.Username)
		}
	}
	if people := strings.Count(text, "\nobjectClass: inetOrgPerson\n"); people != len(demodir.Accounts()) || len(records) != 28 {
		t.Errorf("%d people, %d in the list; %d entries", people, len(demodir.Accounts()), len(records))
	}
	demodir.Office()[0] = 'X'
	if demodir.Office()[0] == 'X' {
		t.Error("the office can be changed from outside")
	}
}

func FuzzParseLDIF(f *testing.F) {
	f.Add([]byte("version: 1\n# c\ndn: cn=a,dc=x\ncn: a\n\ndn:: Y249Yg==\ncn:: Yg==\n cd\n"))
	f.Add(demodir.Office()[:3000])
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := demodir.ParseLDIF(data)
		if err != nil {
			if records != nil || err.Error() == "" {
				t.Fatal(records, err)
			}
			return
		}
		for _, r := range records {
			if r.DN.IsZero() || r.Line < 1 {
				t.Fatalf("%+v", r)
			}
			for _, a := range r.Attributes {
				if a.Name == "" || a.Line <= r.Line {
					t.Fatalf("%+v", r)
				}
			}
		}
	})
}
