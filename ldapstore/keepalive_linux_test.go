package ldapstore

import (
	"net"
	"syscall"
	"testing"
	"time"
)

func TestFirewallsHearOfIdleConnections(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := newDialer(&Options{Now: time.Now}, nil).dial(t.Context(), endpoint{network: "tcp", address: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	tcp, ok := c.raw.(*net.TCPConn)
	if !ok {
		t.Fatalf("%T", c.raw)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []struct{ level, name, want int }{
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 15},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 3},
	} {
		if err := raw.Control(func(fd uintptr) {
			if got, err := syscall.GetsockoptInt(int(fd), option.level, option.name); err != nil || got != option.want {
				t.Errorf("option %d is %d, %v, want %d", option.name, got, err, option.want)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}
