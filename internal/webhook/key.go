package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/secret"
)

// keySize is the length of a key in bytes.
const keySize = 32

// keyName is where the key is stored.
const keyName = "webhook/key"

// Store keeps small values by key; state.Store is one.
type Store interface {
	Value(ctx context.Context, key string) (value []byte, ok bool, err error)
	PutValue(ctx context.Context, key string, value []byte) error
}

// Key is the secret of a server from which the paths and AuthIDs of its connectors are derived. Who has it can make Sluice list
// sooner, and nothing else.
type Key [keySize]byte

// LoadKey returns the stored key, and makes one the first time. When it is lost every path changes; the driver sets the new ones
// when Microsoft has given the old ones up.
func LoadKey(ctx context.Context, store Store) (k Key, err error) {
	const op = "load webhook key"
	stored, ok, err := store.Value(ctx, keyName)
	if err != nil {
		return k, fault.Wrap("", op, err)
	}
	if ok {
		if len(stored) != hex.EncodedLen(keySize) {
			stored = nil
		}
		if n, err := hex.Decode(k[:], stored); err != nil || n != keySize {
			return Key{}, fault.Newf(fault.Internal, op, "the value %s of the state database is damaged", keyName).
				WithHint("restore the state database from its backup")
		}
		return k, nil
	}
	_, _ = rand.Read(k[:]) // never fails: it would end the program
	return k, fault.Wrap("", op, store.PutValue(ctx, keyName, hex.AppendEncode(nil, k[:])))
}

// Path is the last segment of a connector's address. It cannot be guessed, and stays the same as long as key and connector do.
func (k Key) Path(connectorID string) string { return k.derive("path", connectorID)[:40] }

// AuthID is what Microsoft sends back with each request for a connector that has none of its own.
func (k Key) AuthID(connectorID string) secret.Secret {
	return secret.New(k.derive("authid", connectorID))
}

func (k Key) derive(purpose, connectorID string) string {
	h := hmac.New(sha256.New, k[:])
	h.Write([]byte(purpose + "\x00" + connectorID))
	return hex.EncodeToString(h.Sum(nil))
}

// Address is the whole address of a connector's webhook below a public address.
func (k Key) Address(public, connectorID string) string {
	return strings.TrimRight(public, "/") + "/" + k.Path(connectorID)
}
