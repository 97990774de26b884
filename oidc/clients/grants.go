package clients

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gatehouse/oidc"
	"gatehouse/oidc/keys"
)

// The grant types.
const (
	grantCode      = "authorization_code"
	grantRefresh   = "refresh_token"
	grantClient    = "client_credentials"
	grantImplicit  = "implicit"
	grantDevice    = "urn:ietf:params:oauth:grant-type:device_code"
	grantJWTBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantPassword  = "password"
)

// personGrants are the grant types by which people sign in for longer.
var personGrants = []string{grantCode, grantDevice, grantPassword}

// confidentialGrants are those by which a client gets tokens of people without a page
// of ours, and so without their consent.
var confidentialGrants = []string{grantJWTBearer, grantPassword}

// finishGrants judges grant types by what else the file says.
func (d *draft) finishGrants() {
	c := &d.client
	if !d.clean("grant_types") {
		return
	}
	line := d.lines["grant_types"]
	if c.HasGrantType(grantRefresh) && !slices.ContainsFunc(personGrants, c.HasGrantType) {
		d.problem(line, "grant_types", "refresh_token is there without a grant type that gives one", "add authorization_code, or leave refresh_token out")
	}
	for _, grant := range confidentialGrants {
		if c.Public() && c.HasGrantType(grant) {
			d.problem(line, "grant_types", grant+" is there, but a public client can't prove who it is", "leave it out, or give the client a secret")
		}
	}
	at, given := d.lines["assertion_issuers"]
	switch {
	case c.HasGrantType(grantJWTBearer) && !given:
		d.problem(line, "assertion_issuers", "it is missing, and "+grantJWTBearer+" is among the grant types", "name whose assertions the client may bring")
	case !c.HasGrantType(grantJWTBearer) && given:
		d.problem(at, "assertion_issuers", "it is there without the grant type "+grantJWTBearer, "add that to grant_types, or leave it out")
	}
}

// assertionIssuer is the value of one issuer under assertion_issuers.
type assertionIssuer struct {
	JWKS    json.RawMessage `json:"jwks"`
	JWKSURI string          `json:"jwks_uri"`
	Subject string          `json:"subject"`
}

func (d *draft) setAssertionIssuers(v value) {
	const key = "assertion_issuers"
	if v.json == nil {
		return
	}
	bad := func(issuer, message, hint string) { d.problem(v.line, key, clip(issuer)+": "+message, hint) }
	var issuers map[string]json.RawMessage
	if err := json.Unmarshal(v.json, &issuers); err != nil || len(issuers) == 0 {
		d.problem(v.line, key, "there is no issuer in it", "write the iss of the assertions, and beneath it jwks or jwks_uri, and subject")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(issuers)) {
		if message, hint := labelFault(name); message != "" {
			bad(name, message, hint)
		}
		var i assertionIssuer
		decoder := json.NewDecoder(strings.NewReader(string(issuers[name])))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&i); err != nil {
			bad(name, "there are other keys beneath it, or none", "write jwks or jwks_uri, and subject, each indented by two blanks more")
			continue
		}
		if message, hint := i.fault(); message != "" {
			bad(name, message, hint)
			continue
		}
		d.client.AssertionIssuers = append(d.client.AssertionIssuers, oidc.AssertionIssuer{
			Issuer: name, JWKS: i.JWKS, JWKSURI: i.JWKSURI, Subject: i.Subject,
		})
	}
}

// fault says what is wrong with an issuer. What its sub names has no default: who may
// speak of whom is for the operator to say.
func (i *assertionIssuer) fault() (message, hint string) {
	const keysHint = "write jwks: {keys: […]} or jwks_uri: https://…"
	switch {
	case len(i.JWKS) == 0 && i.JWKSURI == "":
		return "its keys are missing", keysHint
	case len(i.JWKS) > 0 && i.JWKSURI != "":
		return "it has both jwks and jwks_uri", keysHint
	case i.Subject == "":
		return "subject is missing", "say what sub names: id for the directory's stable id, name for what people type at sign-in, or an attribute such as employeeNumber"
	}
	if len(i.JWKS) > 0 {
		if _, err := keys.ParseSet(i.JWKS); err != nil {
			return fmt.Sprintf("jwks: %v", err), keysHint
		}
	} else if message, hint := fetchFault(i.JWKSURI); message != "" {
		return "jwks_uri: " + message, hint
	}
	if i.Subject == oidc.AssertionSubjectID || i.Subject == oidc.AssertionSubjectName {
		return "", ""
	}
	return attributeFault(i.Subject)
}
