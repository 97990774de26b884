package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/templates"
)

// passwordStep is what the page for a new password has to remember. It is part of
// its sealed request.
type passwordStep struct {
	subject   string
	username  string // as typed; the new password is tried with it
	proof     string // handle of the password that has just been shown, or ""
	changeURL string
	expired   bool // otherwise it must be changed for another reason
	later     bool // there is a session already, and the person may go on without
	remember  bool // of the sign-in
}

func (p *passwordStep) texts() []*string {
	return []*string{&p.subject, &p.username, &p.proof, &p.changeURL}
}

func (p *passwordStep) flags() []*bool { return []*bool{&p.expired, &p.later, &p.remember} }

// offerNewPassword asks for a new password although the old one has let its person
// in. The session is saved first, so that "not now" has something to go on with.
func (s *Server) offerNewPassword(c echo.Context, a *provider.Authorization, v visit, step passwordStep) error {
	if err := s.ensureSaved(c.Request().Context(), v.change); err != nil {
		return s.retryable(c, a, v, err)
	}
	s.giveSession(c.Response(), v.secret, v.change.Session)
	return s.askNewPassword(c, a, http.StatusOK, step, templates.Password{})
}

// askNewPassword shows the page for a new password; p says what is special about
// it. The current one is asked for unless it has just been shown.
func (s *Server) askNewPassword(c echo.Context, a *provider.Authorization, status int, step passwordStep, p templates.Password) error {
	browser := s.cookies.ensureBrowser(c.Response(), c.Request())
	p.Client, p.Username, p.Expired, p.Later, p.ChangeURL = clientInfo(a), step.username, step.expired, step.later, step.changeURL
	p.AskOld = s.proofs.password(step.proof, step.subject) == ""
	kept := pendingOf(a)
	kept.password = step
	p.Request = s.sealer.seal(purposePassword, browser, kept)
	flowHeaders(c.Response().Header(), a)
	return s.page(c, status, a.UILocales, func(w io.Writer, lang string) error { return s.Pages.Password(w, lang, p) })
}

// password answers POST /password: what was entered, throttle, directory, and on
// with the sign-in.
func (s *Server) password(c echo.Context) error {
	form, err := s.readForm(c)
	if err != nil {
		return err
	}
	p, v, err := s.unseal(c, purposePassword, form["request"])
	if err != nil {
		return err
	}
	a, response, err := s.again(c.Request().Context(), p)
	if err != nil || response != nil || v.problem != templates.ProblemNone {
		return s.begun(c, a, response, err, v) // a page open for too long: its passwords aren't used
	}
	step := p.password
	if s.changer == nil || step.subject == "" {
		return sessionLost(errors.New("a page for a new password where there are none"))
	}
	if step.later {
		if v.browser, err = s.find(c.Request()); err != nil {
			return s.retryable(c, a, v, err)
		}
		_, later := form["later"]
		if later || v.browser.session == nil || v.browser.session.Subject != step.subject {
			s.proofs.forget(step.proof)
			return s.dispatch(c, a, v)
		}
	}
	oldPassword := s.proofs.password(step.proof, step.subject)
	if oldPassword == "" {
		step.proof, oldPassword = "", form["password"]
	}
	_, asked := form["password"]
	problem := judgeEntry(oldPassword, form["new_password"], form["new_password_again"])
	if oldPassword == "" && !asked {
		problem = templates.PasswordProblemOldNeeded
	}
	if problem != templates.PasswordProblemNone {
		return s.askNewPassword(c, a, http.StatusUnprocessableEntity, step, templates.Password{Problem: problem})
	}
	if err := s.changePassword(c, step, oldPassword, form["new_password"]); err != nil {
		return s.refusePassword(c, a, v, step, err)
	}
	s.proofs.forget(step.proof)
	oidc.Audit(c.Request().Context(), s.log, oidc.EventPassword, slog.String("client_id", a.Client.ID), slog.String("subject", step.subject),
		slog.String("remote", clientAddr(c)))
	return s.signInAnew(c, a, v, step, form["new_password"])
}

// judgeEntry says what is wrong with what was entered, before the directory hears
// of it.
func judgeEntry(oldPassword, newPassword, again string) templates.PasswordProblem {
	switch {
	case newPassword != again:
		return templates.PasswordProblemMismatch
	case newPassword == "", oldPassword == "":
		return templates.PasswordProblemEmpty
	case len(newPassword) > maxPassword, len(oldPassword) > maxPassword:
		return templates.PasswordProblemTooLong
	case newPassword == oldPassword:
		return templates.PasswordProblemSame
	}
	return templates.PasswordProblemNone
}

// changePassword has the directory change a password, if the throttle lets it: the
// old one is tried once.
func (s *Server) changePassword(c echo.Context, step passwordStep, oldPassword, newPassword string) error {
	from, _ := c.Get(remoteKey).(remote)
	try, refused := s.throttle.begin(step.username, from.client, s.device(c.Request()))
	if refused != nil {
		return refused.err()
	}
	defer try.settle(outcomeUnknown) // if the directory panics
	asking, cancel := detached(c.Request().Context())
	defer cancel()
	err := s.changer.ChangePassword(guarded(asking, try), step.subject, oldPassword, newPassword)
	try.settle(outcomeOf(err))
	return err
}

// signInAnew signs in with a password that was just set: that it holds is for the
// directory to say. Where it can't, whoever has no session has to try by hand.
func (s *Server) signInAnew(c echo.Context, a *provider.Authorization, v visit, step passwordStep, password string) error {
	user, err := s.authenticate(c.Request().Context(), c, step.username, password)
	if err == nil && user.ID != step.subject {
		err = errors.New("the name belongs to somebody else by now")
	}
	if err == nil {
		if v, err = s.signedIn(c, a, v, user, step.remember); err != nil {
			return s.retryable(c, a, v, err)
		}
		return s.dispatch(c, a, v)
	}
	s.auditRefusal(c, a, err)
	if v.browser.session != nil {
		return s.dispatch(c, a, v)
	}
	return s.signInPage(c, a, http.StatusOK, templates.SignIn{
		Username: step.username, Remember: step.remember, Problem: templates.ProblemNewPassword,
	})
}

// refusePassword writes the audit line of a password that was not changed, and
// shows the page that fits.
func (s *Server) refusePassword(c echo.Context, a *provider.Authorization, v visit, step passwordStep, err error) error {
	var wrong *oidc.SignInError
	var kept *oidc.PasswordError
	var waiting *oidc.ThrottledError
	attrs := []slog.Attr{slog.String("client_id", a.Client.ID), slog.String("remote", clientAddr(c))}
	page, status := templates.Password{}, http.StatusUnprocessableEntity
	switch {
	case errors.As(err, &kept):
		attrs = append(attrs, slog.String("subject", step.subject), slog.String("reason", string(kept.Reason)))
		if kept.Err != nil {
			attrs = append(attrs, slog.String("cause", kept.Err.Error()))
		}
		page.Problem, page.Detail = passwordProblemOf(kept.Reason), kept.Text
	case errors.As(err, &waiting):
		attrs = append(attrs, oidc.RefusalAttrs(err)...)
		page.Problem, page.RetryIn, status = templates.PasswordProblemThrottled, waiting.Wait, http.StatusTooManyRequests
		c.Response().Header().Set("Retry-After", seconds(waiting.Wait))
	case errors.As(err, &wrong):
		attrs = append(attrs, oidc.RefusalAttrs(err)...)
		s.proofs.forget(step.proof)
		page.Problem = templates.PasswordProblemOldWrong
	case errors.Is(err, oidc.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		attrs = append(attrs, slog.String("subject", step.subject), slog.String("reason", "unavailable"), slog.String("cause", err.Error()))
		page.Problem, status = templates.PasswordProblemUnavailable, http.StatusServiceUnavailable
		c.Response().Header().Set("Retry-After", "5")
	case errors.Is(err, oidc.ErrNotFound):
		wrong = &oidc.SignInError{Reason: oidc.ReasonUnknownUser, Subject: step.subject, Err: err}
		attrs = append(attrs, oidc.RefusalAttrs(wrong)...)
	default:
		return s.retryable(c, a, v, err)
	}
	oidc.Audit(c.Request().Context(), s.log, oidc.EventPasswordKept, attrs...)
	signIn := templates.SignIn{Username: step.username, Remember: step.remember, ChangeURL: step.changeURL}
	switch {
	case kept != nil && kept.Reason == oidc.PasswordUncertain:
		s.proofs.forget(step.proof)
		signIn.Problem = templates.ProblemUncertain
		return s.signInPage(c, a, http.StatusServiceUnavailable, signIn)
	case wrong != nil && waiting == nil && wrong.Reason != oidc.ReasonWrongPassword && wrong.Reason != oidc.ReasonEmptyPassword:
		signIn.Problem = problemOf(wrong.Reason)
		return s.signInPage(c, a, status, signIn)
	}
	return s.askNewPassword(c, a, status, step, page)
}

// passwordProblemOf says what a person reads about a password that wasn't taken.
func passwordProblemOf(reason oidc.PasswordReason) templates.PasswordProblem {
	switch reason {
	case oidc.PasswordTooShort:
		return templates.PasswordProblemTooShort
	case oidc.PasswordInHistory:
		return templates.PasswordProblemInHistory
	case oidc.PasswordTooYoung:
		return templates.PasswordProblemTooYoung
	case oidc.PasswordQuality:
		return templates.PasswordProblemQuality
	case oidc.PasswordForbidden:
		return templates.PasswordProblemForbidden
	case oidc.PasswordPolicy:
		return templates.PasswordProblemPolicy
	}
	return templates.PasswordProblemImpossible
}
