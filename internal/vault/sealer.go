package vault

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"

	"sluice/internal/fault"
	"sluice/internal/secret"
)

// MaxSealed is the longest secret, in bytes, that Seal takes. A longer one belongs into a file.
const MaxSealed = 8 << 10

// maxDataKeys is how many opened data keys are remembered, so that a key service is not asked for each of them again.
const maxDataKeys = 4096

// Sealer encrypts secrets that are stored in the state database. It is safe for concurrent use.
type Sealer struct {
	keepers []Keeper // the first seals

	mu       sync.Mutex
	dataKeys map[string][]byte // opened, by key id and wrapped form
}

// NewSealer returns a Sealer that seals with the first keeper and opens with any of them. It takes them over: Close
// closes them. A second keeper of the same key is left out.
func NewSealer(keepers ...Keeper) (*Sealer, error) {
	s := &Sealer{dataKeys: map[string][]byte{}}
	for _, k := range keepers {
		if s.keeper(k.ID()) == nil {
			s.keepers = append(s.keepers, k)
		}
	}
	if len(s.keepers) == 0 {
		return nil, fault.New(fault.Config, "open secret key", "there is no key to seal secrets with")
	}
	return s, nil
}

// Close closes the keepers.
func (s *Sealer) Close() error {
	var errs []error
	for _, k := range s.keepers {
		errs = append(errs, k.Close())
	}
	return errors.Join(errs...)
}

// Key is the id of the key that seals, and Place where it is.
func (s *Sealer) Key() (id, place string) { return s.keepers[0].ID(), s.keepers[0].Place() }

func (s *Sealer) keeper(id string) Keeper {
	for _, k := range s.keepers {
		if k.ID() == id {
			return k
		}
	}
	return nil
}

// Seal encrypts a secret. Only Open with the same owner (the id of a connector, which never changes) and name (of the
// option) decrypts it. Sealing the same secret twice gives different texts.
func (s *Sealer) Seal(ctx context.Context, owner, name string, value secret.Secret) (string, error) {
	op := "seal " + name
	if value.Empty() || len(value.Reveal()) > MaxSealed {
		return "", fault.Newf(fault.Config, op, "a secret has 1 to %d bytes", MaxSealed).
			WithHint("put a longer one into a file and give ${file:PATH}")
	}
	keeper := s.keepers[0]
	dataKey := make([]byte, keySize)
	_, _ = rand.Read(dataKey) // never fails: it would end the program
	wrapped, err := keeper.Wrap(ctx, dataKey)
	if err != nil {
		return "", fault.Wrap("", op+" with "+keeper.Place(), err)
	}
	gcm, err := newGCM(dataKey)
	if err != nil {
		return "", fault.Wrap(fault.Internal, op, err)
	}
	sealed := sealed{key: keeper.ID(), wrapped: wrapped}
	sealed.box = gcm.Seal(nil, nil, []byte(value.Reveal()), sealed.bound(owner, name)) //nolint:gosec // the cipher makes its own random nonce and takes none
	return sealed.String(), nil
}

// Open decrypts what Seal returned for the same owner and name. A key that this server does not have is a fault.Config
// that names it; a changed or moved text is a fault.Malformed; a key service that does not answer is a
// fault.Unavailable.
func (s *Sealer) Open(ctx context.Context, owner, name, text string) (secret.Secret, error) {
	op := "open the stored " + name
	sealed, err := parseSealed(text)
	if err != nil {
		return secret.Secret{}, fault.New(fault.Malformed, op, err.Error()).WithHint(again)
	}
	dataKey, err := s.dataKey(ctx, sealed)
	if err != nil {
		return secret.Secret{}, fault.Wrap("", op, err)
	}
	gcm, err := newGCM(dataKey)
	if err != nil {
		return secret.Secret{}, fault.New(fault.Malformed, op, errSealed.Error()).WithHint(again)
	}
	plain, err := gcm.Open(nil, nil, sealed.box, sealed.bound(owner, name))
	if err != nil {
		return secret.Secret{}, fault.Wrap("", op, errDamaged().WithHint(again))
	}
	return secret.New(string(plain)), nil
}

// again is the way out when a stored secret cannot be opened.
const again = "apply the entry again with its secret, best as ${env:NAME} or ${file:PATH}; what was collected is not touched"

// Stale reports whether a sealed text was sealed by another key than the one that seals now.
func (s *Sealer) Stale(text string) bool {
	sealed, err := parseSealed(text)
	return err == nil && sealed.key != s.keepers[0].ID()
}

// Rewrap seals an opened text again, with a new data key and the key that seals now.
func (s *Sealer) Rewrap(ctx context.Context, owner, name, text string) (string, error) {
	value, err := s.Open(ctx, owner, name, text)
	if err != nil {
		return "", err
	}
	return s.Seal(ctx, owner, name, value)
}

// dataKey unwraps the key of a sealed text.
func (s *Sealer) dataKey(ctx context.Context, text sealed) ([]byte, error) {
	keeper := s.keeper(text.key)
	if keeper == nil {
		return nil, s.missing(text.key)
	}
	known := text.key + string(text.wrapped)
	s.mu.Lock()
	key := s.dataKeys[known]
	s.mu.Unlock()
	if key != nil {
		return key, nil
	}
	key, err := keeper.Unwrap(ctx, text.wrapped)
	if err != nil {
		return nil, fault.Wrap("", "with "+keeper.Place(), err)
	}
	if len(key) != keySize {
		return nil, errDamaged()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dataKeys) >= maxDataKeys {
		clear(s.dataKeys)
	}
	s.dataKeys[known] = key
	return key, nil
}

// missing is the error of a lost or wrong key.
func (s *Sealer) missing(id string) error {
	var have []string
	for _, k := range s.keepers {
		have = append(have, fmt.Sprintf("%s in %s", k.ID(), k.Place()))
	}
	return fault.Newf(fault.Config, "", "it was sealed with the key %s, and this server has only %s", id, strings.Join(have, ", ")).
		WithHint("restore the key file that belongs to this database from its backup, or add its key as a further line to the present one, and restart; " +
			"if the key is lost, " + again)
}

// bound is what a sealed text is tied to. Lengths stand before the texts, so that no two lists look the same.
func (s sealed) bound(owner, name string) []byte {
	var b []byte
	for _, part := range []string{"sluice sealed secret", sealedVersion, s.key, string(s.wrapped), owner, name} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}
