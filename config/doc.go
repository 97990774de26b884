// Package config owns the server's configuration: reading the file and the
// environment, judging all of it at once, describing it, and the example files.
//
// It leaves to others what the settings mean: it starts nothing, connects to
// nothing and knows no other package of Gatehouse. What needs their knowledge
// (LDAP filters, names of claims) they check themselves; Config.Where tells them
// the line to blame.
//
// Always true: every setting is one row of one table, from which reading,
// checking and the reference document are made. A Config that Load returns has
// no problem that can be seen without a network. Secrets print as stars.
package config
