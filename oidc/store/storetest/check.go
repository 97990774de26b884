package storetest

import (
	"errors"
	"reflect"
	"sync"

	"gatehouse/oidc"
)

// ok fails the test at an error.
func (f *fixture) ok(err error) {
	f.Helper()
	if err != nil {
		f.Fatalf("got error: %v", err)
	}
}

// is fails the test unless the error wraps want and none of the other answers.
func (f *fixture) is(err, want error) {
	f.Helper()
	for _, e := range []error{oidc.ErrNotFound, oidc.ErrUsed, oidc.ErrRevoked, oidc.ErrUnavailable} {
		if errors.Is(err, e) != (e == want) { //nolint:errorlint // which of the list, not what is wrapped
			f.Fatalf("got error %v, want one that is %v and nothing else", err, want)
		}
	}
}

// wraps fails the test unless err wraps want.
func (f *fixture) wraps(err, want error) {
	f.Helper()
	if !errors.Is(err, want) {
		f.Fatalf("got error %v, want one that wraps %v", err, want)
	}
}

// same fails the test unless got is want, deeply.
func (f *fixture) same(got, want any) {
	f.Helper()
	if !reflect.DeepEqual(got, want) {
		f.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func (f *fixture) hasAccess(t *oidc.Token) {
	f.Helper()
	_, _, err := f.s.AccessToken(f.ctx, t.Hash)
	f.ok(err)
}

func (f *fixture) hasNoAccess(t *oidc.Token) {
	f.Helper()
	_, _, err := f.s.AccessToken(f.ctx, t.Hash)
	f.is(err, oidc.ErrNotFound)
}

func (f *fixture) hasRefresh(t *oidc.Token) {
	f.Helper()
	_, _, err := f.s.RefreshToken(f.ctx, t.Hash)
	f.ok(err)
}

func (f *fixture) hasNoRefresh(t *oidc.Token) {
	f.Helper()
	_, _, err := f.s.RefreshToken(f.ctx, t.Hash)
	f.is(err, oidc.ErrNotFound)
}

// atOnce runs n calls as nearly at once as can be and returns their errors.
func atOnce(n int, call func(i int) error) []error {
	errs := make([]error, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-begin
			errs[i] = call(i)
		})
	}
	close(begin)
	wg.Wait()
	return errs
}

// oneWins fails the test unless one of the errors is nil and the others are
// want. It returns which one won.
func (f *fixture) oneWins(errs []error, want error) int {
	f.Helper()
	winner := -1
	for i, err := range errs {
		switch {
		case err != nil:
			f.is(err, want)
		case winner >= 0:
			f.Fatalf("both call %d and call %d succeeded", winner, i)
		default:
			winner = i
		}
	}
	if winner < 0 {
		f.Fatal("no call succeeded")
	}
	return winner
}
