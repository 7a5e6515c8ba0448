package state

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestBoundSilence: nothing on loopback vanishes without a word, so this looks at what the connection was told.
func TestBoundSilence(t *testing.T) {
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := boundSilence(conn, 7*time.Second); err != nil {
		t.Fatal(err)
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) {
		if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || got != 7000 {
			t.Errorf("%d ms, %v", got, err)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
