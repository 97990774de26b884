package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/templates"
)

// visit is one request on its way through dispatch: who is there, and what they
// have just done.
type visit struct {
	browser  browserSession
	user     *oidc.User          // who has just signed in
	change   *oidc.SessionChange // their new session, not saved yet
	secret   string              // of the new session
	approved []string            // scopes just allowed on the consent page
	withheld []string            // names of claims just kept back there
	problem  templates.Problem   // what to say on the sign-in page
}

// authorize answers an authorization endpoint by GET and POST (OpenID Connect Core 1.0,
// section 3.1.2.1).
func (s *Server) authorize(c echo.Context) error {
	r := c.Request()
	if r.Method == http.MethodPost && s.cookies.session(r) == "" && s.cookies.browser(r) == "" {
		if sent, err := s.sendOn(c); sent || err != nil {
			return err
		}
	}
	a, response, err := s.Provider.Begin(r)
	return s.begun(c, a, response, err, visit{})
}

// sendOn answers a POST from another site, which SameSite=Lax cookies don't come
// along with, by a redirect to ourselves, which they do. What was posted is sealed:
// an application that posts has a reason to keep it out of addresses. Seals have no
// browser to be bound to here; a link made from one does what a link to
// /oauth2/authorize does.
func (s *Server) sendOn(c echo.Context) (sent bool, err error) {
	r := c.Request()
	if !isForm(r) {
		return false, &fault{status: http.StatusUnsupportedMediaType, kind: templates.ErrorInvalidRequest, err: errors.New("a form is expected")}
	}
	if err := r.ParseForm(); err != nil {
		return false, badRequest("the form cannot be read")
	}
	sealed := s.sealer.seal(purposePosted, "", pending{form: r.PostForm, issuer: c.Param("client")})
	if len(sealed) > maxSealedURL {
		return false, nil // signs in anew, which is better than an address that a proxy refuses
	}
	return true, c.Redirect(http.StatusSeeOther, "/signin?"+url.Values{"posted": {sealed}}.Encode())
}

// resume answers GET /signin and GET /consent, which go on with a request.
func (s *Server) resume(c echo.Context) error {
	query := c.Request().URL.Query()
	if posted := query.Get("posted"); posted != "" {
		p, _, err := s.sealer.open(purposePosted, "", posted)
		if err != nil {
			return sessionLost(err)
		}
		a, response, err := s.Provider.Resume(provider.At(c.Request().Context(), p.issuer), p.form, s.now())
		return s.begun(c, a, response, err, visit{})
	}
	if query.Get("request") == "" {
		return sessionLost(errors.New("a page of the sign-in without a request"))
	}
	p, v, err := s.unseal(c, purposeContinue, query.Get("request"))
	if err != nil {
		return err
	}
	a, response, err := s.again(c.Request().Context(), p)
	return s.begun(c, a, response, err, v)
}

// unseal opens the request of a page. One that was open for too long starts anew:
// as if the application had asked just now.
func (s *Server) unseal(c echo.Context, use purpose, text string) (pending, visit, error) {
	browser := s.cookies.browser(c.Request())
	if browser == "" && use == purposeContinue {
		return pending{}, visit{}, sessionLost(errors.New("an address of another browser's sign-in"))
	}
	if browser == "" {
		return pending{}, visit{}, &fault{status: http.StatusBadRequest, kind: templates.ErrorCookies, err: errors.New("the browser sent no cookie")}
	}
	p, expired, err := s.sealer.open(use, browser, text)
	if err != nil {
		return pending{}, visit{}, sessionLost(err)
	}
	if !expired {
		return p, visit{}, nil
	}
	p.requestedAt = s.now()
	return p, visit{problem: templates.ProblemSessionLost}, nil
}

// sessionLost is a form that is not of this browser, or of no use any more.
func sessionLost(err error) error {
	return &fault{status: http.StatusBadRequest, kind: templates.ErrorSessionLost, err: err}
}

// begun goes on with what Begin or Resume returned: the common end of every way
// to dispatch.
func (s *Server) begun(c echo.Context, a *provider.Authorization, response *provider.Response, err error, v visit) error {
	switch {
	case errors.Is(err, errDeviceGone):
		return s.deviceDone(c, nil, provider.DeviceGone)
	case err != nil:
		return err
	}
	if response != nil {
		return send(c, response)
	}
	if v.browser.hash == nil {
		if v.browser, err = s.find(c.Request()); err != nil {
			return s.retryable(c, a, v, err)
		}
	}
	return s.dispatch(c, a, v)
}

// dispatch asks the provider what comes next and does it. Every step of the flow
// leads here.
func (s *Server) dispatch(c echo.Context, a *provider.Authorization, v visit) error {
	ctx := c.Request().Context()
	visitor := provider.Visitor{Session: v.browser.session, User: v.user, Change: v.change, Approved: v.approved, Withheld: v.withheld}
	touched := func() {}
	if v.change != nil {
		visitor.Session = &v.change.Session
	} else {
		touched = s.touch(ctx, v.browser)
	}
	step, err := s.Provider.Next(ctx, a, visitor)
	touched()
	if err != nil {
		return s.retryable(c, a, v, err)
	}
	switch {
	case step.SignIn != nil:
		return s.askSignIn(c, a, v, *step.SignIn)
	case step.Consent != nil:
		return s.askConsent(c, a, v, *step.Consent)
	case step.Response != nil, step.Device != nil:
		if v.change != nil {
			if err := s.ensureSaved(ctx, v.change); err != nil {
				return s.retryable(c, a, v, err)
			}
			s.giveSession(c.Response(), v.secret, v.change.Session)
		}
		if step.Device != nil {
			return s.deviceDone(c, a, step.Device.Outcome)
		}
		return send(c, step.Response)
	}
	return errors.New("the provider named no next step")
}

// send takes the browser back to the application.
func send(c echo.Context, response *provider.Response) error {
	c.Response().Header().Set("Cross-Origin-Opener-Policy", "unsafe-none") // see flowHeaders
	response.ServeHTTP(c.Response(), c.Request())
	return nil
}

// retryable is an error in the middle of an authorisation. Where the answer is
// "can't tell", the request is kept: who has just signed in gets the sign-in page
// again, and others an address that they can load again.
func (s *Server) retryable(c echo.Context, a *provider.Authorization, v visit, err error) error {
	f := asFault(err)
	f.client, f.uiLocales = clientInfo(a), a.UILocales
	if f.status != http.StatusServiceUnavailable {
		return f
	}
	if v.change != nil {
		s.logFault(c, f)
		c.Response().Header().Set("Retry-After", seconds(f.after))
		return s.signInPage(c, a, f.status, templates.SignIn{Problem: templates.ProblemUnavailable})
	}
	if c.Request().Method != http.MethodGet {
		if address := s.continueURL(c, a, "/signin"); address != "" {
			s.logFault(c, f)
			return c.Redirect(http.StatusSeeOther, address)
		}
	}
	return f
}

// logFault logs an error that is answered by something other than an error page.
func (s *Server) logFault(c echo.Context, f *fault) {
	s.log.LogAttrs(c.Request().Context(), slog.LevelError, "can't go on with a sign-in for now",
		slog.String("request_id", oidc.RequestID(c.Request().Context())), slog.String("error", f.Error()))
}

// continueURL returns an address that goes on with a, or "" if it would be too
// long.
func (s *Server) continueURL(c echo.Context, a *provider.Authorization, path string) string {
	browser := s.cookies.ensureBrowser(c.Response(), c.Request())
	sealed := s.sealer.seal(purposeContinue, browser, pendingOf(a))
	if len(sealed) > maxSealedURL {
		return ""
	}
	return path + "?" + url.Values{"request": {sealed}}.Encode()
}

// askSignIn shows the sign-in page.
func (s *Server) askSignIn(c echo.Context, a *provider.Authorization, v visit, step provider.SignInStep) error {
	if step.EndSession && v.browser.session != nil {
		if err := s.endSession(c, v.browser, "person_gone"); err != nil {
			return s.retryable(c, a, v, err)
		}
	}
	if v.change != nil && v.problem == templates.ProblemNone {
		v.problem = templates.ProblemUnknown // signed in rightly, and still it doesn't do: somebody else is wanted
	}
	status := http.StatusOK
	if v.problem == templates.ProblemUnknown {
		status = http.StatusUnprocessableEntity
	}
	return s.signInPage(c, a, status, templates.SignIn{Username: step.LoginHint, Problem: v.problem, Again: step.Again})
}

// signInPage shows the sign-in page; p says what is special about it.
func (s *Server) signInPage(c echo.Context, a *provider.Authorization, status int, p templates.SignIn) error {
	browser := s.cookies.ensureBrowser(c.Response(), c.Request())
	p.Client = clientInfo(a)
	p.RememberOffered = s.SessionRemember > 0
	p.Request = s.sealer.seal(purposeSignIn, browser, pendingOf(a))
	flowHeaders(c.Response().Header(), a)
	return s.page(c, status, a.UILocales, func(w io.Writer, lang string) error { return s.Pages.SignIn(w, lang, p) })
}

// askConsent asks whether the application may have what it asks for. After a
// sign-in it sends the browser to a page of its own, so that a reload doesn't post
// the password again.
func (s *Server) askConsent(c echo.Context, a *provider.Authorization, v visit, step provider.ConsentStep) error {
	session := v.browser.session
	if v.change != nil {
		if err := s.ensureSaved(c.Request().Context(), v.change); err != nil {
			return s.retryable(c, a, v, err)
		}
		s.giveSession(c.Response(), v.secret, v.change.Session)
		if address := s.continueURL(c, a, "/consent"); address != "" {
			return c.Redirect(http.StatusSeeOther, address)
		}
		session = &v.change.Session
	}
	if session == nil {
		return errors.New("consent is to be asked of nobody")
	}
	browser := s.cookies.ensureBrowser(c.Response(), c.Request())
	kept := pendingOf(a)
	kept.sessionID, kept.scopes, kept.choices = session.ID, step.Scopes, step.Withholdable
	page := templates.Consent{
		Client: clientInfo(a), Person: personName(step.User), Scopes: step.Scopes, New: step.New, ReturnTo: returnHost(a.RedirectURI),
		Withholdable: step.Withholdable, Withheld: step.Withheld,
		UserCode: a.UserCode, Request: s.sealer.seal(purposeConsent, browser, kept),
	}
	flowHeaders(c.Response().Header(), a)
	return s.page(c, http.StatusOK, a.UILocales, func(w io.Writer, lang string) error { return s.Pages.Consent(w, lang, page) })
}

// consent answers POST /consent. What was allowed is what the sealed request says
// was shown, to the person it was shown to; anything else is asked again.
func (s *Server) consent(c echo.Context) error {
	form, err := s.readForm(c)
	if err != nil {
		return err
	}
	p, v, err := s.unseal(c, purposeConsent, form["request"])
	if err != nil {
		return err
	}
	_, allow := form["allow"]
	_, deny := form["deny"]
	if allow == deny {
		return badRequest("neither allow nor deny, or both")
	}
	ctx := c.Request().Context()
	a, response, err := s.again(ctx, p)
	if err != nil || response != nil {
		return s.begun(c, a, response, err, v)
	}
	if v.browser, err = s.find(c.Request()); err != nil {
		return s.retryable(c, a, v, err)
	}
	same := v.browser.session != nil && v.browser.session.ID == p.sessionID
	if deny {
		subject := ""
		if same {
			subject = v.browser.session.Subject
		}
		if a.UserCode != "" {
			if err := s.Provider.DenyDevice(ctx, a, subject); err != nil {
				return s.retryable(c, a, v, err)
			}
			return s.deviceDone(c, a, provider.DeviceDenied)
		}
		return send(c, s.Provider.Deny(ctx, a, subject))
	}
	if same && v.problem == templates.ProblemNone {
		v.approved = p.scopes
		for _, name := range p.choices {
			if _, ticked := form["withhold_"+name]; ticked {
				v.withheld = append(v.withheld, name)
			}
		}
	}
	return s.dispatch(c, a, v)
}

// endSession ends a session in the store, then in the browser.
func (s *Server) endSession(c echo.Context, b browserSession, why string) error {
	ctx := c.Request().Context()
	if b.hash != nil {
		if err := s.Sessions.EndSession(ctx, *b.hash); err != nil && !errors.Is(err, oidc.ErrNotFound) {
			return fmt.Errorf("end the session: %w", err)
		}
	}
	s.cookies.clearSession(c.Response())
	if b.session != nil {
		oidc.Audit(ctx, s.log, oidc.EventSignOut, slog.String("subject", b.session.Subject), slog.String("session_id", b.session.ID),
			slog.String("reason", why), slog.String("remote", clientAddr(c)))
	}
	return nil
}

// clientAddr is the remote address for the audit log.
func clientAddr(c echo.Context) string {
	from, _ := c.Get(remoteKey).(remote)
	return name(from.client)
}

// detached keeps a password try going when the browser hangs up: or somebody could
// make tries that are never counted.
func detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}
