package config

import (
	"bytes"
	"encoding/json"
	"io"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/internal/option"
)

// pair is one key of the canonical form.
type pair struct {
	name  string
	value any // string, int64, bool or []string
}

// pairs returns the canonical form: the given keys, in the order of their declaration, in one spelling each. With
// hide, literal and sealed secrets are replaced by KeptSecret.
func (c Connector) pairs(hide bool) []pair {
	var list []pair
	for _, name := range c.spec.Names() {
		v := c.spec.Get(name)
		switch typed := v.(type) {
		case option.Ref:
			v = typed.Text()
			if hide && typed.Literal() {
				v = KeptSecret
			}
		case time.Duration:
			v = option.FormatDuration(typed)
		case time.Time:
			v = typed.Format(time.RFC3339Nano)
		}
		list = append(list, pair{name, v})
	}
	return list
}

// SpecJSON returns the connector as it is stored in the state database: a JSON object of exactly the given keys in
// canonical order, references kept. It may hold a literal secret, so it is sealed before it is stored, and not shown: see
// JSON.
func (c Connector) SpecJSON() []byte { return encodePairs(c.pairs(false)) }

// JSON returns SpecJSON with literal secrets replaced by KeptSecret, for `sluice get -o json` and the API.
func (c Connector) JSON() []byte { return encodePairs(c.pairs(true)) }

func encodePairs(pairs []pair) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + p.name + `":`)
		_ = enc.Encode(p.value) // texts, numbers, truth values and lists of texts always encode, to a buffer
		b.Truncate(b.Len() - 1) // the line end that Encode adds
	}
	b.WriteByte('}')
	return b.Bytes()
}

// MarshalYAML returns the connector as a mapping in canonical order with literal secrets replaced by KeptSecret.
func (c Connector) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, p := range c.pairs(true) {
		var key, value yaml.Node
		key.SetString(p.name)
		if err := value.Encode(p.value); err != nil {
			return nil, err
		}
		if value.Kind == yaml.SequenceNode {
			value.Style = yaml.FlowStyle
		}
		n.Content = append(n.Content, &key, &value)
	}
	return n, nil
}

// WriteYAML writes the document that `sluice get -o yaml` prints. ParseApply reads it back to the same connectors, except
// for literal secrets, which Connector.Keep puts back.
func WriteYAML(w io.Writer, connectors []Connector) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if connectors == nil {
		connectors = []Connector{}
	}
	if err := enc.Encode(map[string][]Connector{keyConnectors: connectors}); err != nil {
		return err
	}
	return enc.Close()
}
