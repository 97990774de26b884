// Package claims decides what an application learns about a person: from the
// person's groups to scopes, from scopes to claims, with the trace of reasons.
//
// It owns the rules of scope maps, the table from claims to directory
// attributes, and the subject. It leaves reading people to the directory, reading
// client files to oidc/clients, and the protocol's own claims (iss, aud, nonce …)
// to oidc/provider.
//
// Always true: the functions are pure, they read nothing and know no clock. A
// scope is granted only if a map of the same client gives it to this person now.
// What the directory does not say is left out; no claim is an empty string.
package claims
