package normalize

import (
	"net/netip"
	"strconv"
	"strings"
)

// address is a client as its records describe it: by IP address, by name or both.
type address struct {
	ip   netip.Addr
	port int64 // 0 when unknown
	host string
}

// parseAddress reads the forms of spec/record-schema.md section 5.1: an address of either version, in brackets or not,
// with a port or not, "host (address)", or a host name. ok is false for anything else, such as masked addresses.
func parseAddress(s string) (a address, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" || s == "<null>" {
		return a, false
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return address{ip: plainIP(ip)}, true
	}
	if host, rest, found := strings.Cut(s, " ("); found {
		a, ok = parseAddress(strings.TrimSuffix(rest, ")"))
		if isHostName(host) {
			a.host, ok = host, true
		}
		return a, ok
	}
	if rest, found := strings.CutPrefix(s, "["); found {
		inside, after, closed := strings.Cut(rest, "]")
		ip, err := netip.ParseAddr(inside)
		if !closed || err != nil {
			return a, false
		}
		a.ip = plainIP(ip)
		if after == "" {
			return a, true
		}
		a.port, ok = parsePort(strings.TrimPrefix(after, ":"))
		return a, ok
	}
	host, portText, found := strings.Cut(s, ":")
	if found {
		if a.port, ok = parsePort(portText); !ok {
			return address{}, false
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		a.ip = plainIP(ip)
		return a, true
	}
	if !isHostName(host) {
		return address{}, false
	}
	a.host = host
	return a, true
}

func plainIP(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

func parsePort(s string) (int64, bool) {
	port, err := strconv.ParseUint(s, 10, 16)
	return int64(port), err == nil
}

// isHostName accepts names of letters, digits, dots, hyphens and underscores whose last label is not a number: those
// are broken or masked addresses.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for _, c := range []byte(s) {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			if (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
				return false
			}
		}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	return last != "" && number(last) < 0
}

var sharedSpace = netip.MustParsePrefix("100.64.0.0/10") // of providers, RFC 6598

// ipType is the srcip_type of an address.
func ipType(ip netip.Addr) string {
	switch {
	case ip.IsUnspecified():
		return "unknown"
	case ip.IsMulticast():
		return "multicast"
	case ip.IsPrivate(), ip.IsLoopback(), ip.IsLinkLocalUnicast(), sharedSpace.Contains(ip):
		return "private"
	}
	return "public"
}
