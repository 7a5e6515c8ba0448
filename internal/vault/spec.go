package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/secret"
)

// SealSpec returns the stored form of an entry: the JSON object spec, in which every literal text of a secret option is
// replaced by its sealed form. References and sealed texts stay as they are, and so does everything else, in its order.
// Call it wherever an entry is written to the state database.
func (s *Sealer) SealSpec(ctx context.Context, owner string, options []option.Option, spec []byte) ([]byte, error) {
	next, _, err := eachSecret(options, spec, func(name, text string) (string, error) {
		if option.IsSealed(text) || !option.NewRef(text).Literal() {
			return text, nil
		}
		return s.Seal(ctx, owner, name, secret.New(text))
	})
	return next, err
}

// OpenSpec is the inverse of SealSpec, for comparing a stored entry with a new one. The result holds literal secrets and
// must not be shown or stored. Texts that cannot be opened stay sealed, and their errors are joined.
func (s *Sealer) OpenSpec(ctx context.Context, owner string, options []option.Option, spec []byte) ([]byte, error) {
	var failed []error
	next, _, err := eachSecret(options, spec, func(name, text string) (string, error) {
		if !option.IsSealed(text) {
			return text, nil
		}
		opened, err := s.Open(ctx, owner, name, text)
		if err != nil {
			failed = append(failed, err)
			return text, nil
		}
		return opened.Reveal(), nil
	})
	if err != nil {
		return nil, err
	}
	return next, errors.Join(failed...)
}

// RewrapSpec brings a stored entry up to date: literal secrets of an older version of Sluice are sealed, and what was
// sealed by another key than the present one is sealed again. changed reports whether there was any. With an error
// nothing is changed. Call it for every stored entry at start, and store the result.
func (s *Sealer) RewrapSpec(ctx context.Context, owner string, options []option.Option, spec []byte) (next []byte, changed bool, err error) {
	next, changed, err = eachSecret(options, spec, func(name, text string) (string, error) {
		switch {
		case option.IsSealed(text):
			if s.Stale(text) {
				return s.Rewrap(ctx, owner, name, text)
			}
		case option.NewRef(text).Literal():
			return s.Seal(ctx, owner, name, secret.New(text))
		}
		return text, nil
	})
	if err != nil {
		return spec, false, err
	}
	return next, changed, nil
}

// eachSecret replaces the texts of secret options in a JSON object by what with returns for them. When nothing is
// replaced, spec itself is returned.
func eachSecret(options []option.Option, spec []byte, with func(name, text string) (string, error)) ([]byte, bool, error) {
	const op = "read stored entry"
	wrong := fault.New(fault.Internal, op, "it is not a JSON object") // the decoder's error may quote a secret
	d := json.NewDecoder(bytes.NewReader(spec))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false, wrong
	}
	changed := false
	out := []byte{'{'}
	for d.More() {
		key, err := d.Token()
		name, isText := key.(string)
		var value json.RawMessage
		if err != nil || !isText || d.Decode(&value) != nil {
			return nil, false, wrong
		}
		var text string
		isSecret := slices.ContainsFunc(options, func(o option.Option) bool { return o.Secret && o.Name == name })
		if isSecret && json.Unmarshal(value, &text) == nil && text != "" {
			next, err := with(name, text)
			if err != nil {
				return nil, false, err
			}
			if next != text {
				value, changed = quote(next), true
			}
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(append(out, quote(name)...), ':'), value...)
	}
	if _, err := d.Token(); err != nil {
		return nil, false, wrong
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false, wrong
	}
	if !changed {
		return spec, false, nil
	}
	return append(out, '}'), true, nil
}

// quote writes a text as config does: without escapes for HTML.
func quote(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a text always encodes, to a buffer
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
