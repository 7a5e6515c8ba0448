package m365

import (
	"net"
	"net/url"
	"strings"

	"sluice/internal/fault"
)

// parseBase reads a configured address: https, or http on loopback only, without user, query and fragment. A path is
// kept as a prefix, without the slash at its end.
func parseBase(op, what, raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || u.Opaque != "" {
		return nil, fault.Newf(fault.Config, op, "%s is not a web address", what).
			WithHint("write it as https://host or https://host:port")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fault.Newf(fault.Config, op, "%s must not carry a user name, a query or a fragment", what).
			WithHint("write it as https://host or https://host:port")
	case u.Scheme == "https":
	case u.Scheme == "http" && isLoopback(u.Hostname()):
	default:
		return nil, fault.Newf(fault.Config, op, "%s must be https (http is accepted for this machine's loopback only), got %s://%s",
			what, u.Scheme, u.Host).
			WithHint("write https://" + u.Host + "; plain http would show the credential to everybody on the way")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// isLoopback reports whether host names this machine without asking a resolver for anything but the word localhost.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// origin is what decides whether the token may go along: scheme, host and port, the default port spelled out.
func origin(u *url.URL) string {
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		switch scheme {
		case "https":
			port = "443"
		case "http":
			port = "80"
		}
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// sameOrigin reports whether a and b share scheme, host and port.
func sameOrigin(a, b *url.URL) bool { return origin(a) == origin(b) }

// shown is an address as it may appear in errors and logs: without user, query and fragment.
func shown(u *url.URL) string { return u.Scheme + "://" + u.Host + u.EscapedPath() }
