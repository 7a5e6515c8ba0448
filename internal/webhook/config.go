package webhook

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/option"
)

// Config is the group `webhook` of the server's settings. The zero value switches webhooks off.
type Config struct {
	Listen      string // host:port; empty: off
	Certificate string // PEM file with the certificate and its chain; empty: plain HTTP, for a proxy that ends TLS
	Key         string // PEM file with its private key
	Address     string // public address of the listener; empty: connectors name their own
}

// Options declares the group `webhook`.
func Options() []option.Option {
	return []option.Option{
		{
			Name: "listen", Example: "0.0.0.0:8443",
			Help: "Address and port for notifications of Microsoft, apart from the API of Sluice. Empty: off. Microsoft must reach it from the internet over https; " +
				"its calls come from the service tags AzureFrontDoor.MicrosoftSecurity and M365ManagementActivityApiWebhook.",
		},
		{
			Name: "tls_certificate", Type: option.File, Example: "/etc/sluice/hook.pem",
			Help: "PEM file with the certificate of the listener, of a public authority, with its whole chain. It is read again when it changes. " +
				"Empty: plain HTTP, for a reverse proxy on a trusted network that ends TLS.",
		},
		{
			Name: "tls_key", Type: option.File, Example: "/etc/sluice/hook.key",
			Help: "PEM file with the private key of tls_certificate.",
		},
		{
			Name: "address", Type: option.URL, Example: "https://collector.example/sluice",
			Help: "Public address at which Microsoft reaches the listener. A path for each connector is appended, so a proxy has to pass everything below it on. " +
				"Connectors use it that have webhook: true and no webhook_address.",
		},
	}
}

// ConfigOf reads decoded values of Options.
func ConfigOf(v option.Values) Config {
	return Config{Listen: v.String("listen"), Certificate: v.String("tls_certificate"), Key: v.String("tls_key"), Address: v.String("address")}
}

// Check tells what is wrong with the settings, all mistakes joined, each with the name of its option as operation. Files are read.
func (c Config) Check() error {
	if c == (Config{}) {
		return nil
	}
	var errs []error
	mistake := func(name, what, hint string) {
		errs = append(errs, fault.New(fault.Config, name, what).WithHint(hint))
	}
	if c.Listen == "" {
		mistake("webhook.listen", "is missing, but other settings of webhook are given", "set webhook.listen, such as 0.0.0.0:8443, or remove the group webhook")
	} else if _, port, err := net.SplitHostPort(c.Listen); err != nil {
		mistake("webhook.listen", "must be host:port, found "+strconv.Quote(c.Listen), "write it like 0.0.0.0:8443")
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		mistake("webhook.listen", "must end in a port number, found "+strconv.Quote(port), "write it like 0.0.0.0:8443")
	}
	if c.Address != "" {
		if err := CheckAddress(c.Address); err != nil {
			mistake("webhook.address", err.Error(), "set it to the address under which Microsoft reaches the listener")
		}
	}
	switch {
	case (c.Certificate == "") != (c.Key == ""):
		mistake("webhook.tls_certificate", "and tls_key belong together, but only one is given", "give both, or none behind a proxy that ends TLS")
	case c.Certificate != "":
		if _, err := tls.LoadX509KeyPair(c.Certificate, c.Key); err != nil {
			errs = append(errs, fault.New(fault.Config, "webhook.tls_certificate", "the certificate cannot be used").WithCause(err).
				WithHint("check that both files are PEM, that the key belongs to the first certificate, and that the user who runs Sluice may read them"))
		}
	}
	return errors.Join(errs...)
}

// CheckAddress tells whether Microsoft can be given an address: https without user name, query and fragment. Plain http is
// for simulators on the loopback interface.
func CheckAddress(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("must be an address such as https://collector.example/sluice, without user name, query and fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())):
		return errors.New("must begin with https://, because Microsoft calls nothing else")
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}
