// Package apitest is an api.Service in memory, for the tests of the API and of its clients. It behaves like a small
// server: entries can be applied, paused and deleted, jobs progress, imports count lines, searches filter rows by a
// substring. Failures are asked for by name, see Fake.
package apitest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/source"
)

// Now is the time that the fake lives in.
var Now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// Token is what the tests let the API accept.
const Token = "slu_test-token-of-the-fake-service" //nolint:gosec // opens nothing but the fake

// Fake is an api.Service. Make it with New. Certain names and queries fail on purpose:
//
//	connector "broken"   its test fails, its jobs lose a unit, its queue and its verification have one of everything
//	connector "late"     exists only for verifications, which fail after they began
//	query "boom"         an unclassified error, "late": the same after the first row, "bad syntax": fault.Config
//	import line "!"      the file cannot be read beyond it
type Fake struct {
	mu      sync.Mutex
	entries []api.Entry
	jobs    map[string]*api.Job
	imports []*api.Import
	Asked   []api.SearchRequest // searches so far
	Rows    []string            // JSON objects that searches choose from

	Callbacks []url.Values        // answers of consents so far
	Verified  []api.VerifyRequest // verifications so far
	Retried   []api.RetryRequest  // retries so far
	Tried     []api.FilterTest    // trials of filters so far
	reports   []api.VerifyReport
	healed    bool // "broken" was repaired
	repaired  bool // the lake was
}

// New returns a fake with the connectors "contoso" and "broken" and the filter "drop-noise".
func New() *Fake {
	f := &Fake{jobs: map[string]*api.Job{}}
	since := Now.Add(-3 * 24 * time.Hour)
	add := func(kind api.Kind, name, spec, owner string) {
		f.entries = append(f.entries, api.Entry{
			Kind: kind, Name: name, Type: "office365", TenantName: "Contoso", State: "active",
			StateSince: &since, Owner: owner, Created: Now, Updated: Now, Spec: api.Object(spec),
		})
	}
	add(api.Connectors, "broken", `{"name":"broken","tenant_name":"Contoso","type":"office365","interval":"5m"}`, "")
	add(api.Connectors, "contoso", `{"name":"contoso","tenant_name":"Contoso","type":"office365","requests_per_minute":1200,"api_access_key":"${env:M365_SECRET}","start_time":"2026-01-01T00:00:00Z"}`, "sluice.yaml")
	add(api.Filters, "drop-noise", `{"name":"drop-noise","match":"Operation:\"FileAccessed\""}`, "")
	f.Rows = []string{
		`{"_id":"a1","timestamp":1772600000000,"office365":{"Operation":"UserLoggedIn","Id":1.50},"user":{"email":"ann@contoso.com"}}`,
		`{"_id":"a2","timestamp":1772600060000,"office365":{"Operation":"FileDeleted\u001b[31m"},"user":{"email":"bob@contoso.com"}}`,
	}
	return f
}

// Info implements api.Service.
func (f *Fake) Info(context.Context) (api.Info, error) {
	return api.Info{Version: "1.2.3", Started: Now.Add(-time.Hour), DataDir: "/srv/sluice"}, nil
}

// Status implements api.Service.
func (f *Fake) Status(context.Context) ([]api.Status, error) {
	newest, last, next, since := Now.Add(-2*time.Minute), Now.Add(-30*time.Second), Now.Add(4*time.Minute), Now.Add(-3*time.Hour)
	coverage := 99.99996
	return []api.Status{
		{
			Name: "broken", TenantName: "Contoso", Type: "office365", ContentType: "Audit.General", State: "needs attention", StateSince: &since,
			LastError:       &api.Failure{Kind: "permission", Message: "AF10001: permission set lacks ActivityFeed.Read", Hint: "grant ActivityFeed.Read"},
			CoveragePercent: &coverage, VerifiedAt: &last, Gaps: []api.Gap{gap()},
		},
		{
			Name: "contoso", TenantName: "Contoso", Type: "office365", ContentType: "Audit.Exchange", State: "ok", Listed: 12, Landed: 11,
			Pending: 1, Retrying: 1, Records: 3400, Duplicates: 5, BacklogSeconds: 90, NewestEvent: &newest, LastSuccess: &last, NextRun: &next,
		},
	}, nil
}

// Entries implements api.Service.
func (f *Fake) Entries(_ context.Context, kind api.Kind) ([]api.Entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []api.Entry
	for _, e := range f.entries {
		if kind == "" || e.Kind == kind {
			out = append(out, e)
		}
	}
	return out, nil
}

// find returns the position of an entry. The caller holds mu.
func (f *Fake) find(kind api.Kind, name string) (int, error) {
	i := slices.IndexFunc(f.entries, func(e api.Entry) bool { return e.Kind == kind && e.Name == name })
	if i < 0 {
		return i, fault.Newf(fault.NotFound, "", "no %s is named %q", kind.Singular(), name)
	}
	return i, nil
}

// Apply implements api.Service. An entry without a name is a mistake; an entry with option "old" makes a warning.
func (f *Fake) Apply(_ context.Context, r api.ApplyRequest) (api.ApplyResult, error) {
	if result, ok := unusual(r); ok {
		return result, nil
	}
	var doc map[api.Kind][]map[string]any
	if err := yaml.Unmarshal(r.Document, &doc); err != nil {
		return api.ApplyResult{Problems: []api.Mistake{{File: r.Name, Line: 1, Column: 1, Message: "not YAML"}}}, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	result := api.ApplyResult{DryRun: r.DryRun}
	keep := map[string]bool{}
	for kind, list := range doc {
		for i, spec := range list {
			name, _ := spec["name"].(string)
			if name == "" {
				result.Problems = append(result.Problems, api.Mistake{File: r.Name, Line: i + 2, Column: 5, Path: fmt.Sprintf("%s[%d].name", kind, i), Message: "a name is missing", Hint: "add name: ..."})
				continue
			}
			if _, ok := spec["old"]; ok {
				result.Warnings = append(result.Warnings, api.Mistake{File: r.Name, Line: i + 2, Column: 5, Path: "old", Message: "is deprecated"})
			}
			keep[name] = true
			result.Entries = append(result.Entries, f.put(kind, name, spec, r.DryRun))
		}
	}
	if len(result.Problems) > 0 {
		return result, nil
	}
	if r.Prune {
		f.prune(&result, keep, r.DryRun)
	}
	return result, nil
}

func (f *Fake) put(kind api.Kind, name string, spec map[string]any, dry bool) api.AppliedEntry {
	text, err := json.Marshal(spec)
	if err != nil {
		text = []byte("{}")
	}
	i, err := f.find(kind, name)
	switch {
	case err != nil:
		if !dry {
			f.entries = append(f.entries, api.Entry{Kind: kind, Name: name, State: "active", Spec: text, Created: Now, Updated: Now})
		}
		return api.AppliedEntry{Kind: kind, Name: name, Action: api.Created}
	case string(f.entries[i].Spec) == string(text):
		return api.AppliedEntry{Kind: kind, Name: name, Action: api.Unchanged}
	}
	if !dry {
		f.entries[i].Spec = text
	}
	return api.AppliedEntry{Kind: kind, Name: name, Action: api.Updated, Changed: []string{"interval"}}
}

func (f *Fake) prune(result *api.ApplyResult, keep map[string]bool, dry bool) {
	f.entries = slices.DeleteFunc(f.entries, func(e api.Entry) bool {
		if keep[e.Name] || e.Owner != "" {
			return false
		}
		result.Entries = append(result.Entries, api.AppliedEntry{Kind: e.Kind, Name: e.Name, Action: api.Deleted})
		return !dry
	})
}

// Delete implements api.Service. Of the subscriptions of a connector one is stopped and one is not.
func (f *Fake) Delete(_ context.Context, kind api.Kind, name string, o api.DeleteOptions) (api.DeleteResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var result api.DeleteResult
	i, err := f.find(kind, name)
	if err != nil {
		return result, err
	}
	if owner := f.entries[i].Owner; owner != "" {
		return result, fault.Newf(fault.Conflict, "", "%s is owned by %s", name, owner).WithHint("change the file and restart the server")
	}
	f.entries = slices.Delete(f.entries, i, i+1)
	if kind == api.Connectors && o.StopSubscriptions {
		result.Subscriptions = []api.StoppedSubscription{
			{ContentType: "Audit.General", Stopped: true},
			{ContentType: "DLP.All", Error: &api.Failure{Kind: "permission", Message: "ActivityFeed.ReadDlp is missing", Hint: "stop it with another program"}},
		}
	}
	return result, nil
}

// SetPaused implements api.Service.
func (f *Fake) SetPaused(_ context.Context, kind api.Kind, name string, paused bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, err := f.find(kind, name)
	if err != nil {
		return err
	}
	f.entries[i].State = "active"
	if paused {
		f.entries[i].State = "paused"
	}
	return nil
}

// Test implements api.Service.
func (f *Fake) Test(_ context.Context, kind api.Kind, name string) iter.Seq2[source.Check, error] {
	return func(yield func(source.Check, error) bool) {
		f.mu.Lock()
		_, err := f.find(kind, name)
		f.mu.Unlock()
		if err != nil {
			yield(source.Check{}, err)
			return
		}
		if !yield(source.Check{Name: "token", Status: source.Passed, Message: "token issued", Duration: 120 * time.Millisecond}, nil) {
			return
		}
		if name == "broken" {
			_ = yield(source.Check{Name: "permission", Status: source.Failed, Message: "ActivityFeed.Read is missing", Hint: "grant it", Detail: "GET https://manage.office.com/ 401"}, nil) &&
				yield(source.Check{Name: "sample", Status: source.Skipped, Message: "needs permission"}, nil)
			return
		}
		yield(source.Check{Name: "permission", Status: source.Passed}, nil)
	}
}

// Collect implements api.Service.
func (f *Fake) Collect(_ context.Context, r api.CollectRequest) (api.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(api.Connectors, r.Connector); err != nil {
		return api.Job{}, err
	}
	job := &api.Job{ID: fmt.Sprintf("job-%d", len(f.jobs)+1), Connector: r.Connector, Started: Now, Listed: 3, Pending: 3}
	if !r.Since.IsZero() {
		job.Since = &r.Since
	}
	f.jobs[job.ID] = job
	return *job, nil
}

// Job implements api.Service.
func (f *Fake) Job(_ context.Context, id string) (api.Job, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if job, ok := f.jobs[id]; ok {
		return *job, nil
	}
	return api.Job{}, fault.Newf(fault.NotFound, "", "there is no job %q", id)
}

// Watch implements api.Service. A job lands one unit per element; that of "broken" loses its last.
func (f *Fake) Watch(ctx context.Context, id string) iter.Seq2[api.Job, error] {
	return func(yield func(api.Job, error) bool) {
		job, err := f.Job(ctx, id)
		for err == nil && job.Pending > 0 {
			if !yield(job, nil) {
				return
			}
			job.Pending--
			if job.Pending == 0 && job.Connector == "broken" {
				job.Lost++
			} else {
				job.Landed++
				job.Records += 100
			}
		}
		job.Done = true
		yield(job, err)
	}
}

// Search implements api.Service.
func (f *Fake) Search(_ context.Context, r api.SearchRequest) iter.Seq2[api.Frame, error] {
	f.mu.Lock()
	f.Asked = append(f.Asked, r)
	rows := f.Rows
	f.mu.Unlock()
	return func(yield func(api.Frame, error) bool) {
		if err := refuse(r.Query); err != nil {
			yield(api.Frame{}, err)
			return
		}
		if !r.Raw && !yield(api.Frame{Columns: columns(r.Fields)}, nil) {
			return
		}
		end := &api.End{Fresh: api.Freshness{PendingRecords: 7}, Notices: []string{"run as OR: ünïcode 🚰"}}
		for _, row := range rows {
			if r.Query != "*" && r.Query != "late" && !strings.Contains(row, r.Query) {
				continue
			}
			if r.Limit > 0 && end.Stats.Rows == int64(r.Limit) {
				end.Stats.More = true
				break
			}
			end.Stats.Rows++
			frame := api.Frame{Row: api.Object(row)}
			if r.Raw {
				frame = api.Frame{Raw: []byte(row)}
			}
			if !yield(frame, nil) {
				return
			}
			if r.Query == "late" {
				yield(api.Frame{}, errors.New("disk /secret/path failed"))
				return
			}
		}
		yield(api.Frame{End: end}, nil)
	}
}

func refuse(query string) error {
	switch query {
	case "boom":
		return errors.New("disk /secret/path failed")
	case "bad syntax":
		return fault.New(fault.Config, "parse the query", "1:5: unexpected word").WithHint("put AND or OR between the words")
	}
	return nil
}

func columns(fields []string) []api.Column {
	if len(fields) == 0 {
		fields = []string{"timestamp", "user.email", "office365.Operation"}
	}
	var out []api.Column
	for _, name := range fields {
		c := api.Column{Name: name, Type: api.TextColumn}
		if name == "timestamp" {
			c.Type = api.TimeColumn
		}
		out = append(out, c)
	}
	return out
}

// CreateImport implements api.Service.
func (f *Fake) CreateImport(_ context.Context, r api.ImportRequest) (api.Import, error) {
	if r.Type != "office365" {
		return api.Import{}, fault.Newf(fault.Config, "", "there is no connector type %q", r.Type).WithHint("use office365")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	job := &api.Import{ID: fmt.Sprintf("import-%d", len(f.imports)+1), Type: r.Type, TenantName: r.TenantName, DirectoryID: r.DirectoryID, State: "running", Started: Now}
	f.imports = append(f.imports, job)
	return *job, nil
}

// ImportFile implements api.Service. Lines that are not JSON are malformed.
func (f *Fake) ImportFile(_ context.Context, id, name string, body io.Reader) (api.FileResult, error) {
	result := api.FileResult{Name: name}
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		if lines.Text() == "!" {
			result.Incomplete = &api.Failure{Kind: "malformed", Message: "the archive is cut off", Hint: "copy the file again"}
			break
		}
		result.Lines++
		if json.Valid(lines.Bytes()) {
			result.Records++
			continue
		}
		result.Malformed++
		result.MalformedExamples = append(result.MalformedExamples, api.Example{File: name, Line: result.Lines, Reason: "not a JSON object"})
	}
	if err := lines.Err(); err != nil {
		return result, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	job, err := f.importJob(id)
	if err != nil {
		return result, err
	}
	job.Files = append(job.Files, result)
	job.Lines += result.Lines
	job.Records += result.Records
	job.Malformed += result.Malformed
	return result, nil
}

// importJob returns a job. The caller holds mu.
func (f *Fake) importJob(id string) (*api.Import, error) {
	for _, job := range f.imports {
		if job.ID == id {
			return job, nil
		}
	}
	return nil, fault.Newf(fault.NotFound, "", "there is no import %q", id)
}

// FinishImport implements api.Service.
func (f *Fake) FinishImport(_ context.Context, id string) (api.Import, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	job, err := f.importJob(id)
	if err != nil {
		return api.Import{}, err
	}
	finished := Now
	job.State, job.Finished = "done", &finished
	return *job, nil
}

// Imports implements api.Service.
func (f *Fake) Imports(context.Context) ([]api.Import, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []api.Import
	for _, job := range slices.Backward(f.imports) {
		out = append(out, *job)
	}
	return out, nil
}

var _ api.Service = (*Fake)(nil)
