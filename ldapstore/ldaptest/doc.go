// Package ldaptest starts real directory servers for tests, OpenLDAP (Start), 389
// Directory Server (Start389) and Samba's Active Directory (StartAD), filled with
// the people and groups of a small organisation. It owns the server's process, its
// configuration and the changes that an administrator would make.
//
// It leaves reading to whoever is tested, and imports no room of the product.
//
// Always true: a server listens on loopback only, keeps its data in the test's
// temporary folder, runs as any user (Active Directory needs the right to listen on
// port 389), and dies with the test, even if the test is killed. Without the
// server's program a test is skipped, or fails if GATEHOUSE_TEST_REQUIRE=all.
package ldaptest
