package main

import (
	"fmt"
	"net"
	"syscall"
)

// peerName says which account, and which process of it, has opened a connection to
// the local socket.
func peerName(connection net.Conn) string {
	const unknown = "local program"
	unix, ok := connection.(*net.UnixConn)
	if !ok {
		return unknown
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return unknown
	}
	var peer *syscall.Ucred
	var peerErr error
	if err := raw.Control(func(fd uintptr) {
		peer, peerErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || peerErr != nil {
		return unknown
	}
	return fmt.Sprintf("uid %d, process %d", peer.Uid, peer.Pid)
}
