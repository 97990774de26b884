package oidc_test

import (
	"testing"

	"gatehouse/oidc"
)

func TestDNsThatNameTheSameEntryHaveOneKey(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"cn=Staff,ou=Groups,dc=example,dc=org", "CN=staff, OU=groups , DC=Example,dc=org", "cn=staff;ou=groups;dc=example;dc=org", `cn="Staff",ou=groups,dc=example,dc=org`},
		{`cn=Foo\, Bar,dc=x`, `cn="Foo, Bar",dc=x`, `cn=foo\2c bar,dc=x`, `cn=Foo\2C  Bar,dc=x`},
		{`uid=a+cn=b,dc=x`, `cn=B+uid=A,dc=x`},
		{`cn=Müller,dc=x`, `cn=M\c3\bcller,dc=x`, `CN=MÜLLER,dc=x`, "cn=Mu\u0308ller,dc=x", `cn=MU\cc\88LLER,dc=x`},
		{`cn=\#1\+2\=3\\4,dc=x`, `cn=#1\2B2=3\5c4,dc=x`},
	} {
		want := oidc.MustParseDN(same[0])
		for _, text := range same {
			got, err := oidc.ParseDN(text)
			if err != nil || got.Key() != want.Key() {
				t.Errorf("%q: key %q, error %v; want %q", text, got.Key(), err, want.Key())
			}
			if got.String() != text {
				t.Errorf("%q came back as %q", text, got)
			}
		}
	}
}

func TestDNsThatNameDifferentEntriesHaveDifferentKeys(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, text := range []string{
		"cn=a,dc=x", "cn=a,dc=y", "ou=a,dc=x", `cn=a\,dc\=x`, "cn=a+dc=x", `cn=a\+dc\=x`, `cn=a\\,dc=x`, `cn=a\2cdc=x`[:8] + `b,dc=x`, "cn=a b,dc=x", `cn=a\00,dc=x`, `cn=a\00b,dc=x`, "cn=ä,dc=x", "cn=ａ,dc=x",
	} {
		key := oidc.MustParseDN(text).Key()
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %q share the key %q", text, other, key)
		}
		seen[key] = text
	}
}

func TestWhatIsNoDNIsRefusedWithAReason(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "   ", "staff", "cn=a,", "=a", "cn=a,staff", `cn="a`, `cn="a"b`, `cn=a\`, "cn=a\x00", "c n=a"} {
		if d, err := oidc.ParseDN(text); err == nil {
			t.Errorf("%q was taken for %q", text, d.Key())
		}
	}
}

func TestWithinComparesWholeParts(t *testing.T) {
	t.Parallel()
	base := oidc.MustParseDN("ou=people,dc=x")
	for text, want := range map[string]bool{"uid=a,OU=People,dc=x": true, "ou=people,dc=x": true, "uid=a,ou=otherpeople,dc=x": false, `uid=a\,ou\=people\,dc\=x`: false} {
		if got := oidc.MustParseDN(text).Within(base); got != want {
			t.Errorf("%q within %q: %v", text, base, got)
		}
	}
}

func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"cn=a,dc=x", `cn="a, b"+uid=\2c,dc=x`, `cn=\`, "cn=#04024869"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := oidc.ParseDN(s)
		if err != nil {
			return
		}
		if d.Key() == "" || d.String() != s {
			t.Fatalf("%q: key %q, text %q, %v", s, d.Key(), d, err)
		}
		if k, err := oidc.ParseDN(d.Key()); err != nil || k.Key() != d.Key() {
			t.Fatalf("%q: the key %q does not have itself for a key but %q: %v", s, d.Key(), k.Key(), err)
		}
	})
}
