// Package vault knows where secrets are: it finds their present values, keeps those that have to be stored encrypted,
// and tells when one has changed.
//
// An operator gives a secret in one of four ways. The first three are references: the state database holds the name
// of the place only, and the value is looked up when it is used.
//
//	${env:NAME}                                    environment variable of the server
//	${file:PATH}                                   file on the server, such as a mounted Kubernetes secret
//	@Microsoft.KeyVault(SecretUri=https://...)     Azure Key Vault; also (VaultName=NAME;SecretName=NAME)
//	the secret itself                              sealed before it is stored
//
// # Sealing
//
// A Sealer encrypts the fourth kind. Every value gets a data key of its own (AES-256-GCM), and the data key is wrapped
// by the key of a Keeper. The sealed text holds all that is needed to open it, apart from the Keeper's key:
//
//	@Sluice.Sealed(v1.KEY.WRAPPED.BOX)
//
//	KEY      id of the Keeper's key, 12 hexadecimal digits; says which key is missing when one is
//	WRAPPED  the data key, encrypted by the Keeper; base64url without padding
//	BOX      nonce (12 bytes), ciphertext and tag (16 bytes) under the data key; base64url without padding
//
// Version, key id, wrapped key, owner and option name are authenticated with it, so a sealed text is worthless in the
// place of another one: what belongs to one connector does not open for another, and a password does not open as a key.
// A data key encrypts one text, so the random nonce cannot repeat under it. A key file's key wraps one data key for each
// text that is ever sealed, far below the 2^32 messages that AES-GCM with random nonces allows (NIST SP 800-38D).
//
// Keepers:
//
//	KeyFile     a file with AES-256 keys, made at first start. The first line seals, further ones only open.
//	OpenKeeper  base64key:// (a key in the address) and azurekeyvault:// (a key that never leaves Azure Key Vault)
//
// Whoever has both the state database and the key file has the secrets. Back the key file up, and keep that copy apart
// from copies of the database. Without its key a sealed secret is lost: Open then says which key is needed, and the way
// out is to apply the connector again with its secret.
//
// To change the key, put a new line at the top of the key file (NewKey makes one), restart, and let RewrapSpec run over
// the stored entries; then remove the old line.
//
// # Looking up, and noticing changes
//
// A Resolver finds values. Variables and files are read at each look, which costs less than knowing that one need not.
// Answers of Azure Key Vault are kept for some minutes, and longer while the vault does not answer: an outage of the
// vault stops nobody. A secret that is disabled or deleted there is refused to whoever asks next; who works with it
// already goes on until it starts over, since only the service that the secret is for can take the right away.
//
// Whoever works with a secret takes Uses for itself, asks them, and keeps them:
//
//	uses := resolver.Uses(connectorID)
//	key, err := uses.Secret(ctx, "api_access_key", text)
//	uses.File("/etc/sluice/contoso.pem")
//	uses.Keep()
//
// Resolver.Run looks again every minute and calls back with the owners whose secrets differ from what they got, so that
// they can start over with the new ones. Refused makes it look at once, past the cache: a sign-in that was refused is
// the moment at which a rotated secret is missed.
//
// # Who gets to see what
//
// A request to Azure Key Vault goes to a host of a known vault domain, or to one that the operator allowed by name, over
// https only; redirects are refused. The access token is for Key Vault whatever a server asks for, and is sent to the
// host of the reference only. Errors name variables, files, vaults and keys, and never hold a secret.
package vault
