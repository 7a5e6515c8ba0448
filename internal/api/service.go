package api

import (
	"context"
	"io"
	"iter"

	"sluice/internal/source"
)

// Service is what the API offers to the world, implemented by the application.
//
// Methods may be called concurrently. They return errors of package fault for everything that a caller can act on: an
// unknown name is fault.NotFound, an entry owned by a file is fault.Conflict, a wrong query is fault.Config. Sequences
// end when ctx ends; an error ends a sequence and is its last element. Slices and structs belong to the caller.
type Service interface {
	Reporter
	Entries
	Collector
	Queue
	Verifier
	Searcher
	Importer
	Keeper
	TenantKeeper
	Catalog
	Consenter
	LogFilters
	Watcher
}

// Reporter tells how the server is doing.
type Reporter interface {
	// Info describes the running server.
	Info(ctx context.Context) (Info, error)
	// Status has one element per connector and content type, ordered by name, then in the driver's order.
	Status(ctx context.Context) ([]Status, error)
}

// Entries manages what is configured. A name is unique within its kind.
type Entries interface {
	// Entries lists the entries of one kind, or all when kind is empty, ordered by kind and name. Secrets in Spec are
	// references, never values.
	Entries(ctx context.Context, kind Kind) ([]Entry, error)
	// Apply checks a document and makes it so. When the result has Problems nothing was changed.
	Apply(ctx context.Context, r ApplyRequest) (ApplyResult, error)
	// Delete removes an entry. Its ledger and the collected data stay. With StopSubscriptions the content subscriptions of
	// a connector are stopped at Microsoft after it was removed; that one could not be stopped is no error of the call but
	// in the result. An entry or type without subscriptions is deleted all the same, and the result has none.
	Delete(ctx context.Context, kind Kind, name string, o DeleteOptions) (DeleteResult, error)
	// History returns who changed a connector, oldest first, also of one that was deleted. A name that was never used
	// is fault.NotFound.
	History(ctx context.Context, name string) ([]Change, error)
	// SetPaused stops or continues the work of a connector or destination. Repeating it changes nothing.
	SetPaused(ctx context.Context, kind Kind, name string, paused bool) error
	// Test runs the checks of a connector or destination and yields each as it finishes.
	Test(ctx context.Context, kind Kind, name string) iter.Seq2[source.Check, error]
}

// Collector runs collections outside of the schedule.
type Collector interface {
	// Collect starts a run or a back-fill and returns at once.
	Collect(ctx context.Context, r CollectRequest) (Job, error)
	// Job returns a job as it is now.
	Job(ctx context.Context, id string) (Job, error)
	// Watch yields the job now and after each change, at most a few times a second, and ends when the job is done.
	Watch(ctx context.Context, id string) iter.Seq2[Job, error]
}

// Queue shows the ledger of units and forces what waits in it.
type Queue interface {
	// Units lists units of a connector by creation time, oldest first. An unknown connector is fault.NotFound, an After
	// that is no UnitsPage.Next is fault.Config.
	Units(ctx context.Context, r UnitsRequest) (UnitsPage, error)
	// Retry makes waiting units due at once. A Unit may be named by a prefix of at least MinUnitPrefix digits: one that
	// fits no unit is fault.NotFound, one that fits several or a unit that landed is fault.Conflict. A lost unit that is
	// named is queued only with Lost, else it is fault.Conflict too.
	Retry(ctx context.Context, r RetryRequest) (RetryResult, error)
}

// Verifier proves that nothing is missing.
type Verifier interface {
	// Verify yields frames with Progress, at most a few times a second, and at the end one with the Report. What it
	// finds is never an error; an error means that there is no verdict. A second verification of a connector while one
	// runs is fault.Conflict.
	Verify(ctx context.Context, r VerifyRequest) iter.Seq2[VerifyFrame, error]
	// LastVerify has the latest report of every connector that has one, ordered by connector, each about that connector
	// alone and with Connector set, also when it was made by a run over all or by the daily run.
	LastVerify(ctx context.Context) ([]VerifyReport, error)
}

// Searcher asks the lake.
type Searcher interface {
	// Search yields a frame with Columns first (none when r.Raw is set), then one frame per row, then one with End.
	// A frame's bytes are valid until the next one.
	Search(ctx context.Context, r SearchRequest) iter.Seq2[Frame, error]
}

// Importer takes files of records in.
type Importer interface {
	// CreateImport opens a job for files of one type and tenant.
	CreateImport(ctx context.Context, r ImportRequest) (Import, error)
	// ImportFile reads one file to its end; name only serves to tell its format (.gz, .csv, .json) and for people.
	// A file that is not whole or could not be read to its end is not an error of the call: FileResult.Incomplete has the
	// reason and the counts say what landed. Reading the same file again is harmless.
	ImportFile(ctx context.Context, id, name string, body io.Reader) (FileResult, error)
	// FinishImport closes the job and waits until its records can be searched.
	FinishImport(ctx context.Context, id string) (Import, error)
	// Imports lists jobs, newest first.
	Imports(ctx context.Context) ([]Import, error)
}
