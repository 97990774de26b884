package claims

import (
	"strings"
	"testing"

	"gatehouse/oidc"
)

// The short way must never say another thing than oidc.ParseDN does.
func FuzzPlainDN(f *testing.F) {
	for _, seed := range []string{"cn=a,dc=x", "CN=a b,DC=x", `cn="a",dc=x`, "cn=a ,dc=x", "cn=a+b=c", "cn=,dc=x", "cn=é", "cn=a=b", "=a", "cn=a,", "cn=#a", "1.2.3=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, dn string) {
		hash, plain := plainDN(dn)
		if !plain {
			return
		}
		parsed, err := oidc.ParseDN(dn)
		if err != nil {
			t.Fatalf("%q is plain, yet no DN: %v", dn, err)
		}
		if parsed.Key() != strings.ToLower(dn) || !equalsKey(dn, parsed.Key()) || hash != keyHash(parsed.Key()) {
			t.Fatalf("%q is plain, yet its key is %q", dn, parsed.Key())
		}
	})
}

func TestUsualDNsAreComparedWithoutParsing(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]bool{
		"cn=staff,ou=groups,dc=example,dc=org":      true,
		"CN=Domain Users,CN=Users,DC=corp,DC=local": true,
		"cn=o'neil & (sons),dc=x":                   true,
		"cn=a, dc=x":                                false,
		"cn=a  b,dc=x":                              false,
		`cn=a\2cb,dc=x`:                             false,
		"cn=müller,dc=x":                            false,
		"":                                          false, "cn": false, "cn=a,": false, "cn=a,b": false,
	} {
		if _, got := plainDN(dn); got != want {
			t.Errorf("%q: plain %v, want %v", dn, got, want)
		}
	}
}
