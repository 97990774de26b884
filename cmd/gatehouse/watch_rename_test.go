package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/config"
	"gatehouse/ldapstore/ldaptest"
)

// uniqueYAML is a client for a group whose members slapd keeps nowhere else: not in
// their memberOf.
var uniqueYAML = clientYAML("unique", `
allowed_groups: ["`+ldaptest.GroupDN("cn=unique")+`"]
scopes:
  everyone: [openid]
`)

// groupsMayLag is how long after a rename the groups may follow without a grant
// being lost: a little less than what the first two looks are apart.
const groupsMayLag = 250 * time.Millisecond

type refreshed struct {
	status int
	body   map[string]any
}

func uidOf(dn string) string {
	rdn, _, _ := strings.Cut(dn, ",")
	return strings.TrimPrefix(rdn, "uid=")
}

// TestARenameEndsNoGrantWhileGroupsFollow renames somebody again and again and
// refreshes at once, while slapd rewrites the groups in the background, or an
// administrator does so by hand a moment later.
func TestARenameEndsNoGrantWhileGroupsFollow(t *testing.T) {
	t.Parallel()
	byHand := ldaptest.WithEdit(func(conf string) string {
		var kept []string
		for line := range strings.Lines(conf) {
			if !strings.Contains(line, "refint_") && !strings.Contains(line, "overlay refint") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "")
	})
	for name, c := range map[string]struct {
		options []ldaptest.Option
		rounds  int
		watch   bool
	}{
		"by slapd":          {nil, 100, false},
		"by slapd, watched": {nil, 100, true},
		"by hand":           {[]ldaptest.Option{byHand}, 5, false},
		"by hand, watched":  {[]ldaptest.Option{byHand}, 5, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSiteOn(t, ldaptest.Start(t, c.options...), map[string]string{"clients.d/unique.yaml": uniqueYAML}, func(cfg *config.Config) {
				if c.watch {
					watching(cfg)
				}
			})
			if c.watch {
				eventually(t, "the directory is watched", func() bool { return strings.Contains(s.Log.String(), "directory watched") })
			}
			app := s.application("openid", "offline_access")
			app.config.ClientID = "unique"
			dn, counted := ldaptest.PersonDN("alice"), 0
			var subject, refresh string
			for i := range c.rounds {
				if refresh == "" {
					token := app.tokens(newPerson(t).get(app.address()).submit("username", uidOf(dn), "password", ldaptest.Password("alice")))
					subject, refresh = app.idToken(token).Subject, token.RefreshToken
				}
				rdn := fmt.Sprintf("uid=alice%d", i)
				begin := time.Now()
				s.LDAP.Rename(dn, rdn)
				dn = rdn + ",ou=people," + ldaptest.BaseDN
				answered := make(chan refreshed, 1)
				go func() {
					status, body := s.refreshAs("unique", refresh)
					answered <- refreshed{status, body}
				}()
				if len(c.options) > 0 {
					time.Sleep(50 * time.Millisecond) // most of the time the first look comes before
					s.LDAP.Modify(ldaptest.GroupDN("cn=unique"), "uniqueMember", dn)
				}
				eventually(t, "the group follows", func() bool {
					return slices.Contains(s.LDAP.Values(ldaptest.GroupDN("cn=unique"), "uniqueMember"), dn)
				})
				late := time.Since(begin) > groupsMayLag
				got := <-answered
				holds := s.held(subject, "unique") == 1
				switch {
				case got.status == http.StatusOK && holds:
					refresh, _ = got.body["refresh_token"].(string)
					counted++
				case late: // on a machine that is too busy the round shows nothing
					refresh = ""
				default:
					t.Fatalf("round %d: %d %v; the grant holds: %v", i, got.status, got.body, holds)
				}
			}
			if counted == 0 {
				t.Error("the groups were never in time")
			}
		})
	}
}
