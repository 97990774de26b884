package ldapstore_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gatehouse/ldapstore"
	"gatehouse/ldapstore/ldaptest"
	"gatehouse/oidc"
)

// options are those that fit a server of ldaptest, over ldap:// on loopback.
func options(s *ldaptest.Server) ldapstore.Options {
	return ldapstore.Options{
		URL:          []string{s.URL},
		CAFile:       s.CAFile,
		BindDN:       s.ServiceDN,
		BindPassword: func() (string, error) { return s.ServicePassword, nil },
		BaseDN:       s.BaseDN,
	}
}

// open returns a Directory that ends with the test.
func open(t testing.TB, o ldapstore.Options) *ldapstore.Directory {
	t.Helper()
	d, err := ldapstore.New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	t.Cleanup(d.Close)
	return d
}

func mustUser(t testing.TB, d *ldapstore.Directory, name string) *oidc.User {
	t.Helper()
	u, err := d.UserByName(t.Context(), name)
	if err != nil {
		t.Fatalf("UserByName(%q): %v", name, err)
	}
	return u
}

func groupNames(u *oidc.User) []string {
	var names []string
	for _, g := range u.Groups {
		names = append(names, g.Name)
	}
	slices.Sort(names)
	return names
}

func wantGroups(t testing.TB, u *oidc.User, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got := groupNames(u); !slices.Equal(got, want) {
		t.Errorf("groups of %s are %q, want %q", u.Username, got, want)
	}
}

func wantReason(t testing.TB, err error, want oidc.SignInReason) {
	t.Helper()
	var refused *oidc.SignInError
	if !errors.As(err, &refused) {
		t.Fatalf("got error %v, want a refusal because of %s", err, want)
	}
	if refused.Reason != want {
		t.Fatalf("refused because of %s (%v), want %s", refused.Reason, refused.Err, want)
	}
}

func wantUnavailable(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, oidc.ErrUnavailable) || errors.Is(err, oidc.ErrNotFound) {
		t.Fatalf("got error %v, want one that is ErrUnavailable and not ErrNotFound", err)
	}
}

// eventually polls until f holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("it never happened that %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// searches counts the searches of one call.
func searches(ctx context.Context, n *int) context.Context {
	return ldapstore.WithTrace(ctx, func(s ldapstore.Step) {
		if s.What == ldapstore.StepSearch {
			*n++
		}
	})
}
