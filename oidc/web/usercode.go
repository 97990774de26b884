package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/templates"
)

// wrongCodes is how many wrong user codes one network may type in a window of the
// throttle. There are 2.6·10¹⁰ of them: were a thousand devices waiting at once, ten
// thousand networks would find one with less than 1 % (RFC 8628, section 5.1).
const wrongCodes = 20

// deviceStarts is how many devices one network may start in fifteen minutes: each is a row in
// the database, and a client without a secret is whoever says so.
const deviceStarts = 300

// errDeviceGone means that a user code does no longer work.
var errDeviceGone = errors.New("no device waits with this user code")

// userCodePage answers GET /device: it asks for the code, which a link may fill in. That
// alone does nothing (RFC 8628, section 3.3.1).
func (s *Server) userCodePage(c echo.Context) error {
	query := c.Request().URL.Query()
	return s.askUserCode(c, http.StatusOK, query.Get("ui_locales"), templates.Device{UserCode: provider.NormalUserCode(query.Get("user_code"))})
}

func (s *Server) askUserCode(c echo.Context, status int, uiLocales string, p templates.Device) error {
	browser := s.cookies.ensureBrowser(c.Response(), c.Request())
	form := url.Values{}
	if uiLocales != "" {
		form.Set("ui_locales", uiLocales)
	}
	p.Request = s.sealer.seal(purposeUserCode, browser, pending{form: form})
	return s.page(c, status, uiLocales, func(w io.Writer, lang string) error { return s.Pages.Device(w, lang, p) })
}

// userCode answers POST /device: throttle, look the code up, and on to dispatch as with
// any other request. A page that was open for long does as well as a fresh one.
func (s *Server) userCode(c echo.Context) error {
	form, err := s.readForm(c)
	if err != nil {
		return err
	}
	p, _, err := s.unseal(c, purposeUserCode, form["request"])
	if err != nil {
		return err
	}
	ctx, uiLocales := c.Request().Context(), p.form.Get("ui_locales")
	from, _ := c.Get(remoteKey).(remote)
	try, refused := s.throttle.beginCode(from.client)
	if refused != nil {
		s.auditUserCode(c, "throttled")
		c.Response().Header().Set("Retry-After", seconds(refused.wait))
		return s.askUserCode(c, http.StatusTooManyRequests, uiLocales, templates.Device{
			UserCode: provider.NormalUserCode(form["user_code"]), Problem: templates.DeviceProblemThrottled, RetryIn: refused.wait,
		})
	}
	a, err := s.Provider.Device(ctx, form["user_code"], uiLocales)
	gone := errors.Is(err, oidc.ErrNotFound)
	try.settle(gone)
	switch {
	case gone:
		s.auditUserCode(c, "unknown")
		return s.askUserCode(c, http.StatusUnprocessableEntity, uiLocales, templates.Device{
			UserCode: shortened(form["user_code"]), Problem: templates.DeviceProblemWrong,
		})
	case err != nil:
		return err
	}
	return s.begun(c, a, nil, nil, visit{})
}

// shortened keeps what was typed for another try.
func shortened(typed string) string {
	if len(typed) > 64 {
		return ""
	}
	return typed
}

func (s *Server) auditUserCode(c echo.Context, reason string) {
	oidc.Audit(c.Request().Context(), s.log, oidc.EventUserCode, slog.String("remote", clientAddr(c)), slog.String("reason", reason))
}

// again reads a request that was kept while its person signed in.
func (s *Server) again(ctx context.Context, p pending) (*provider.Authorization, *provider.Response, error) {
	if p.userCode == "" {
		return s.Provider.Resume(ctx, p.form, p.requestedAt)
	}
	a, err := s.Provider.Device(ctx, p.userCode, p.form.Get("ui_locales"))
	if errors.Is(err, oidc.ErrNotFound) {
		err = errDeviceGone
	}
	return a, nil, err
}

// pendingOf is what a page remembers of a request.
func pendingOf(a *provider.Authorization) pending {
	return pending{form: a.Form, requestedAt: a.RequestedAt, userCode: a.UserCode}
}

// deviceDone tells how the sign-in of a device ended. a is nil where that is not known.
func (s *Server) deviceDone(c echo.Context, a *provider.Authorization, outcome provider.DeviceOutcome) error {
	page, uiLocales := templates.DeviceDone{Outcome: templates.DeviceOutcome(outcome)}, ""
	if a != nil {
		page.Client, uiLocales = clientInfo(a), a.UILocales
		flowHeaders(c.Response().Header(), a)
	}
	status := http.StatusOK
	switch outcome {
	case provider.DeviceRefused:
		status = http.StatusForbidden
	case provider.DeviceGone:
		status = http.StatusGone
	case provider.DeviceAllowed, provider.DeviceDenied:
	}
	return s.page(c, status, uiLocales, func(w io.Writer, lang string) error { return s.Pages.DeviceDone(w, lang, page) })
}

// startDevice lets a network start so many devices without any proof of who asks, and
// no more.
func (s *Server) startDevice(h http.Handler) echo.HandlerFunc {
	return s.paced(h, s.devicePace, bringsProof, "devices", errors.New("too many devices were started from one network"), nil)
}

// codeTry is one user code that is about to be looked up. The caller must settle it.
type codeTry struct {
	t        *throttle
	network  *networkCount
	settings ThrottleSettings
	settled  bool
}

// beginCode counts a user code as wrong until it is settled, or refuses to have it
// looked up.
func (t *throttle) beginCode(from netip.Addr) (*codeTry, *refusal) {
	settings := t.settings
	settings.NetworkFailures = wrongCodes
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	network := t.networks.get(t.hash("user codes", networkOf(from)), now)
	if wait := network.wait(settings, now); wait > 0 {
		return nil, &refusal{by: "network", wait: wait}
	}
	network.open++
	return &codeTry{t: t, network: network, settings: settings}, nil
}

// settle says whether the code was wrong. Only the first call counts.
func (y *codeTry) settle(wrong bool) {
	y.t.mu.Lock()
	defer y.t.mu.Unlock()
	if y.settled {
		return
	}
	y.settled = true
	y.network.open--
	if wrong {
		y.network.fail(y.settings, y.t.now())
	}
}
