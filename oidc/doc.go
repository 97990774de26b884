// Package oidc owns the words of Gatehouse: User, Group, Client, Grant,
// Session, the typed errors and the Directory that people are read from.
//
// It leaves everything else to others: no I/O, no SQL, no HTTP, no protocol.
// It imports the standard library only, so every room may import it.
//
// Always true: nothing here that is written to the store holds a name, a mail
// address, a group, a password or a claim of a person. What is kept of a person
// is the directory's own stable id.
package oidc
