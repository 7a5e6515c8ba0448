package vault

import (
	"encoding/base64"
	"errors"
	"strings"

	"sluice/internal/option"
)

const (
	sealedVersion = "v1"
	keyIDLen      = 12       // hexadecimal digits of a key's id
	maxWrapped    = 2 << 10  // bytes; RSA-4096 makes 512
	maxBox        = 12 << 10 // bytes
	boxOverhead   = 12 + 16  // nonce and tag
)

// errSealed is the answer to every text that Seal did not write. It does not quote the text.
var errSealed = errors.New("is not a sealed secret of this version of Sluice, or is damaged")

// sealed is the decoded form of a sealed secret.
type sealed struct {
	key     string // id of the Keeper's key
	wrapped []byte // the data key, encrypted by the Keeper
	box     []byte // nonce, ciphertext and tag
}

// parseSealed reads what String writes, and nothing else: there is one spelling for each value.
func parseSealed(text string) (sealed, error) {
	if !option.IsSealed(text) {
		return sealed{}, errSealed
	}
	inside := strings.TrimSuffix(strings.TrimPrefix(text, option.SealedPrefix), ")")
	parts := strings.Split(inside, ".")
	if len(parts) != 4 || parts[0] != sealedVersion || !isKeyID(parts[1]) {
		return sealed{}, errSealed
	}
	s := sealed{key: parts[1]}
	var err error
	if s.wrapped, err = decode(parts[2], maxWrapped); err != nil || len(s.wrapped) == 0 {
		return sealed{}, errSealed
	}
	if s.box, err = decode(parts[3], maxBox); err != nil || len(s.box) < boxOverhead {
		return sealed{}, errSealed
	}
	return s, nil
}

// String writes the text that is stored.
func (s sealed) String() string {
	return option.SealedPrefix + sealedVersion + "." + s.key + "." + encode(s.wrapped) + "." + encode(s.box) + ")"
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func decode(text string, most int) ([]byte, error) {
	if base64.RawURLEncoding.DecodedLen(len(text)) > most || strings.ContainsAny(text, "\r\n") { // the decoder skips line ends
		return nil, errSealed
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

func isKeyID(text string) bool {
	return len(text) == keyIDLen && strings.Trim(text, "0123456789abcdef") == ""
}
