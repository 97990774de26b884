package claims_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/oidc"
	"gatehouse/oidc/claims"
)

const (
	staffDN = "cn=staff,ou=groups,dc=example,dc=org"
	cloudDN = "cn=cloud-users,ou=groups,dc=example,dc=org"
	adminDN = "cn=admins,ou=groups,dc=example,dc=org"
)

// person returns an active account that belongs to groups directly.
func person(groups ...string) *oidc.User {
	u := &oidc.User{ID: "5b3e8f0c-1111-4222-8333-123456789abc", Username: "amy"}
	for _, dn := range groups {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(dn), "cn="), ",")
		u.Groups = append(u.Groups, oidc.Group{ID: "id-" + name, DN: dn, Name: name})
	}
	return u
}

// application returns a client with openid for everyone and maps "DN: scopes".
func application(maps ...string) *oidc.Client {
	c := &oidc.Client{ID: "app", GrantTypes: []string{"authorization_code", "refresh_token"}}
	c.Scopes.Everyone = []string{"openid"}
	for _, m := range maps {
		dn, scopes, _ := strings.Cut(m, ": ")
		c.Scopes.Groups = append(c.Scopes.Groups, oidc.ScopeMap{Group: oidc.MustParseDN(dn), Scopes: strings.Fields(scopes)})
	}
	return c
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		client    *oidc.Client
		change    func(c *oidc.Client, u *oidc.User)
		groups    []string
		requested string
		admitted  bool
		final     string
		granted   string
		missing   string
		refusal   string
	}{
		{
			name: "scopes for everyone need no group", client: application(), requested: "openid",
			admitted: true, final: "openid", granted: "openid",
		},
		{
			name:   "several groups add up, in the order of the request",
			client: application(cloudDN+": profile groups", staffDN+": email profile"), groups: []string{staffDN, cloudDN}, requested: "profile openid email",
			admitted: true, final: "email groups openid profile", granted: "profile openid email",
		},
		{
			name:   "a DN is the same in any spelling",
			client: application("CN=Cloud-Users, OU=Groups,DC=example,DC=org: profile"), groups: []string{cloudDN}, requested: "openid profile",
			admitted: true, final: "openid profile", granted: "openid profile",
		},
		{
			name:   "a DN with escapes is the same in any spelling",
			client: application(`cn=R\26D\, north,dc=x: profile`), groups: []string{`CN="R&D,  North",DC=x`}, requested: "openid profile",
			admitted: true, final: "openid profile", granted: "openid profile",
		},
		{
			name:   "a group of the same name elsewhere in the tree gives nothing",
			client: application(adminDN + ": profile"), groups: []string{"cn=admins,ou=guests,dc=example,dc=org"}, requested: "openid profile",
			final: "openid", missing: "profile", refusal: claims.KindMissing,
		},
		{
			name:   "every requested scope must be there, and the missing ones are named",
			client: application(cloudDN + ": profile email"), requested: "openid profile email",
			final: "openid", missing: "profile email", refusal: claims.KindMissing,
		},
		{
			name:   "a narrowing client goes on without what is missing",
			client: application(cloudDN + ": profile"), change: func(c *oidc.Client, _ *oidc.User) { c.OnMissingScope = narrowing },
			requested: "openid profile nonsense", admitted: true, final: "openid", granted: "openid", missing: "profile nonsense",
		},
		{
			name:   "a narrowing client does not go on without openid",
			client: application(cloudDN + ": openid profile"), change: func(c *oidc.Client, _ *oidc.User) {
				c.OnMissingScope = narrowing
				c.Scopes.Everyone = []string{"email"}
			},
			requested: "openid email", final: "email", missing: "openid", refusal: claims.KindMissing,
		},
		{
			name:   "a narrowing client does not go on with nothing",
			client: application(), change: func(c *oidc.Client, _ *oidc.User) { c.OnMissingScope = narrowing },
			requested: "email phone", final: "openid", missing: "email phone", refusal: claims.KindNothing,
		},
		{
			name:   "openid mapped to one group restricts the application to it",
			client: application(staffDN + ": openid"), change: func(c *oidc.Client, _ *oidc.User) { c.Scopes.Everyone = nil },
			groups: []string{cloudDN}, requested: "openid", missing: "openid", refusal: claims.KindMissing,
		},
		{
			name:   "outside the allowed groups nobody enters, whatever the maps give",
			client: application(cloudDN + ": profile"), change: func(c *oidc.Client, _ *oidc.User) {
				c.AllowedGroups = []oidc.DN{oidc.MustParseDN(adminDN)}
			},
			groups: []string{cloudDN}, requested: "openid profile", final: "openid profile", refusal: claims.KindNotAllowed,
		},
		{
			name:   "one of the allowed groups is enough",
			client: application(), change: func(c *oidc.Client, _ *oidc.User) {
				c.AllowedGroups = []oidc.DN{oidc.MustParseDN(adminDN), oidc.MustParseDN(staffDN)}
			},
			groups: []string{staffDN}, requested: "openid", admitted: true, final: "openid", granted: "openid",
		},
		{
			name: "a disabled account is refused", client: application(), change: func(_ *oidc.Client, u *oidc.User) { u.State = oidc.StateDisabled },
			requested: "openid", final: "openid", refusal: claims.KindAccountState,
		},
		{
			name: "an expired account is refused", client: application(), change: func(_ *oidc.Client, u *oidc.User) { u.State = oidc.StateExpired },
			requested: "openid", final: "openid", refusal: claims.KindAccountState,
		},
		{
			name: "offline_access is no right of the person", client: application(), requested: "openid offline_access",
			admitted: true, final: "openid", granted: "openid offline_access",
		},
		{
			name: "offline_access is ignored for a client without refresh tokens", client: application(),
			change:    func(c *oidc.Client, _ *oidc.User) { c.GrantTypes = []string{"authorization_code"} },
			requested: "openid offline_access", admitted: true, final: "openid", granted: "openid",
		},
		{
			name: "offline_access in a map means nothing", client: application(staffDN + ": offline_access"), groups: []string{staffDN},
			requested: "openid", admitted: true, final: "openid", granted: "openid",
		},
		{
			name: "offline_access alone is nothing", client: application(), requested: "offline_access",
			final: "openid", refusal: claims.KindNothing,
		},
		{
			name: "who asks for nothing is granted nothing", client: application(), requested: "", admitted: true, final: "openid",
		},
		{
			name: "a scope asked for twice is granted once", client: application(), requested: "openid openid", admitted: true, final: "openid", granted: "openid",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			u := person(tc.groups...)
			if tc.change != nil {
				tc.change(tc.client, u)
			}
			d := claims.Resolve(tc.client, u, strings.Split(tc.requested, " "))
			got := fmt.Sprintf("admitted %v final [%s] granted [%s] missing [%s]", d.Admitted, strings.Join(d.Final, " "), strings.Join(d.Granted, " "), strings.Join(d.Missing, " "))
			want := fmt.Sprintf("admitted %v final [%s] granted [%s] missing [%s]", tc.admitted, tc.final, tc.granted, tc.missing)
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			refusal, refused := d.Refusal()
			if refused == d.Admitted || refusal.Kind != tc.refusal {
				t.Errorf("refusal %q (%v), want %q", refusal.Kind, refused, tc.refusal)
			}
		})
	}
}

const narrowing = oidc.MissingNarrow

func TestNobodyIsNotAdmitted(t *testing.T) {
	t.Parallel()
	if d := claims.Resolve(application(), nil, []string{"openid"}); d.Admitted || len(d.Granted) > 0 {
		t.Errorf("got %+v", d)
	}
}

func TestNarrow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		change   func(c *oidc.Client, u *oidc.User)
		groups   []string
		granted  string
		admitted bool
		left     string
	}{
		{name: "all is as it was", groups: []string{cloudDN}, granted: "openid profile offline_access", admitted: true, left: "openid profile offline_access"},
		{name: "a removed group takes its scopes along, even where sign-in would refuse", granted: "openid profile", admitted: true, left: "openid"},
		{name: "a new group adds nothing", groups: []string{cloudDN, staffDN}, granted: "openid", admitted: true, left: "openid"},
		{name: "the grant ends when openid is lost", change: func(c *oidc.Client, _ *oidc.User) { c.Scopes.Everyone = nil }, groups: []string{cloudDN}, granted: "openid profile"},
		{name: "the grant ends when nothing is left", granted: "profile offline_access"},
		{name: "the grant ends with the account", change: func(_ *oidc.Client, u *oidc.User) { u.State = oidc.StateDisabled }, groups: []string{cloudDN}, granted: "openid"},
		{
			name:   "the grant ends with the last allowed group",
			change: func(c *oidc.Client, _ *oidc.User) { c.AllowedGroups = []oidc.DN{oidc.MustParseDN(adminDN)} },
			groups: []string{cloudDN}, granted: "openid",
		},
		{
			name:   "offline_access goes when the client loses refresh tokens",
			change: func(c *oidc.Client, _ *oidc.User) { c.GrantTypes = []string{"authorization_code"} },
			groups: []string{cloudDN}, granted: "openid offline_access", admitted: true, left: "openid",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, u := application(cloudDN+": profile", staffDN+": email"), person(tc.groups...)
			if tc.change != nil {
				tc.change(c, u)
			}
			d := claims.Narrow(c, u, strings.Fields(tc.granted))
			if left := strings.Join(d.Granted, " "); d.Admitted != tc.admitted || left != tc.left {
				t.Errorf("admitted %v with %q, want %v with %q; %v", d.Admitted, left, tc.admitted, tc.left, d.Reasons)
			}
		})
	}
}

func TestTheTraceTellsHowTheScopeWasReached(t *testing.T) {
	t.Parallel()
	c := application(cloudDN+": profile", adminDN+": email")
	u := person("cn=a,dc=x", cloudDN)
	u.Groups[1].Path = []string{"cn=a,dc=x", "cn=b,dc=x"}
	d := claims.Resolve(c, u, []string{"openid", "profile", "email", "phone"})
	var lines []string
	for _, r := range d.Reasons {
		lines = append(lines, r.String())
	}
	want := []string{
		"scope openid: for everyone",
		"scope profile: from group " + cloudDN + ", member through cn=a,dc=x → cn=b,dc=x",
		"refused: scope email is missing, it is given to members of " + adminDN,
		"refused: scope phone is missing, no scope map of this client gives it to anyone",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

// world reads a person, two clients and a request out of fuzz bytes: bits say
// which of eight groups give which of eight scopes and to whom.
func world(data []byte) (a, b *oidc.Client, u *oidc.User, requested []string) {
	next := func() byte {
		if len(data) == 0 {
			return 0
		}
		c := data[0]
		data = data[1:]
		return c
	}
	pick := func(names []string) (picked []string) {
		bits := next()
		for i, name := range names {
			if bits&(1<<i) != 0 {
				picked = append(picked, name)
			}
		}
		return picked
	}
	scopes := []string{"openid", "profile", "email", "address", "phone", "groups", "roles", "offline_access"}
	spellings := []string{"cn=g%d,dc=x", "CN=G%d, DC=X", `cn="g%d",dc=x`, `cn=\67%d;dc=x`}
	var groups []string
	for i := range 8 {
		groups = append(groups, fmt.Sprintf(spellings[i%len(spellings)], i))
	}
	client := func(id string) *oidc.Client {
		c := &oidc.Client{ID: id, GrantTypes: []string{"authorization_code"}}
		mode := next()
		if mode&1 != 0 {
			c.GrantTypes = append(c.GrantTypes, "refresh_token")
		}
		if mode&2 != 0 {
			c.OnMissingScope = oidc.MissingNarrow
		}
		c.Scopes.Everyone = pick(scopes)
		for i := range mode >> 4 {
			dn := fmt.Sprintf(spellings[(i+1)%4], i%8)
			c.Scopes.Groups = append(c.Scopes.Groups, oidc.ScopeMap{Group: oidc.MustParseDN(dn), Scopes: pick(scopes)})
		}
		if mode&4 != 0 {
			c.AllowedGroups = []oidc.DN{oidc.MustParseDN(groups[next()%8])}
		}
		return c
	}
	requested = pick(scopes)
	u = person(pick(groups)...)
	u.State = oidc.AccountState(next() % 8 / 6)
	return client("a"), client("b"), u, requested
}

// byHand is the rule of S2 written down a second time, as slowly as it reads.
func byHand(c *oidc.Client, u *oidc.User) map[string]bool {
	final := map[string]bool{}
	for _, s := range c.Scopes.Everyone {
		final[s] = true
	}
	for _, m := range c.Scopes.Groups {
		for _, g := range u.Groups {
			if oidc.MustParseDN(g.DN).Key() == m.Group.Key() {
				for _, s := range m.Scopes {
					final[s] = true
				}
			}
		}
	}
	delete(final, "offline_access")
	return final
}

func FuzzScopesNeverLeakAndNeverWiden(f *testing.F) {
	f.Add([]byte{0xff, 0xff, 0, 0x8f, 1, 2, 4, 8, 16, 32, 64, 128, 3, 0x80, 255})
	f.Add([]byte{3, 5, 0, 0x42, 1, 7, 3, 1, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b, u, requested := world(data)
		alone := claims.Resolve(a, u, requested)
		_ = claims.Resolve(b, u, requested)
		again := claims.Resolve(a, u, requested)
		if !slices.Equal(alone.Granted, again.Granted) || alone.Admitted != again.Admitted {
			t.Fatal("another client changed the decision")
		}
		final := byHand(a, u)
		if len(final) != len(alone.Final) {
			t.Fatalf("final %v, by hand %v", alone.Final, final)
		}
		for _, s := range alone.Granted {
			if !final[s] && s != "offline_access" || !slices.Contains(requested, s) {
				t.Fatalf("granted %s: final %v, requested %v", s, alone.Final, requested)
			}
		}
		for _, s := range alone.Missing {
			if final[s] || !slices.Contains(requested, s) {
				t.Fatalf("missing %s: final %v, requested %v", s, alone.Final, requested)
			}
		}
		if len(alone.Missing) > 0 && a.OnMissingScope != oidc.MissingNarrow && alone.Admitted {
			t.Fatal("admitted without a scope that was asked for")
		}
		if !alone.Admitted && len(alone.Granted) > 0 || alone.Admitted && u.State != oidc.StateActive {
			t.Fatalf("granted to who is not admitted: %+v", alone)
		}
		narrow := claims.Narrow(b, u, alone.Granted) // the maps may have become any others
		for _, s := range narrow.Granted {
			if !slices.Contains(alone.Granted, s) {
				t.Fatalf("Narrow gave %s, which was not granted before", s)
			}
		}
		same := claims.Narrow(a, u, alone.Granted)
		if alone.Admitted && (!same.Admitted || !slices.Equal(same.Granted, alone.Granted)) {
			t.Fatalf("Narrow took from %v and left %v though nothing changed", alone.Granted, same.Granted)
		}
	})
}

func BenchmarkResolveWithAThousandGroups(b *testing.B) {
	u := person()
	for i := range 1000 {
		u.Groups = append(u.Groups, oidc.Group{DN: fmt.Sprintf("cn=project-%d,ou=groups,dc=example,dc=org", i), Name: "project"})
	}
	c := application()
	for i := range 20 {
		c.Scopes.Groups = append(c.Scopes.Groups, oidc.ScopeMap{Group: oidc.MustParseDN(fmt.Sprintf("CN=Project-%d,ou=groups,dc=example,dc=org", i*50)), Scopes: []string{"profile"}})
	}
	requested := []string{"openid", "profile"}
	b.ReportAllocs()
	for b.Loop() {
		if !claims.Resolve(c, u, requested).Admitted {
			b.Fatal("not admitted")
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	u, c := person(staffDN, cloudDN, "cn=x,dc=y"), application(cloudDN+": profile groups", staffDN+": email profile")
	requested := []string{"openid", "profile", "email", "groups"}
	b.ReportAllocs()
	for b.Loop() {
		if !claims.Resolve(c, u, requested).Admitted {
			b.Fatal("not admitted")
		}
	}
}
