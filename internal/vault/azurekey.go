package vault

import (
	"context"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azkeys"

	"sluice/internal/fault"
)

// azureKeeper wraps data keys with an RSA key in Azure Key Vault (RSA-OAEP-256, operations wrapKey and unwrapKey).
type azureKeeper struct {
	client        *azkeys.Client
	host          string
	name, version string
}

// openAzureKeeper reads azurekeyvault://VAULT.vault.azure.net/keys/NAME[/VERSION]. Without a version the newest one
// wraps. What it wraps names its version, so a key that is rotated in the vault opens what it wrapped before.
func openAzureKeeper(u *url.URL, cfg KeyVaultConfig) (Keeper, error) {
	const op = "open secret key"
	path := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || len(path) < 2 || len(path) > 3 || path[0] != "keys" {
		return nil, fault.New(fault.Config, op, "the address of the key is not valid").
			WithHint("give azurekeyvault://VAULT.vault.azure.net/keys/NAME, with /VERSION at its end if one is meant")
	}
	k := &azureKeeper{host: strings.ToLower(strings.TrimSuffix(u.Host, ":443")), name: path[1]}
	if len(path) == 3 {
		k.version = path[2]
	}
	if (KeyVaultSecret{Name: k.name, Version: k.version}).check() != nil {
		return nil, fault.New(fault.Config, op, errVaultName.Error())
	}
	v := newVaults(cfg)
	options, credential, err := v.options(k.host)
	if err != nil {
		return nil, fault.Wrap("", op, err)
	}
	k.client, err = azkeys.NewClient("https://"+k.host, credential, &azkeys.ClientOptions{
		ClientOptions: options, DisableChallengeResourceVerification: !knownVault(k.host),
	})
	if err != nil {
		return nil, fault.New(fault.Config, op, "the key vault client cannot be made")
	}
	return k, nil
}

func (k *azureKeeper) address() string {
	return strings.TrimSuffix("https://"+k.host+"/keys/"+k.name+"/"+k.version, "/")
}

// ID implements Keeper.
func (k *azureKeeper) ID() string { return keyID(schemeAzure, strings.ToLower(k.address())) }

// Place implements Keeper.
func (k *azureKeeper) Place() string { return "the key " + k.address() }

// Close implements Keeper.
func (k *azureKeeper) Close() error { return nil }

// Wrap implements Keeper.
func (k *azureKeeper) Wrap(ctx context.Context, dataKey []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	algorithm := azkeys.EncryptionAlgorithmRSAOAEP256
	answer, err := k.client.WrapKey(ctx, k.name, k.version, azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: dataKey}, nil)
	if err != nil {
		return nil, vaultError(ctx, k.host, err)
	}
	version := k.version
	if answer.KID != nil && answer.KID.Version() != "" {
		version = answer.KID.Version()
	}
	if len(answer.Result) == 0 || !secretVersion.MatchString(version) {
		return nil, fault.Newf(fault.Malformed, "", "%s answered without a wrapped key", k.host)
	}
	return append(append([]byte{byte(len(version))}, version...), answer.Result...), nil
}

// Unwrap implements Keeper.
func (k *azureKeeper) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	if len(wrapped) == 0 || len(wrapped) < 1+int(wrapped[0]) || !secretVersion.Match(wrapped[1:1+int(wrapped[0])]) {
		return nil, errDamaged()
	}
	version, value := string(wrapped[1:1+int(wrapped[0])]), wrapped[1+int(wrapped[0]):]
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	algorithm := azkeys.EncryptionAlgorithmRSAOAEP256
	answer, err := k.client.UnwrapKey(ctx, k.name, version, azkeys.KeyOperationParameters{Algorithm: &algorithm, Value: value}, nil)
	if err != nil {
		return nil, vaultError(ctx, k.host, err)
	}
	return answer.Result, nil
}
