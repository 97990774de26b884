// Package outbound owns every HTTP request that somebody else has named the address
// of: a client's jwks_uri, request_uri, sector_identifier_uri.
//
// It bounds time, size and redirects, and where a request may go. It leaves to its
// callers what the answer means.
//
// Always true: a connection goes to an address of the public Internet, or to a
// network that the operator has named, whatever the name resolves to and whoever
// answers for it. The address is judged after it was resolved and as it is dialled,
// so that a name which changes its mind in between leads nowhere. Outside the named
// networks it is TLS, with a certificate that is checked.
package outbound
