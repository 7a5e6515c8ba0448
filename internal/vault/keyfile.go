package vault

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"sluice/internal/fault"
)

// KeyFileName is the name of the key file in the data folder.
const KeyFileName = "secret.key"

const (
	keySize     = 32      // bytes of an AES-256 key
	maxKeyFile  = 1 << 16 // bytes
	keyFileMode = 0o600
)

const keyFileHead = `# Secret key of Sluice: it opens the secrets that are stored in the state database.
# Back this file up, and keep the copy apart from copies of the database. Without it those secrets must be entered again.
# The first key seals; the others only open what they sealed. Each is 32 bytes in base64.
`

// KeyFile opens the keys in a file, the one that seals first. With create, a missing file is made, with a new key and
// mode 0600, and is on disk when KeyFile returns; the caller must be the only one who does that. A file that others than
// its owner and group can read or change is refused. Errors are of kind fault.Config or fault.Full.
func KeyFile(path string, create bool) ([]Keeper, error) {
	const op = "open key file"
	text, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		if text, err = createKeyFile(path); err != nil {
			return nil, fault.New(fault.Full, op, "the key file cannot be made").WithCause(err).
				WithHint("free disk space, and give the user that runs Sluice the right to write into " + filepath.Dir(path))
		}
	}
	if err != nil {
		return nil, fault.New(fault.Config, op, "").WithCause(err).
			WithHint("restore the file from its backup, and check that only the user that runs Sluice may read it (mode 0600)")
	}
	var keepers []Keeper
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(key) != keySize {
			return nil, fault.Newf(fault.Config, op, "%s, line %d is not a key: want 32 bytes in base64", path, i+1).
				WithHint("restore the file from its backup; lines that begin with # are comments")
		}
		k, err := newFileKeeper(key, path)
		if err != nil {
			return nil, fault.Wrap(fault.Internal, op, err)
		}
		keepers = append(keepers, k)
	}
	if len(keepers) == 0 {
		return nil, fault.Newf(fault.Config, op, "%s holds no key", path).
			WithHint("restore the file from its backup; if no secret was ever stored, delete it and Sluice makes a new one")
	}
	return keepers, nil
}

// NewKey makes the text of a line of a key file.
func NewKey() string {
	key := make([]byte, keySize)
	_, _ = rand.Read(key) // never fails: it would end the program
	return base64.StdEncoding.EncodeToString(key)
}

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o027 != 0 {
		return nil, fmt.Errorf("%s can be read by everybody or changed by its group (mode %04o)", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(text) > maxKeyFile {
		err = fmt.Errorf("%s is too large for a key file", path)
	}
	return text, err
}

// createKeyFile writes a new key file so that a crash leaves either none or a whole one, and never replaces one.
func createKeyFile(path string) ([]byte, error) {
	text := []byte(keyFileHead + NewKey() + "\n")
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already after a rename
	_, err = io.Copy(f, bytes.NewReader(text))
	if err := errors.Join(err, f.Chmod(keyFileMode), f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s appeared meanwhile", path)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, err
	}
	return text, syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be synced there
	}
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fileKeeper is one key of a key file.
type fileKeeper struct {
	gcm       cipher.AEAD
	id, place string
}

func newFileKeeper(key []byte, path string) (*fileKeeper, error) {
	gcm, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	return &fileKeeper{gcm: gcm, id: keyID("file", string(key)), place: "the key file " + path}, nil
}

// newGCM is AES-256-GCM that puts a random nonce before each ciphertext.
func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func (k *fileKeeper) ID() string    { return k.id }
func (k *fileKeeper) Place() string { return k.place }
func (k *fileKeeper) Close() error  { return nil }

func (k *fileKeeper) Wrap(_ context.Context, dataKey []byte) ([]byte, error) {
	return k.gcm.Seal(nil, nil, dataKey, []byte(k.id)), nil //nolint:gosec // the cipher makes its own random nonce and takes none
}

func (k *fileKeeper) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	dataKey, err := k.gcm.Open(nil, nil, wrapped, []byte(k.id))
	if err != nil {
		return nil, errDamaged()
	}
	return dataKey, nil
}
