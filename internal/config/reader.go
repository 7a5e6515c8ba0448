package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"sluice/internal/option"
	"sluice/internal/source"
)

// Lookup finds an environment variable; os.LookupEnv is one.
type Lookup func(name string) (value string, found bool)

// reader walks the nodes of one document and gathers what is wrong with them.
type reader struct {
	file     string
	env      Lookup // nil: references in options that are no secrets stay unresolved
	drivers  []source.Properties
	stored   bool // the document comes from the state database: sealed secrets are expected
	keeps    bool // KeptSecret is possible in what is read now
	problems Problems
	warnings Problems
}

// field is one key of a mapping with its value.
type field struct {
	name       string
	key, value *yaml.Node
}

// entry is a mapping whose options have been read.
type entry struct {
	path   string
	node   *yaml.Node
	nodes  map[string]*yaml.Node // value of each key that is there, known or not
	spec   map[string]any        // decoded, references kept
	values map[string]any        // decoded, references of options that are no secrets resolved
}

func (r *reader) position(n *yaml.Node) Position {
	if n == nil {
		return Position{File: r.file, Line: 1, Column: 1}
	}
	return Position{File: r.file, Line: n.Line, Column: n.Column}
}

func (r *reader) report(n *yaml.Node, path, format string, args ...any) {
	r.problems = append(r.problems, problemf(r.position(n), path, format, args...))
}

func (r *reader) warn(n *yaml.Node, path, format string, args ...any) {
	r.warnings = append(r.warnings, problemf(r.position(n), path, format, args...))
}

// documents parses data and returns the root of every document that is not empty. A syntax error ends it.
func (r *reader) documents(data []byte) []*yaml.Node {
	if len(data) > MaxDocument {
		r.report(nil, "", "the document is too large: %d bytes, at most %d", len(data), MaxDocument)
		return nil
	}
	if at, what := unreadable(data); what != "" {
		line, column := lineColumn(data, at)
		r.problems = append(r.problems, problemf(Position{r.file, line, column}, "", "%s", what))
		return nil
	}
	roots, err := Documents(data)
	if wrong, ok := errors.AsType[*SyntaxError](err); ok {
		text := wrong.Text
		if wrong.alias {
			text = "aliases are not supported " + quoteStar
		}
		r.problems = append(r.problems, problemf(Position{r.file, wrong.Line, wrong.Column}, "", "not YAML: %s", text))
	}
	return roots
}

// unreadable finds the first byte that is no text, which the YAML parser would report without a position.
func unreadable(data []byte) (at int, what string) {
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			return i, "is not valid UTF-8 here"
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c == 0x7f:
			return i, fmt.Sprintf("holds the control character %U", c)
		}
		i += size
	}
	return 0, ""
}

func lineColumn(data []byte, at int) (line, column int) {
	before := data[:at]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// mapping returns the fields of n. It reports what is no mapping, a key that is no plain word and a key given twice.
func (r *reader) mapping(n *yaml.Node, path, what string) ([]field, bool) {
	if n.Kind != yaml.MappingNode {
		r.report(n, path, "must be %s (keys and values), found %s", what, describe(n))
		return nil, false
	}
	fields := make([]field, 0, len(n.Content)/2)
	first := map[string]*yaml.Node{}
	for pair := range slices.Chunk(n.Content, 2) {
		key, value := pair[0], pair[1]
		if key.Kind != yaml.ScalarNode {
			r.report(key, path, "a key must be a word, found %s", describe(key))
			continue
		}
		if key.ShortTag() == "!!merge" {
			r.report(key, path, "merge keys and aliases are not supported: write the values out")
			continue
		}
		if earlier := first[key.Value]; earlier != nil {
			r.report(key, join(path, key.Value), "key given twice, first on line %d", earlier.Line)
			continue
		}
		first[key.Value] = key
		fields = append(fields, field{key.Value, key, value})
	}
	return fields, true
}

// readList reads the entries of a list with read, which is given the node and the path of each and is false for one that
// is left out. what names them in messages. Nothing is an empty list.
func readList[T any](r *reader, n *yaml.Node, path, what string, read func(n *yaml.Node, path string) (T, bool)) []T {
	if isNull(n) {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.report(n, path, "must be a list of %s, found %s", what, describe(n))
		return nil
	}
	var list []T
	for i, item := range n.Content {
		if v, ok := read(item, indexed(path, i)); ok {
			list = append(list, v)
		}
	}
	return list
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of keys"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (not supported: write the value out)"
	default:
		if isNull(n) {
			return "nothing"
		}
		return "a single value"
	}
}

func join(path, name string) string {
	const most = 80
	if utf8.RuneCountInString(name) > most {
		name = string([]rune(name)[:most]) + "..."
	}
	if quoted := strconv.Quote(name); name == "" || len(quoted) != len(name)+2 || strings.ContainsAny(name, " .:") {
		name = quoted
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// options decodes the fields that are declared in known. Keys that are neither declared nor in also are reported with
// the nearest word of both.
func (r *reader) options(n *yaml.Node, fields []field, path string, known []option.Option, also ...string) entry {
	e := entry{path: path, node: n, nodes: map[string]*yaml.Node{}, spec: map[string]any{}, values: map[string]any{}}
	for _, f := range fields {
		e.nodes[f.name] = f.value
		o, ok := findOption(known, f.name)
		if !ok {
			if !slices.Contains(also, f.name) {
				r.report(f.key, join(path, f.name), "%s", unknown("key", f.name, append(optionNames(known), also...)))
			}
			continue
		}
		r.option(&e, o, f)
	}
	for _, o := range known {
		if o.Required && e.nodes[o.Name] == nil {
			r.report(n, join(path, o.Name), "is missing and required")
		}
	}
	return e
}

// option decodes one field into e.
func (r *reader) option(e *entry, o option.Option, f field) {
	path := join(e.path, f.name)
	v, ok := r.value(f.value, path)
	if !ok {
		return
	}
	if text, ok := v.(string); ok && o.Secret {
		switch {
		case option.IsSealed(text) && !r.stored:
			r.report(f.value, path, "is what Sluice stores for a secret: give the secret again")
			return
		case text == KeptSecret && r.keeps:
			e.spec[f.name], e.values[f.name] = text, text
			return
		case text == KeptSecret && !r.stored:
			r.report(f.value, path, "%s stands for the stored secret of a connector, and nothing is stored here: give the secret again", KeptSecret)
			return
		case !r.stored:
			if err := checkVaultReference(text); err != nil {
				r.report(f.value, path, "%v", err)
				return
			}
		}
	}
	spec, err := o.Decode(v)
	if err != nil {
		r.reportDecode(f.value, path, err)
		return
	}
	if spec == nil {
		if o.Required {
			r.report(f.key, path, "must not be empty")
		}
		return
	}
	e.spec[f.name], e.values[f.name] = spec, spec
	if r.env == nil || o.Secret {
		return
	}
	value, err := resolveOption(o, spec, r.env)
	if err != nil {
		r.reportDecode(f.value, path, err)
		return
	}
	e.values[f.name] = value
}

// reportDecode reports an error of option.Decode at the item that it is about.
func (r *reader) reportDecode(n *yaml.Node, path string, err error) {
	var item *option.ItemError
	if errors.As(err, &item) && item.Item < len(n.Content) {
		n, path, err = n.Content[item.Item], path+"["+strconv.Itoa(item.Item)+"]", item.Err
	}
	if choice, ok := errors.AsType[*option.ChoiceError](err); ok {
		if near := nearest(choice.Value, choice.Choices); near != "" {
			r.report(n, path, "unknown value %q, did you mean %q?", choice.Value, near)
			return
		}
	}
	r.report(n, path, "%v", err)
}

// value turns a node into what option.Decode takes. It reports aliases and tags, which have no meaning here.
func (r *reader) value(n *yaml.Node, path string) (any, bool) {
	switch n.Kind {
	case yaml.SequenceNode:
		items := make([]any, 0, len(n.Content))
		for i, c := range n.Content {
			item, ok := r.value(c, path+"["+strconv.Itoa(i)+"]")
			if !ok {
				return nil, false
			}
			items = append(items, item)
		}
		return items, true
	case yaml.MappingNode:
		return map[string]any{}, true // Decode refuses it whatever it holds
	case yaml.AliasNode:
		r.report(n, path, "aliases are not supported: write the value out")
		return nil, false
	default:
		return r.scalar(n, path)
	}
}

func (r *reader) scalar(n *yaml.Node, path string) (any, bool) {
	switch n.ShortTag() {
	case "!!null":
		return nil, true
	case "!!str", "!!timestamp":
		return n.Value, true
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b, true
		}
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			return i, true
		}
		fallthrough // beyond 64 bits
	case "!!float":
		var f float64
		if n.Decode(&f) == nil {
			return f, true
		}
	}
	// The tag is not quoted: an unquoted secret that begins with ! ends up here.
	r.report(n, path, "tags are not supported (write a text that begins with ! in quotes)")
	return nil, false
}
