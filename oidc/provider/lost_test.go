package provider_test

import (
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/oidc"
)

// TestAGroupThatIsMissingForAMomentEndsNoGrant: while a directory follows up on a
// rename, somebody is in no group. Promise 1 holds meanwhile: nothing is given to
// who is in no group at the last look.
func TestAGroupThatIsMissingForAMomentEndsNoGrant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		back   int32         // the look at which the group is there again; 0: never
		down   int32         // the look at which the directory is away; 0: never
		change time.Duration // how long ago the entry was changed; 0: not known
		edit   func(*oidc.User)
		status int
		looks  int32
		holds  int // grants afterwards
	}{
		"back at the second look":            {back: 2, status: 200, looks: 2, holds: 1},
		"gone for good":                      {status: 400, looks: 2},
		"back at the third, renamed lately":  {back: 3, change: 5 * time.Second, status: 200, looks: 3, holds: 1},
		"for good, renamed lately":           {change: 5 * time.Second, status: 400, looks: 3},
		"for good, renamed long ago":         {back: 3, change: time.Minute, status: 400, looks: 2},
		"renamed, by a clock that is ahead":  {back: 3, change: -time.Hour, status: 200, looks: 3, holds: 1},
		"the directory is away at the next":  {down: 2, status: 503, looks: 2, holds: 1},
		"away at the one after that":         {down: 3, change: time.Second, status: 503, looks: 3, holds: 1},
		"disabled besides":                   {change: time.Second, edit: func(u *oidc.User) { u.State = oidc.StateDisabled }, status: 400, looks: 1},
		"another group was lost":             {edit: func(u *oidc.User) { u.Groups = alice().Groups }, status: 200, looks: 1, holds: 1},
		"disabled between one and the other": {back: -2, status: 400, looks: 2},
	} {
		for _, grantType := range []string{"refresh_token", "authorization_code"} {
			t.Run(name+", "+grantType, func(t *testing.T) {
				t.Parallel()
				h := newHouse(t)
				h.addClient("app", func(c *oidc.Client) { c.AllowedGroups = []oidc.DN{staff} })
				var form url.Values
				if grantType == "refresh_token" {
					form = refresh(h.tokens().text("refresh_token"))
				} else {
					form = exchange(h.code(request()))
				}
				h.people.Change("uuid-alice", func(u *oidc.User) {
					u.Groups = nil
					if c.change != 0 {
						u.ChangedAt = h.clock.Now().Add(-c.change)
					}
					if c.edit != nil {
						c.edit(u)
					}
				})
				var looks atomic.Int32
				h.people.BeforeAnswer(func() {
					switch n := looks.Add(1); n {
					case c.back:
						h.people.Change("uuid-alice", func(u *oidc.User) { u.Groups = alice().Groups })
					case -c.back:
						h.people.Change("uuid-alice", func(u *oidc.User) { u.State = oidc.StateDisabled })
					case c.down:
						h.people.SetDown(true)
					}
				})
				got := h.post(h.provider.Token(), form)
				if got.Status != c.status || c.status == http.StatusBadRequest && got.text("error") != "invalid_grant" || (got.text("access_token") != "") != (c.status == http.StatusOK) {
					t.Errorf("got %d %v, want %d", got.Status, got.Body, c.status)
				}
				if looks.Load() != c.looks || h.held("uuid-alice", "app") != c.holds {
					t.Errorf("%d looks, want %d; %d grants, want %d", looks.Load(), c.looks, h.held("uuid-alice", "app"), c.holds)
				}
				if c.status == http.StatusServiceUnavailable { // what was told works later
					h.people.SetDown(false)
					h.people.Change("uuid-alice", func(u *oidc.User) { u.Groups = alice().Groups })
					if got := h.post(h.provider.Token(), form); got.Status != http.StatusOK {
						t.Errorf("afterwards: %d %v", got.Status, got.Body)
					}
				}
			})
		}
	}
}
