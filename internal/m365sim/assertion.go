package m365sim

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // x5t is defined as a SHA-1 thumbprint; it selects a certificate and protects nothing
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"sluice/internal/fault"
)

// assertionLeeway is the clock difference that client assertions may have.
const assertionLeeway = 5 * time.Minute

// singleAudience writes the audience of a token as a text, as Entra does, instead of a list with one element.
type singleAudience struct{ accessClaims }

// MarshalJSON implements json.Marshaler.
func (c singleAudience) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		accessClaims
		Audience string `json:"aud"`
	}{c.accessClaims, c.Audience[0]})
}

var errUnknownCertificate = errors.New("the certificate is not registered")

// verifyAssertion checks a client assertion (spec/entra-auth.md section 1.2): RS256 or PS256, signed with the key of a
// registered certificate that x5t, x5t#S256 or x5c names, for this token endpoint, within its time.
func (a *application) verifyAssertion(text, origin, tenantID string, now time.Time) *entraError {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(text, &claims, func(token *jwt.Token) (any, error) {
		certificate := a.certificateOf(token.Header)
		if certificate == nil {
			return nil, errUnknownCertificate
		}
		return certificate.PublicKey, nil
	}, jwt.WithValidMethods([]string{"RS256", "PS256"}), jwt.WithLeeway(assertionLeeway), jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(func() time.Time { return now }))
	switch {
	case errors.Is(err, errUnknownCertificate):
		return invalidClient(700027, "The certificate with identifier used to sign the client assertion is not registered on application.")
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet):
		return invalidClient(700024, "Client assertion is not within its valid time range.")
	case err != nil:
		return invalidClient(700027, "Client assertion failed signature validation.")
	case !strings.EqualFold(claims.Issuer, a.ID) || !strings.EqualFold(claims.Subject, a.ID):
		return invalidClient(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
	case !slices.ContainsFunc(claims.Audience, func(aud string) bool { return isTokenEndpoint(aud, origin, tenantID) }):
		return invalidClient(700023, "Client assertion audience claim does not match Realm issuer.")
	}
	return nil
}

func isTokenEndpoint(audience, origin, tenantID string) bool {
	return strings.EqualFold(audience, origin+"/"+tenantID+"/oauth2/v2.0/token") ||
		strings.EqualFold(audience, origin+"/"+tenantID+"/oauth2/token")
}

// certificateOf finds the registered certificate that a header names.
func (a *application) certificateOf(header map[string]any) *x509.Certificate {
	for _, c := range a.certificates {
		short, long := sha1.Sum(c.Raw), sha256.Sum256(c.Raw) //nolint:gosec // see the import
		if names(header["x5t"], short[:]) || names(header["x5t#S256"], long[:]) {
			return c
		}
		if chain, ok := header["x5c"].([]any); ok && len(chain) > 0 && names(chain[0], c.Raw) {
			return c
		}
	}
	return nil
}

// names reports whether a header value is the base64 of raw, in the standard or URL alphabet, padded or not.
func names(value any, raw []byte) bool {
	text, ok := value.(string)
	if !ok {
		return false
	}
	text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	decoded, err := base64.RawStdEncoding.DecodeString(text)
	return err == nil && bytes.Equal(decoded, raw)
}

func isPEM(text string) bool { return strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN") }

// readCertificates reads the certificates of PEM text or of a PEM file; keys in it are ignored.
func readCertificates(source string) ([]*x509.Certificate, error) {
	if source == "" {
		return nil, nil
	}
	text := []byte(source)
	if !isPEM(source) {
		var err error
		if text, err = os.ReadFile(source); err != nil {
			return nil, fault.Wrap(fault.Config, "read certificate", err)
		}
	}
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(fault.Config, "read certificate", err)
		}
		certificates = append(certificates, c)
	}
	if len(certificates) == 0 {
		return nil, fault.New(fault.Config, "read certificate", "no certificate in the PEM text")
	}
	return certificates, nil
}
