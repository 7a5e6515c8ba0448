package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/secret"
)

// maxReferenced is the largest file, in bytes, that ${file:PATH} reads.
const maxReferenced = 64 << 10

// ResolveSecret looks up a secret that was given as a reference and returns the text without trailing line ends. A
// text without a reference is the secret itself. The error is of kind fault.Config, names the variable or file that
// is missing and never quotes a secret. Call it at each use: what it returns may change.
//
// It knows the environment and files only: package vault also finds what is in Azure Key Vault or sealed.
func ResolveSecret(ref string) (secret.Secret, error) {
	if option.IsSealed(ref) {
		return secret.Secret{}, fault.New(fault.Config, "resolve secret", "it is sealed, and belongs to the entry that it is stored with").
			WithHint("give the secret again, best as ${env:NAME} or ${file:PATH}")
	}
	value, err := expand(ref, os.LookupEnv)
	if err != nil {
		return secret.Secret{}, fault.New(fault.Config, "resolve secret", err.Error()).
			WithHint("the reference is looked up on the server, as the user that runs it")
	}
	return secret.New(value), nil
}

// resolveOption looks up the references in the value of an option that is no secret and decodes the result again.
// Values of other types than text hold no references and are returned as they are.
func resolveOption(o option.Option, value any, env Lookup) (any, error) {
	text, ok := value.(string)
	if !ok || !strings.Contains(text, "${") {
		return value, nil
	}
	text, err := expand(text, env)
	if err != nil {
		return nil, err
	}
	// What was looked up is a value and never again a reference.
	decoded, err := o.Decode(strings.ReplaceAll(text, "${", "$${"))
	if s, ok := decoded.(string); ok {
		decoded = strings.ReplaceAll(s, "$${", "${")
	}
	return decoded, err
}

// expand replaces the references in value by what they name.
func expand(value string, env Lookup) (string, error) {
	parts, err := option.ParseReferences(value)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, p := range parts {
		switch p.Kind {
		case option.EnvRef:
			v, found := env(p.Text)
			if !found {
				return "", fmt.Errorf("environment variable %s is not set", p.Text)
			}
			if v = strings.TrimRight(v, "\r\n"); v == "" {
				return "", fmt.Errorf("environment variable %s is empty", p.Text)
			}
			text.WriteString(v)
		case option.FileRef:
			v, err := readReferenced(p.Text)
			if err != nil {
				return "", err
			}
			text.WriteString(v)
		case option.VaultRef:
			return "", errors.New("a reference into Azure Key Vault is not possible here: give the secret as ${env:NAME} or ${file:PATH}")
		default:
			text.WriteString(p.Text)
		}
	}
	return text.String(), nil
}

// readReferenced reads a small text file without its trailing line ends. The path is the operator's.
func readReferenced(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err // names the operation, the path and the reason
	}
	defer func() { _ = f.Close() }() // read only
	data, err := io.ReadAll(io.LimitReader(f, maxReferenced+1))
	if err != nil {
		return "", err
	}
	text := strings.TrimRight(string(data), "\r\n")
	switch {
	case len(data) > maxReferenced:
		return "", fmt.Errorf("file %s is too large: more than %d bytes", path, maxReferenced)
	case text == "":
		return "", fmt.Errorf("file %s is empty", path)
	}
	return text, nil
}
