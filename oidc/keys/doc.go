// Package keys owns the server's secrets at rest: the signing keys, one file a
// key, and the server secret that other secrets are derived from.
//
// It signs and verifies compact JWS, renders the JWKS, and makes, rotates and
// retires keys. It leaves claims and their times to oidc/provider.
//
// A key is published from the moment its file exists and signs once its
// active_from has come; the newest such key of an algorithm signs, the older ones
// only verify until they are retired, by command or by a Policy. Since the files hold
// these times, all processes that read the same folder agree without talking to each
// other; those that write to it take turns by its lock.
//
// Clients that have keys of their own have a folder each, beneath the server's.
//
// Always true: private parts are in the files and in this package's memory, in no
// listing, log, error or JSON. A folder with anything wrong in it is refused as a
// whole, with every problem told, and a running Ring keeps what it had.
package keys
