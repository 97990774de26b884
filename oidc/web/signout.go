package web

import (
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"gatehouse/templates"
)

// signOutPage answers GET /signout: it asks whoever is signed in, and tells
// everybody else that they are signed out.
func (s *Server) signOutPage(c echo.Context) error {
	found, err := s.find(c.Request())
	if err != nil {
		return err
	}
	locales := c.Request().URL.Query().Get("ui_locales")
	if found.session == nil {
		return s.page(c, http.StatusOK, locales, func(w io.Writer, lang string) error {
			return s.Pages.SignedOut(w, lang, templates.SignedOut{})
		})
	}
	browser := s.cookies.ensureBrowser(c.Response(), c.Request())
	page := templates.SignOut{Request: s.sealer.seal(purposeSignOut, browser, pending{sessionID: found.session.ID})}
	return s.page(c, http.StatusOK, locales, func(w io.Writer, lang string) error { return s.Pages.SignOut(w, lang, page) })
}

// signOut answers POST /signout and ends the browser's session. A form that was
// open for long still does what it says; one of a session that has been replaced
// since is shown anew.
func (s *Server) signOut(c echo.Context) error {
	form, err := s.readForm(c)
	if err != nil {
		return err
	}
	p, _, err := s.unseal(c, purposeSignOut, form["request"])
	if err != nil {
		return err
	}
	found, err := s.find(c.Request())
	if err != nil {
		return err
	}
	if found.session == nil || found.session.ID == p.sessionID {
		if err := s.endSession(c, found, "asked"); err != nil {
			return err
		}
	}
	// Or Back would show the consent page once more, with the person's name:
	// Chromium keeps a page that the answer to a form led to, whatever
	// Cache-Control says.
	c.Response().Header().Set("Clear-Site-Data", `"cache"`)
	return c.Redirect(http.StatusSeeOther, "/signout")
}
