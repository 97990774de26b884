package ldapstore

import (
	"slices"
	"testing"
)

func TestOnesOwnEntryProvesNoRightToWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rights [][]string
		want   []string
	}{
		"nobody":              {nil, nil},
		"none":                {[][]string{nil, nil, nil}, nil},
		"one's own":           {[][]string{{"mail"}, nil, nil}, nil},
		"one's own and more":  {[][]string{{"mail", "sn"}, {"mail"}, {"mail"}}, []string{"mail"}},
		"the only one's":      {[][]string{{"mail"}}, []string{"mail"}},
		"those of all others": {[][]string{nil, {"sn"}, {"sn"}}, []string{"sn"}},
	} {
		if got := held(c.rights); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestNamesInASchemaAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"( 2.5.4.3 NAME ( 'cn' 'commonName' ) DESC 'x''s (y)' SUP name )":       {"cn", "commonName"},
		"( 0.9.2342.19200300.100.1.3 NAME 'mail' EQUALITY caseIgnoreIA5Match )": {"mail"},
		"( 2.5.4.35 NAME ('userPassword') )":                                    {"userPassword"},
		"( 1.2.3 DESC 'nameless' )":                                             nil,
		"( 1.2.3 NAME":                                                          nil,
		"( 1.2.3 NAME ( 'a":                                                     nil,
		"( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' SYNTAX '1.3.6.1.4.1.1466.115.1' )": {"sAMAccountName"},
	} {
		if got := schemaNames(text); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzSchemaNames(f *testing.F) {
	f.Add("( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )")
	f.Add("( 1.2.3 NAME 'x' )")
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range schemaNames(text) {
			if len(name) >= len(text) {
				t.Fatalf("%q has no name %q", text, name)
			}
		}
	})
}

func TestIndexesAreRead(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"uid,Mail eq":           {"uid", "mail"},
		"{3}member pres,eq":     {"member"},
		"cn sub":                nil,
		"default eq":            {"default"},
		"uid":                   {"uid"}, // of the default kinds
		"":                      nil,
		"{":                     nil,
		"{0}":                   nil,
		"entryUUID eq   ":       {"entryuuid"},
		"objectClass eq,approx": {"objectclass"},
	} {
		if got := indexedBy(line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

func TestParentsAreCutOff(t *testing.T) {
	t.Parallel()
	for dn, want := range map[string]string{
		"uid=a,ou=b,dc=c": "ou=b,dc=c", `cn=a\,b,dc=c`: "dc=c", `cn=a\2Cb,dc=c`: "dc=c", "dc=c": "", "": "", `\`: "",
	} {
		if got := parentOf(dn); got != want {
			t.Errorf("%q: %q, want %q", dn, got, want)
		}
	}
}
