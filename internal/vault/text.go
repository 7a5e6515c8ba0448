package vault

import (
	"errors"
	"net"
	"net/url"
	"regexp"
	"strings"
)

var (
	errorCode = regexp.MustCompile(`^[A-Za-z]{1,64}$`)
	aadsts    = regexp.MustCompile(`AADSTS[0-9]{4,9}`)
)

// trim takes away the line ends that editors put at the end of a file.
func trim(text string) string { return strings.TrimRight(text, "\r\n") }

// cause is the part of a transport's error that says what went wrong, without the address of the request. It is nil
// for errors that do not come from the network, because their text may quote an answer.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	if n, ok := errors.AsType[*net.OpError](err); ok {
		return n
	}
	return nil
}
