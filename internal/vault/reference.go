package vault

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// vaultSuffix is where the name of a vault that is given without its host belongs.
const vaultSuffix = "vault.azure.net"

// vaultSuffixes are the domains of Azure Key Vault: worldwide, China, US Government and the former German cloud.
func vaultSuffixes() []string {
	return []string{vaultSuffix, "vault.azure.cn", "vault.usgovcloudapi.net", "vault.microsoftazure.de"}
}

// KeyVaultSecret names a secret in Azure Key Vault.
type KeyVaultSecret struct {
	Host    string // lower case; with a port if one was given
	Name    string
	Version string // empty: the newest
}

// String is the secret's address.
func (s KeyVaultSecret) String() string {
	text := "https://" + s.Host + "/secrets/" + s.Name
	if s.Version != "" {
		text += "/" + s.Version
	}
	return text
}

var (
	vaultName     = regexp.MustCompile(`^[a-z](-?[a-z0-9])*$`) // 3 to 24 characters
	secretName    = regexp.MustCompile(`^[0-9A-Za-z-]{1,127}$`)
	secretVersion = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)
)

var (
	errVaultForm = errors.New("want @Microsoft.KeyVault(SecretUri=https://VAULT.vault.azure.net/secrets/NAME) or " +
		"@Microsoft.KeyVault(VaultName=VAULT;SecretName=NAME)")
	errVaultURI = errors.New("the SecretUri must be https://VAULT.vault.azure.net/secrets/NAME, with /VERSION at its end if one is meant, " +
		"and without user, query and fragment")
	errVaultName = errors.New("the name of the vault, the secret or its version has an impossible form")
)

// ParseKeyVaultSecret reads the argument of @Microsoft.KeyVault(...), in the two forms that Azure App Service has:
//
//	SecretUri=https://VAULT.vault.azure.net/secrets/NAME[/VERSION]
//	VaultName=VAULT;SecretName=NAME[;SecretVersion=VERSION]
//
// Keys may have any letter case. Whether the host is allowed is not checked here. The error does not quote the argument.
func ParseKeyVaultSecret(argument string) (KeyVaultSecret, error) {
	given := map[string]string{}
	for part := range strings.SplitSeq(strings.TrimSuffix(argument, ";"), ";") {
		key, value, found := strings.Cut(part, "=")
		key, value = strings.ToLower(strings.TrimSpace(key)), strings.TrimSpace(value)
		if _, twice := given[key]; !found || twice || value == "" {
			return KeyVaultSecret{}, errVaultForm
		}
		given[key] = value
	}
	s := KeyVaultSecret{Name: given["secretname"], Version: given["secretversion"]}
	_, versioned := given["secretversion"]
	switch {
	case given["secreturi"] != "" && len(given) == 1:
		return parseSecretURI(given["secreturi"])
	case given["vaultname"] == "" || s.Name == "" || len(given) > 3 || len(given) == 3 && !versioned:
		return KeyVaultSecret{}, errVaultForm
	}
	name := strings.ToLower(given["vaultname"])
	if !isVaultName(name) {
		return KeyVaultSecret{}, errVaultName
	}
	s.Host = name + "." + vaultSuffix
	return s, s.check()
}

func parseSecretURI(text string) (KeyVaultSecret, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return KeyVaultSecret{}, errVaultURI
	}
	path := strings.Split(strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/"), "/")
	if len(path) < 2 || len(path) > 3 || !strings.EqualFold(path[0], "secrets") {
		return KeyVaultSecret{}, errVaultURI
	}
	s := KeyVaultSecret{Host: strings.ToLower(strings.TrimSuffix(u.Host, ":443")), Name: path[1]}
	if len(path) == 3 {
		s.Version = path[2]
		if s.Version == "" {
			return KeyVaultSecret{}, errVaultURI
		}
	}
	return s, s.check()
}

func (s KeyVaultSecret) check() error {
	if !secretName.MatchString(s.Name) || s.Version != "" && !secretVersion.MatchString(s.Version) {
		return errVaultName
	}
	return nil
}

func isVaultName(name string) bool {
	return len(name) >= 3 && len(name) <= 24 && vaultName.MatchString(name)
}

// knownVault reports whether host is a vault in one of Microsoft's clouds.
func knownVault(host string) bool {
	name, domain, _ := strings.Cut(host, ".")
	return slices.Contains(vaultSuffixes(), domain) && isVaultName(name)
}
