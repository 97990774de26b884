package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// programs are what applications post to, with credentials of their own in the
// request. Cookies mean nothing there, or a posted authorisation request means what
// a link does; so other sites may post.
var programs = []string{
	"/authorize", "/token", "/par", "/introspect", "/revoke", "/userinfo", "/register", "/register/:client", "/device_authorization",
}

// Whatever address is added: what is posted to it from another site is refused, or it
// is one of those that programs post to.
func TestEveryFormThatThereIsRefusesOtherSites(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	wantCode(t, b.signIn("app", "ada", "right-ada"), "id-ada")
	forms := 0
	for _, route := range h.echo.Routes() {
		if !slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, route.Method) {
			continue
		}
		rest, isProtocol := strings.CutPrefix(strings.Replace(route.Path, "/oauth2/openid/:client", "/oauth2", 1), "/oauth2")
		if isProtocol && slices.Contains(programs, rest) {
			continue
		}
		forms++
		for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example.com"}, {"Origin", "null"}} {
			r := httptest.NewRequest(route.Method, strings.ReplaceAll(route.Path, ":", ""), strings.NewReader("request=x&allow=1&username=ada&password=right-ada&user_code=x"))
			r.Header.Set("Content-Type", formType)
			r.Header.Set(header[0], header[1])
			if v := b.do(r, true); v.status != http.StatusForbidden {
				t.Errorf("%s %s from another site (%s: %s): %d", route.Method, route.Path, header[0], header[1], v.status)
			}
		}
	}
	if forms < 4 {
		t.Errorf("only %d forms among %d routes", forms, len(h.echo.Routes()))
	}
}
