package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/secret"
)

// TokenFile is the name of the file in the data folder that holds the token of the command line.
const TokenFile = "cli-token"

// minToken is the shortest token that is accepted from the file: 128 bits in base64.
const minToken = 22

// LoadOrCreateToken returns the token of the data folder dir and makes it when there is none. The file has mode 0600;
// a file that others could read is tightened. Call it under the lock of the data folder.
func LoadOrCreateToken(dir string) (secret.Secret, error) {
	path := filepath.Join(dir, TokenFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createToken(path)
	}
	if err != nil {
		return secret.Secret{}, fault.Wrap(fault.Config, "read the API token", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return secret.Secret{}, fault.Wrap(fault.Config, "protect the API token", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minToken {
		return secret.Secret{}, fault.Newf(fault.Config, "read the API token", "%s holds no usable token", path).
			WithHint("delete the file; the server makes a new one at its next start")
	}
	return secret.New(token), nil
}

// createToken writes a new token beside path and moves it there, so that a crash leaves a whole file or none.
func createToken(path string) (secret.Secret, error) {
	random := make([]byte, 32)
	if _, err := rand.Read(random); err != nil {
		return secret.Secret{}, fmt.Errorf("make the API token: %w", err)
	}
	token := "slu_" + base64.RawURLEncoding.EncodeToString(random)
	tmp, err := os.CreateTemp(filepath.Dir(path), TokenFile+".*") // mode 0600
	if err != nil {
		return secret.Secret{}, fault.Wrap(fault.Config, "make the API token", err)
	}
	_, err = tmp.WriteString(token + "\n")
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return secret.Secret{}, fault.Wrap(fault.Config, "make the API token", errors.Join(err, os.Remove(tmp.Name())))
	}
	return secret.New(token), nil
}

// bearer checks the request's token. Hashing first makes the comparison independent of lengths.
func bearer(r *http.Request, want [sha256.Size]byte) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
