package api

import (
	"bytes"
	"encoding/json"

	"go.yaml.in/yaml/v3"

	"sluice/internal/fault"
)

// Document writes entries as a document that apply takes, in "yaml" or "json". The order of members and the spelling
// of numbers are those of the entries.
func Document(entries []Entry, format string) ([]byte, error) {
	if format == "json" {
		return jsonDocument(entries)
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, kind := range Kinds() {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, e := range entries {
			if e.Kind != kind {
				continue
			}
			var doc yaml.Node // JSON is YAML, and a node keeps order and numbers
			if err := yaml.Unmarshal(e.Spec, &doc); err != nil || len(doc.Content) != 1 {
				return nil, fault.Newf(fault.Internal, "write document", "entry %s has an unreadable specification", e.Name).WithCause(err)
			}
			blockStyle(doc.Content[0])
			list.Content = append(list.Content, doc.Content[0])
		}
		if len(list.Content) > 0 {
			root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: string(kind)}, list)
		}
	}
	if len(root.Content) == 0 {
		return []byte("{}\n"), nil
	}
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	return buf.Bytes(), enc.Close()
}

// blockStyle takes the braces and quotes of JSON off a YAML tree; the encoder puts quotes back where they matter.
func blockStyle(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		n.Style = 0
	} else {
		n.Style &^= yaml.DoubleQuotedStyle
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}

// jsonDocument is Document in JSON, indented.
func jsonDocument(entries []Entry) ([]byte, error) {
	doc := map[Kind][]Object{}
	for _, e := range entries {
		doc[e.Kind] = append(doc[e.Kind], e.Spec)
	}
	compact, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := json.Indent(&buf, compact, "", "  "); err != nil {
		return nil, err
	}
	buf.WriteByte('\n')
	return buf.Bytes(), nil
}
