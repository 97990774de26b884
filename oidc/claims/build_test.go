package claims_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
)

// full returns a person about whom the directory says all it can.
func full() *oidc.User {
	u := person(staffDN, cloudDN)
	u.Groups[1].DisplayName = "Cloud users"
	u.Attributes = map[string][]string{
		"displayname": {"Amy Wong"}, "cn": {"Amy Kroker"}, "sn": {"Wong"}, "givenname": {"Amy"}, "middlename": {"Louise"},
		"edupersonnickname": {"amy"}, "labeleduri": {"https://amy.example.org/ Her page"}, "schacgender": {"2"},
		"schacdateofbirth": {"29990504"}, "timezone": {"Europe/Zurich"}, "preferredlanguage": {"en;q=0.5, de_ch"},
		"modifytimestamp": {"20260102030405Z"},
		"mail":            {"amy@example.org", "kroker@example.org", "AMY@example.org"}, "mailalternateaddress": {"a.wong@example.net"},
		"postaladdress": {`Planet Express$57th Street \24 5$New New York`}, "street": {"57th Street"}, "l": {"New New York"},
		"st": {"NY"}, "postalcode": {"10001"}, "c": {"US"}, "telephonenumber": {"+1 555 0100"},
	}
	return u
}

func TestBuild(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		scopes string
		names  string
		final  string
		change func(c *oidc.Client, u *oidc.User)
		want   string // JSON
	}{
		{name: "openid alone tells nothing about the person", scopes: "openid", want: `{}`},
		{name: "offline_access and unknown scopes tell nothing", scopes: "openid offline_access admin", want: `{}`},
		{
			name: "profile", scopes: "openid profile",
			want: `{"birthdate":"2999-05-04","family_name":"Wong","gender":"female","given_name":"Amy","locale":"de-CH","middle_name":"Louise",
				"name":"Amy Wong","nickname":"amy","preferred_username":"amy","updated_at":1767323045,"website":"https://amy.example.org/","zoneinfo":"Europe/Zurich"}`,
		},
		{
			name: "email", scopes: "email",
			want: `{"alt_emails":["kroker@example.org","a.wong@example.net"],"email":"amy@example.org","email_verified":true}`,
		},
		{
			name: "address is an object", scopes: "address",
			want: `{"address":{"country":"US","formatted":"Planet Express\n57th Street $ 5\nNew New York","locality":"New New York","postal_code":"10001","region":"NY","street_address":"57th Street"}}`,
		},
		{name: "phone", scopes: "phone", want: `{"phone_number":"+1 555 0100","phone_number_verified":true}`},
		{name: "groups and roles have the same content", scopes: "groups roles", want: `{"groups":["cloud-users","staff"],"roles":["cloud-users","staff"]}`},
		{
			name: "what the directory doesn't say is left out, and blanks are nothing", scopes: "profile email address phone",
			change: func(_ *oidc.Client, u *oidc.User) {
				u.Attributes = map[string][]string{
					"displayname": {"", " "}, "cn": {"Amy"}, "sn": {"\xff\xfe"}, "mail": {"not an address"}, "telephonenumber": {" "},
					"postaladdress": {" $ $"}, "preferredlanguage": {"*"}, "modifytimestamp": {"yesterday"}, "labeleduri": {"javascript:alert(1)"}, "timezone": {"CET/"},
				}
			},
			want: `{"name":"Amy","preferred_username":"amy"}`,
		},
		{
			name: "who is in no group has an empty list", scopes: "groups",
			change: func(_ *oidc.Client, u *oidc.User) { u.Groups = nil }, want: `{"groups":[]}`,
		},
		{
			name: "a single claim is given if its scope is in the final set", names: "email name sub groups", final: "email openid",
			want: `{"email":"amy@example.org"}`,
		},
		{
			name: "a single claim brings no other of its scope", scopes: "openid", names: "family_name email_verified", final: "openid profile email",
			want: `{"email_verified":true,"family_name":"Wong"}`,
		},
		{name: "names that are no claims are ignored", names: "iss aud amr jpegPhoto groups_truncated address.locality", final: "profile groups address", want: `{}`},
		{
			name: "groups by DN", scopes: "groups", change: func(c *oidc.Client, _ *oidc.User) { c.GroupsClaim.Format = "dn" },
			want: `{"groups":["` + cloudDN + `","` + staffDN + `"]}`,
		},
		{
			name: "groups by id", scopes: "groups", change: func(c *oidc.Client, _ *oidc.User) { c.GroupsClaim.Format = "id" },
			want: `{"groups":["id-cloud-users","id-staff"]}`,
		},
		{
			name: "groups by display name, or by name where there is none", scopes: "groups",
			change: func(c *oidc.Client, _ *oidc.User) { c.GroupsClaim.Format = "display_name" },
			want:   `{"groups":["Cloud users","staff"]}`,
		},
		{
			name: "groups that match a pattern", scopes: "groups roles",
			change: func(c *oidc.Client, _ *oidc.User) { c.GroupsClaim.Match = "^cloud-" },
			want:   `{"groups":["cloud-users"],"roles":["cloud-users"]}`,
		},
		{
			name: "a broken pattern lets nothing through", scopes: "groups",
			change: func(c *oidc.Client, _ *oidc.User) { c.GroupsClaim.Match = "(" }, want: `{"groups":[]}`,
		},
		{
			name: "what is cut says so", scopes: "groups",
			change: func(c *oidc.Client, _ *oidc.User) { c.GroupsClaim.Max = 1 }, want: `{"groups":["cloud-users"],"groups_truncated":true}`,
		},
		{
			name: "nothing is cut at the limit", scopes: "roles",
			change: func(c *oidc.Client, _ *oidc.User) { c.GroupsClaim.Max = 2 }, want: `{"roles":["cloud-users","staff"]}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, u := application(), full()
			if tc.change != nil {
				tc.change(c, u)
			}
			got := claims.Build(claims.Request{
				Client: c, User: u, Table: claims.DefaultTable(),
				Scopes: strings.Fields(tc.scopes), Names: strings.Fields(tc.names), Final: strings.Fields(tc.final),
			})
			sameJSON(t, got, tc.want)
		})
	}
}

func sameJSON(t *testing.T, got any, want string) {
	t.Helper()
	gotJSON, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var parsed any
	if err := json.Unmarshal([]byte(want), &parsed); err != nil {
		t.Fatal(err)
	}
	wantJSON, err := json.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if string(gotJSON) != string(wantJSON) {
		t.Errorf("got  %s\nwant %s", gotJSON, wantJSON)
	}
}

func TestGroupsComeInTheSameOrderEveryTime(t *testing.T) {
	t.Parallel()
	u := person()
	for i := range 300 {
		u.Groups = append(u.Groups, oidc.Group{DN: fmt.Sprintf("cn=g%d,dc=x", i), Name: fmt.Sprintf("g%d", i)})
	}
	build := func() any {
		return claims.Build(claims.Request{Client: application(), User: u, Table: claims.DefaultTable(), Scopes: []string{"groups"}})["groups"]
	}
	first, _ := build().([]string)
	slices.Reverse(u.Groups)
	second, _ := build().([]string)
	if len(first) != 200 || !slices.Equal(first, second) {
		t.Errorf("%d groups, then %d others", len(first), len(second))
	}
}

func TestAnOperatorChangesTheTable(t *testing.T) {
	t.Parallel()
	table, err := claims.DefaultTable().With(map[string][]string{
		"preferred_username": {"sAMAccountName", "@username"},
		"picture":            {"photoURL"},
		"middle_name":        {},
		"email_verified":     {"false"},
		"address.country":    {"friendlyCountryName"},
	})
	if err != nil {
		t.Fatal(err)
	}
	u := full()
	u.Attributes["photourl"] = []string{"https://example.org/amy.png"}
	got := claims.Build(claims.Request{Client: application(), User: u, Table: table, Scopes: []string{"profile", "email", "address"}})
	if got["preferred_username"] != "amy" || got["picture"] != "https://example.org/amy.png" || got["middle_name"] != nil || got["email_verified"] != false {
		t.Errorf("got %v", got)
	}
	if address, _ := got["address"].(map[string]any); address["country"] != nil {
		t.Errorf("country %v", address["country"])
	}
	attributes := table.Attributes()
	if !slices.Contains(attributes, "photoURL") || slices.Contains(attributes, "middleName") || slices.Contains(attributes, "false") || slices.Contains(attributes, "@username") {
		t.Errorf("attributes to read: %v", attributes)
	}
	if supported := table.ClaimsSupported(); slices.Contains(supported, "middle_name") || !slices.Contains(supported, "picture") || !slices.Contains(supported, "address") {
		t.Errorf("claims supported: %v", supported)
	}
	if slices.Contains(claims.DefaultTable().ClaimsSupported(), "picture") {
		t.Error("the default table was changed")
	}
}

func TestEveryMistakeInATableIsTold(t *testing.T) {
	t.Parallel()
	_, err := claims.DefaultTable().With(map[string][]string{
		"nickname": {"nick name", ""}, "groups": {"memberOf"}, "address": {"street"}, "family": {"sn"}, "email_verified": {"@username"}, "locale": {"c"},
	})
	var problems oidc.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("error %v", err)
	}
	var keys []string
	for _, p := range problems {
		keys = append(keys, p.Key)
		if p.Hint == "" || p.Message == "" {
			t.Errorf("%+v has no hint", p)
		}
	}
	if got := strings.Join(keys, " "); got != "address email_verified family groups nickname nickname" {
		t.Errorf("problems with %s", got)
	}
}

func TestFlagsAreReadFromAnAttribute(t *testing.T) {
	t.Parallel()
	table, err := claims.DefaultTable().With(map[string][]string{"email_verified": {"mailVerified"}})
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]bool{"TRUE": true, "true": true, "FALSE": false, "": false, "yes": false} {
		u := full()
		u.Attributes["mailverified"] = []string{value}
		if got := claims.Build(claims.Request{Client: application(), User: u, Table: table, Scopes: []string{"email"}}); got["email_verified"] != want {
			t.Errorf("%q: %v", value, got["email_verified"])
		}
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	salt := []byte("salt")
	subject := func(kind string, uris ...string) string {
		c := application()
		c.SubjectType, c.SubjectAttribute, c.RedirectURIs = kind, "employeeNumber", uris
		u := full()
		u.Attributes["employeenumber"] = []string{"4711"}
		sub, err := claims.Subject(c, u, salt)
		if err != nil {
			t.Error(err)
		}
		return sub
	}
	if got := subject(""); got != full().ID {
		t.Errorf("public: %s", got)
	}
	if got := subject("attribute"); got != "4711" {
		t.Errorf("attribute: %s", got)
	}
	one, added, other := subject("pairwise", "https://a.example/cb"), subject("pairwise", "https://A.example:8443/other", "https://c.example/"), subject("pairwise", "https://b.example/cb")
	if one != added || one == other || strings.Contains(one, full().ID[:8]) || len(one) != 43 {
		t.Errorf("pairwise: %s, with another URI %s, elsewhere %s", one, added, other)
	}
	if a, b := subject("pairwise", "http://127.0.0.1/cb"), subject("pairwise", "com.example.app:/cb"); a != b {
		t.Errorf("a native application is its own sector: %s and %s", a, b)
	}
}

func TestASubjectThatWouldBeWrongIsAnError(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(c *oidc.Client, u *oidc.User){
		"no stable id":              func(_ *oidc.Client, u *oidc.User) { u.ID = "" },
		"id too long":               func(_ *oidc.Client, u *oidc.User) { u.ID = strings.Repeat("a", 256) },
		"attribute absent":          func(c *oidc.Client, _ *oidc.User) { c.SubjectType, c.SubjectAttribute = "attribute", "uid" },
		"attribute with two values": func(c *oidc.Client, _ *oidc.User) { c.SubjectType, c.SubjectAttribute = "attribute", "mail" },
		"attribute that isn't ASCII": func(c *oidc.Client, u *oidc.User) {
			c.SubjectType, c.SubjectAttribute, u.Attributes["sn"] = "attribute", "sn", []string{"Müller"}
		},
		"unknown type": func(c *oidc.Client, _ *oidc.User) { c.SubjectType = "random" },
	} {
		c, u := application(), full()
		change(c, u)
		if sub, err := claims.Subject(c, u, []byte("salt")); err == nil {
			t.Errorf("%s: %s", name, sub)
		}
	}
	c := application()
	c.SubjectType = "pairwise"
	if sub, err := claims.Subject(c, full(), nil); err == nil {
		t.Errorf("no salt: %s", sub)
	}
}

func TestGeneralizedTime(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"20260102030405Z":      "2026-01-02T03:04:05Z",
		"20260102030405.5Z":    "2026-01-02T03:04:05.5Z",
		"20260102030405.0Z":    "2026-01-02T03:04:05Z",
		"202601020304Z":        "2026-01-02T03:04:00Z",
		"2026010203Z":          "2026-01-02T03:00:00Z",
		"2026010203,25Z":       "2026-01-02T03:15:00Z",
		"20260102030405+0130":  "2026-01-02T01:34:05Z",
		"20260101000000-05":    "2026-01-01T05:00:00Z",
		"20261231235960Z":      "2027-01-01T00:00:00Z",
		"20240229120000Z":      "2024-02-29T12:00:00Z",
		"00010101000000Z":      "0001-01-01T00:00:00Z",
		"20260102030405":       "",
		"20260230000000Z":      "",
		"20261301000000Z":      "",
		"2026010224Z":          "",
		"20260102036000Z":      "",
		"20260102030461Z":      "",
		"20260102030405.Z":     "",
		"20260102030405+1Z":    "",
		"20260102030405+2460":  "",
		"2026-01-02T03:04:05Z": "",
		"":                     "",
		"Z":                    "",
	} {
		got, err := claims.ParseGeneralizedTime(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q was read as %s", text, got)
			}
			continue
		}
		if err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: %s, error %v; want %s", text, got.Format(time.RFC3339Nano), err, want)
		}
	}
}

func FuzzGeneralizedTime(f *testing.F) {
	for _, seed := range []string{"20260102030405Z", "2026010203,25Z", "20260102030405.123456789012345+0130", "99991231235959-2359"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := claims.ParseGeneralizedTime(text)
		if err != nil {
			return
		}
		again, err := claims.ParseGeneralizedTime(at.Truncate(time.Second).Format("20060102150405Z"))
		if at.Year() >= 0 && at.Year() <= 9999 && (err != nil || !again.Equal(at.Truncate(time.Second))) {
			t.Fatalf("%q was read as %s, and that as %s (%v)", text, at, again, err)
		}
	})
}

// Whatever bytes a directory holds, claims are valid text and never empty.
func FuzzBuildNeverGivesAnEmptyValue(f *testing.F) {
	f.Add("a@b$\\24", "de;q=x,en", "https://x/ y")
	f.Add(" ", "\x00", "\xff")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		u := full()
		i := 0
		for name := range u.Attributes {
			u.Attributes[name] = []string{[]string{a, b, c}[i%3], b}
			i++
		}
		u.Username = a
		u.Groups = []oidc.Group{{DN: a, Name: b, DisplayName: c}}
		got := claims.Build(claims.Request{Client: application(), User: u, Table: claims.DefaultTable(), Scopes: []string{"profile", "email", "address", "phone", "groups"}})
		for name, value := range got {
			wholesome(t, name, value)
		}
	})
}

func wholesome(t *testing.T, name string, value any) {
	t.Helper()
	switch v := value.(type) {
	case string:
		if strings.TrimSpace(v) == "" || !utf8.ValidString(v) {
			t.Fatalf("%s is %q", name, v)
		}
	case []string:
		for _, s := range v {
			wholesome(t, name, s)
		}
	case map[string]any:
		for part, s := range v {
			wholesome(t, name+"."+part, s)
		}
	case bool, int64:
	default:
		t.Fatalf("%s is a %T", name, v)
	}
}

func BenchmarkBuild(b *testing.B) {
	r := claims.Request{Client: application(), User: full(), Table: claims.DefaultTable(), Scopes: []string{"openid", "profile", "email", "groups"}}
	r.Client.GroupsClaim.Match = "^c"
	b.ReportAllocs()
	for b.Loop() {
		if len(claims.Build(r)) < 5 {
			b.Fatal("too few claims")
		}
	}
}
