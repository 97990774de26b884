package web

import (
	"io"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc/provider"
	"gatehouse/templates"
)

// initiate sends a person to an application, which then begins a sign-in (OpenID
// Connect Core 1.0, section 4).
func (s *Server) initiate(c echo.Context) error {
	query := c.Request().URL.Query()
	to, err := s.Endpoints.InitiateLogin(c.Param("client"), query)
	if err != nil {
		return err
	}
	if !to.Ask {
		c.Response().Header().Set("Cross-Origin-Opener-Policy", "unsafe-none") // see flowHeaders
		return c.Redirect(http.StatusSeeOther, to.Address)
	}
	page := templates.Leave{
		Client: clientInfo(&provider.Authorization{Client: to.Client, RedirectURI: to.Address}), Address: to.Address,
	}
	if u, err := url.Parse(to.Address); err == nil {
		page.Host = hostOf(u)
	}
	return s.page(c, http.StatusOK, query.Get("ui_locales"), func(w io.Writer, lang string) error { return s.Pages.Leave(w, lang, page) })
}
