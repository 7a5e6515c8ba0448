package m365sim

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"sluice/internal/fault"
)

// Load reads a scenario file. Paths inside it are relative to its folder.
func Load(path string) (Scenario, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Scenario{}, fault.Wrap(fault.Config, "read scenario", err)
	}
	s, err := Parse(path, text)
	if err != nil {
		return Scenario{}, err
	}
	dir := filepath.Dir(path)
	for i := range s.Tenants {
		for j := range s.Tenants[i].Apps {
			if c := &s.Tenants[i].Apps[j].Certificate; *c != "" && !isPEM(*c) && !filepath.IsAbs(*c) {
				*c = filepath.Join(dir, *c)
			}
		}
		for j := range s.Tenants[i].Records {
			paths := s.Tenants[i].Records[j].Paths
			for k, p := range paths {
				if !filepath.IsAbs(p) {
					paths[k] = filepath.Join(dir, p)
				}
			}
		}
	}
	return s, nil
}

// Parse reads a scenario strictly: unknown keys and impossible values are errors. All mistakes are reported at once,
// one per line, as NAME:LINE:COLUMN: KEY: what is wrong.
func Parse(name string, text []byte) (Scenario, error) {
	var s Scenario
	doc, err := decodeStrict(name, text, &s)
	if err != nil {
		return Scenario{}, err
	}
	return s, doc.report(checkScenario(s))
}

// parseFaults reads a list of faults, as POST /sim/faults takes it: YAML, of which JSON is a part.
func parseFaults(text []byte) ([]Fault, error) {
	var holder struct {
		Faults []Fault `yaml:"faults"`
	}
	doc, err := decodeStrict("faults", text, &holder)
	if err != nil {
		return nil, err
	}
	return holder.Faults, doc.report(checkFaults(holder.Faults))
}

// problem is a mistake at a path such as tenants[0].id.
type problem struct{ path, text string }

// document remembers where each path of a YAML text stands.
type document struct {
	name  string
	nodes map[string]*yaml.Node
}

// report turns problems into one error with positions, or nil.
func (d document) report(problems []problem) error {
	if len(problems) == 0 {
		return nil
	}
	lines := make([]string, len(problems))
	for i, p := range problems {
		line, column := 1, 1
		for path := p.path; ; path = parentPath(path) {
			if n, ok := d.nodes[path]; ok {
				line, column = n.Line, n.Column
				break
			}
			if path == "" {
				break
			}
		}
		lines[i] = fmt.Sprintf("%s:%d:%d: %s: %s", d.name, line, column, p.path, p.text)
	}
	return fault.New(fault.Config, "", strings.Join(lines, "\n"))
}

func parentPath(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

// decodeStrict decodes one YAML document and refuses keys that the target does not have.
func decodeStrict(name string, text []byte, into any) (document, error) {
	doc := document{name: name, nodes: map[string]*yaml.Node{}}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return doc, fault.Newf(fault.Config, "", "%s: %v", name, err)
	}
	if root.Kind == 0 {
		return doc, nil
	}
	var problems []problem
	doc.walk(&root, "", reflect.TypeOf(into).Elem(), &problems, 0)
	if err := doc.report(problems); err != nil {
		return doc, err
	}
	if err := root.Decode(into); err != nil {
		return doc, fault.Newf(fault.Config, "", "%s: %v", name, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return doc, fault.Newf(fault.Config, "", "%s: only one document is allowed", name)
	}
	return doc, nil
}

// maxDepth bounds the nesting of a scenario; the deepest path of the format has half of it.
const maxDepth = 16

// walk notes positions and unknown keys of the tree below n, which is to become a t.
func (d document) walk(n *yaml.Node, path string, t reflect.Type, problems *[]problem, depth int) {
	if depth > maxDepth {
		*problems = append(*problems, problem{path, "nested too deeply"})
		return
	}
	if path != "" {
		d.nodes[path] = n
	}
	switch {
	case n.Kind == yaml.DocumentNode:
		d.walk(n.Content[0], path, t, problems, depth+1)
	case n.Kind == yaml.AliasNode:
		*problems = append(*problems, problem{path, "aliases are not supported"})
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			d.walk(item, fmt.Sprintf("%s[%d]", path, i), t.Elem(), problems, depth+1)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		keys := keysOf(t)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			child := strings.TrimPrefix(path+"."+key.Value, ".")
			field, known := keys[key.Value]
			if !known {
				d.nodes[child] = key
				*problems = append(*problems, problem{child, "unknown key"})
				continue
			}
			d.walk(n.Content[i+1], child, field, problems, depth+1)
		}
	}
}

func keysOf(t reflect.Type) map[string]reflect.Type {
	keys := make(map[string]reflect.Type, t.NumField())
	for field := range t.Fields() {
		if name := field.Tag.Get("yaml"); name != "" {
			keys[name] = field.Type
		}
	}
	return keys
}

// checker collects problems.
type checker struct{ problems []problem }

func (c *checker) check(ok bool, path, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, problem{path, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) share(v float64, path string) {
	c.check(v >= 0 && v <= 1, path, "a share lies between 0 and 1")
}

func (c *checker) positive(v Duration, path string) {
	c.check(v >= 0, path, "a negative duration makes no sense here")
}

func (c *checker) guid(v, path string) {
	_, err := uuid.Parse(v)
	c.check(err == nil && len(v) == 36, path, "%q is not a GUID", v)
}

func (c *checker) choice(v, path string, choices ...string) {
	c.check(v == "" || slices.Contains(choices, v), path, "%q is not one of %s", v, strings.Join(choices, ", "))
}

// checkScenario finds everything that New would stumble over.
func checkScenario(s Scenario) []problem {
	var c checker
	c.check(s.PageSize >= 0, "page_size", "must not be negative")
	c.check(s.EqualCreated >= 0, "equal_created", "must not be negative")
	c.choice(s.WideWindow, "wide_window", "refuse", "partial")
	for path, v := range map[string]Duration{
		"expiry": s.Expiry, "restart_delay": s.RestartDelay, "latency": s.Latency,
		"token_lifetime": s.TokenLifetime, "late.delay": s.Late.Delay, "growing.delay": s.Growing.Delay, "duplicates.redelivered_after": s.Duplicates.RedeliveredAfter,
	} {
		c.positive(v, path)
	}
	for path, v := range map[string]float64{
		"late.share": s.Late.Share, "growing.share": s.Growing.Share, "duplicates.variants": s.Duplicates.Variants, "duplicates.within_blob": s.Duplicates.WithinBlob,
		"duplicates.across_blobs": s.Duplicates.AcrossBlobs, "duplicates.across_feeds": s.Duplicates.AcrossFeeds,
		"duplicates.redelivered": s.Duplicates.Redelivered, "without_id": s.WithoutID, "malformed": s.Malformed, "odd": s.Odd,
	} {
		c.share(v, path)
	}
	c.check(s.Throttle.RequestsPerMinute >= 0, "throttle.requests_per_minute", "must not be negative")
	c.check(s.Throttle.Status == 0 || s.Throttle.Status == 403 || s.Throttle.Status == 429, "throttle.status", "must be 403 or 429")
	seen := map[string]bool{}
	for i, t := range s.Tenants {
		path := fmt.Sprintf("tenants[%d]", i)
		c.check(!seen[strings.ToLower(t.ID)], path+".id", "this tenant is defined twice")
		seen[strings.ToLower(t.ID)] = true
		c.tenant(t, path)
	}
	slices.SortFunc(c.problems, func(a, b problem) int { return strings.Compare(a.path, b.path) })
	return append(c.problems, checkFaults(s.Faults)...)
}

func (c *checker) tenant(t Tenant, path string) {
	c.guid(t.ID, path+".id")
	c.choice(t.Plan, path+".plan", "enterprise", "gcc", "gcc_high", "dod")
	c.check(t.Users >= 0 && t.Users <= 1_000_000, path+".users", "must lie between 0 and 1000000")
	for i, a := range t.Apps {
		c.guid(a.ID, fmt.Sprintf("%s.apps[%d].id", path, i))
	}
	for i, f := range t.Traffic {
		at := fmt.Sprintf("%s.traffic[%d]", path, i)
		c.check(f.ContentType != "", at+".content_type", "is missing")
		c.choice(f.ContentType, at+".content_type", ContentTypes()...)
		c.check(f.Rate >= 0 && f.Rate <= 1e8, at+".rate", "must lie between 0 and 100000000 events per minute")
		c.check(f.Rate/float64(cmp.Or(f.BlobSize, 100)) <= 60_000, at+".rate", "makes more than one blob per millisecond; raise blob_size")
		c.check(f.Events >= 0 && f.Events <= 1e10, at+".events", "must lie between 0 and 10000000000")
		c.check(f.Events == 0 || f.History > 0, at+".events", "needs history, the time over which they are spread")
		c.check(f.BlobSize >= 0 && f.BlobSize <= 1_000_000, at+".blob_size", "must lie between 1 and 1000000")
		c.positive(f.History, at+".history")
		c.positive(f.Latency, at+".latency")
	}
	for i, f := range t.Records {
		at := fmt.Sprintf("%s.records[%d]", path, i)
		c.check(len(f.Paths) > 0, at+".files", "names no file")
		c.choice(f.ContentType, at+".content_type", ContentTypes()...)
		c.positive(f.Over, at+".over")
		c.check(f.BlobSize >= 0, at+".blob_size", "must not be negative")
	}
}

func checkFaults(faults []Fault) []problem {
	var c checker
	for i, f := range faults {
		at := fmt.Sprintf("faults[%d]", i)
		c.choice(f.Route, at+".route", "token", "list", "content", "blob", "subscriptions", "resources", "*")
		c.check(slices.Contains(Kinds(), f.Kind), at+".kind", "%q is not one of %v", f.Kind, Kinds())
		c.share(f.Probability, at+".probability")
		c.share(f.Share, at+".share")
		c.positive(f.WiderThan, at+".wider_than")
		c.check(f.Every >= 0, at+".every", "must not be negative")
		c.check(f.First >= 0, at+".first", "must not be negative")
		if f.Tenant != "" {
			c.guid(f.Tenant, at+".tenant")
		}
		c.choice(f.ContentType, at+".content_type", ContentTypes()...)
		_, err := retryAfter(f.RetryAfter)
		c.check(err == nil, at+".retry_after", "%q is neither a number nor seconds, decimal, date, past_date, garbage, none", f.RetryAfter)
		c.positive(f.Duration, at+".duration")
	}
	return c.problems
}
