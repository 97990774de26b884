package claims_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
)

func TestCustomClaimsHaveTheTypeThatTheOperatorSays(t *testing.T) { // row C6
	t.Parallel()
	u := &oidc.User{Attributes: map[string][]string{
		"quotabytes": {"5368709120"}, "half": {"0.5"}, "vip": {"TRUE"}, "type": {"b", "a", "a", ""}, "hired": {"20200102030405Z"},
		"lastlogon": {"132224796450000000"}, "never": {"9223372036854775807"}, "words": {"  two words "}, "huge": {"1e999"}, "hex": {"0x10"}, "empty": {""},
	}}
	for name, c := range map[string]struct {
		attribute, kind, want string
	}{
		"a whole number":        {"quotaBytes", "number", "5368709120"},
		"a fraction":            {"half", "number", "0.5"},
		"no number":             {"words", "number", ""},
		"a number beyond all":   {"huge", "number", ""},
		"a number for machines": {"hex", "number", ""},
		"a boolean":             {"vip", "boolean", "true"},
		"no boolean":            {"words", "boolean", ""},
		"a sorted list":         {"type", "list", `["a","b"]`},
		"no list":               {"absent", "list", ""},
		"a time":                {"hired", "generalized_time", "1577934245"},
		"a time of AD":          {"lastLogon", "ad_time", "1578006045"},
		"never":                 {"never", "ad_time", ""},
		"a text":                {"words", "string", `"two words"`},
		"an empty text":         {"empty", "string", ""}, // row C9
	} {
		table, err := claims.DefaultTable().WithCustom(map[string]claims.Custom{"x": {Attributes: []string{"absent", c.attribute}, Type: c.kind, Scope: "xs"}})
		if err != nil {
			t.Fatal(err)
		}
		request := claims.Request{Client: application(), User: u, Table: table, Scopes: []string{"xs"}}
		value, ok := claims.Build(request)["x"]
		got, _ := json.Marshal(value)
		if ok != (c.want != "") || ok && string(got) != c.want {
			t.Errorf("%s: %s", name, got)
		}
		request.Scopes, request.Names = []string{"openid"}, []string{"x"}
		if len(claims.Build(request)) > 0 {
			t.Errorf("%s: given without its scope", name)
		}
		request.Final = []string{"xs"}
		if _, named := claims.Build(request)["x"]; named != ok {
			t.Errorf("%s: asked for by name", name)
		}
		if !slices.Contains(table.ScopesSupported(), "xs") || !slices.Contains(table.ClaimsSupported(), "x") || !slices.Contains(table.Attributes(), c.attribute) ||
			!slices.Equal(table.ClaimsOf("xs"), []string{"x"}) {
			t.Errorf("%s: the table does not tell of it", name)
		}
	}
}

func TestCustomClaimsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claim  string
		custom claims.Custom
	}{
		"a standard claim":        {"email", claims.Custom{Attributes: []string{"mail"}, Type: "string", Scope: "x"}},
		"a claim of the protocol": {"aud", claims.Custom{Attributes: []string{"mail"}, Type: "string", Scope: "x"}},
		"a name with a blank":     {"a b", claims.Custom{Attributes: []string{"mail"}, Type: "string", Scope: "x"}},
		"an unknown type":         {"a", claims.Custom{Attributes: []string{"mail"}, Type: "date", Scope: "x"}},
		"given by openid":         {"a", claims.Custom{Attributes: []string{"mail"}, Type: "string", Scope: "openid"}},
		"a scope with a blank":    {"a", claims.Custom{Attributes: []string{"mail"}, Type: "string", Scope: "a b"}},
		"no attribute's name":     {"a", claims.Custom{Attributes: []string{"(mail=*)"}, Type: "string", Scope: "x"}},
	} {
		_, err := claims.DefaultTable().WithCustom(map[string]claims.Custom{c.claim: c.custom})
		var problems oidc.Problems
		if !errors.As(err, &problems) || len(problems) != 1 || problems[0].Key != c.claim || problems[0].Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOfSeveralMailAddressesThePreferredDomainWins(t *testing.T) {
	t.Parallel()
	u := &oidc.User{Attributes: map[string][]string{"mail": {"a@gmail.example", "not an address", "A@Old.Example", "a@new.example"}}}
	for want, domains := range map[string][]string{
		"a@gmail.example": nil, "a@new.example": {"absent.example", "@new.example", "old.example"}, "A@Old.Example": {"OLD.example"},
	} {
		table := claims.DefaultTable().WithEmailDomains(domains)
		got := claims.Build(claims.Request{Client: application(), User: u, Table: table, Scopes: []string{"email"}})
		others, _ := got["alt_emails"].([]string)
		if got["email"] != want || len(others) != 2 || slices.Contains(others, want) || got["email_verified"] != true {
			t.Errorf("%v: %v", domains, got)
		}
	}
}

func FuzzCustom(f *testing.F) {
	f.Add("1e5", "number")
	f.Add("20200101000000Z", "generalized_time")
	f.Add("132224796450000000", "ad_time")
	f.Fuzz(func(t *testing.T, value, kind string) {
		table, err := claims.DefaultTable().WithCustom(map[string]claims.Custom{"x": {Attributes: []string{"a"}, Type: kind, Scope: "s"}})
		if err != nil {
			return
		}
		u := &oidc.User{Attributes: map[string][]string{"a": {value}}}
		out, err := json.Marshal(claims.Build(claims.Request{Client: application(), User: u, Table: table, Scopes: []string{"s"}}))
		if err != nil || strings.Contains(string(out), `""`) && kind == "string" && strings.TrimSpace(value) == "" {
			t.Fatalf("%q as %s: %s %v", value, kind, out, err)
		}
	})
}
