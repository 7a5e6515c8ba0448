package app

import (
	"context"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/google/uuid"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/source/file"
	"sluice/internal/state"
)

// importJobs holds the jobs of this process; their totals are in the state database too.
type importJobs struct {
	mu   sync.Mutex
	byID map[string]*api.Import
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// CreateImport implements api.Importer.
func (s *service) CreateImport(ctx context.Context, r api.ImportRequest) (api.Import, error) {
	const op = "import"
	if !collect.Known(r.Type) {
		return api.Import{}, fault.Newf(fault.Config, op, "unknown type %q", r.Type).WithHint("use the type of the connector that would have collected these records: " + strings.Join(collect.KnownTypes(), ", "))
	}
	tenant := strings.TrimSpace(r.TenantName)
	if err := config.CheckName(tenant); err != nil {
		return api.Import{}, fault.Newf(fault.Config, op, "tenant name: %v", err)
	}
	directory := strings.ToLower(strings.TrimSpace(r.DirectoryID))
	if directory != "" {
		if !guid.MatchString(directory) {
			return api.Import{}, fault.Newf(fault.Config, op, "directory id %q is not a GUID", r.DirectoryID).
				WithHint("it is shown as Directory (tenant) ID in the Microsoft Entra admin center")
		}
		if err := s.state.BindDirectory(ctx, directory, tenant); err != nil {
			return api.Import{}, err
		}
	}
	job := &api.Import{
		ID: uuid.NewString(), Type: r.Type, TenantName: tenant, DirectoryID: directory, State: "running", Started: s.clock.Now(),
	}
	s.imports.mu.Lock()
	if s.imports.byID == nil {
		s.imports.byID = map[string]*api.Import{}
	}
	s.imports.byID[job.ID] = job
	answer := *job
	s.imports.mu.Unlock()
	return answer, s.saveImport(ctx, answer)
}

func (s *service) runningImport(id string) (*api.Import, error) {
	job := s.imports.byID[id]
	if job == nil {
		return nil, fault.Newf(fault.NotFound, "import", "no import %q", id).WithHint("imports end with the server; start a new one: what landed is not taken twice")
	}
	if job.State != "running" {
		return nil, fault.Newf(fault.Conflict, "import", "import %s is %s", id, job.State)
	}
	return job, nil
}

// ImportFile implements api.Importer.
func (s *service) ImportFile(ctx context.Context, id, name string, body io.Reader) (api.FileResult, error) {
	s.imports.mu.Lock()
	job, err := s.runningImport(id)
	if err != nil {
		s.imports.mu.Unlock()
		return api.FileResult{}, err
	}
	connector := collect.ImportConnector(job.Type, job.TenantName, job.DirectoryID)
	s.imports.mu.Unlock()

	result := api.FileResult{Name: name}
	reader, err := file.Open(name, body)
	if err == nil {
		var got collect.FileResult
		got, err = s.manager.Import(ctx, connector, id, name, reader.Items())
		result.Counts = api.Counts{
			Lines: got.Lines, Records: got.Records, Duplicates: got.Duplicates, Filtered: got.Filtered, Malformed: got.Malformed,
		}
		for _, e := range got.Examples {
			result.MalformedExamples = append(result.MalformedExamples, api.Example{File: name, Line: e.Line, Reason: e.Reason})
		}
	}
	if err != nil {
		result.Incomplete = failure(err)
	}
	s.imports.mu.Lock()
	job.Files = append(job.Files, result)
	job.Lines += result.Lines
	job.Records += result.Records
	job.Duplicates += result.Duplicates
	job.Filtered += result.Filtered
	job.Malformed += result.Malformed
	s.imports.mu.Unlock()
	return result, nil
}

// FinishImport implements api.Importer.
func (s *service) FinishImport(ctx context.Context, id string) (api.Import, error) {
	s.imports.mu.Lock()
	job, err := s.runningImport(id)
	if err != nil {
		s.imports.mu.Unlock()
		return api.Import{}, err
	}
	s.imports.mu.Unlock()
	if err := s.searchable(ctx); err != nil {
		return api.Import{}, err
	}
	s.imports.mu.Lock()
	now := s.clock.Now()
	job.Finished, job.State = &now, "done"
	for _, f := range job.Files {
		if f.Incomplete != nil {
			job.State, job.Error = "failed", f.Incomplete
		}
	}
	answer := *job
	s.imports.mu.Unlock()
	return answer, s.saveImport(ctx, answer)
}

func (s *service) saveImport(ctx context.Context, job api.Import) error {
	stored := state.ImportJob{
		ID: job.ID, Type: job.Type, TenantName: job.TenantName, DirectoryID: job.DirectoryID, State: job.State,
		Lines: job.Lines, Records: job.Records, Duplicates: job.Duplicates, Filtered: job.Filtered, Malformed: job.Malformed,
		Started: job.Started,
	}
	if job.Finished != nil {
		stored.Finished = *job.Finished
	}
	if job.Error != nil {
		stored.Error = job.Error.Message
	}
	for _, f := range job.Files {
		stored.Files = append(stored.Files, f.Name)
	}
	return s.state.PutImportJob(ctx, stored)
}

// importsListed bounds the answer of Imports.
const importsListed = 100

// Imports implements api.Importer.
func (s *service) Imports(ctx context.Context) ([]api.Import, error) {
	stored, err := s.state.ImportJobs(ctx, importsListed)
	if err != nil {
		return nil, err
	}
	s.imports.mu.Lock()
	defer s.imports.mu.Unlock()
	out := make([]api.Import, 0, len(stored))
	for _, j := range stored {
		if live := s.imports.byID[j.ID]; live != nil {
			out = append(out, *live)
			continue
		}
		view := api.Import{
			ID: j.ID, Type: j.Type, TenantName: j.TenantName, DirectoryID: j.DirectoryID, State: j.State,
			Started: j.Started, Finished: timeOrNil(j.Finished),
			Counts: api.Counts{Lines: j.Lines, Records: j.Records, Duplicates: j.Duplicates, Filtered: j.Filtered, Malformed: j.Malformed},
		}
		if view.State == "running" {
			view.State = "interrupted" // by the end of an earlier process
		}
		if j.Error != "" {
			view.Error = &api.Failure{Kind: string(fault.Unavailable), Message: j.Error}
		}
		for _, name := range j.Files {
			view.Files = append(view.Files, api.FileResult{Name: name})
		}
		out = append(out, view)
	}
	return out, nil
}
