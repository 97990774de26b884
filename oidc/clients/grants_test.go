package clients_test

import (
	"strings"
	"testing"

	"gatehouse/oidc/clients"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// complaints are the problems of a file in words, "" for none.
func complaints(text string) string {
	_, problems := clients.Parse("x.yaml", []byte(text))
	var all []string
	for _, p := range problems {
		all = append(all, p.Key+": "+p.Message)
	}
	return strings.Join(all, "\n")
}

func TestADeviceNeedsNoAddressToComeBackTo(t *testing.T) { // RFC 8628, section 3.1
	t.Parallel()
	tv := "client_id: tv\ntoken_endpoint_auth_method: none\ngrant_types: [\"" + deviceGrant + "\", refresh_token]\n"
	c, problems := clients.Parse("tv.yaml", []byte(tv+"scopes: {everyone: [openid]}\n"))
	if len(problems) > 0 || !c.HasGrantType(deviceGrant) || len(c.RedirectURIs) > 0 || len(clients.Warnings(c)) > 0 {
		t.Errorf("%v %v", problems, clients.Warnings(c))
	}
	c, _ = clients.Parse("tv.yaml", []byte(tv))
	if warnings := clients.Warnings(c); len(warnings) != 1 || warnings[0].Key != "scopes" {
		t.Errorf("nobody can sign in, and the warnings are %v", warnings)
	}
	if got := complaints(strings.ReplaceAll(tv, deviceGrant, "authorization_code")); !strings.Contains(got, "redirect_uris: there is none") {
		t.Errorf("got %q", got)
	}
	if got := complaints(strings.ReplaceAll(tv, `"`+deviceGrant+`", `, "")); !strings.Contains(got, "refresh_token is there without a grant type that gives one") {
		t.Errorf("got %q", got)
	}
}
