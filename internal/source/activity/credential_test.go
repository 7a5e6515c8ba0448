package activity

import (
	"strings"
	"testing"

	"sluice/internal/fault"
	"sluice/internal/secret"
)

func TestCredential(t *testing.T) {
	t.Parallel()
	base := Config{DirectoryID: "11111111-2222-3333-4444-555555555555", ApplicationID: "99999999-8888-7777-6666-555555555555"}
	key := secret.New("k3y~value")
	for _, tt := range []struct {
		name   string
		change func(*Config)
		says   string // empty: accepted
	}{
		{"nothing", func(*Config) {}, "api_access_key or certificate_file"},
		{"a secret", func(c *Config) { c.APIAccessKey = key }, ""},
		{"secret", func(c *Config) { c.Credential, c.APIAccessKey = CredentialSecret, key }, ""},
		{"secret, not given", func(c *Config) { c.Credential = CredentialSecret }, "secret needs api_access_key"},
		{"certificate, not given", func(c *Config) { c.Credential, c.APIAccessKey = CredentialCertificate, key }, "certificate needs certificate_file"},
		{"managed identity", func(c *Config) { c.Credential = CredentialManagedIdentity }, ""},
		{"system-assigned", func(c *Config) { c.Credential, c.ManagedIdentityID = CredentialManagedIdentity, "system" }, ""},
		{"another identity", func(c *Config) {
			c.Credential, c.ManagedIdentityID = CredentialManagedIdentity, "22222222-3333-4444-5555-666666666666"
		}, ""},
		{"identity with secret", func(c *Config) { c.Credential, c.APIAccessKey = CredentialManagedIdentity, key }, "without api_access_key"},
		{"identity with certificate", func(c *Config) { c.Credential, c.CertificateFile = CredentialWorkloadIdentity, "/x" }, "without api_access_key"},
		{"id without identity", func(c *Config) { c.APIAccessKey, c.ManagedIdentityID = key, "system" }, "goes with credential managed_identity only"},
		{"id that is none", func(c *Config) { c.Credential, c.ManagedIdentityID = CredentialManagedIdentity, "vm-1" }, "or the word system"},
		{"unknown", func(c *Config) { c.Credential, c.APIAccessKey = "password", key }, "must be one of secret, certificate, workload_identity, managed_identity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := base
			tt.change(&cfg)
			_, err := New(cfg)
			switch {
			case tt.says == "" && err != nil:
				t.Error(err)
			case tt.says != "" && (!fault.Is(err, fault.Config) || fault.HintOf(err) == "" || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("%v does not say %q", err, tt.says)
			case err != nil && strings.Contains(err.Error(), key.Reveal()):
				t.Errorf("%v holds the secret", err)
			}
		})
	}
}
