// Package provider owns the protocol: what the endpoints of OAuth 2.0 and
// OpenID Connect accept, decide and answer. ory/fosite parses requests, finds
// and authenticates clients and runs the grant handlers; the handlers, the
// storage steps and the wording are ours, since each step here ends in at most
// one durable commit and asks the directory anew.
//
// It leaves pages, cookies and throttling to oidc/web, SQL to oidc/store, LDAP
// to ldapstore and the rules of scopes and claims to oidc/claims.
//
// Always true: a person is looked up live before anything is given out in their
// name; a code or refresh token is consumed in the very commit that writes what
// it bought; nothing raw from a request is echoed in an error.
package provider
