package consent

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/option"
	"sluice/internal/source"
)

// Parse reads the list `consent` of a document: applications, each with a list `connectors` of templates.
// Without templates an application makes one connector of the first type that needs nothing but a directory and an
// application. The error is config.Problems with every mistake. A nil node is an empty list.
func Parse(file string, n *yaml.Node, drivers []source.Properties) ([]Application, error) {
	return (&reader{file: file, drivers: drivers}).all(n)
}

func (r *reader) all(n *yaml.Node) ([]Application, error) {
	if n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil, nil
	}
	var all []Application
	if n.Kind != yaml.SequenceNode {
		r.report(n, "consent", "must be a list of applications")
		return nil, r.problems
	}
	for i, item := range n.Content {
		path := fmt.Sprintf("consent[%d]", i)
		a, ok := r.application(item, path)
		if !ok {
			continue
		}
		for _, other := range all {
			if other.Name == a.Name || other.ApplicationID == a.ApplicationID {
				r.report(item, path, "has the name or application_id of another application")
			}
		}
		all = append(all, a)
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return all, nil
}

// ParseSpec reads an application from Application.Spec.
func ParseSpec(spec []byte, drivers []source.Properties) (Application, error) {
	var doc yaml.Node // JSON is YAML
	if !json.Valid(spec) || yaml.Unmarshal(spec, &doc) != nil || len(doc.Content) != 1 {
		return Application{}, fault.New(fault.Malformed, "read application", "not JSON")
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Content: doc.Content}
	all, err := (&reader{file: "stored application", drivers: drivers, stored: true}).all(list)
	if err != nil {
		return Application{}, err
	}
	all[0].Pos = config.Position{}
	return all[0], nil
}

// reader collects the mistakes of a section.
type reader struct {
	file     string
	drivers  []source.Properties
	stored   bool // the document comes from the store: sealed secrets are expected
	problems config.Problems
}

func (r *reader) report(n *yaml.Node, path, format string, args ...any) {
	r.problems = append(r.problems, config.Problem{
		Position: config.Position{File: r.file, Line: n.Line, Column: n.Column}, Path: path, Text: fmt.Sprintf(format, args...),
	})
}

// fields returns the keys of a mapping in order.
func (r *reader) fields(n *yaml.Node, path string) ([][2]*yaml.Node, bool) {
	if n.Kind != yaml.MappingNode {
		r.report(n, path, "must be keys and values")
		return nil, false
	}
	var pairs [][2]*yaml.Node
	seen := map[string]bool{}
	for pair := range slices.Chunk(n.Content, 2) {
		if pair[0].Kind != yaml.ScalarNode || seen[pair[0].Value] {
			r.report(pair[0], path, "a key must be a word that stands once")
			continue
		}
		seen[pair[0].Value] = true
		pairs = append(pairs, [2]*yaml.Node{pair[0], pair[1]})
	}
	return pairs, true
}

func (r *reader) application(n *yaml.Node, path string) (Application, bool) {
	pairs, ok := r.fields(n, path)
	if !ok {
		return Application{}, false
	}
	before := len(r.problems)
	given := map[string]any{}
	var templates *yaml.Node
	for _, pair := range pairs {
		key := pair[0].Value
		i := slices.IndexFunc(ApplicationOptions(), func(o option.Option) bool { return o.Name == key })
		switch {
		case key == keyTemplates:
			templates = pair[1]
		case i < 0:
			r.report(pair[0], path+"."+key, "unknown key, known are %s", strings.Join(append(optionNames(), keyTemplates), ", "))
		default:
			r.decode(ApplicationOptions()[i], pair[1], path+"."+key, given)
		}
	}
	r.check(n, path, given)
	a := newApplication(option.NewValues(ApplicationOptions(), given), nil)
	list := r.templates(a, templates, path+"."+keyTemplates)
	if len(r.problems) > before {
		return Application{}, false
	}
	if templates == nil {
		if list = defaultTemplates(a, r.drivers); len(list) == 0 {
			r.report(n, path, "needs the list %s: which connectors are made for a tenant", keyTemplates)
			return Application{}, false
		}
	}
	a = newApplication(option.NewValues(ApplicationOptions(), given), list)
	a.Pos = config.Position{File: r.file, Line: n.Line, Column: n.Column}
	return a, true
}

// decode takes in one option. References are for secrets only, because nothing else here is looked up later.
func (r *reader) decode(o option.Option, n *yaml.Node, path string, into map[string]any) {
	given := plain(n)
	if text, ok := given.(string); ok && o.Secret {
		switch {
		case option.IsSealed(text) && !r.stored:
			r.report(n, path, "is what Sluice stores for a secret: give the secret again")
			return
		case text == config.KeptSecret:
			into[o.Name] = text
			return
		}
	}
	value, err := o.Decode(given)
	if text, ok := value.(string); ok && err == nil && !o.Secret && option.HasReference(text) {
		err = fmt.Errorf("must be written out: only secrets can be references here")
	}
	if err != nil {
		r.report(n, path, "%v", err)
		return
	}
	if value != nil {
		into[o.Name] = value
	}
}

// check demands what single options cannot say.
func (r *reader) check(n *yaml.Node, path string, given map[string]any) {
	for _, o := range ApplicationOptions() {
		if o.Required && given[o.Name] == nil && !r.reported(path+"."+o.Name) {
			r.report(n, path+"."+o.Name, "is missing")
		}
	}
	if name, ok := given[keyName].(string); ok {
		if err := config.CheckName(name); err != nil {
			r.report(n, path+"."+keyName, "%v", err)
		}
	}
	if (given[keySecret] == nil) == (given[keyCertificate] == nil) && !r.reported(path+"."+keySecret) {
		r.report(n, path+"."+keySecret, "give either %s or %s", keySecret, keyCertificate)
	}
}

func (r *reader) reported(path string) bool {
	return slices.ContainsFunc(r.problems, func(p config.Problem) bool { return p.Path == path })
}

// templates reads the list of templates and tries each of them for a tenant.
func (r *reader) templates(a Application, n *yaml.Node, path string) []Template {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.report(n, path, "must be a list of connectors without name, tenant and credential")
		return nil
	}
	var list []Template
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		t, d, ok := r.template(item, at)
		if !ok {
			continue
		}
		if slices.ContainsFunc(list, func(o Template) bool { return o.Type == t.Type }) {
			r.report(item, at, "is the second template of type %s: a tenant gets one connector of a type", t.Type)
			continue
		}
		list = append(list, t)
		r.try(a, t, d, item, at)
	}
	return list
}

func (r *reader) template(n *yaml.Node, path string) (Template, source.Properties, bool) {
	pairs, ok := r.fields(n, path)
	if !ok {
		return Template{}, source.Properties{}, false
	}
	var t Template
	for _, pair := range pairs {
		key := pair[0].Value
		switch {
		case key == keyType:
			t.Type = pair[1].Value
		case slices.Contains(credentialKeys(), key):
			r.report(pair[0], path+"."+key, "is filled in from the application and the tenant: leave it out")
			ok = false
		default:
			t.Options = append(t.Options, Setting{key, plain(pair[1])})
		}
	}
	d, known := driver(r.drivers, t.Type)
	if !known {
		r.report(n, path+"."+keyType, "must be one of %s", strings.Join(typeNames(r.drivers), ", "))
	}
	for _, o := range config.ConnectorOptions(d) {
		if o.Secret {
			t.secrets = append(t.secrets, o.Name)
		}
	}
	return t, d, ok && known
}

// try checks a template by making a connector of it for a tenant that does not exist.
func (r *reader) try(a Application, t Template, d source.Properties, n *yaml.Node, path string) {
	for _, p := range trial(a, t, d, r.drivers) {
		_, key, _ := strings.Cut(p.Path, "].")
		if key != "" {
			key = "." + key
		}
		r.report(n, path+key, "%s", p.Text)
	}
}

func trial(a Application, t Template, d source.Properties, drivers []source.Properties) config.Problems {
	const tenant = "11111111-2222-3333-4444-555555555555"
	if a.ApplicationID == tenant || a.ApplicationID == "" || a.Secret.Empty() && a.CertificateFile == "" {
		return nil // reported elsewhere, or the one id that cannot be tried
	}
	for _, ref := range []*option.Ref{&a.Secret, &a.CertificatePass} {
		if option.IsSealed(ref.Text()) { // its key is lost; the template is tried all the same
			*ref = option.NewRef(config.KeptSecret)
		}
	}
	node, err := render(a, t, d, "sample-"+t.Type, "Sample", tenant)
	if err != nil {
		return config.Problems{{Text: err.Error()}}
	}
	text, err := document(&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{node}})
	if err != nil {
		return config.Problems{{Text: err.Error()}}
	}
	if _, err := config.ParseApply("template", text, drivers); err != nil {
		if problems, ok := err.(config.Problems); ok { //nolint:errorlint // the documented type of the error
			return problems
		}
		return config.Problems{{Text: err.Error()}}
	}
	return nil
}

// defaultTemplates has the first type that takes a directory and an application and needs nothing else: that is what the
// registration surely has permissions for.
func defaultTemplates(a Application, drivers []source.Properties) []Template {
	for _, d := range drivers {
		has := func(name string) bool {
			return slices.ContainsFunc(d.Options, func(o option.Option) bool { return o.Name == name })
		}
		if t := (Template{Type: d.Type}); has(keyDirectoryID) && has(keyApplicationID) && len(trial(a, t, d, drivers)) == 0 {
			return []Template{t}
		}
	}
	return nil
}

// plain is the value of a node as option.Decode takes it.
func plain(n *yaml.Node) any {
	if n.Kind == yaml.SequenceNode {
		list := make([]any, 0, len(n.Content))
		for _, item := range n.Content {
			list = append(list, plain(item))
		}
		return list
	}
	var value any
	if n.Kind != yaml.ScalarNode || n.Decode(&value) != nil {
		return struct{}{} // no option takes a group of keys
	}
	switch v := value.(type) {
	case int:
		return int64(v)
	case string, bool, int64, float64, nil:
		return v
	}
	return n.Value // a date, a number beyond 64 bits
}

func optionNames() []string {
	var names []string
	for _, o := range ApplicationOptions() {
		names = append(names, o.Name)
	}
	return names
}

func typeNames(drivers []source.Properties) []string {
	var names []string
	for _, d := range drivers {
		names = append(names, d.Type)
	}
	return names
}
