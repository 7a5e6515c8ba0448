//go:build !linux

package state

import (
	"net"
	"time"
)

func boundSilence(net.Conn, time.Duration) error { return nil }
