package api

import (
	"strings"
	"time"

	"sluice/internal/source"
)

// Info describes a running server.
type Info struct {
	Version   string    `json:"version" doc:"Version of the server"`
	GoVersion string    `json:"go_version,omitempty"`
	Started   time.Time `json:"started" doc:"When the server started"`
	DataDir   string    `json:"data_dir" doc:"Data folder of the server"`
	Demo      bool      `json:"demo" doc:"The server collects from a simulated Microsoft tenant"`
	Problem   *Failure  `json:"problem,omitempty" doc:"Why nothing can be written at the moment; what is collected waits"`
}

// Kind is a kind of configured entry.
type Kind string

// The kinds of entries.
const (
	Connectors   Kind = "connectors"
	Destinations Kind = "destinations"
	Filters      Kind = "filters"
	Consent      Kind = "consent" // multi-tenant applications, see package consent
)

// Kinds lists the kinds in the order in which names are looked up.
func Kinds() []Kind { return []Kind{Connectors, Destinations, Filters, Consent} }

// Singular is the word for one entry of the kind.
func (k Kind) Singular() string {
	if k == Consent {
		return "application"
	}
	return strings.TrimSuffix(string(k), "s")
}

// Entry is a configured connector, destination, filter or application for consent.
type Entry struct {
	Kind       Kind       `json:"kind" enum:"connectors,destinations,filters,consent"`
	Name       string     `json:"name"`
	Type       string     `json:"type,omitempty"`
	TenantName string     `json:"tenant_name,omitempty"`
	State      string     `json:"state" doc:"active, or paused"`
	StateSince *time.Time `json:"state_since" doc:"Since when the state is what it is; null when that is not known"`
	Owner      string     `json:"owner,omitempty" doc:"File that owns the entry; it is read-only elsewhere. Empty: made with apply, the API or a page"`
	Created    time.Time  `json:"created"`
	Updated    time.Time  `json:"updated"`
	Spec       Object     `json:"spec" doc:"The entry as apply takes it; secrets are references"`
}

// Status is the state of one content type of a connector. Units are what a source lists and fetches as one thing;
// records, duplicates, filtered and malformed count records, and their sum is what was fetched.
type Status struct {
	Name           string     `json:"name" doc:"Connector"`
	TenantName     string     `json:"tenant_name"`
	Type           string     `json:"type" doc:"Connector type"`
	ContentType    string     `json:"content_type"`
	State          string     `json:"state" doc:"What an operator should know first: ok, collecting, waiting, paused, degraded, needs attention ..."`
	StateSince     *time.Time `json:"state_since" doc:"Since when the state is what it is; null when that is not known, as just after a start of the server"`
	Listed         int64      `json:"listed" doc:"Units ever listed"`
	Landed         int64      `json:"landed" doc:"Units whose records are all safe"`
	Pending        int64      `json:"pending" doc:"Units with a next try"`
	Lost           int64      `json:"lost" doc:"Units that can no longer be read"`
	Records        int64      `json:"records"`
	Duplicates     int64      `json:"duplicates"`
	Filtered       int64      `json:"filtered"`
	Malformed      int64      `json:"malformed"`
	BacklogSeconds int64      `json:"backlog_seconds" doc:"Age of the oldest pending unit"`
	NewestEvent    *time.Time `json:"newest_event" doc:"Time of the newest event collected; null before the first"`
	LastSuccess    *time.Time `json:"last_success" doc:"When a run last ended well; null before the first"`
	NextRun        *time.Time `json:"next_run" doc:"When the next run starts; null while paused"`
	LastError      *Failure   `json:"last_error" doc:"What hinders the work now; null when nothing does"`

	Retrying        int64      `json:"retrying" doc:"Pending units that failed before"`
	CoveragePercent *float64   `json:"coverage_percent" doc:"Of the latest verification; null before the first"`
	VerifiedAt      *time.Time `json:"verified_at" doc:"When the latest verification ended; null before the first"`
	Gaps            []Gap      `json:"gaps" nullable:"false" doc:"Intervals of which something can no longer be had"`

	Conditions []Condition `json:"conditions,omitempty" nullable:"false" doc:"What the state is made of"`
}

// Failure is an error as operators read it.
type Failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Hint    string `json:"hint"`
}

// ApplyRequest is a document of entries to make so.
type ApplyRequest struct {
	Document []byte // YAML or JSON
	Name     string // of the file, for messages
	DryRun   bool   // check and compare only
	Prune    bool   // delete entries that the document does not have, but never those owned by a file
	Confirm  bool   // also when the log filters of a connector would drop everything that it collected lately
}

// Action is what apply did, or would do, to an entry.
type Action string

// The actions of apply.
const (
	Created   Action = "created"
	Updated   Action = "updated"
	Unchanged Action = "unchanged"
	Deleted   Action = "deleted"
)

// AppliedEntry is the outcome of apply for one entry.
type AppliedEntry struct {
	Kind    Kind     `json:"kind" enum:"connectors,destinations,filters,consent"`
	Name    string   `json:"name"`
	Action  Action   `json:"action" enum:"created,updated,unchanged,deleted"`
	Changed []string `json:"changed,omitempty" nullable:"false" doc:"Names of the options that changed"`
}

// Mistake is a mistake in a document and where it is.
type Mistake struct {
	File    string `json:"file"`
	Line    int    `json:"line" doc:"From 1; 0 when the mistake has no place"`
	Column  int    `json:"column" doc:"From 1"`
	Path    string `json:"path,omitempty" doc:"connectors[0].interval"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// ApplyResult is the outcome of apply. Problems are mistakes that kept everything from being applied; the API answers
// them as a problem with status 422.
type ApplyResult struct {
	DryRun   bool           `json:"dry_run"`
	Entries  []AppliedEntry `json:"entries" nullable:"false"`
	Warnings []Mistake      `json:"warnings,omitempty" nullable:"false"`
	MovedIn  *MoveIn        `json:"moved_in,omitempty" doc:"Set when the document was that of another collector"`
	Problems []Mistake      `json:"-"`
}

// CollectRequest starts a run of a connector. Zero times mean an ordinary run; Since makes it a back-fill, and a Since
// before everything that the source still serves (the Unix epoch for "all") means as far back as it goes.
type CollectRequest struct {
	Connector    string
	Since, Until time.Time
}

// Job is a run that was asked for.
type Job struct {
	ID        string     `json:"id"`
	Connector string     `json:"connector"`
	Since     *time.Time `json:"since,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
	// ListedSince is set when the interval begins before it.
	ListedSince *time.Time `json:"listed_since,omitempty" doc:"Microsoft lists content only from here on: the older part of the interval cannot be had"`
	Started     time.Time  `json:"started"`
	Finished    *time.Time `json:"finished,omitempty"`
	Listed      int64      `json:"listed" doc:"Units of this job"`
	Landed      int64      `json:"landed"`
	Pending     int64      `json:"pending"`
	Lost        int64      `json:"lost"`
	Records     int64      `json:"records"`
	Done        bool       `json:"done"`
	Error       *Failure   `json:"error,omitempty" doc:"Why the job ended early"`
}

// JobFrame is a line of a job's progress stream.
type JobFrame struct {
	Job   *Job     `json:"job,omitempty"`
	Error *Problem `json:"error,omitempty"`
}

// CheckFrame is a line of a test's stream.
type CheckFrame struct {
	Check *source.Check `json:"check,omitempty"`
	Error *Problem      `json:"error,omitempty"`
	Done  bool          `json:"done,omitempty" doc:"Set on the last line of a complete test"`
}

// ImportRequest opens an import.
type ImportRequest struct {
	Type        string `json:"type" doc:"Connector type of the records" minLength:"1" example:"office365"`
	TenantName  string `json:"tenant_name" minLength:"1"`
	DirectoryID string `json:"directory_id,omitempty" doc:"Microsoft's id of the tenant; needed when the tenant has no connector"`
}

// Example is a line of a file that is not a usable record.
type Example struct {
	File   string `json:"file"`
	Line   int64  `json:"line" doc:"From 1"`
	Reason string `json:"reason"`
}

// Counts says what became of the records of a file or import. lines = records + duplicates + filtered + malformed.
type Counts struct {
	Lines      int64 `json:"lines" doc:"Records read"`
	Records    int64 `json:"records" doc:"Records landed"`
	Duplicates int64 `json:"duplicates" doc:"Records that were there already"`
	Filtered   int64 `json:"filtered"`
	Malformed  int64 `json:"malformed"`
}

// FileResult is the outcome of importing one file.
type FileResult struct {
	Name string `json:"name"`
	Counts
	Foreign           int64     `json:"foreign" doc:"Lines that name another organization than the directory of the tenant; they are imported all the same"`
	MalformedExamples []Example `json:"malformed_examples" nullable:"false" doc:"The first few"`
	Incomplete        *Failure  `json:"incomplete,omitempty" doc:"Why the file was not imported in full: it is not whole, or could not be read to its end"`
}

// Import is an import job.
type Import struct {
	ID          string       `json:"id"`
	Type        string       `json:"type"`
	TenantName  string       `json:"tenant_name"`
	DirectoryID string       `json:"directory_id,omitempty"`
	State       string       `json:"state" doc:"running, done, failed"`
	Started     time.Time    `json:"started"`
	Finished    *time.Time   `json:"finished,omitempty"`
	Files       []FileResult `json:"files" nullable:"false"`
	Counts
	Error *Failure `json:"error,omitempty"`
}
