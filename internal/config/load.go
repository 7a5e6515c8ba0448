package config

import (
	"encoding/json"
	"slices"

	"go.yaml.in/yaml/v3"

	"sluice/internal/source"
)

// File is a checked sluice.yaml.
type File struct {
	Path          string
	Server        Server
	Connectors    []Connector
	Filters       []Filter
	Notifications []Notification
	Consent       *yaml.Node // the list `consent` as it stands, for package consent; nil: none
	Warnings      Problems   // oddities that do not hinder, in document order
}

// Apply is what `sluice apply` was given.
type Apply struct {
	Connectors []Connector
	Filters    []Filter
	Consent    *yaml.Node // the lists `consent` as one, as they stand, for package consent; nil: none
	Warnings   Problems   // oddities that do not hinder, in document order
}

// Keys of a document that hold lists or groups.
const (
	keyConnectors    = "connectors"
	keyDestinations  = "destinations"
	keyFilters       = "filters"
	keyLake          = "lake"
	keySecrets       = "secrets"
	keyNotifications = "notifications"
	keyConsent       = "consent"
	keyWebhook       = "webhook"
)

// listKeys are the lists that every document can hold, fileKeys what only the file of the server can.
func listKeys() []string { return []string{keyConnectors, keyDestinations, keyFilters, keyConsent} }

func fileKeys() []string {
	return []string{keyLake, keySecrets, keyWebhook, keyNotifications}
}

// Load checks the content of sluice.yaml, which is named path in messages. drivers are the connector types that exist.
// env looks up the references in settings that are no secrets; with nil these are neither looked up nor checked. An
// empty document is a File of defaults. The error is Problems with every mistake; the File is nil then.
func Load(path string, data []byte, drivers []source.Properties, env Lookup) (*File, error) {
	r := &reader{file: path, env: env, drivers: drivers}
	file := &File{Path: path}
	roots := r.documents(data)
	if len(roots) > 1 {
		r.report(roots[1], "", "the file holds more than one document")
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Line: 1, Column: 1}
	if len(roots) > 0 {
		root = roots[0]
	}
	if fields, ok := r.mapping(root, "", "a configuration"); ok {
		file.Server = r.server(root, fields)
		file.Connectors, file.Filters = r.lists(fields)
		for _, f := range fields {
			switch f.name {
			case keyNotifications:
				file.Notifications = r.notifications(f.value, keyNotifications)
			case keyConsent:
				file.Consent = f.value
			}
		}
		r.checkTogether(file.Connectors)
		r.checkFilterNames(file.Filters)
	}
	if err := r.problems.sorted(); err != nil {
		return nil, err
	}
	_ = r.warnings.sorted() // for its order
	file.Warnings = r.warnings
	return file, nil
}

// ParseApply checks what `sluice apply` was given, named name in messages: YAML or JSON, one or several documents, each
// either a group with the keys `connectors`, `filters` and `consent`, a list of connectors, or one connector. References are kept
// and not looked up: see Connector.Resolve. The error is Problems with every mistake; the Apply is nil then.
func ParseApply(name string, data []byte, drivers []source.Properties) (*Apply, error) {
	r := &reader{file: name, drivers: drivers}
	apply := &Apply{}
	roots := r.documents(data)
	if len(roots) == 0 && len(r.problems) == 0 {
		r.report(nil, "", "holds no connector")
	}
	for _, root := range roots {
		r.applied(root, apply)
	}
	r.checkTogether(apply.Connectors)
	r.checkFilterNames(apply.Filters)
	if err := r.problems.sorted(); err != nil {
		return nil, err
	}
	_ = r.warnings.sorted() // for its order
	apply.Warnings = r.warnings
	return apply, nil
}

// applied adds one document of ParseApply.
func (r *reader) applied(root *yaml.Node, to *Apply) {
	if root.Kind == yaml.SequenceNode {
		to.Connectors = append(to.Connectors, r.connectors(root, keyConnectors)...)
		return
	}
	if !isGroup(root) {
		if c, ok := r.connector(root, ""); ok {
			to.Connectors = append(to.Connectors, c)
		}
		return
	}
	fields, ok := r.mapping(root, "", "a document")
	if !ok {
		return
	}
	server := append(optionNames(ServerOptions()), fileKeys()...)
	for _, f := range fields {
		switch {
		case f.name == keyConsent:
			to.Consent = joined(to.Consent, f.value)
		case slices.Contains(listKeys(), f.name):
		case slices.Contains(server, f.name):
			r.report(f.key, f.name, "is a setting of the server and belongs into the file of sluice up --config")
		default:
			r.report(f.key, join("", f.name), "%s", unknown("key", f.name, listKeys()))
		}
	}
	connectors, filters := r.lists(fields)
	to.Connectors, to.Filters = append(to.Connectors, connectors...), append(to.Filters, filters...)
}

// joined is one list of the entries of two. What is no list is left for its reader to report.
func joined(a, b *yaml.Node) *yaml.Node {
	switch {
	case a == nil || isNull(a) || b.Kind != yaml.SequenceNode && !isNull(b):
		return b
	case a.Kind != yaml.SequenceNode || isNull(b):
		return a
	}
	list := *a
	list.Content = append(slices.Clone(a.Content), b.Content...)
	return &list
}

// isGroup reports whether a document is a group of lists and not a single connector.
func isGroup(root *yaml.Node) bool {
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i].Value
		list := slices.Contains(listKeys(), key) && root.Content[i+1].Kind == yaml.SequenceNode
		if list || key == keyConnectors || key == keyConsent || slices.Contains(fileKeys(), key) {
			return true
		}
	}
	return false
}

// lists reads the lists of entries of a document.
func (r *reader) lists(fields []field) (connectors []Connector, filters []Filter) {
	for _, f := range fields {
		switch f.name {
		case keyConnectors:
			connectors = r.connectors(f.value, keyConnectors)
		case keyFilters:
			filters = r.filters(f.value, keyFilters)
		case keyDestinations:
			if !isNull(f.value) && (f.value.Kind != yaml.SequenceNode || len(f.value.Content) > 0) {
				r.report(f.key, f.name, "%s are not available in this version", f.name)
			}
		}
	}
	return connectors, filters
}

// FromSpec reads a connector from the JSON that SpecJSON wrote. References are kept. The error is Problems.
func FromSpec(spec []byte, drivers []source.Properties) (Connector, error) {
	r := &reader{file: "stored connector", drivers: drivers, stored: true}
	if !json.Valid(spec) {
		r.report(nil, "", "not JSON")
		return Connector{}, r.problems
	}
	var c Connector
	for _, root := range r.documents(spec) {
		c, _ = r.connector(root, "")
	}
	if len(r.problems) == 0 && c.Name == "" {
		r.report(nil, "", "holds no connector")
	}
	if err := r.problems.sorted(); err != nil {
		return Connector{}, err
	}
	c.Pos = Position{}
	return c, nil
}
