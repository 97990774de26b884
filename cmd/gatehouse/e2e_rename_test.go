package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// TestARenameKeepsTheSubjectAndANewAccountHasAnother: who marries or moves to another
// department stays who they are to every application, and whoever gets the name of
// somebody who left is a stranger.
func TestARenameKeepsTheSubjectAndANewAccountHasAnother(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) *ldaptest.Server{
		"OpenLDAP": func(t *testing.T) *ldaptest.Server { return ldaptest.Start(t) },
		"389 DS":   func(t *testing.T) *ldaptest.Server { return ldaptest.Start389(t, nil, nil) },
		"Active Directory": func(t *testing.T) *ldaptest.Server {
			if testing.Short() {
				t.Skip("to set a domain up takes long")
			}
			return ldaptest.StartAD(t, nil, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startSiteOn(t, start(t), nil)
			const uid = "bob"
			app := s.application("openid", "profile", "offline_access")
			browser := newPerson(t)
			token := app.tokens(browser.get(app.address()).signIn(uid))
			sub := app.idToken(token).Subject

			home := s.LDAP.PersonDN(uid)
			attribute, _, _ := strings.Cut(home, "=")
			s.LDAP.Rename(home, attribute+"=robert")
			renamed := strings.Replace(home, uid, "robert", 1)
			s.LDAP.Move(renamed, "ou=services,"+s.LDAP.BaseDN)
			moved := strings.Replace(renamed, "ou=people,", "ou=services,", 1)
			// The server's own references follow a moment later, and with them the groups.
			eventually(t, "the groups followed the move", func() bool {
				u, err := s.house.directory.User(context.Background(), sub)
				return err == nil && strings.EqualFold(u.DN, moved) && slices.ContainsFunc(u.Groups, func(g oidc.Group) bool { return g.Name == "staff" })
			})
			if info := app.userinfo(token); info["sub"] != sub {
				t.Errorf("userinfo after the move: %v, and sub was %s", info, sub)
			}
			token, err := app.config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil {
				t.Fatalf("refresh after the move: %v", err)
			}
			if got := app.idToken(token).Subject; got != sub {
				t.Errorf("sub after the move is %s, and was %s", got, sub)
			}
			if again := app.tokens(browser.get(app.address())); app.idToken(again).Subject != sub {
				t.Error("the session belongs to somebody else after the move")
			}

			s.LDAP.Delete(moved)
			if seen := s.introspect(token.AccessToken); seen["active"] != false || len(seen) != 1 {
				t.Errorf("introspection after the deletion: %v", seen)
			}
			s.LDAP.AddPerson(ldaptest.Person{UID: uid, GivenName: "Bob", Surname: "Second"})
			s.LDAP.AddMember(ldaptest.GroupDN("cn=staff"), home)
			if got := s.refresh(token.RefreshToken); got.Status != http.StatusBadRequest || !strings.Contains(got.Body, "invalid_grant") {
				t.Errorf("the old grant came back with the new account: %d %s", got.Status, got.Body)
			}
			if seen := s.introspect(token.AccessToken); seen["active"] != false {
				t.Errorf("the old token came back with the new account: %v", seen)
			}
			if g := browser.get(app.address()); g.Location != nil {
				t.Errorf("the old session came back with the new account: %v", g.Location)
			}
			if got := app.idToken(app.tokens(newPerson(t).get(app.address()).signIn(uid))).Subject; got == sub {
				t.Error("the new account has the sub of the old one")
			}
		})
	}
}
