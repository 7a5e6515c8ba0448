package app

import (
	"context"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/source/file"
	"sluice/internal/state"
)

const (
	// importsListed bounds the answer of Imports, and the ended jobs that a process remembers in full.
	importsListed = 100
	// importsFor is how long an import is remembered after its end, or after it was last used when nobody ends it.
	importsFor = 30 * 24 * time.Hour
	// importsKept is how many of them are, at most.
	importsKept = 10_000
)

// importJobs holds the jobs of this process; their totals are in the state database too.
type importJobs struct {
	mu   sync.Mutex
	byID map[string]*importJob
}

type importJob struct {
	api.Import
	inUse int       // calls that work on it
	used  time.Time // when a call last did
}

// put adds a job that begins, and drops the oldest of those that ended when there are many.
func (j *importJobs) put(job api.Import) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.byID == nil {
		j.byID = map[string]*importJob{}
	}
	j.byID[job.ID] = &importJob{Import: job, used: job.Started}
	var ended []*importJob
	for _, other := range j.byID {
		if other.State != "running" {
			ended = append(ended, other)
		}
	}
	slices.SortFunc(ended, func(a, b *importJob) int { return b.used.Compare(a.used) })
	for _, old := range ended[min(len(ended), importsListed):] {
		delete(j.byID, old.ID)
	}
}

// use returns a job that runs, which stays until release.
func (j *importJobs) use(id string) (*importJob, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.byID[id]
	if job == nil {
		return nil, fault.Newf(fault.NotFound, "import", "no import %q", id).WithHint("imports end with the server; start a new one: what landed is not taken twice")
	}
	if job.State != "running" {
		return nil, fault.Newf(fault.Conflict, "import", "import %s is %s", id, job.State)
	}
	job.inUse++
	return job, nil
}

func (j *importJobs) release(job *importJob, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	job.inUse--
	job.used = now
}

// forget drops the jobs that ended long ago, and those that nobody went on with for as long. It returns those that run.
func (j *importJobs) forget(now time.Time) (running []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, job := range j.byID {
		if job.inUse == 0 && now.Sub(job.used) >= importsFor {
			delete(j.byID, id)
		} else if job.State == "running" {
			running = append(running, id)
		}
	}
	return running
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
	job := api.Import{
		ID: uuid.NewString(), Type: r.Type, TenantName: tenant, DirectoryID: directory, State: "running", Started: s.clock.Now(),
	}
	if err := s.saveImport(ctx, job); err != nil {
		return api.Import{}, err
	}
	s.imports.put(job)
	return job, nil
}

// ImportFile implements api.Importer.
func (s *service) ImportFile(ctx context.Context, id, name string, body io.Reader) (api.FileResult, error) {
	job, err := s.imports.use(id)
	if err != nil {
		return api.FileResult{}, err
	}
	defer func() { s.imports.release(job, s.clock.Now()) }()
	connector := collect.ImportConnector(job.Type, job.TenantName, job.DirectoryID) // which never change

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
	job, err := s.imports.use(id)
	if err != nil {
		return api.Import{}, err
	}
	defer func() { s.imports.release(job, s.clock.Now()) }()
	if err := s.searchable(ctx); err != nil {
		return api.Import{}, err
	}
	s.imports.mu.Lock()
	answer := job.Import
	s.imports.mu.Unlock()
	now := s.clock.Now()
	answer.Finished, answer.State = &now, "done"
	for _, f := range answer.Files {
		if f.Incomplete != nil {
			answer.State, answer.Error = "failed", f.Incomplete
		}
	}
	if err := s.saveImport(ctx, answer); err != nil {
		return api.Import{}, err // it still runs, and can be finished again
	}
	s.imports.mu.Lock()
	defer s.imports.mu.Unlock()
	job.Finished, job.State, job.Error = answer.Finished, answer.State, answer.Error
	return answer, nil
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
			out = append(out, live.Import)
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
