// Package ldapstore reads people from an LDAP directory, live. It owns the
// connections, the look-ups, the one bind that tries a password, the groups to
// any depth, and what differs from one directory server to the next (Kind).
//
// It leaves to others what the answers mean: which scopes a group gives, what
// is revoked when a person is gone, what a page may say about a refusal.
//
// Always true:
//   - There are three answers. A User is present. oidc.ErrNotFound is gone: a
//     search ended with success and had no entry, in places that the account can
//     see with people in them. Everything else, from a timeout to a size limit to
//     a missing base, wraps oidc.ErrUnavailable. A list of groups is whole or it
//     is an error.
//   - One password try is one bind, on one server, never repeated. An empty
//     password is never sent (RFC 4513, section 5.1.2).
//   - Every call ends when its context does, and after Options.Timeout at the
//     latest, whatever the other side does or leaves undone.
//   - Certificates are verified; a password never travels unencrypted to
//     another machine. Referrals are not followed.
//   - No error text holds a name that was typed, a filter or a password.
package ldapstore

//go:generate go test -run ^TestEveryDirectory$ -update .
