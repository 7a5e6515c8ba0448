package option

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of place that a Part can name.
const (
	Literal  = ""         // the text itself
	EnvRef   = "env"      // ${env:NAME}
	FileRef  = "file"     // ${file:PATH}
	VaultRef = "keyvault" // @Microsoft.KeyVault(SecretUri=...)
)

// Redacted is what a literal secret prints as. Given as a value it is refused, because it is what a hidden secret
// looks like after a copy from the output of Sluice.
const Redacted = "[redacted]"

const vaultPrefix = "@Microsoft.KeyVault("

// Part is a piece of a value: text, or the name of a place that holds the text.
type Part struct {
	Kind string // Literal, EnvRef, FileRef or VaultRef
	Text string // the text, the variable's name, the path or the vault's argument
}

// ParseReferences splits a value into literal text and references. "${" begins a reference and "$${" stands for a
// literal "${". A vault reference is always a whole value. An error never quotes the value, which may be a secret.
func ParseReferences(value string) ([]Part, error) {
	if arg, ok := strings.CutPrefix(value, vaultPrefix); ok {
		arg, closed := strings.CutSuffix(arg, ")")
		if !closed || arg == "" {
			return nil, errors.New("incomplete vault reference, want @Microsoft.KeyVault(SecretUri=https://...)")
		}
		return []Part{{Kind: VaultRef, Text: arg}}, nil
	}
	var parts []Part
	var text strings.Builder
	for {
		before, rest, found := strings.Cut(value, "${")
		if found && strings.HasSuffix(before, "$") {
			text.WriteString(before[:len(before)-1] + "${")
			value = rest
			continue
		}
		text.WriteString(before)
		if text.Len() > 0 {
			parts = append(parts, Part{Text: text.String()})
			text.Reset()
		}
		if !found {
			return mergeText(parts), nil
		}
		inside, rest, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, errors.New("reference without closing brace, want ${env:NAME} or ${file:PATH}")
		}
		kind, name, _ := strings.Cut(inside, ":")
		if kind != EnvRef && kind != FileRef {
			return nil, errors.New("unknown reference, want ${env:NAME} or ${file:PATH} ($${ for a literal ${)")
		}
		if name == "" {
			return nil, fmt.Errorf("reference ${%s:} names nothing", kind)
		}
		parts = append(parts, Part{Kind: kind, Text: name})
		value = rest
	}
}

// mergeText joins literal parts that stand side by side.
func mergeText(parts []Part) []Part {
	var merged []Part
	for _, p := range parts {
		if n := len(merged); n > 0 && p.Kind == Literal && merged[n-1].Kind == Literal {
			merged[n-1].Text += p.Text
			continue
		}
		merged = append(merged, p)
	}
	return merged
}

// HasReference reports whether value holds at least one well-formed reference.
func HasReference(value string) bool {
	parts, err := ParseReferences(value)
	if err != nil {
		return false
	}
	for _, p := range parts {
		if p.Kind != Literal {
			return true
		}
	}
	return false
}

// Ref is the value of a secret option as the operator gave it: normally a reference to the place of the secret, or the
// secret itself. It prints as the reference, or as "[redacted]" when any part of it is literal, so that it can be
// shown and logged. Text is the way to the stored form.
type Ref struct{ text string }

// NewRef wraps the text of a secret option.
func NewRef(text string) Ref { return Ref{text: text} }

// Text returns the value as given. It may be a literal secret: callers must not print it.
func (r Ref) Text() string { return r.text }

// Empty reports whether nothing was given.
func (r Ref) Empty() bool { return r.text == "" }

// Literal reports whether the value carries secret text itself instead of only naming places.
func (r Ref) Literal() bool {
	if r.text == "" {
		return false
	}
	parts, err := ParseReferences(r.text)
	if err != nil {
		return true
	}
	for _, p := range parts {
		if p.Kind == Literal {
			return true
		}
	}
	return false
}

// String implements fmt.Stringer and never returns secret text.
func (r Ref) String() string {
	if r.Literal() {
		return Redacted
	}
	return r.text
}

// Format implements fmt.Formatter, so that no verb (not even %#v) prints secret text.
func (r Ref) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.String())) }

// MarshalText implements encoding.TextMarshaler and is used by JSON.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// SealedPrefix begins the text in which a literal secret is stored, encrypted (package vault). Only Sluice writes it.
const SealedPrefix = "@Sluice.Sealed("

// IsSealed reports whether value has the outer form of a sealed secret. Such a text is never accepted from a person:
// the state database is its only source. To Ref it is literal, so it prints as "[redacted]".
func IsSealed(value string) bool {
	return strings.HasPrefix(value, SealedPrefix) && strings.HasSuffix(value, ")")
}
