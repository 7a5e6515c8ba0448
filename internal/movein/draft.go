package movein

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/config"
	"sluice/internal/source"
)

// connectorType is the type that all these documents become: they all read the Management Activity API.
const connectorType = "office365"

// Options of the connector that more than one translator sets.
const (
	keyName           = "name"
	keyTenantName     = "tenant_name"
	keyType           = "type"
	keyEnabled        = "enabled"
	keyInterval       = "interval"
	keyContentTypes   = "content_types"
	keyStartTime      = "start_time"
	keyDirectory      = "directory_id"
	keyApplication    = "application_id"
	keySecret         = "api_access_key"
	keyCertificate    = "certificate_file"
	keyPlan           = "subscription_plan"
	keyAuthority      = "authentication_endpoint"
	keyEndpoint       = "api_endpoint"
	keyAudience       = "api_audience"
	keyPublisher      = "publisher_id"
	keyRequestsMinute = "requests_per_minute"
)

// Reasons that several documents share.
const (
	reasonDestination = "not taken over: Sluice keeps the records in its own lake; deliver them with a destination"
	reasonExact       = "not needed: exact. Sluice knows every record by its id and decides with an exact index, not with a filter that may guess"
	reasonUnknown     = "Sluice has no such setting"
	reasonState       = "not needed: Sluice keeps its progress in its state database"
)

// mover is one translation.
type mover struct {
	name     string
	opts     Options
	kind     Kind
	drafts   []*draft
	taken    []Taken
	left     []Left
	problems config.Problems
	warnings config.Problems
}

// draft is a connector in the making.
type draft struct {
	at       *node              // what it is made from
	settings map[string]setting // by option
	names    []hint             // what the tenant could be called, the best first; explicit ones are a setting instead
	broken   map[string]bool    // options whose mistake is reported already
}

// hint is a name for a tenant that the document holds.
type hint struct {
	text string
	from *node // nil when the place has a line of its own
}

// setting is the value of an option.
type setting struct {
	value any   // string, bool, int64 or []string
	from  *node // nil: not from the document
	also  []*node
	note  string
}

func newDraft(at *node) *draft {
	return &draft{at: at, settings: map[string]setting{}, broken: map[string]bool{}}
}

// clone returns a copy for another tenant with the same settings.
func (d *draft) clone() *draft {
	return &draft{at: d.at, settings: maps.Clone(d.settings), names: slices.Clone(d.names), broken: maps.Clone(d.broken)}
}

func (d *draft) set(key string, value any, from *node, note string) {
	d.settings[key] = setting{value: value, from: from, note: note}
}

func (d *draft) text(key string) string {
	s, _ := d.settings[key].value.(string)
	return s
}

func (m *mover) report(at config.Position, path, format string, args ...any) {
	m.problems = append(m.problems, config.Problem{Position: at, Path: path, Text: fmt.Sprintf(format, args...)})
}

// wrong reports a mistake in n and keeps option key of d from being reported again.
func (m *mover) wrong(d *draft, key string, n *node, format string, args ...any) {
	if d != nil {
		d.broken[key] = true
	}
	m.report(n.pos, n.path, format, args...)
}

// missing reports that the setting name is not in n.
func (m *mover) missing(d *draft, key string, n *node, name, hint string) {
	d.broken[key] = true
	m.report(n.pos, child(n.path, name), "is missing: %s", hint)
}

func (m *mover) warn(n *node, format string, args ...any) {
	m.warnings = append(m.warnings, config.Problem{Position: n.pos, Path: n.path, Text: fmt.Sprintf(format, args...)})
}

func (m *mover) take(n *node, to, note string) {
	m.taken = append(m.taken, Taken{Line: n.pos.Line, Column: n.pos.Column, From: n.path, To: to, Note: note})
}

func (m *mover) leave(n *node, reason string) {
	if n.shape == nothing {
		return
	}
	m.left = append(m.left, Left{Line: n.pos.Line, Column: n.pos.Column, From: n.path, Reason: reason})
}

// leaveAll leaves the fields of g that are neither handled nor in reasons for want of a place.
func (m *mover) leaveAll(g *node, reasons map[string]string, handled ...string) {
	for _, f := range g.fields {
		name := strings.ToLower(f.name)
		if slices.Contains(handled, name) {
			continue
		}
		reason, ok := reasons[name]
		if !ok {
			reason = reasonUnknown
		}
		m.leave(f.value, reason)
	}
}

// takenSettings lists the settings of the drafts, one line for each place in the document.
func (m *mover) takenSettings() {
	type line struct {
		from      *node
		key, note string
	}
	where := map[line][]string{}
	for _, d := range m.drafts {
		for _, key := range slices.Sorted(maps.Keys(d.settings)) {
			s := d.settings[key]
			for _, from := range append([]*node{s.from}, s.also...) {
				if from != nil {
					l := line{from, key, s.note}
					where[l] = append(where[l], d.text(keyName))
				}
			}
		}
	}
	lines := slices.SortedFunc(maps.Keys(where), func(a, b line) int { return strings.Compare(a.key, b.key) })
	for _, l := range lines {
		to := l.key + " of " + strings.Join(where[l], ", ")
		if n := len(where[l]); n > 3 {
			to = l.key + " of " + strconv.Itoa(n) + " connectors"
		}
		m.take(l.from, to, l.note)
	}
}

// write makes the document and has it checked. What is wrong with it is reported at the place in the original.
func (m *mover) write() ([]byte, []config.Connector) {
	if len(m.drafts) == 0 {
		return nil, nil
	}
	i := slices.IndexFunc(m.opts.Drivers, func(p source.Properties) bool { return p.Type == connectorType })
	if i < 0 {
		m.report(m.drafts[0].at.pos, m.drafts[0].at.path, "this version has no connectors of type %s", connectorType)
		return nil, nil
	}
	document, err := encode(m.drafts, m.opts.Drivers[i])
	if err != nil {
		m.report(m.drafts[0].at.pos, m.drafts[0].at.path, "cannot be written as YAML")
		return nil, nil
	}
	apply, err := config.ParseApply(m.name, document, m.opts.Drivers)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, p := range problems {
			if d, key := m.origin(p.Path); d == nil || !d.broken[key] {
				m.problems = append(m.problems, m.original(p))
			}
		}
		return nil, nil
	}
	if err != nil {
		m.report(m.drafts[0].at.pos, m.drafts[0].at.path, "%v", err)
		return nil, nil
	}
	for _, p := range apply.Warnings {
		m.warnings = append(m.warnings, m.original(p))
	}
	for i := range apply.Connectors {
		apply.Connectors[i].Pos = m.drafts[i].at.pos
	}
	return document, apply.Connectors
}

// encode writes the drafts in the canonical order of options.
func encode(drafts []*draft, driver source.Properties) ([]byte, error) {
	connectors := &yaml.Node{Kind: yaml.SequenceNode}
	for _, d := range drafts {
		entry := &yaml.Node{Kind: yaml.MappingNode}
		for _, o := range config.ConnectorOptions(driver) {
			s, ok := d.settings[o.Name]
			if !ok {
				continue
			}
			var value yaml.Node
			if err := value.Encode(s.value); err != nil {
				return nil, err
			}
			entry.Content = append(entry.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: o.Name}, &value)
		}
		connectors.Content = append(connectors.Content, entry)
	}
	root := &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: "connectors"}, connectors}}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, err
	}
	err := enc.Close()
	return b.Bytes(), err
}

var entryPath = regexp.MustCompile(`^connectors\[(\d+)\](?:\.([a-z_]+))?`)

// origin finds the draft and option that a path of the produced document is about.
func (m *mover) origin(path string) (*draft, string) {
	parts := entryPath.FindStringSubmatch(path)
	if parts == nil {
		return nil, ""
	}
	i, err := strconv.Atoi(parts[1])
	if err != nil || i >= len(m.drafts) {
		return nil, ""
	}
	return m.drafts[i], parts[2]
}

// original moves a problem of the produced document to where its value came from.
func (m *mover) original(p config.Problem) config.Problem {
	d, key := m.origin(p.Path)
	if d == nil {
		p.Position = config.Position{File: m.name, Line: 1, Column: 1}
		return p
	}
	if s, ok := d.settings[key]; ok && s.from != nil {
		p.Position, p.Path = s.from.pos, s.from.path
		return p
	}
	p.Position, p.Path = d.at.pos, d.at.path
	if key != "" {
		p.Text = key + " " + p.Text
	}
	return p
}
