package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"gatehouse/config"
	"gatehouse/ldapstore"
)

// TestEveryKeyOfTheTableCanBeConfigured keeps two lists together that may not know
// each other: the settings, and what the directory's own package makes of them.
func TestEveryKeyOfTheTableCanBeConfigured(t *testing.T) {
	t.Parallel()
	directory := config.Directory{
		LoginAttributes: []string{"x"}, AccountRules: []string{"x"}, MemberAttributes: []string{"x"}, GroupDisplayAttributes: []string{"x"},
		UserFilter: "x", QualifiedNames: "x", IDAttribute: "x", IDFormat: "x", PasswordExpiry: "x", GroupFilter: "x", MemberNameAttribute: "x",
		MemberNameSource: "x", MemberOfAttribute: "x", TokenGroupsAttribute: "x", PrimaryGroupSource: "x", PrimaryGroupAttribute: "x",
		EntryDNAttribute: "x", GroupNameAttribute: "x", IgnoreReferences: "x",
	}
	known := ldapstore.TableKeys()
	slices.Sort(known)
	if got := slices.Sorted(maps.Keys(directory.Table())); !slices.Equal(got, known) {
		t.Errorf("the configuration hands on %q, and the table has %q", got, known)
	}
	documented := documents(t)["../../docs/configuration.md"]
	for _, key := range known {
		if !strings.Contains(documented, "directory."+key) {
			t.Errorf("directory.%s is not documented", key)
		}
	}
	for _, kind := range ldapstore.Kinds() {
		if _, err := config.Load("", []string{
			"GATEHOUSE_ISSUER=https://sso.example.org", "GATEHOUSE_DIRECTORY_URL=ldaps://ldap.example.org", "GATEHOUSE_DIRECTORY_BASE_DN=dc=x",
			"GATEHOUSE_TRUSTED_PROXIES=127.0.0.1", "GATEHOUSE_DIRECTORY_KIND=" + kind,
		}); err != nil && strings.Contains(err.Error(), "directory.kind") {
			t.Errorf("the configuration refuses kind %s: %v", kind, err)
		}
	}
}
