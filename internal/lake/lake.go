package lake

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/normalize"
	"sluice/internal/record"
)

// Audit is the table of what operators did.
const Audit record.Index = "sluice_audit"

// Indices lists the tables of the lake.
func Indices() []record.Index {
	return []record.Index{record.WindowsEvents, record.Syslog, record.Alerts, record.Quarantine, Audit}
}

// Config is what a lake needs. Warehouse, CatalogDB, Dialect and Normalizer are required.
type Config struct {
	Warehouse      string                // local folder, made when missing
	CatalogDB      *sql.DB               // holds Iceberg's catalog; stays open on Close
	Dialect        string                // of CatalogDB: "sqlite" or "postgres"
	Normalizer     *normalize.Normalizer // fills the core columns
	CommitInterval time.Duration         // longest time that a record waits for its commit; 0: 15 s
	CommitRows     int                   // rows after which a commit does not wait; 0: 50,000
	Clock          clock.Clock           // nil: the wall clock
	Logger         *slog.Logger          // nil: nothing is logged

	OnCommit func(CommitInfo) // called after each commit of a table with rows; may be nil

	disk disk // of tests
}

// CommitInfo is one commit of one table, for metrics.
type CommitInfo struct {
	Index    record.Index
	Rows     int
	Files    int
	Bytes    int64         // of the files
	Verbatim int           // rows that had to keep the record in _raw
	Duration time.Duration // from the first file to the answer of the catalog
}

// Lake is an open lake. It is safe for concurrent use. One process at a time writes to a lake: a second one does no
// harm, because every commit is fenced, but its writer stops with fault.Conflict.
type Lake struct {
	cfg     Config
	fs      *durableFS
	catalog *sqlCatalog
	tables  map[record.Index]*lakeTable

	recovered  bool       // set by Open; see recover.go
	compacting sync.Mutex // held by Compact

	mu        sync.Mutex
	inFlight  map[string]struct{}  // paths of files that a commit is about to reference
	condemned map[string]time.Time // files without a reference: since when
	schemas   map[string]string    // table and schema id -> path of the empty file, see Plan

	unreadable map[string]struct{} // files that Compact has complained about
}

// lakeTable is a table of the lake.
type lakeTable struct {
	index   record.Index
	ident   table.Identifier
	mu      sync.Mutex // held while committing: one committer per table
	cur     atomic.Pointer[table.Table]
	commits int // since snapshots were last expired; under mu
}

// Open opens the lake and makes what is missing. A table that the catalog does not know, or knows only as it was long
// ago, is found by its files; see Recovered. Close the lake.
func Open(ctx context.Context, cfg Config) (*Lake, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	l := &Lake{
		cfg: cfg, fs: newDurableFS(cfg.disk, cfg.Warehouse), tables: make(map[record.Index]*lakeTable), inFlight: make(map[string]struct{}),
		condemned: make(map[string]time.Time), schemas: make(map[string]string),
		unreadable: make(map[string]struct{}),
	}
	err := l.fs.mkdirAll(cfg.Warehouse)
	if err != nil {
		return nil, fault.Wrap(fault.Config, "make the folder of the lake", err)
	}
	if l.catalog, err = openCatalog(ctx, cfg.CatalogDB, cfg.Dialect, l.fs); err != nil {
		return nil, fault.Wrap("", "open lake catalog", err)
	}
	l.catalog.base = func(ident table.Identifier) *table.Table { return l.tables[record.Index(ident[1])].cur.Load() }
	for _, index := range Indices() {
		if err := l.openTable(ctx, index); err != nil {
			return nil, fault.Wrap("", "open table "+string(index), err)
		}
	}
	return l, nil
}

func (c *Config) complete() error {
	if c.Warehouse == "" || c.CatalogDB == nil || c.Normalizer == nil {
		return fault.New(fault.Config, "open lake", "warehouse, catalog and normalizer are required")
	}
	abs, err := filepath.Abs(c.Warehouse)
	if err != nil {
		return fault.Wrap(fault.Config, "open lake", err)
	}
	c.Warehouse = abs
	if c.CommitInterval <= 0 {
		c.CommitInterval = 15 * time.Second
	}
	if c.CommitRows <= 0 {
		c.CommitRows = 50_000
	}
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.disk == nil {
		c.disk = realDisk{}
	}
	return nil
}

// Close closes the lake. Writers must have ended; plans stay usable.
func (l *Lake) Close() error { return nil }

func (l *Lake) openTable(ctx context.Context, index record.Index) error {
	t := &lakeTable{index: index, ident: table.Identifier{namespace, string(index)}}
	l.tables[index] = t
	found, err := l.openExisting(ctx, t)
	if err != nil || found {
		return err
	}
	return l.createTable(ctx, t)
}

func (l *Lake) createTable(ctx context.Context, t *lakeTable) error {
	cols := newColumnSet(normalize.Columns)
	var fields []iceberg.NestedField
	for slot, d := range cols.defs {
		if startsWith(t.index, slot, d.name) {
			fields = append(fields, iceberg.NestedField{ID: len(fields) + 1, Name: d.name, Type: d.kind.icebergType(), Doc: d.doc()})
		}
	}
	schema := iceberg.NewSchema(0, fields...)
	day := slices.IndexFunc(fields, func(f iceberg.NestedField) bool { return f.Name == ColTimestamp })
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{
		SourceIDs: []int{fields[day].ID}, FieldID: 1000, Name: partitionName, Transform: iceberg.DayTransform{},
	})
	meta, err := table.NewMetadata(schema, &spec, table.UnsortedSortOrder,
		localURI(filepath.Join(l.cfg.Warehouse, string(t.index))), tableProperties())
	if err != nil {
		return err
	}
	tbl, err := l.catalog.create(ctx, t.ident, meta)
	if err != nil {
		return err
	}
	t.cur.Store(tbl)
	return nil
}

const partitionName = "timestamp_day"

// startsWith tells which columns a new table has; the others come with their first value.
func startsWith(index record.Index, slot int, name string) bool {
	if index != record.Quarantine {
		return slot != slotReason && slot != slotOffset
	}
	return slot < numOwnSlots || slices.Contains(quarantineColumns, name)
}

// tableProperties are the settings that keep a commit at a few milliseconds, however many there were before.
func tableProperties() iceberg.Properties {
	props := iceberg.Properties{
		table.PropertyFormatVersion:               "2",
		table.ParquetCompressionKey:               "zstd",
		table.ManifestMergeEnabledKey:             "true",
		table.ManifestMinMergeCountKey:            "50",
		table.MetadataDeleteAfterCommitEnabledKey: "true",
		table.MetadataPreviousVersionsMaxKey:      "5",
		table.DefaultWriteMetricsModeKey:          "none",
		table.ReadManifestListCacheEnabledKey:     "false",
		table.CommitNumRetriesKey:                 "0", // the writer decides what a failed commit means
		table.ReadSplitTargetSizeKey:              "1099511627776",
		propSeq:                                   "0",
		propStream:                                "",
	}
	addMetricsModes(props)
	return props
}

// addMetricsModes says which columns have bounds in the manifests.
func addMetricsModes(props iceberg.Properties) {
	for name, mode := range statColumns {
		props[table.MetricsModeColumnConfPrefix+"."+name] = mode
	}
}

// reload makes the newest state of the table the current one. Callers that commit hold t.mu.
func (l *Lake) reload(ctx context.Context, t *lakeTable) (*table.Table, error) {
	tbl, err := l.catalog.LoadTable(ctx, t.ident)
	if err != nil {
		return nil, err
	}
	t.cur.Store(tbl)
	return tbl, nil
}

// current is the newest state of the table, also when another process committed it.
func (l *Lake) current(ctx context.Context, t *lakeTable) (*table.Table, error) {
	loc, err := l.catalog.location(ctx, t.ident)
	if err != nil {
		return nil, err
	}
	if tbl := t.cur.Load(); tbl.MetadataLocation() == loc {
		return tbl, nil
	}
	return l.catalog.LoadTable(ctx, t.ident)
}

// commit runs one transaction on the current state of the table and makes the result current. The caller holds t.mu.
func (l *Lake) commit(ctx context.Context, t *lakeTable, build func(*table.Table, *table.Transaction) error) error {
	tbl := t.cur.Load()
	txn := tbl.NewTransaction()
	if err := txn.AssertRefSnapshotID(table.MainBranch); err != nil { // the fence: a property is none
		return err
	}
	if err := build(tbl, txn); err != nil {
		return err
	}
	next, err := txn.Commit(ctx)
	if err != nil {
		return err
	}
	t.cur.Store(next)
	t.commits++
	return nil
}

// Position is a place in the journal.
type Position struct {
	Stream string // identity of the journal's stream; "" when none was set
	Seq    uint64 // last sequence that is contained
}

// The table properties that hold a table's position.
const (
	propStream = "sluice.journal.stream"
	propSeq    = "sluice.journal.seq"
)

func positionOf(tbl *table.Table) (Position, error) {
	props := tbl.Properties()
	seq, err := strconv.ParseUint(props[propSeq], 10, 64)
	if err != nil {
		return Position{}, fault.Newf(fault.Internal, "read position", "the position of table %s cannot be read", tbl.Identifier()[1])
	}
	return Position{Stream: props[propStream], Seq: seq}, nil
}

func (p Position) properties() iceberg.Properties {
	return iceberg.Properties{propStream: p.Stream, propSeq: strconv.FormatUint(p.Seq, 10)}
}

// Positions returns what each table contains of the journal.
func (l *Lake) Positions(ctx context.Context) (map[record.Index]Position, error) {
	positions := make(map[record.Index]Position, len(l.tables))
	for index, t := range l.tables {
		tbl, err := l.current(ctx, t)
		if err != nil {
			return nil, fault.Wrap(fault.Unavailable, "read positions", err)
		}
		if positions[index], err = positionOf(tbl); err != nil {
			return nil, err
		}
	}
	return positions, nil
}

// SetPositions ties every table to a stream: at the first start, or when the journal was replaced by a new one. A new
// stream starts above every known position, so a position never goes down; asking for that is fault.Conflict.
func (l *Lake) SetPositions(ctx context.Context, p Position) error {
	return l.setPositions(ctx, p, func(Position) bool { return true })
}

// Join is SetPositions for the tables that do not reach the stream: those of another one or of none, because they are new
// or were lost, and those that end before p. Tables that have more of the stream stay where they are.
func (l *Lake) Join(ctx context.Context, p Position) error {
	return l.setPositions(ctx, p, func(k Position) bool { return k.Stream != p.Stream || k.Seq < p.Seq })
}

func (l *Lake) setPositions(ctx context.Context, p Position, moves func(known Position) bool) error {
	known, err := l.Positions(ctx)
	if err != nil {
		return err
	}
	for index, k := range known {
		if moves(k) && p.Seq < k.Seq {
			return fault.Newf(fault.Conflict, "set positions", "table %s is at %d, beyond %d", index, k.Seq, p.Seq)
		}
	}
	for _, index := range Indices() {
		if !moves(known[index]) {
			continue
		}
		t := l.tables[index]
		t.mu.Lock()
		_, err := l.reload(ctx, t)
		if err == nil {
			err = l.commit(ctx, t, func(_ *table.Table, txn *table.Transaction) error { return txn.SetProperties(p.properties()) })
		}
		t.mu.Unlock()
		if err != nil {
			return fault.Wrap(commitKind(err), "set position of "+string(index), err)
		}
	}
	return nil
}

// commitKind tells what kept a commit from happening. What the disk refused was no conflict, though nothing was committed.
func commitKind(err error) fault.Kind {
	k := fault.KindOf(err)
	switch {
	case k != fault.Internal:
		return k
	case errors.Is(err, table.ErrCommitFailed):
		return fault.Conflict
	}
	return fault.Unavailable
}

// Columns describes the columns of a table.
func (l *Lake) Columns(index record.Index) []ColumnInfo {
	t, ok := l.tables[index]
	if !ok {
		return nil
	}
	return columnInfo(normalize.Columns, t.cur.Load().Schema())
}

func errColumnChanged(name string) error {
	return fault.Newf(fault.Internal, "read columns", "column %s has another type in the table", name)
}
