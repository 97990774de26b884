package web

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
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
// hold form-action against every redirect that follows a form: ours to the
// application, and the application's own to wherever its pages are, which is
// often another host. With the redirect URI's origin alone, Chromium's sign-in
// button does nothing there and says nothing; hence all of https.
// The opener policy is dropped: an application that signs in through a pop-up
// window would lose touch with it.
func flowHeaders(h http.Header, a *provider.Authorization) {
	var images []string
	if u, err := url.Parse(a.Client.LogoURI); err == nil && u.Scheme == "https" {
		if source := hostSource(u); source != "" {
			images = append(images, source)
		}
	}
	forms := []string{"https:"}
	if a.UserCode != "" { // a device's sign-in ends here
		h.Set("Content-Security-Policy", contentPolicy(images, nil))
		return
	}
	if u, err := url.Parse(a.RedirectURI); err == nil && u.Scheme != "https" {
		forms = append(forms, redirectSource(u))
	}
	h.Set("Content-Security-Policy", contentPolicy(images, forms))
	h.Set("Cross-Origin-Opener-Policy", "unsafe-none")
}

// hostSource returns the source expression for an origin (CSP level 3, section
// 2.3.1), or "" where there is none, as for IPv6 literals.
func hostSource(u *url.URL) string {
	const hostChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:"
	if u.Host == "" || strings.Trim(u.Host, hostChars) != "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// redirectSource returns the source expression for a redirect URI that is not
// https: a native application's scheme, or a loopback host with all its ports,
// since the front of what is being developed is often at another one.
func redirectSource(u *url.URL) string {
	if u.Scheme != "http" || hostSource(u) == "" {
		return u.Scheme + ":"
	}
	return "http://" + u.Hostname() + ":*"
}

// clientInfo is what pages show of an application.
func clientInfo(a *provider.Authorization) templates.ClientInfo {
	c := a.Client
	shown := c.Name
	if c.Registered == oidc.RegisteredByAnyone {
		shown = strangersName(c, a.RedirectURI)
	}
	return templates.ClientInfo{
		ID: c.ID, Name: shown, URI: c.ClientURI, LogoURI: c.LogoURI, PolicyURI: c.PolicyURI, TosURI: c.TosURI,
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

// longestHost leaves room for a name behind it.
const longestHost = 50

// strangersName puts where the answer goes before a name that nobody has looked at:
// anybody can take any name, but no host of somebody else's. Of a long host the end
// counts.
func strangersName(c *oidc.Client, redirectURI string) string {
	host := returnHost(redirectURI)
	if host == "" { // an app on a device
		host, _, _ = strings.Cut(redirectURI, ":")
	}
	if host == "" { // a device, to which nobody is sent
		host = c.ID
	}
	if len(host) > longestHost {
		host = "…" + host[len(host)-longestHost:]
	}
	return host + " (" + c.Name + ")"
}
