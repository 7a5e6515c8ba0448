package movein

import (
	"cmp"
	"context"
	"slices"

	"sluice/internal/config"
	"sluice/internal/source"
)

// Kind is the collector that a document belongs to. The values are stable: they appear in the JSON of the API.
type Kind string

// The collectors whose documents are understood.
const (
	Devo     Kind = "devo"
	Filebeat Kind = "filebeat"
	Sentinel Kind = "sentinel"
)

// Title names the document for people.
func (k Kind) Title() string {
	switch k {
	case Devo:
		return "Devo collector configuration"
	case Filebeat:
		return "Filebeat o365audit configuration"
	case Sentinel:
		return "settings of the Sentinel function app"
	}
	return string(k)
}

// Options are what a translation needs from its surroundings.
type Options struct {
	// Drivers are the connector types that exist; the type office365 must be among them.
	Drivers []source.Properties
	// Resolver finds the directory id of a tenant's domain. With nil a domain is a mistake.
	Resolver Resolver
	// TenantName returns the name by which Sluice knows a directory already, "" when it does not. The id is in lower
	// case. May be nil.
	TenantName func(directoryID string) string
}

// Result is a translated document.
type Result struct {
	Kind Kind
	// Document is YAML that config.ParseApply accepts. It holds literal secrets where the original did: it must not be
	// shown. Use config.WriteYAML with Connectors for that.
	Document []byte
	// Connectors is Document, parsed. Their Pos is the place in the original document.
	Connectors []config.Connector
	Taken      []Taken         // in document order
	Left       []Left          // in document order
	Warnings   config.Problems // what works but needs attention, in document order
}

// Taken is a setting that was taken over.
type Taken struct {
	Line   int    `json:"line" doc:"From 1, in the original document"`
	Column int    `json:"column" doc:"From 1"`
	From   string `json:"from" doc:"Path of the setting in the original document"`
	To     string `json:"to" doc:"What it became: application_id of contoso-office365"`
	Note   string `json:"note,omitempty" doc:"What is different about it"`
}

// Left is a setting that was not taken over.
type Left struct {
	Line   int    `json:"line" doc:"From 1, in the original document"`
	Column int    `json:"column" doc:"From 1"`
	From   string `json:"from" doc:"Path of the setting in the original document"`
	Reason string `json:"reason"`
}

// Detect tells whether doc is a document of another collector, and of which. It is false for Sluice's own documents, for
// what is neither YAML nor JSON, and for documents of these collectors that have nothing to do with Microsoft 365.
func Detect(doc []byte) (Kind, bool) {
	t := parse("", doc)
	for _, root := range t.roots {
		if kind, ok := kindOf(root); ok {
			return kind, true
		}
	}
	return "", false
}

// kindOf tells the kind of one document of a file.
func kindOf(root *node) (Kind, bool) {
	switch {
	case isDevo(root):
		return Devo, true
	case isFilebeat(root):
		return Filebeat, true
	case isSentinel(root):
		return Sentinel, true
	}
	return "", false
}

// Translate translates doc, which is named name in messages. The error is config.Problems with every mistake, or the
// context's error when it ended while a domain was looked up; the Result is empty then.
func Translate(ctx context.Context, name string, doc []byte, o Options) (Result, error) {
	t := parse(name, doc)
	m := &mover{name: name, opts: o, problems: t.problems}
	for _, root := range t.roots {
		kind, ok := kindOf(root)
		switch {
		case !ok:
			m.report(root.pos, root.path, "is no document of Devo, Filebeat o365audit or the Sentinel function app")
			continue
		case m.kind == "":
			m.kind = kind
		case m.kind != kind:
			m.report(root.pos, root.path, "belongs to another collector than the document before: apply them one by one")
			continue
		}
		switch kind {
		case Devo:
			m.devo(root)
		case Filebeat:
			m.filebeat(root)
		case Sentinel:
			m.sentinel(root)
		}
	}
	if len(m.drafts) == 0 && len(m.problems) == 0 {
		m.report(config.Position{File: name, Line: 1, Column: 1}, "", "holds no input for Microsoft 365")
	}
	if err := m.directories(ctx); err != nil {
		return Result{}, err
	}
	m.names()
	document, connectors := m.write()
	inOrder(m.problems)
	if len(m.problems) > 0 {
		return Result{}, m.problems
	}
	m.takenSettings()
	inOrder(m.warnings)
	slices.SortStableFunc(m.taken, func(a, b Taken) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	slices.SortStableFunc(m.left, func(a, b Left) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	return Result{
		Kind: m.kind, Document: document, Connectors: connectors,
		Taken: m.taken, Left: m.left, Warnings: m.warnings,
	}, nil
}

func inOrder(ps config.Problems) {
	slices.SortStableFunc(ps, func(a, b config.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
