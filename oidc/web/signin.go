package web

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/templates"
)

// Longer names and passwords are refused without asking the directory.
const (
	maxName     = 256
	maxPassword = 1024
)

// signIn answers POST /signin: CSRF, throttle, directory, a new session, and back
// to dispatch.
func (s *Server) signIn(c echo.Context) error {
	form, err := s.readForm(c)
	if err != nil {
		return err
	}
	p, v, err := s.unseal(c, purposeSignIn, form["request"])
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	a, response, err := s.again(ctx, p)
	if err != nil || response != nil || v.problem != templates.ProblemNone {
		return s.begun(c, a, response, err, v) // a page open for too long: its password isn't used
	}
	remember := s.SessionRemember > 0 && form["remember"] == "1"
	page := templates.SignIn{Username: form["username"], Remember: remember}
	user, failed := s.authenticate(ctx, c, form["username"], form["password"])
	var refused *oidc.SignInError
	switch {
	case failed == nil:
	case errors.As(failed, &refused) && refused.MayChange && s.changer != nil:
		s.auditRefusal(c, a, failed)
		return s.askNewPassword(c, a, http.StatusOK, passwordStep{
			subject: refused.Subject, username: form["username"], proof: s.proofs.keep(refused.Subject, form["password"]),
			changeURL: refused.ChangeURL, expired: refused.Reason == oidc.ReasonPasswordExpired, remember: remember,
		}, templates.Password{})
	default:
		return s.refuseSignIn(c, a, v, page, failed)
	}
	if v, err = s.signedIn(c, a, v, user, remember); err != nil {
		return s.retryable(c, a, v, err)
	}
	if user.PasswordExpired && s.changer != nil {
		return s.offerNewPassword(c, a, v, passwordStep{
			subject: user.ID, username: form["username"], proof: s.proofs.keep(user.ID, form["password"]),
			expired: true, later: true, remember: remember,
		})
	}
	return s.dispatch(c, a, v)
}

// signedIn makes the session of somebody who has just shown their password.
func (s *Server) signedIn(c echo.Context, a *provider.Authorization, v visit, user *oidc.User, remember bool) (visit, error) {
	var err error
	if v.browser, err = s.find(c.Request()); err != nil {
		return v, err
	}
	v.user = user
	v.secret, v.change = s.newSession(user.ID, remember, v.browser)
	oidc.Audit(c.Request().Context(), s.log, oidc.EventSignIn, slog.String("client_id", a.Client.ID), slog.String("subject", user.ID),
		slog.String("session_id", v.change.Session.ID), slog.String("remote", clientAddr(c)))
	return v, nil
}

// authenticate is SignIn for somebody in front of a browser.
func (s *Server) authenticate(ctx context.Context, c echo.Context, name, password string) (*oidc.User, error) {
	from, _ := c.Get(remoteKey).(remote)
	user, err := s.try(ctx, from.client, s.device(c.Request()), name, password)
	if err != nil {
		return nil, err
	}
	s.rememberDevice(c.Response(), c.Request(), name, user.ID)
	return user, nil
}

// SignIn asks the directory once, if the throttle lets it, for somebody who has given
// an application their password. Its tries count like those of the sign-in page, and
// together with them.
func (s *Server) SignIn(ctx context.Context, from netip.Addr, name, password string) (*oidc.User, error) {
	return s.try(ctx, from, nil, name, password)
}

// try asks the directory once, if the throttle lets it. That an unknown name takes as
// long as a wrong password is the directory's part of the bargain; the throttle's is
// to treat both alike. A person whom the throttle refuses under a name that has tries
// left looks like a wrong password, and the name has one try less, as an unknown one
// would. The error is a *oidc.ThrottledError, a *oidc.SignInError, or something that
// can't tell.
func (s *Server) try(ctx context.Context, from netip.Addr, d device, name, password string) (*oidc.User, error) {
	if name == "" || password == "" {
		return nil, &oidc.SignInError{Reason: oidc.ReasonEmptyPassword}
	}
	if len(name) > maxName || len(password) > maxPassword {
		return nil, &oidc.SignInError{Reason: oidc.ReasonWrongPassword, Err: errors.New("longer than any name or password")}
	}
	try, refused := s.throttle.begin(name, from, d)
	if refused != nil {
		return nil, refused.err()
	}
	defer try.settle(outcomeUnknown) // if the directory panics
	asking, cancel := detached(ctx)
	defer cancel()
	user, err := s.Directory.Authenticate(guarded(asking, try), name, password)
	if err == nil {
		err = usable(user)
	}
	try.settle(outcomeOf(err))
	if err != nil {
		return nil, err
	}
	return user, nil
}

// guarded has the directory ask the throttle once more when it knows whom the name
// belongs to.
func guarded(ctx context.Context, y *try) context.Context {
	return oidc.WithBindGuard(ctx, func(subject string) error {
		if refused := y.reserve(subject); refused != nil {
			return refused.err()
		}
		return nil
	})
}

// usable refuses a person whose account is not to be used, in case a directory
// takes the password all the same.
func usable(u *oidc.User) error {
	switch u.State {
	case oidc.StateActive:
		return nil
	case oidc.StateExpired:
		return &oidc.SignInError{Reason: oidc.ReasonAccountExpired, Subject: u.ID}
	default:
		return &oidc.SignInError{Reason: oidc.ReasonDisabled, Subject: u.ID}
	}
}

// outcomeOf says what a try means to the throttle. Refusals that come with the
// right password count as failures too but for those that prove it: what the
// directory counts is not known, and the lower number is safe.
func outcomeOf(err error) outcome {
	var refused *oidc.SignInError
	switch {
	case err == nil:
		return outcomeRight
	case !errors.As(err, &refused):
		return outcomeUnknown
	case refused.Reason == oidc.ReasonMustChange, refused.MayChange:
		return outcomeRight
	case refused.Reason == oidc.ReasonEmptyPassword:
		return outcomeUnknown // the directory was not asked
	}
	return outcomeWrong
}

// problemOf says what a person reads. That a name is unknown, that it is
// ambiguous and that the password is wrong are one sentence. So is that the person
// is throttled under another of their names: to say it would tell a stranger that
// the two names belong to one person, or that this one belongs to anybody. And so
// is a lock after failures, which directories tell whatever the password is (389
// DS by code 19, Active Directory by 775, slapd by ppolicy_use_lockout): that
// sentence says for everybody that the account may be locked. The others are told
// apart: a directory says them only to who has the right password.
func problemOf(reason oidc.SignInReason) templates.Problem {
	switch reason {
	case oidc.ReasonUnknownUser, oidc.ReasonAmbiguous, oidc.ReasonWrongPassword, oidc.ReasonEmptyPassword, oidc.ReasonThrottled,
		oidc.ReasonLocked:
		return templates.ProblemWrong
	case oidc.ReasonPasswordExpired:
		return templates.ProblemExpired
	case oidc.ReasonMustChange:
		return templates.ProblemMustChange
	case oidc.ReasonDisabled:
		return templates.ProblemDisabled
	case oidc.ReasonAccountExpired:
		return templates.ProblemAccountExpired
	case oidc.ReasonOutsideHours:
		return templates.ProblemOutsideHours
	}
	return templates.ProblemUnknown
}

// refuseSignIn writes the audit line and shows the sign-in page once more.
func (s *Server) refuseSignIn(c echo.Context, a *provider.Authorization, v visit, page templates.SignIn, err error) error {
	status := http.StatusServiceUnavailable
	var refused *oidc.SignInError
	var waiting *oidc.ThrottledError
	switch {
	case errors.As(err, &refused): // first: it may have been the throttle that the directory asked
		status, page.Problem, page.ChangeURL = http.StatusUnprocessableEntity, problemOf(refused.Reason), refused.ChangeURL
	case errors.As(err, &waiting):
		status, page.Problem, page.RetryIn = http.StatusTooManyRequests, templates.ProblemThrottled, waiting.Wait
		c.Response().Header().Set("Retry-After", seconds(waiting.Wait))
	case errors.Is(err, oidc.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		page.Problem = templates.ProblemUnavailable
		c.Response().Header().Set("Retry-After", "5")
	default:
		return s.retryable(c, a, v, err)
	}
	s.auditRefusal(c, a, err)
	return s.signInPage(c, a, status, page)
}

// auditRefusal writes the audit line of a sign-in that failed. The typed name is
// in neither log: people type passwords into its field.
func (s *Server) auditRefusal(c echo.Context, a *provider.Authorization, err error) {
	oidc.Audit(c.Request().Context(), s.log, oidc.EventSignInRefused, append([]slog.Attr{
		slog.String("client_id", a.Client.ID), slog.String("remote", clientAddr(c)),
	}, oidc.RefusalAttrs(err)...)...)
}
