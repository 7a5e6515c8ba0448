package config

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/filter"
	"sluice/internal/option"
)

// filterPairs is the canonical form of a filter: its keys in the order in which a person writes them, empty ones left
// out. Two filters are configured alike exactly when their SpecJSON is equal.
func filterPairs(s filter.Spec) []pair {
	list := []pair{{filter.KeyName, s.Name}}
	if s.Description != "" {
		list = append(list, pair{filter.KeyDescription, s.Description})
	}
	list = append(list, pair{filter.KeyMode, string(s.Mode)})
	if len(s.Conditions) > 0 {
		list = append(list, pair{filter.KeyConditions, s.Conditions})
	}
	if s.Query != "" {
		list = append(list, pair{filter.KeyQuery, s.Query})
	}
	return list
}

func conditionPairs(c filter.Condition) []pair {
	list := []pair{{filter.KeyField, c.Field}, {filter.KeyOperator, string(c.Operator)}}
	switch len(c.Values) {
	case 0:
		return list
	case 1:
		return append(list, pair{filter.KeyValue, c.Values[0]})
	}
	return append(list, pair{filter.KeyValues, c.Values})
}

// SpecJSON returns the filter as it is stored in the state database and shown by `sluice get -o json`: a JSON object in
// canonical order. A filter holds no secrets.
func (f Filter) SpecJSON() []byte {
	pairs := filterPairs(f.Spec)
	for i, p := range pairs {
		conditions, ok := p.value.([]filter.Condition)
		if !ok {
			continue
		}
		list := make([]json.RawMessage, len(conditions))
		for k, c := range conditions {
			list[k] = encodePairs(conditionPairs(c))
		}
		pairs[i].value = list
	}
	return encodePairs(pairs)
}

// MarshalYAML returns the filter as a mapping in canonical order, each condition on a line of its own.
func (f Filter) MarshalYAML() (any, error) {
	pairs := filterPairs(f.Spec)
	for i, p := range pairs {
		conditions, ok := p.value.([]filter.Condition)
		if !ok {
			continue
		}
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, c := range conditions {
			n, err := mappingOf(conditionPairs(c))
			if err != nil {
				return nil, err
			}
			n.Style = yaml.FlowStyle
			list.Content = append(list.Content, n)
		}
		pairs[i].value = list
	}
	return mappingOf(pairs)
}

func mappingOf(pairs []pair) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, p := range pairs {
		var key, value yaml.Node
		key.SetString(p.name)
		if err := value.Encode(p.value); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &key, &value)
	}
	return n, nil
}

// WriteFiltersYAML writes the document that `sluice get filters -o yaml` prints. ParseApply reads it back to the same
// filters.
func WriteFiltersYAML(w io.Writer, filters []Filter) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if filters == nil {
		filters = []Filter{}
	}
	if err := enc.Encode(map[string][]Filter{keyFilters: filters}); err != nil {
		return err
	}
	return enc.Close()
}

// filterSchema is the JSON Schema of a filter.
func filterSchema() object {
	value := object{"type": []string{"string", "number", "boolean"}}
	condition := groupSchema("A condition.", filter.ConditionOptions())
	properties, _ := condition["properties"].(object)
	for _, o := range filter.ConditionOptions() {
		switch o.Name {
		case filter.KeyValue:
			properties[o.Name] = object{"type": value["type"], "description": o.Help}
		case filter.KeyValues:
			properties[o.Name] = object{"type": "array", "items": value, "minItems": 1, "maxItems": filter.MaxValues, "description": o.Help}
		}
	}
	s := groupSchema("A log filter.", filter.SpecOptions())
	properties, _ = s["properties"].(object)
	properties[filter.KeyConditions] = object{
		"type": []string{"array", "null"}, "items": condition, "maxItems": filter.MaxConditions, "description": "All must hold.",
	}
	s["anyOf"] = []any{object{"required": []string{filter.KeyConditions}}, object{"required": []string{filter.KeyQuery}}}
	return s
}

// FilterReference returns the reference page, in Markdown, of log filters: an example, every key and every operator.
func FilterReference() string {
	var b strings.Builder
	b.WriteString("# Log filters (`filters`)\n\nThis page is generated from the options that filters declare.\n\n" +
		"A filter is made once and used by every connector that names it in `log_filters`. What a filter drops is counted under its name, " +
		"per connector and content type; it is never stored.\n\n```yaml\nfilters:\n  - name: drop-noise\n    mode: exclude\n    conditions:\n" +
		"      - {field: Workload, operator: equals, value: Exchange}\n      - {field: Operation, operator: in, values: [MailItemsAccessed, Create]}\n" +
		"      - {field: srcip, operator: cidr, value: 10.0.0.0/8}\n    query: NOT UserType:2\nconnectors:\n  - name: contoso-office365\n    log_filters: [drop-noise]\n    # ...\n```\n\n" +
		"All conditions of a filter must hold, and so must its query. Filters of a connector are combined by OR: the first exclude filter that matches drops the record, " +
		"and so do the include filters when none of them matches.\n\n## Keys of a filter\n\n")
	optionTable(&b, filter.SpecOptions())
	b.WriteString("\nThe key `conditions` holds a list of conditions. A filter needs a condition or a query.\n\n## Keys of a condition\n\n")
	optionTable(&b, filter.ConditionOptions())
	b.WriteString("\n## Operators\n\n| operator | values | meaning | example |\n| --- | --- | --- | --- |\n")
	for _, o := range filter.Operators() {
		example := ""
		if o.Example != "" {
			example = codeList([]string{strings.ReplaceAll(o.Example, "|", `\|`)})
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", o.Name, o.Takes, meaningOf(option.Option{Help: o.Help}), example)
	}
	b.WriteString("\nA field with several values meets a condition when any of them does; the negative operators hold exactly when their counterpart does not.\n")
	return b.String()
}
