package vault

import (
	"strings"
	"testing"
)

func TestParseKeyVaultSecret(t *testing.T) {
	t.Parallel()
	for argument, want := range map[string]string{
		"SecretUri=https://contoso.vault.azure.net/secrets/m365":      "https://contoso.vault.azure.net/secrets/m365",
		"SecretUri=https://Contoso.Vault.Azure.NET:443/secrets/m365/": "https://contoso.vault.azure.net/secrets/m365",
		"secreturi=https://contoso.vault.azure.cn/secrets/m365/0a1b;": "https://contoso.vault.azure.cn/secrets/m365/0a1b",
		"SecretUri=https://keys.example:8443/secrets/a":               "https://keys.example:8443/secrets/a",
		"VaultName=Contoso;SecretName=m365":                           "https://contoso.vault.azure.net/secrets/m365",
		"SecretName=m365; VaultName=contoso; SecretVersion=0a1b":      "https://contoso.vault.azure.net/secrets/m365/0a1b",
		"":           "",
		"m365":       "",
		"SecretUri=": "",
		"SecretUri=http://contoso.vault.azure.net/secrets/m365":                 "",
		"SecretUri=https://contoso.vault.azure.net/keys/m365":                   "",
		"SecretUri=https://contoso.vault.azure.net/secrets":                     "",
		"SecretUri=https://contoso.vault.azure.net/secrets/":                    "",
		"SecretUri=https://contoso.vault.azure.net/secrets/a/b/c":               "",
		"SecretUri=https://contoso.vault.azure.net/secrets/a//":                 "",
		"SecretUri=https://contoso.vault.azure.net/secrets/..":                  "",
		"SecretUri=https://contoso.vault.azure.net/secrets/a%2Fb":               "",
		"SecretUri=https://contoso.vault.azure.net/secrets/a?x=y":               "",
		"SecretUri=https://contoso.vault.azure.net/secrets/a#b":                 "",
		"SecretUri=https://u:p@contoso.vault.azure.net/secrets/a":               "",
		"SecretUri=https://a.vault.azure.net/secrets/a;SecretName=b":            "",
		"SecretUri=https://a.vault.azure.net/secrets/a;SecretUri=https://b/s/c": "",
		"VaultName=contoso":                                 "",
		"VaultName=contoso;SecretName=":                     "",
		"VaultName=contoso;SecretName=a;Other=b":            "",
		"VaultName=evil.example/;SecretName=a":              "",
		"VaultName=a;SecretName=b":                          "",
		"VaultName=contoso;SecretName=a/b":                  "",
		"VaultName=contoso;SecretName=a;SecretVersion=../x": "",
	} {
		s, err := ParseKeyVaultSecret(argument)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is taken as %v", argument, s)
		case want != "" && (err != nil || s.String() != want):
			t.Errorf("%q is %v, %v, want %s", argument, s, err, want)
		case err != nil && len(argument) > len("SecretUri=") && strings.Contains(err.Error(), argument):
			t.Errorf("the error quotes the argument: %v", err)
		}
	}
}

func TestKnownVaults(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"contoso.vault.azure.net": true, "a-1.vault.azure.cn": true, "contoso.vault.usgovcloudapi.net": true, "contoso.vault.microsoftazure.de": true,
		"vault.azure.net": false, "contoso.vault.azure.net.evil.example": false, "a.b.vault.azure.net": false, "evilvault.azure.net": false,
		"contoso.vault.azure.net:8443": false, "contoso.vault.azure.net.": false, "-a-.vault.azure.net": false, "contoso.managedhsm.azure.net": false, "": false,
	} {
		if known := knownVault(host); known != want {
			t.Errorf("%q: %t, want %t", host, known, want)
		}
	}
}

func FuzzParseKeyVaultSecret(f *testing.F) {
	f.Add("SecretUri=https://contoso.vault.azure.net/secrets/m365/0a1b")
	f.Add("VaultName=contoso;SecretName=m365;SecretVersion=1")
	f.Add("SecretUri=https://[::1]:443/secrets/a")
	f.Fuzz(func(t *testing.T, argument string) {
		s, err := ParseKeyVaultSecret(argument)
		if err != nil {
			return
		}
		again, err := ParseKeyVaultSecret("SecretUri=" + s.String())
		if err != nil || again != s {
			t.Errorf("%q is %v, which is read as %v, %v", argument, s, again, err)
		}
	})
}

func FuzzChallenge(f *testing.F) {
	f.Add(`Bearer authorization="https://login.microsoftonline.com/x", resource="https://vault.azure.net"`)
	f.Add(`Bearer authorization="https:/x" resource="r"`)
	f.Fuzz(func(t *testing.T, header string) {
		if !soundChallenge(header) {
			return
		}
		// What the SDK does with it must not be out of range.
		for part := range strings.SplitSeq(strings.ReplaceAll(header, "Bearer ", ""), " ") {
			sub := strings.Split(part, "=")
			if len(sub) != 2 || sub[0] != "authorization" {
				continue
			}
			address := strings.TrimSuffix(strings.ReplaceAll(sub[1], `"`, ""), ",")
			if address != "" && len(strings.Split(address, "/")) < 4 {
				t.Errorf("%q is called sound", header)
			}
		}
	})
}
