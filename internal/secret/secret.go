// Package secret holds the one type in which Sluice carries passwords, client secrets, private keys and tokens.
//
// A Secret prints as "[redacted]" through every formatting verb, in JSON, YAML, text encodings and structured logs.
// The only way to the value is Reveal, so a reader of the code can list every place that uses one by searching for
// that word. The zero value is the empty secret.
package secret

import (
	"fmt"
	"log/slog"
)

// Redacted is what a non-empty Secret prints as.
const Redacted = "[redacted]"

// Secret is a confidential text. It is immutable and safe for concurrent use.
type Secret struct{ value string }

// New wraps value.
func New(value string) Secret { return Secret{value: value} }

// Reveal returns the confidential value. Callers must not log it or put it into an error.
func (s Secret) Reveal() string { return s.value }

// Empty reports whether there is no secret.
func (s Secret) Empty() bool { return s.value == "" }

// String implements fmt.Stringer and never returns the value.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return Redacted
}

// Format implements fmt.Formatter, so that no verb (not even %#v) prints the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler and is used by JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
