package web

import (
	"net/http"
	"strings"
	"time"

	"gatehouse/oidc"
)

// cookies names and writes our cookies. With an https issuer they carry the
// __Host- prefix: no other host and no plain connection can set or read them. A
// loopback http issuer has no Secure, hence no prefix either.
type cookies struct {
	secure bool
}

func (k cookies) name(base string) string {
	if k.secure {
		return "__Host-gatehouse_" + base
	}
	return "gatehouse_" + base
}

// session returns the secret of the session cookie, or "".
func (k cookies) session(r *http.Request) string { return k.read(r, "session") }

// browser returns the id that forms are sealed for, or "".
func (k cookies) browser(r *http.Request) string { return k.read(r, "browser") }

func (k cookies) read(r *http.Request, base string) string {
	c, err := r.Cookie(k.name(base))
	if err != nil || !isSecret(c.Value) {
		return ""
	}
	return c.Value
}

// setSession hands the session's secret to the browser. Without lifetime the
// cookie ends with the browser.
func (k cookies) setSession(w http.ResponseWriter, secret string, lifetime time.Duration) {
	k.write(w, "session", secret, int(lifetime/time.Second))
}

func (k cookies) clearSession(w http.ResponseWriter) { k.write(w, "session", "", -1) }

// ensureBrowser returns the browser's id and gives it one if it has none.
func (k cookies) ensureBrowser(w http.ResponseWriter, r *http.Request) string {
	if id := k.browser(r); id != "" {
		return id
	}
	id := oidc.NewSecret("")
	k.write(w, "browser", id, 0)
	return id
}

// write sets a cookie. SameSite=Lax: it comes along when an application sends
// the browser here by a link or a redirect, and never with a form that another
// site posts.
func (k cookies) write(w http.ResponseWriter, base, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure is off for loopback http issuers only, see the type
		Name: k.name(base), Value: value, Path: "/", MaxAge: maxAge,
		Secure: k.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// isSecret reports whether s has the form of oidc.NewSecret("").
func isSecret(s string) bool {
	return len(s) == 43 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
