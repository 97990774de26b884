package main

import (
	"fmt"
	"net/http"
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
			token := app.tokens(newPerson(t).get(app.address()).signIn("alice"))
			subject, refresh := app.idToken(token).Subject, token.RefreshToken
			dn := ldaptest.PersonDN("alice")
			for i := range c.rounds {
				rdn := fmt.Sprintf("uid=alice%d", i)
				s.LDAP.Rename(dn, rdn)
				dn = rdn + ",ou=people," + ldaptest.BaseDN
				done := make(chan struct{})
				go func() {
					defer close(done)
					status, body := s.refreshAs("unique", refresh)
					if status != http.StatusOK {
						t.Errorf("round %d: %d %v", i, status, body)
						return
					}
					refresh, _ = body["refresh_token"].(string)
				}()
				if len(c.options) > 0 {
					time.Sleep(50 * time.Millisecond) // most of the time the first look comes before
					s.LDAP.Modify(ldaptest.GroupDN("cn=unique"), "uniqueMember", dn)
				}
				<-done
				if s.held(subject, "unique") != 1 {
					t.Fatalf("round %d: the grant has ended", i)
				}
			}
		})
	}
}
