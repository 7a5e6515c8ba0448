package m365

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // the portal shows this thumbprint; nothing is protected by it
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"software.sslmate.com/src/go-pkcs12"

	"sluice/internal/fault"
	"sluice/internal/secret"
)

// Certificate is what an operator compares with the app registration.
type Certificate struct {
	Subject      string
	Expires      time.Time
	SHA1, SHA256 string // thumbprints in upper-case hexadecimal; the portal shows the first
}

// certificate is a parsed certificate file.
type certificate struct {
	chain []*x509.Certificate // the one that matches the key first
	key   crypto.PrivateKey
	info  Certificate
	hash  [sha256.Size]byte // of the file and its password
}

// newCertificate is how to make one that the sign-in service accepts.
const newCertificate = "create a certificate with an RSA key of at least 2048 bits, for example: " +
	"openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=sluice -keyout key.pem -out cert.pem; " +
	"put both files into one for certificate_file, and upload cert.pem to the app registration"

// loadCertificate reads PEM (certificate and unencrypted key, in any order) or PKCS#12. azidentity reads both but not
// PKCS#12 with SHA-256 checksums, which current OpenSSL and Windows write, so a second decoder helps out
// (spec/entra-auth.md section 7.5).
func loadCertificate(op, file string, password secret.Secret, now time.Time) (*certificate, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fault.Newf(fault.Config, op, "certificate_file cannot be read: %v", err).
			WithHint("check the path of certificate_file and that the user that runs Sluice may read it")
	}
	chain, key, err := parseCertificate(data, password.Reveal())
	if err != nil {
		return nil, fault.Newf(fault.Config, op, "certificate_file %s: %s", file, certificateProblem(data, err)).
			WithHint("give a PEM file with certificate and unencrypted key, or a PFX file with certificate_password")
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fault.Newf(fault.Config, op, "certificate_file %s: the key must be an RSA key", file).WithHint(newCertificate)
	}
	if rsaKey.N.BitLen() < 2048 {
		return nil, fault.Newf(fault.Config, op, "certificate_file %s: the RSA key has %d bits, at least 2048 are needed", file, rsaKey.N.BitLen()).WithHint(newCertificate)
	}
	leaf := matching(chain, rsaKey)
	if leaf < 0 {
		return nil, fault.Newf(fault.Config, op, "certificate_file %s: no certificate fits the key", file).
			WithHint("put the certificate and its own private key into the file")
	}
	chain[0], chain[leaf] = chain[leaf], chain[0]
	if now.After(chain[0].NotAfter) {
		return nil, fault.Newf(fault.Auth, op, "certificate_file %s: the certificate expired on %s", file, chain[0].NotAfter.UTC().Format(time.DateOnly)).
			WithHint("create a new certificate with an RSA key, set certificate_file to it and register it: open entra.microsoft.com > App registrations > " +
				"All applications > your application > Certificates & secrets > Certificates > Upload certificate")
	}
	one, two := sha1.Sum(chain[0].Raw), sha256.Sum256(chain[0].Raw) //nolint:gosec // see the import
	material := sha256.New()
	material.Write(data)
	material.Write([]byte{0})
	material.Write([]byte(password.Reveal()))
	c := &certificate{chain: chain, key: key, info: Certificate{
		Subject: chain[0].Subject.String(), Expires: chain[0].NotAfter.UTC(),
		SHA1: strings.ToUpper(hex.EncodeToString(one[:])), SHA256: strings.ToUpper(hex.EncodeToString(two[:])),
	}}
	material.Sum(c.hash[:0])
	return c, nil
}

func parseCertificate(data []byte, password string) ([]*x509.Certificate, crypto.PrivateKey, error) {
	chain, key, err := azidentity.ParseCertificates(data, []byte(password))
	if err == nil || bytes.Contains(data, []byte("-----BEGIN ")) {
		return chain, key, err
	}
	modernKey, leaf, others, modernErr := pkcs12.DecodeChain(data, password)
	if modernErr != nil {
		return nil, nil, modernErr
	}
	return append([]*x509.Certificate{leaf}, others...), modernKey, nil
}

// certificateProblem explains the parsers' errors, one of which talks about PKCS#12 when the file is PEM.
func certificateProblem(data []byte, err error) string {
	if bytes.Contains(data, []byte("ENCRYPTED PRIVATE KEY")) || bytes.Contains(data, []byte("Proc-Type: 4,ENCRYPTED")) {
		return "the PEM key is encrypted, which is not supported"
	}
	return oneLine(err.Error(), maxErrorMessage)
}

func matching(chain []*x509.Certificate, key *rsa.PrivateKey) int {
	for i, c := range chain {
		if public, ok := c.PublicKey.(*rsa.PublicKey); ok && public.Equal(&key.PublicKey) {
			return i
		}
	}
	return -1
}
