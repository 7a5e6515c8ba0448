package state

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// boundSilence ends a connection whose server does not even acknowledge what it was sent for so long: it vanished without a
// word, and the system would go on sending for a quarter of an hour.
func boundSilence(conn net.Conn, limit time.Duration) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil // a Unix socket
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit.Milliseconds()))
	})
	if err != nil {
		return err
	}
	return failed
}
