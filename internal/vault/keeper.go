package vault

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"

	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"sluice/internal/fault"
	"sluice/internal/secret"
)

// Keeper holds a key that encrypts other keys, or knows a service that does. It is safe for concurrent use. Its errors
// are of package fault.
type Keeper interface {
	// ID names the key: 12 hexadecimal digits that tell nothing about it.
	ID() string
	// Place says for people where the key is.
	Place() string
	// Wrap encrypts a data key.
	Wrap(ctx context.Context, dataKey []byte) ([]byte, error)
	// Unwrap decrypts what Wrap returned.
	Unwrap(ctx context.Context, wrapped []byte) ([]byte, error)
	// Close releases what the keeper holds open.
	Close() error
}

// The schemes of OpenKeeper.
const (
	schemeLocal = localsecrets.Scheme // base64key
	schemeAzure = "azurekeyvault"
)

// OpenKeeper opens the key that an address names:
//
//	base64key://KEY                                         32 bytes in base64url, as in gocloud.dev/secrets
//	azurekeyvault://VAULT.vault.azure.net/keys/KEY[/VERSION]  an RSA key that stays in Azure Key Vault
//
// Nothing is sent. Errors are of kind fault.Config and do not quote the address, which may hold a key. cfg says how Azure
// Key Vault is reached.
func OpenKeeper(ctx context.Context, address secret.Secret, cfg KeyVaultConfig) (Keeper, error) {
	const op = "open secret key"
	wrong := fault.New(fault.Config, op, "the address of the key is not valid").
		WithHint("give base64key:// followed by 32 bytes in base64url, or azurekeyvault://VAULT.vault.azure.net/keys/NAME")
	u, err := url.Parse(strings.TrimSpace(address.Reveal()))
	if err != nil {
		return nil, wrong
	}
	switch u.Scheme {
	case schemeAzure:
		return openAzureKeeper(u, cfg)
	case schemeLocal:
		if u.Host == "" { // the library makes a random key then, with which nothing could ever be opened again
			return nil, wrong
		}
		k, err := (&localsecrets.URLOpener{}).OpenKeeperURL(ctx, u)
		if err != nil {
			return nil, wrong
		}
		return cloudKeeper{keeper: k, id: keyID(schemeLocal, u.Host), place: "the configured key address (base64key)"}, nil
	case "awskms", "gcpkms", "hashivault":
		return nil, fault.Newf(fault.Config, op, "keys at %s:// are not built into this version of Sluice", u.Scheme).
			WithHint("use azurekeyvault://, base64key:// or a key file; a key of another service can be mounted as a file")
	}
	return nil, wrong
}

// keyID derives the id of a key, or of the address of a key, of which it must not tell anything.
func keyID(kind, key string) string {
	sum := sha256.Sum256([]byte("sluice key id\x00" + kind + "\x00" + key))
	return hex.EncodeToString(sum[:])[:keyIDLen]
}

// cloudKeeper is a Keeper of gocloud.dev/secrets.
type cloudKeeper struct {
	keeper    *secrets.Keeper
	id, place string
}

func (k cloudKeeper) ID() string    { return k.id }
func (k cloudKeeper) Place() string { return k.place }
func (k cloudKeeper) Close() error  { return k.keeper.Close() }

func (k cloudKeeper) Wrap(ctx context.Context, dataKey []byte) ([]byte, error) {
	wrapped, err := k.keeper.Encrypt(ctx, dataKey)
	return wrapped, cloudError(ctx, err)
}

func (k cloudKeeper) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	dataKey, err := k.keeper.Decrypt(ctx, wrapped)
	return dataKey, cloudError(ctx, err)
}

// cloudError classifies an error of gocloud.dev. A local key has no code: there, nothing but the text can be wrong.
func cloudError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return fault.New(fault.NotFound, "", "the key does not exist")
	case gcerrors.PermissionDenied:
		return fault.New(fault.Permission, "", "the key may not be used")
	case gcerrors.ResourceExhausted:
		return fault.New(fault.Throttled, "", "the key service asks to slow down")
	case gcerrors.DeadlineExceeded, gcerrors.Internal:
		return fault.New(fault.Unavailable, "", "the key service does not answer")
	default:
		return errDamaged()
	}
}

// errDamaged is the failure of an authenticated decryption.
func errDamaged() *fault.Error {
	return fault.New(fault.Malformed, "", "it was changed, or copied from another entry")
}
