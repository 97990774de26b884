package clients

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"gatehouse/oidc"
)

const maxURI = 2048

// redirectFault says what is wrong with a URI that people's browsers are sent
// to with a code in it, or returns "". The rules are those of RFC 6749, section
// 3.1.2, RFC 8252, section 7, and RFC 9700, section 2.1.
func redirectFault(text string, public bool) (message, hint string) {
	u, message, hint := parseURI(text)
	if message != "" {
		return message, hint
	}
	switch {
	case u.Scheme == "https":
		return hostFault(u)
	case u.Scheme == "http":
		if message, hint := hostFault(u); message != "" {
			return message, hint
		}
		if !loopbackHost(u.Hostname()) {
			return "http is for loopback addresses only: a code sent over it can be read on the way", "use https"
		}
		return "", ""
	case !strings.Contains(u.Scheme, "."):
		return "the scheme " + u.Scheme + ": is not allowed", "use https; an app on a device may use a scheme with a dot of its own, such as org.example.app:/callback (RFC 8252, section 7.1)"
	case !public:
		return "a scheme of an app's own is for public clients only", "use https, or set token_endpoint_auth_method: none"
	case u.Opaque != "":
		return "there is no path", "write " + u.Scheme + ":/callback"
	}
	return "", ""
}

// pageFault says what is wrong with a URI that is shown or loaded on our pages.
func pageFault(text string) (message, hint string) {
	u, message, hint := parseURI(text)
	if message != "" {
		return message, hint
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopbackHost(u.Hostname())) {
		return "only https is allowed here", "use an https address; http is for loopback addresses only"
	}
	return hostFault(u)
}

// httpsFault is about addresses for which the specifications allow nothing but https
// (OpenID Connect Core 1.0, sections 4 and 8.1).
func httpsFault(text string) (message, hint string) {
	u, message, hint := parseURI(text)
	if message == "" && u.Scheme != "https" {
		return "only https is allowed here", "use an https address"
	}
	if message == "" {
		message, hint = hostFault(u)
	}
	return message, hint
}

// originFault takes an origin as browsers write it.
func originFault(text string) (message, hint string) {
	const form = "write scheme, host and, if need be, port, such as https://app.example.org"
	if message, _ := pageFault(text); message != "" {
		return message, form
	}
	if oidc.OriginOf(text) != text {
		return "this is not an origin as browsers write it", form
	}
	return "", ""
}

// parseURI does what every URI needs: absolute, visible ASCII, no fragment, no
// user, no wildcard.
func parseURI(text string) (u *url.URL, message, hint string) {
	if text == "" {
		return nil, "it is empty", "write an absolute URI or leave the entry out"
	}
	if len(text) > maxURI {
		return nil, "it is longer than 2048 characters", ""
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0:
			return nil, "it holds a character that a URI can't have", "percent-encode it; write international host names in their xn-- form"
		case c == '*':
			return nil, "wildcards are not allowed", "list every URI by itself: they are compared character by character"
		}
	}
	if strings.Contains(text, "#") {
		return nil, "a fragment (#…) is not allowed", "leave out the # and what follows"
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, "it is not a URI", "write it like https://app.example.org/callback"
	}
	if u.Scheme == "" {
		return nil, "it is not absolute", "write it like https://app.example.org/callback"
	}
	if u.User != nil {
		return nil, "a user or password in the URI is not allowed", "leave out what stands before the @"
	}
	return u, "", ""
}

func hostFault(u *url.URL) (message, hint string) {
	if u.Hostname() == "" {
		return "there is no host", "write it like https://app.example.org/callback"
	}
	if u.Port() == "" && strings.HasSuffix(u.Host, ":") {
		return "the port is missing after the colon", "leave out the colon, or write the port"
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return "the port is not between 1 and 65535", ""
		}
	}
	return "", ""
}

// loopbackHost is about names as they are written: no resolver is asked.
func loopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
