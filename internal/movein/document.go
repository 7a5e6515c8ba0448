package movein

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"sluice/internal/config"
)

// The limits of a document, against aliases that repeat themselves without end.
const (
	maxDepth = 60
	maxNodes = 200_000
)

// shape is what a node is.
type shape int

const (
	nothing shape = iota // null
	scalar
	list
	group
)

// node is a value of a document with its place. JSON is read as YAML, which it is a part of.
type node struct {
	shape  shape
	text   string // of a scalar, as written
	pos    config.Position
	path   string // filebeat.inputs[0].tenant_id
	fields []field
	items  []*node
}

// field is one key of a group.
type field struct {
	name  string
	pos   config.Position // of the key
	value *node
}

// get returns the value of the first of the names that is there and not null, without letter case; else nil.
func (n *node) get(names ...string) *node {
	if n == nil {
		return nil
	}
	for _, name := range names {
		for _, f := range n.fields {
			if strings.EqualFold(f.name, name) && f.value.shape != nothing {
				return f.value
			}
		}
	}
	return nil
}

func (n *node) is(s shape) bool { return n != nil && n.shape == s }

// child returns the path of a key below path. Keys that are no plain words are quoted and cut: they come from anywhere.
func child(path, name string) string {
	const most = 80
	if utf8.RuneCountInString(name) > most {
		name = string([]rune(name)[:most]) + "..."
	}
	if quoted := strconv.Quote(name); name == "" || len(quoted) != len(name)+2 || strings.ContainsAny(name, " :") {
		name = quoted
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// tree is a parsed file.
type tree struct {
	file     string
	roots    []*node
	problems config.Problems
	nodes    int
	tooMuch  bool
}

func (t *tree) report(line, column int, path, format string, args ...any) {
	t.problems = append(t.problems, config.Problem{
		Position: config.Position{File: t.file, Line: max(line, 1), Column: max(column, 1)}, Path: path, Text: fmt.Sprintf(format, args...),
	})
}

// parse reads a file. What cannot be read is in its problems.
func parse(file string, data []byte) *tree {
	t := &tree{file: file}
	if len(data) > config.MaxDocument {
		t.report(1, 1, "", "the document is too large: %d bytes, at most %d", len(data), config.MaxDocument)
		return t
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // files of Windows begin with it
	if !utf8.Valid(data) {
		t.report(1, 1, "", "is not valid UTF-8: save it as UTF-8")
		return t
	}
	roots, err := config.Documents(data)
	for _, y := range roots {
		if root := t.node(y, "", 0); root.shape != nothing {
			t.roots = append(t.roots, root)
		}
	}
	if wrong, ok := errors.AsType[*config.SyntaxError](err); ok {
		t.report(wrong.Line, wrong.Column, "", "not YAML or JSON: %s", wrong.Text)
	}
	return t
}

// node converts y, following aliases.
func (t *tree) node(y *yaml.Node, path string, depth int) *node {
	n := &node{pos: config.Position{File: t.file, Line: max(y.Line, 1), Column: max(y.Column, 1)}, path: path}
	if t.nodes++; t.nodes > maxNodes || depth > maxDepth {
		if !t.tooMuch {
			t.report(y.Line, y.Column, path, "the document is nested too deeply or repeats itself too often")
		}
		t.tooMuch = true
		return n
	}
	switch y.Kind {
	case yaml.MappingNode:
		n.shape = group
		t.group(n, y, depth)
	case yaml.SequenceNode:
		n.shape = list
		for i, item := range y.Content {
			n.items = append(n.items, t.node(item, indexed(path, i), depth+1))
		}
	case yaml.AliasNode:
		if y.Alias == nil {
			return n
		}
		at := n.pos
		n = t.node(y.Alias, path, depth+1)
		n.pos = at
	default:
		if n.shape, n.text = scalar, y.Value; y.ShortTag() == "!!null" {
			n.shape = nothing
		}
	}
	return n
}

// group reads the keys of a mapping. Keys of merged mappings come last and give way to the mapping's own.
func (t *tree) group(n *node, y *yaml.Node, depth int) {
	first := map[string]int{}
	var merged []*node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], y.Content[i+1]
		if key.ShortTag() == "!!merge" {
			merged = append(merged, t.node(value, n.path, depth+1))
			continue
		}
		if key.Kind != yaml.ScalarNode {
			t.report(key.Line, key.Column, n.path, "a key must be a word")
			continue
		}
		path := child(n.path, key.Value)
		if line, twice := first[key.Value]; twice {
			t.report(key.Line, key.Column, path, "key given twice, first on line %d", line)
			continue
		}
		first[key.Value] = key.Line
		n.fields = append(n.fields, field{
			name: key.Value, pos: config.Position{File: t.file, Line: max(key.Line, 1), Column: max(key.Column, 1)}, value: t.node(value, path, depth+1),
		})
	}
	for _, from := range merged {
		for _, f := range append(slicesOfGroups(from), from.fields...) {
			if _, taken := first[f.name]; !taken {
				first[f.name] = f.pos.Line
				n.fields = append(n.fields, f)
			}
		}
	}
}

// slicesOfGroups returns the keys of the groups in a list: a merge key may name several.
func slicesOfGroups(n *node) []field {
	var fields []field
	for _, item := range n.items {
		fields = append(fields, item.fields...)
	}
	return fields
}

// expanded returns n with keys that hold dots taken apart, at every depth: Beats reads var.api.resource as api.resource
// in the group var. Groups that are given in several pieces become one.
func expanded(n *node) *node {
	out := *n
	out.fields, out.items = nil, nil
	for _, item := range n.items {
		out.items = append(out.items, expanded(item))
	}
	for _, f := range n.fields {
		f.value = expanded(f.value)
		insert(&out, f.name, f, 0)
	}
	return &out
}

// insert puts the value of f into n under name, which may hold dots.
func insert(n *node, name string, f field, depth int) {
	first, rest, dotted := strings.Cut(name, ".")
	if depth > maxDepth {
		first, dotted = name, false
	}
	i := slices.IndexFunc(n.fields, func(have field) bool { return have.name == first })
	there := i >= 0
	if !dotted {
		switch {
		case !there:
			f.name = first
			n.fields = append(n.fields, f)
		case n.fields[i].value.shape == group && f.value.shape == group:
			for _, inner := range f.value.fields {
				insert(n.fields[i].value, inner.name, inner, maxDepth+1)
			}
		default: // as in Beats, the later one counts
			n.fields[i].value, n.fields[i].pos = f.value, f.pos
		}
		return
	}
	if !there || n.fields[i].value.shape != group {
		g := field{name: first, pos: f.pos, value: &node{shape: group, pos: f.value.pos, path: child(n.path, first)}}
		if there {
			n.fields[i] = g
		} else {
			n.fields, i = append(n.fields, g), len(n.fields)
		}
	}
	insert(n.fields[i].value, rest, f, depth+1)
}
