// Package demodir is an LDAP directory inside the process: LDIF in, LDAP out. The
// demonstration runs on it, and tests that need a directory which misbehaves on
// command.
//
// It owns its entries, an LDAPv3 server for reading them (RFC 4511) that answers
// as OpenLDAP 2.5 with its memberof and ppolicy overlays does, and the faults that
// a test may switch on. Writing over LDAP, TLS and SASL are left out, but for people
// who choose a new password (RFC 3062): entries are changed by the methods of Server.
//
// Always true: nothing beyond the root DSE is read without a bind; userPassword is
// never sent, compared or matched by a filter; a search sees one state of the
// directory from its first entry to its last; no request can end the process; and
// Close returns when every goroutine has ended.
package demodir
