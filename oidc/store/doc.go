// Package store owns everything Gatehouse keeps: grants, codes, tokens,
// sessions and consents, in SQLite, with the schema, its migrations and all SQL.
//
// It leaves to its callers what a token means: whether a client may have it,
// whether the person behind it is still there, and what is said to a browser.
// Expiry and revocation of what was read are judged by the caller; whether a
// code or refresh token may be used up is judged here, because only the store
// can judge and use it in one step.
//
// Always true:
//
//   - A write that returned nil is durable: its commit was synced to disk. One
//     that returned an error has not happened, with one exception: a commit that
//     failed is [oidc.ErrUnavailable] and may come to light after a crash, as a
//     used code whose tokens nobody has, never the other way round.
//   - A caller whose context ends while its write waits takes the write back: the
//     error wraps both the context's and oidc.ErrUnavailable. Later it is told
//     how the write went.
//   - Each method that writes is one transaction and happens as a whole or not
//     at all. Concurrent writes share a commit (see writer.go).
//   - A code is used once, and a refresh token once outside its grace: one
//     conditional UPDATE decides, in the transaction that keeps the new tokens.
//   - Codes and tokens die with their grant, however the race runs: their
//     validity is read through the grant's row.
//   - Only hashes of secrets are kept, and of people only the directory's id.
//
// Queries are written once for SQLite and PostgreSQL: placeholders are $1, $2 …
// in order of first use, columns are named, times are microseconds since 1970 in
// UTC (whole seconds would cut a token's life and a short grace, and lose the
// order of events), lists of words are joined by spaces.
package store
