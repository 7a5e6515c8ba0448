package activity

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"sluice/internal/secret"
)

func rows() []row {
	all := healthyRows()
	all = append(all, settingsRows()...)
	all = append(all, networkRows()...)
	all = append(all, signInRows()...)
	all = append(all, tokenRows()...)
	all = append(all, certificateRows()...)
	return append(all, apiRows()...)
}

func healthyRows() []row {
	return []row{
		{"ok", "everything works", func(*scene) {}},
		{"ok-quiet", "everything works, but there is no content", func(s *scene) { s.blobs = false }},
		{"ok-empty-page", "spec/http-behaviour.md section 4: 200, empty array with a link to the next page", func(s *scene) {
			s.at("subscriptions/content", func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("nextPage") {
					s.feed(w, r)
					return
				}
				w.Header().Set("NextPageUri", "https://"+apiHost+r.URL.Path+"?"+r.URL.RawQuery+"&nextPage="+linkSecret)
				writeJSON(w, 200, "[]")
			})
		}},
		{"ok-token-refused-once", "spec/http-behaviour.md section 4: 401, first time with this token", func(s *scene) {
			var once sync.Once
			s.api = func(w http.ResponseWriter, r *http.Request) (answered bool) {
				once.Do(func() {
					answered = true
					writeJSON(w, 401, `{"Message":"Authorization has been denied for this request."}`)
				})
				return answered
			}
		}},
	}
}

func settingsRows() []row {
	set := func(change func(*Config)) func(*scene) { return func(s *scene) { s.change = change } }
	return []row{
		{"settings-domain", "a domain name in directory_id", set(func(c *Config) { c.DirectoryID = "contoso.onmicrosoft.com" })},
		{"settings-http", "a sign-in address without https", set(func(c *Config) { c.AuthenticationEndpoint = "http://login.microsoftonline.com" })},
		{"settings-no-credential", "neither secret nor certificate", set(func(c *Config) { c.APIAccessKey = secret.Secret{} })},
		{"settings-ca-file", "ca_file is no PEM file", set(func(c *Config) { c.CAFile = "golden_test.go" })},
		{"settings-wrong-cloud", "a sign-in host that does not fit the plan, which then does not know the tenant", func(s *scene) {
			s.change = func(c *Config) { c.AuthenticationEndpoint = "https://login.microsoftonline.us" }
			s.certs["login.microsoftonline.us"] = s.ca.issue(s.t, "login.microsoftonline.us", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
			s.signIn = refuse(90002, "invalid_request", "Tenant '"+testTenant+"' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud.")
		}},
		{"settings-unverified", "disable_ssl_verification", set(func(c *Config) { c.DisableSSLVerification, c.CAFile = true, "" })},
	}
}

func networkRows() []row {
	dial := func(host string, open func() (net.Conn, error)) func(*scene) {
		return func(s *scene) { s.dials[host] = open }
	}
	cert := func(host string, make func(*scene) tls.Certificate) func(*scene) {
		return func(s *scene) { s.certs[host] = make(s) }
	}
	const section = "spec/http-behaviour.md section 4, TLS, DNS, connect: "
	const trust = "spec/http-behaviour.md section 4, TLS name/CA error: "
	return []row{
		{"network-dns", section + "the name does not exist", dial(signInHost, dnsFails(signInHost, true))},
		{"network-dns-server", section + "the DNS server fails", dial(apiHost, dnsFails(apiHost, false))},
		{"network-refused", section + "connection refused", dial(signInHost, dialFails(errRefused))},
		{"network-timeout", section + "no answer", dial(apiHost, dialFails(os.ErrDeadlineExceeded))},
		{"network-no-route", section + "no route", dial(signInHost, dialFails(errNoRoute))},
		{"network-reset", section + "the connection is cut in the TLS handshake", dial(apiHost, func() (net.Conn, error) {
			near, _ := net.Pipe()
			return brokenConn{near, errReset}, nil
		})},
		{"network-tls-timeout", section + "no answer in the TLS handshake", dial(apiHost, func() (net.Conn, error) {
			near, _ := net.Pipe()
			return brokenConn{near, os.ErrDeadlineExceeded}, nil
		})},
		{"network-plain-http", section + "plain HTTP on the https port", func(s *scene) {
			s.dials[apiHost] = func() (net.Conn, error) {
				near, far := net.Pipe()
				go func() {
					defer func() { _ = far.Close() }()
					_, _ = far.Read(make([]byte, 4096))
					_, _ = far.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\nThis port wants https"))
				}()
				return near, nil
			}
		}},
		{"tls-intercepted", trust + "an inspecting proxy", cert(signInHost, func(s *scene) tls.Certificate {
			return newCA(s.t, "Contoso Inspection CA", "Contoso IT").issue(s.t, signInHost, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
		})},
		{"tls-wrong-ca", trust + "ca_file holds another authority, host of a private cloud", func(s *scene) {
			const host = "audit.contoso.example"
			s.change = func(c *Config) { c.APIEndpoint, c.APIAudience = "https://"+host, "https://manage.office.com" }
			s.certs[host] = newCA(s.t, "Contoso Root CA", "Contoso IT").issue(s.t, host, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
		}},
		{"tls-self-signed", trust + "self-signed", cert(apiHost, func(s *scene) tls.Certificate { return selfSigned(s.t, apiHost) })},
		{"tls-expired", trust + "expired", cert(apiHost, func(s *scene) tls.Certificate {
			return s.ca.issue(s.t, apiHost, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
		})},
		{"tls-future", trust + "not valid yet, because the clock is wrong", cert(apiHost, func(s *scene) tls.Certificate {
			return s.ca.issue(s.t, apiHost, time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
		})},
		{"tls-name", trust + "for another name", cert(apiHost, func(s *scene) tls.Certificate {
			return s.ca.issue(s.t, "portal.hotel.example", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))
		})},
		{"proxy-ok", "a proxy that lets Sluice through", func(s *scene) { s.behindProxy(200) }},
		{"proxy-login", "a proxy that wants a login", func(s *scene) { s.behindProxy(407) }},
		{"proxy-forbidden", "a proxy that does not let Sluice through", func(s *scene) { s.behindProxy(403) }},
		{"proxy-bad-gateway", "a proxy that cannot reach the host", func(s *scene) { s.behindProxy(502) }},
		{"proxy-down", "a proxy that is not there", func(s *scene) {
			s.behindProxy(200)
			s.dials["proxy.contoso.example"] = dialFails(errRefused)
		}},
		{"proxy-unknown", "a proxy whose name cannot be resolved", func(s *scene) {
			s.behindProxy(200)
			s.dials["proxy.contoso.example"] = dnsFails("proxy.contoso.example", true)
		}},
		{"proxy-bad-address", "HTTPS_PROXY is no address", func(s *scene) { s.t.Setenv("HTTPS_PROXY", "http://operator:hunter2@ bad:%zz") }},
	}
}

// refuse is a refusal of the sign-in service.
func refuse(code int, name, text string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		status := http.StatusBadRequest
		if name == "invalid_client" {
			status = http.StatusUnauthorized
		}
		writeJSON(w, status, refusal(code, name, text))
		return true
	}
}

func refusal(code int, name, text string) string {
	return fmt.Sprintf(`{"error":%q,"error_description":"AADSTS%d: %s Trace ID: 0f0f Correlation ID: c0c0 Timestamp: 2026-11-21 10:00:00Z","error_codes":[%d],`+
		`"timestamp":"2026-11-21 10:00:00Z","trace_id":"0f0f","correlation_id":"c0c0"}`, name, code, text, code)
}

// codes is a row of the table of spec/entra-auth.md section 5: all its codes print the same but for the number.
type codes struct {
	file  string
	codes []int
	name  string
	text  string
}

func codeRows() []codes {
	return []codes{
		{"wrong-secret", []int{7000215}, "invalid_client", "Invalid client secret provided."},
		{"expired-secret", []int{7000222}, "invalid_client", "The provided client secret keys for app are expired."},
		{"missing-field", []int{7000218, 900144}, "invalid_client", "The request body must contain the following parameter."},
		{"secret-mismatch", []int{70002}, "invalid_client", "The provided client secret does not match."},
		{"unknown-application", []int{700016, 700011}, "unauthorized_client", "Application was not found in the directory."},
		{"disabled-application", []int{7000112, 70001}, "unauthorized_client", "Application is disabled."},
		{"unknown-tenant", []int{90002}, "invalid_request", "Tenant not found."},
		{"malformed-tenant", []int{900023}, "invalid_request", "Specified tenant identifier is neither a valid DNS name, nor a valid external domain."},
		{"no-tenant", []int{50059, 90019}, "invalid_request", "No tenant-identifying information found."},
		{"other-cloud", []int{90038, 900382, 900432}, "invalid_request", "Tenant request is being redirected to the National Cloud."},
		{"single-tenant-application", []int{50194}, "invalid_request", "Application is not configured as a multi-tenant application."},
		{"common-tenant", []int{9001023, 90130}, "invalid_request", "The grant type is not supported over the /common endpoints."},
		{"malformed-scope", []int{70011, 1002012}, "invalid_scope", "The provided value for the input parameter 'scope' is not valid."},
		{"two-resources", []int{700022, 28000}, "invalid_scope", "Provided value for scope is not valid, it contains more than one resource."},
		{"service-missing", []int{500011}, "invalid_resource", "The resource principal was not found in the tenant."},
		{"service-not-subscribed", []int{650052}, "invalid_request", "The organization lacks a service principal or has not subscribed."},
		{"service-not-listed", []int{650057}, "invalid_resource", "Invalid resource. The client has requested access to a resource which is not listed."},
		{"consent-missing", []int{65001}, "invalid_grant", "The user or administrator has not consented to use the application."},
		{"certificate-unknown", []int{700027, 50012, 50013}, "invalid_client", "The certificate with identifier used to sign the client assertion is not registered on application."},
		{"clock-wrong", []int{700024}, "invalid_client", "Client assertion is not within its valid time range."},
		{"certificate-subject", []int{700030}, "invalid_client", "Certificate subject name is not authorized."},
		{"conditional-access", []int{53003, 530032, 530035}, "access_denied", "Access has been blocked by Conditional Access policies."},
		{"loop", []int{50196}, "invalid_request", "The server terminated an operation because it encountered a client request loop."},
		{"transient", []int{90055, 50033, 90006, 90024, 90033, 50000}, "temporarily_unavailable", "A transient error has occurred."},
		{"unknown-code", []int{9999999, 9999998}, "invalid_request", "Something that nobody has described yet."},
	}
}

func signInRows() []row {
	var all []row
	for _, c := range codeRows() {
		about := "spec/entra-auth.md section 5: "
		for i, code := range c.codes {
			if i > 0 {
				about += ", "
			}
			about += fmt.Sprint(code)
		}
		all = append(all, row{"sign-in-" + c.file, about, func(s *scene) { s.signIn = refuse(c.codes[0], c.name, c.text) }})
	}
	page := func(status int, title string) func(*scene) {
		return func(s *scene) {
			s.signIn = func(w http.ResponseWriter) bool {
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(status)
				_, _ = w.Write([]byte("<!DOCTYPE html><html><head><title>" + title + "</title></head><body>" + testSecret + "</body></html>"))
				return true
			}
		}
	}
	answer := func(status int, header, value, body string) func(*scene) {
		return func(s *scene) {
			s.signIn = func(w http.ResponseWriter) bool {
				if header != "" {
					w.Header().Set(header, value)
				}
				writeJSON(w, status, body)
				return true
			}
		}
	}
	const section = "spec/http-behaviour.md section 4, token endpoint: "
	return append(all, []row{
		{"sign-in-secret-id", "the ID of the secret in the place of its value", func(s *scene) {
			s.change = func(c *Config) { c.APIAccessKey = secret.New("12345678-1234-1234-1234-1234567890ab") }
			s.signIn = refuse(7000215, "invalid_client", "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID.")
		}},
		{"sign-in-page", section + "200, body is not JSON (captive portal)", page(200, "Hotel Wi-Fi: accept our terms")},
		{"sign-in-truncated", section + "200, JSON that ends early", answer(200, "", "", `{"token_type":"Bearer","access_token":"eyJ`)},
		{"sign-in-redirect", section + "302", answer(302, "Location", "https://portal.hotel.example/login", "")},
		{"sign-in-404", section + "404", page(404, "Not found")},
		{"sign-in-405", section + "405", answer(405, "", "", "")},
		{"sign-in-408", section + "408", answer(408, "", "", "")},
		{"sign-in-410", section + "410", answer(410, "", "", "")},
		{"sign-in-413", section + "413", answer(413, "", "", "")},
		{"sign-in-429", section + "429 with Retry-After", answer(429, "Retry-After", "17", `{"error":"slow_down","error_description":"Too many requests."}`)},
		{"sign-in-429-bare", section + "429 without Retry-After", answer(429, "", "", "")},
		{"sign-in-500", section + "500", answer(500, "", "", "")},
		{"sign-in-503", section + "503 with HTML and Retry-After", func(s *scene) {
			busy := page(503, "Our services are not available right now")
			busy(s)
			inner := s.signIn
			s.signIn = func(w http.ResponseWriter) bool { w.Header().Set("Retry-After", "30"); return inner(w) }
		}},
	}...)
}

// tokenRows are the observations of spec/entra-auth.md section 3.1, and the clock.
func tokenRows() []row {
	const section = "spec/entra-auth.md section 3.1: "
	claim := func(name string, value any) func(*scene) { return func(s *scene) { s.claims[name] = value } }
	return []row{
		{"token-no-roles", section + "no roles at all", claim("roles", nil)},
		{"token-delegated", section + "scp present", func(s *scene) { s.claims["roles"], s.claims["scp"] = nil, "ActivityFeed.Read" }},
		{"token-no-dlp", section + "roles lacks ActivityFeed.ReadDlp", claim("roles", []string{"ActivityFeed.Read"})},
		{"token-old-permission", section + "roles holds only a retired permission", claim("roles", []string{"ServiceHealth.Read"})},
		{"token-audience", section + "aud is another service", claim("aud", "https://manage-gcc.office.com")},
		{"token-tenant", section + "tid differs", claim("tid", "77777777-0000-0000-0000-000000000000")},
		{"token-application", section + "appid differs", claim("appid", "77777777-0000-0000-0000-000000000000")},
		{"token-opaque", "spec/entra-auth.md section 3: the token may be opaque", func(s *scene) { s.opaque = true }},
		{"clock-behind", "this machine's clock is wrong, with a client secret", func(s *scene) { s.skew = 3 * time.Hour }},
	}
}

// soonEnd is one moment for the certificate and for what is scrubbed: the day may change between them.
var soonEnd = time.Now().Add(10*24*time.Hour + time.Hour)

func certificateRows() []row {
	with := func(end time.Time, then func(*scene)) func(*scene) {
		return func(s *scene) {
			file := clientCertificate(s.t, end)
			s.change = func(c *Config) { c.APIAccessKey, c.CertificateFile = secret.Secret{}, file }
			if then != nil {
				then(s)
			}
		}
	}
	far := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	return []row{
		{"certificate-ok", "sign-in with a certificate", with(far, nil)},
		{"certificate-expires", "a certificate that expires soon", with(soonEnd, nil)},
		{"certificate-expired", "a certificate that has expired", with(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), nil)},
		{"certificate-not-registered", "spec/entra-auth.md section 5: 700027 with a certificate", with(far, func(s *scene) {
			s.signIn = refuse(700027, "invalid_client", "The certificate with identifier used to sign the client assertion is not registered on application.")
		})},
		{"certificate-clock", "spec/entra-auth.md section 5: 700024, and the Date header tells why", with(far, func(s *scene) {
			s.skew = -90 * time.Minute
			s.signIn = refuse(700024, "invalid_client", "Client assertion is not within its valid time range.")
		})},
		{"certificate-two-credentials", "secret and certificate together", func(s *scene) {
			s.change = func(c *Config) { c.CertificateFile = "cert.pem" }
		}},
		{"certificate-missing", "certificate_file does not exist", func(s *scene) {
			s.change = func(c *Config) { c.APIAccessKey, c.CertificateFile = secret.Secret{}, "/nonexistent/cert.pem" }
		}},
	}
}

var clientKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// clientCertificate writes a PEM file with key and certificate.
func clientCertificate(t *testing.T, end time.Time) string {
	t.Helper()
	key, err := clientKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(9), Subject: pkix.Name{CommonName: "sluice"}, NotBefore: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	file := filepath.Join(t.TempDir(), "cert.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
