package config

import (
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/filter"
)

// Filter is a checked log filter. Whether its lookups exist and its fields occur is only known where it is compiled:
// see filter.Compile and filter.Test.
type Filter struct {
	Spec filter.Spec // with its mode
	Pos  Position    // of the entry in its document; the zero Position after FilterFromSpec

	name *yaml.Node
	path string
}

// filters reads a list of filters.
func (r *reader) filters(n *yaml.Node, path string) []Filter {
	return readList(r, n, path, "filters", r.filter)
}

// filter reads one filter. It is false when n is nothing that can be looked into.
func (r *reader) filter(n *yaml.Node, path string) (Filter, bool) {
	fields, ok := r.mapping(n, path, "a filter")
	if !ok {
		return Filter{}, false
	}
	before := len(r.problems)
	plain := slices.DeleteFunc(slices.Clone(fields), func(f field) bool { return slices.Contains(freeText(), f.name) })
	e := r.options(n, plain, path, filter.SpecOptions(), append(freeText(), filter.KeyConditions)...)
	r.checkName(&e, filter.KeyName)
	s := filter.Spec{Mode: filter.Exclude}
	s.Name, _ = e.spec[filter.KeyName].(string)
	if mode, ok := e.spec[filter.KeyMode].(string); ok {
		s.Mode = filter.Mode(mode)
	}
	for _, f := range fields {
		switch f.name {
		case filter.KeyDescription:
			s.Description = r.text(f.value, join(path, f.name))
		case filter.KeyQuery:
			s.Query = r.text(f.value, join(path, f.name))
		case filter.KeyConditions:
			s.Conditions = r.conditions(f.value, join(path, f.name))
		}
	}
	r.checkFilter(n, path, s, before)
	return Filter{Spec: s, Pos: r.position(n), name: e.nodes[filter.KeyName], path: path}, true
}

// freeText are the keys whose text may have several lines and is never a reference.
func freeText() []string { return []string{filter.KeyDescription, filter.KeyQuery} }

// text reads a text as it stands, without the white space around it; "" when there is none.
func (r *reader) text(n *yaml.Node, path string) string {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return strings.TrimSpace(n.Value)
	}
	if !isNull(n) {
		r.report(n, path, "must be a text, found %s", describe(n))
	}
	return ""
}

// checkFilter reports what package filter finds wrong, at the place that it names, unless that place, or the one that
// holds it, has been reported since the problem number before.
func (r *reader) checkFilter(n *yaml.Node, path string, s filter.Spec, before int) {
	reported := func(p string) bool {
		return slices.ContainsFunc(r.problems[before:], func(have Problem) bool {
			if p == path { // without conditions and query: one of them may be there and wrong
				return strings.HasPrefix(have.Path, join(path, filter.KeyConditions)) || have.Path == join(path, filter.KeyQuery)
			}
			return have.Path == p || strings.HasPrefix(have.Path, p+"[") || strings.HasPrefix(p, have.Path+".")
		})
	}
	for _, m := range filter.Check(s) {
		node, where := find(n, path, m.Path)
		if !reported(where) {
			r.report(node, where, "%s", m.Text)
		}
	}
}

// find follows the keys of a mistake from a filter. It returns the deepest node that is there, and the whole path. A
// value may stand under either of its two keys.
func find(n *yaml.Node, path string, keys []string) (*yaml.Node, string) {
	found := n
	for _, key := range keys {
		if i, err := strconv.Atoi(key); err == nil {
			path = indexed(path, i)
			if found != nil && found.Kind == yaml.SequenceNode && i < len(found.Content) {
				n, found = found.Content[i], found.Content[i]
			} else {
				found = nil
			}
			continue
		}
		next := child(found, key)
		if next == nil && key == filter.KeyValue && child(found, filter.KeyValues) != nil {
			key = filter.KeyValues
			next = child(found, key)
		}
		path = join(path, key)
		if found = next; found != nil {
			n = found
		}
	}
	return n, path
}

func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for pair := range slices.Chunk(n.Content, 2) {
		if pair[0].Value == key {
			return pair[1]
		}
	}
	return nil
}

// conditions reads the conditions of a filter.
func (r *reader) conditions(n *yaml.Node, path string) []filter.Condition {
	return readList(r, n, path, "conditions", r.condition)
}

// condition reads one condition. It is always true, so that conditions keep their numbers, which mistakes name.
func (r *reader) condition(n *yaml.Node, path string) (c filter.Condition, _ bool) {
	fields, ok := r.mapping(n, path, "a condition")
	if !ok {
		return c, true
	}
	known := optionNames(filter.ConditionOptions())
	var value *yaml.Node
	for _, f := range fields {
		at := join(path, f.name)
		switch f.name {
		case filter.KeyField:
			c.Field = r.text(f.value, at)
		case filter.KeyOperator:
			c.Operator = filter.Operator(strings.ToLower(r.text(f.value, at)))
		case filter.KeyValue, filter.KeyValues:
			if isNull(f.value) {
				continue
			}
			if value != nil {
				r.report(f.key, at, "give either %s or %s, not both", filter.KeyValue, filter.KeyValues)
				continue
			}
			value = f.value
			c.Values = r.conditionValues(f, at)
		case filter.KeyQuery:
			r.report(f.key, at, "belongs into the filter, beside conditions")
		default:
			r.report(f.key, at, "%s", unknown("key", f.name, known))
		}
	}
	return c, true
}

// conditionValues reads value or values. Numbers and truth values become the text that stands for them in a record.
func (r *reader) conditionValues(f field, path string) []string {
	if f.name == filter.KeyValue {
		if f.value.Kind == yaml.SequenceNode {
			r.report(f.value, path, "must be a single value, found a list: use %s", filter.KeyValues)
			return nil
		}
		if text, ok := r.conditionValue(f.value, path); ok {
			return []string{text}
		}
		return nil
	}
	if f.value.Kind != yaml.SequenceNode {
		r.report(f.value, path, "must be a list, found %s: use %s", describe(f.value), filter.KeyValue)
		return nil
	}
	var list []string
	for i, item := range f.value.Content {
		if text, ok := r.conditionValue(item, indexed(path, i)); ok {
			list = append(list, text)
		}
	}
	return list
}

func (r *reader) conditionValue(n *yaml.Node, path string) (string, bool) {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode || isNull(n) {
		r.report(n, path, "must be a text, a number or a truth value, found %s", describe(n))
		return "", false
	}
	v, ok := r.value(n, path)
	switch v := v.(type) {
	case string:
		return v, ok
	case bool:
		return strconv.FormatBool(v), ok
	case int64:
		return strconv.FormatInt(v, 10), ok
	case float64:
		return n.Value, ok // as it was written: no digit is lost
	}
	return "", false
}

// checkFilterNames finds names that are given twice.
func (r *reader) checkFilterNames(filters []Filter) {
	first := map[string]Filter{}
	for _, f := range filters {
		if taken, ok := first[f.Spec.Name]; ok && f.Spec.Name != "" {
			r.report(f.name, join(f.path, filter.KeyName), "the name %q is taken by the filter on line %d", f.Spec.Name, taken.Pos.Line)
			continue
		}
		first[f.Spec.Name] = f
	}
}

// LogFilters returns the names of the filters that the connector refers to, in their order.
func (c Connector) LogFilters() []string { return c.Values.List(keyLogFilters) }

// CheckLogFilters demands that the filters to which connectors refer exist: names are those of all filters, of this
// document and of others. The error is Problems.
func CheckLogFilters(connectors []Connector, names []string) error {
	var problems Problems
	for _, c := range connectors {
		for i, name := range c.LogFilters() {
			if slices.Contains(names, name) {
				continue
			}
			pos, path := c.Pos, "connector "+c.Name+": "+keyLogFilters
			if n := c.at.filters; c.Pos.Line > 0 && n != nil && i < len(n.Content) {
				item := n.Content[i]
				pos, path = Position{c.Pos.File, item.Line, item.Column}, indexed(join(c.at.path, keyLogFilters), i)
			}
			problems = append(problems, problemf(pos, path, "%s", unknownFilter(name, names)))
		}
	}
	return problems.sorted()
}

func unknownFilter(name string, names []string) string {
	text := "there is no filter " + strconv.Quote(name)
	switch near := nearest(name, names); {
	case near != "":
		return text + ", did you mean " + strconv.Quote(near) + "?"
	case len(names) == 0:
		return text + ": there are no filters"
	}
	return text + ", known are " + strings.Join(slices.Sorted(slices.Values(names)), ", ")
}

// FilterFromSpec reads a filter from the JSON that Filter.SpecJSON wrote. The error is Problems.
func FilterFromSpec(spec []byte) (Filter, error) {
	r := &reader{file: "stored filter"}
	var f Filter
	for _, root := range r.documents(spec) {
		f, _ = r.filter(root, "")
	}
	if len(r.problems) == 0 && f.Spec.Name == "" {
		r.report(nil, "", "holds no filter")
	}
	if err := r.problems.sorted(); err != nil {
		return Filter{}, err
	}
	return Filter{Spec: f.Spec}, nil
}
