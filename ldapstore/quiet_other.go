//go:build !unix

package ldapstore

import "net"

// quiet cannot tell here; a connection that has ended shows when it is used.
func quiet(net.Conn) bool { return true }
