package web

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"gatehouse/oidc"
	"gatehouse/oidc/provider"
	"gatehouse/templates"
)

// page renders whole before it answers: a template that fails leaves no half page
// with a good status.
func (s *Server) page(c echo.Context, status int, uiLocales string, render func(w io.Writer, lang string) error) error {
	lang := s.Pages.Language(c.Request().Header.Get("Accept-Language"), uiLocales)
	var b bytes.Buffer
	if err := render(&b, lang); err != nil {
		return err
	}
	return c.HTMLBlob(status, b.Bytes())
}

func (s *Server) errorPage(c echo.Context, f *fault) error {
	uiLocales := f.uiLocales
	if uiLocales == "" {
		uiLocales = c.Request().URL.Query().Get("ui_locales")
	}
	return s.page(c, f.status, uiLocales, func(w io.Writer, lang string) error {
		return s.Pages.Error(w, lang, templates.Error{
			Kind: f.kind, Client: f.client, Detail: f.detail, RequestID: oidc.RequestID(c.Request().Context()),
		})
	})
}

// flowHeaders sets the policy of a page that belongs to an authorisation. Browsers
// hold form-action against the redirects that follow a form too, so the
// application's address is named. The opener policy is dropped: an application
// that signs in through a pop-up window would lose touch with it.
func flowHeaders(h http.Header, a *provider.Authorization) {
	var images, forms []string
	if u, err := url.Parse(a.Client.LogoURI); err == nil && u.Scheme == "https" {
		images = appendSource(images, u)
	}
	for _, address := range []string{a.RedirectURI, a.Client.ClientURI} {
		if u, err := url.Parse(address); err == nil {
			forms = appendSource(forms, u)
		}
	}
	h.Set("Content-Security-Policy", contentPolicy(images, forms))
	h.Set("Cross-Origin-Opener-Policy", "unsafe-none")
}

// appendSource adds the source expression of an address (CSP level 3, section
// 2.3.1). An address without host, as native applications have, and an IPv6
// literal, for which there is no expression, are named by their scheme.
func appendSource(sources []string, u *url.URL) []string {
	const hostChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:"
	source := u.Scheme + "://" + u.Host
	if u.Host == "" || strings.Trim(u.Host, hostChars) != "" {
		source = u.Scheme + ":"
	}
	if u.Scheme == "" || slices.Contains(sources, source) {
		return sources
	}
	return append(sources, source)
}

// clientInfo is what pages show of an application.
func clientInfo(c *oidc.Client) templates.ClientInfo {
	return templates.ClientInfo{
		ID: c.ID, Name: c.Name, URI: c.ClientURI, LogoURI: c.LogoURI, PolicyURI: c.PolicyURI, TosURI: c.TosURI,
	}
}

// personName is how a person is addressed on a page.
func personName(u *oidc.User) string {
	for _, attribute := range []string{"displayName", "cn"} {
		if v := u.First(attribute); v != "" {
			return v
		}
	}
	return u.Username
}

// returnHost is the host that the browser goes to when all is done, or "".
func returnHost(redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil {
		return ""
	}
	return hostOf(u)
}
