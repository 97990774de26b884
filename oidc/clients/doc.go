// Package clients owns the client files: one YAML file a client in one folder,
// read into oidc.Client, watched for changes, and edited for the command line.
// It also owns client secrets: making them, the forms their hashes may have,
// and comparing. Clients that register themselves are described by metadata, which
// a Policy reads by the same table; a Registry lays them under the files.
//
// It leaves to others where registrations are kept (oidc/store), what a client may
// do with a request (oidc/provider), what
// its scope maps mean for a person (oidc/claims), and when to look for changes
// (the server calls Set.Reload).
//
// Always true: a client that a Set hands out has passed every check of Parse,
// and so has every file that this package writes. A Set changes as a whole or
// not at all: while one file is bad, every client stays as it was. Client files
// hold the hash of a secret, never a secret.
package clients
