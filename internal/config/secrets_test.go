package config

import (
	"slices"
	"strings"
	"testing"
)

func TestSecretsGroup(t *testing.T) {
	t.Parallel()
	text := "secrets:\n  key_file: ${env:DATA}/secret.key\n  key: base64key://c2VjcmV0\n  vault_hosts: [keyvault.contoso.example, 'vault.example:8443']\n"
	file, err := Load("f", []byte(text), drivers(), environment)
	if err != nil {
		t.Fatal(err)
	}
	s := file.Server.Secrets
	if s.KeyFile != "/var/lib/sluice/secret.key" || s.Key.Text() != "base64key://c2VjcmV0" || !slices.Equal(s.VaultHosts, []string{"keyvault.contoso.example", "vault.example:8443"}) {
		t.Errorf("got %+v", s)
	}
	if len(file.Warnings) != 1 || file.Warnings[0].Path != "secrets.key" || strings.Contains(file.Warnings.Error(), "c2VjcmV0") {
		t.Errorf("warnings: %v", file.Warnings)
	}
	if file, err = Load("f", []byte("secrets:\n"), drivers(), environment); err != nil || file.Server.Secrets.KeyFile != "" || !file.Server.Secrets.Key.Empty() {
		t.Errorf("an empty group: %+v, %v", file, err)
	}
}

func TestIdentitiesNeedNoSecret(t *testing.T) {
	t.Parallel()
	bare := strings.Replace(whole, "api_access_key: ${env:SLUICE_TEST_SECRET}\n", "", 1)
	for _, extra := range []string{
		"credential: workload_identity\n",
		"credential: managed_identity\n",
		"credential: Managed_Identity\nmanaged_identity_id: system\n",
		"credential: managed_identity\nmanaged_identity_id: 22222222-3333-4444-5555-666666666666\n",
		"credential: managed_identity\nmanaged_identity_id: ${env:IDENTITY}\n",
		"credential: ${env:WAY}\n",
		"credential: certificate\ncertificate_file: /etc/sluice/contoso.pfx\ncertificate_password: ${env:PASSWORD}\n",
		"credential: secret\napi_access_key: ${env:SLUICE_TEST_SECRET}\n",
	} {
		if _, err := ParseApply("f", []byte(bare+extra), drivers()); err != nil {
			t.Errorf("%s%v", extra, err)
		}
	}
}
