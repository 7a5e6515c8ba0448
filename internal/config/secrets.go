package config

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/option"
	"sluice/internal/vault"
)

// KeptSecret is how a literal secret is written by `sluice get`: it stands for the secret that the state database has
// sealed. Applied to the same connector it leaves the secret as it is, so that what was printed can be applied.
const KeptSecret = "${sealed}"

// Secrets is the group `secrets` of sluice.yaml: how secrets are kept and found. The zero value is right for a key file in
// the data folder.
type Secrets struct {
	KeyFile    string     // empty: in the data folder
	Key        option.Ref // address of a key, as vault.OpenKeeper takes it; empty: the key file
	VaultHosts []string   // hosts beside those of Azure Key Vault that may be asked for secrets
}

// SecretsOptions declares the keys of the group `secrets` of sluice.yaml.
func SecretsOptions() []option.Option {
	return []option.Option{
		{
			Name: "key_file", Type: option.File, Example: "/etc/sluice/secret.key",
			Help: "File with the key that seals the literal secrets of connectors in the state database. Default: secret.key in the data folder, which is made at the first start; a file that is named here must exist.",
		},
		{
			Name: "key", Secret: true, Example: "azurekeyvault://contoso.vault.azure.net/keys/sluice",
			Help: "Address of the key instead of a file: azurekeyvault://VAULT.vault.azure.net/keys/NAME, which never leaves Azure Key Vault, or base64key:// with 32 bytes in base64url. " +
				"A key file beside it still opens what it sealed.",
		},
		{
			Name: "vault_hosts", Type: option.StringList, Example: "keyvault.contoso.example",
			Help: "Hosts beside those of Azure Key Vault that @Microsoft.KeyVault(...) may name. They are asked with this server's access token for Key Vault.",
		},
	}
}

func (r *reader) secrets(n *yaml.Node) Secrets {
	fields, ok := r.mapping(n, keySecrets, "a group")
	if !ok {
		return Secrets{}
	}
	e := r.options(n, fields, keySecrets, SecretsOptions())
	v := option.NewValues(SecretsOptions(), e.values)
	for i, host := range v.List("vault_hosts") {
		if strings.ContainsAny(host, "/@?#") {
			r.report(e.nodes["vault_hosts"].Content[i], indexed(join(keySecrets, "vault_hosts"), i), "must be a host, with :port unless it is 443, without https:// and path")
		}
	}
	if v.Secret("key").Literal() && strings.HasPrefix(v.Secret("key").Text(), "base64key:") {
		r.warn(e.nodes["key"], join(keySecrets, "key"), "the key stands in the document: prefer ${env:NAME} or ${file:PATH}")
	}
	return Secrets{KeyFile: v.String("key_file"), Key: v.Secret("key"), VaultHosts: v.List("vault_hosts")}
}

// checkVaultReference looks at the form of a reference into Azure Key Vault; other texts are fine.
func checkVaultReference(text string) error {
	parts, _ := option.ParseReferences(text) // Decode reports what is no reference
	for _, p := range parts {
		if p.Kind == option.VaultRef {
			_, err := vault.ParseKeyVaultSecret(p.Text)
			return err
		}
	}
	return nil
}

// Kept names the options of c that were given as KeptSecret. Such a connector cannot be used or stored before Keep.
func (c Connector) Kept() []string {
	var names []string
	for _, name := range c.spec.Names() {
		if ref, ok := c.spec.Get(name).(option.Ref); ok && ref.Text() == KeptSecret {
			names = append(names, name)
		}
	}
	return names
}

// Keep returns c with the secrets of stored in the place of KeptSecret. missing names those that stored does not have.
func (c Connector) Keep(stored Connector) (kept Connector, missing []string) {
	texts := map[string]any{}
	for _, name := range c.Kept() {
		text := stored.spec.Secret(name).Text()
		if text == "" {
			missing = append(missing, name)
			continue
		}
		texts[name] = text
	}
	c.spec, c.Values = c.spec.With(texts), c.Values.With(texts)
	return c, missing
}
