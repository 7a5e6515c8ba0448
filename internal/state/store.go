package state

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"sluice/internal/clock"
	"sluice/internal/fault"
)

// Dialect names a database engine.
type Dialect string

// The engines.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// Options are optional for Open.
type Options struct {
	Clock  clock.Clock  // default: the wall clock. It stamps rows on both engines, and is the clock of leases on SQLite
	Logger *slog.Logger // default: none
	// OutcomeWait bounds how long a PostgreSQL that is there is asked whether a commit whose answer was lost happened; default:
	// 10 minutes.
	OutcomeWait time.Duration
}

// Store is an open state database. It is safe for concurrent use; writes are serialised per subject on PostgreSQL and
// altogether on SQLite.
type Store struct {
	dialect Dialect
	clock   clock.Clock
	log     *slog.Logger
	read    *sql.DB // SQLite: query_only
	shared  *sql.DB // for others; PostgreSQL: the one pool
	writer  *writer // SQLite only
	name    string  // file name or "host/database", for messages

	texts sync.Map // statement as written -> text for the engine; as many as statements in this package

	mu       sync.Mutex
	feeds    map[feedKey]int64   // committed feeds; they never change
	doubtful map[string]struct{} // epochs with a commit of unknown outcome
	closed   bool

	outcomeWait time.Duration
}

type feedKey struct{ connectorID, contentType string }

// Open opens the state database and brings its schema up to date. dsn is a postgres:// URL or the path of a SQLite
// file, which is created with mode 0600 in a folder that must exist. A database that cannot be used (of a newer
// version, of another program, no database at all) is a fault.Config.
func Open(ctx context.Context, dsn string, o Options) (*Store, error) {
	s := &Store{clock: o.Clock, log: o.Logger, feeds: map[feedKey]int64{}, doubtful: map[string]struct{}{}, outcomeWait: cmp.Or(o.OutcomeWait, pgOutcomeWait)}
	if s.clock == nil {
		s.clock = clock.Real{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	open := s.openSQLite
	if strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://") {
		open = s.openPostgres
	}
	err := open(ctx, dsn)
	if err == nil {
		err = s.migrate(ctx)
	}
	if err != nil {
		return nil, errors.Join(classify("open state", err), s.Close())
	}
	return s, nil
}

// Close waits for the write that is going on and closes the database. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, db := range []*sql.DB{s.read, s.shared} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	return classify("close state", errors.Join(errs...))
}

// Dialect tells the engine.
func (s *Store) Dialect() Dialect { return s.dialect }

// DB returns a pool for users beside this package. On SQLite it is a pool of its own on the same file, whose
// transactions begin IMMEDIATE and wait for other writers, so that it never takes the connection of a Step. Keep its
// transactions short: on SQLite a long read holds back the cleaning of the write-ahead log.
func (s *Store) DB() *sql.DB { return s.shared }

// CatalogDB returns the pool for the Iceberg SQL catalog: the same as DB.
func (s *Store) CatalogDB() *sql.DB { return s.shared }

// rows runs a query outside of a transaction and calls scan for every row.
func (s *Store) rows(ctx context.Context, query string, args []any, scan func(*sql.Rows) error) error {
	rows, err := s.read.QueryContext(ctx, s.rebind(query), args...)
	return eachRow(rows, err, scan)
}

// eachRow calls scan for every row and closes rows.
func eachRow(rows *sql.Rows, err error, scan func(*sql.Rows) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err tells
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// micros is how times are stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// clean makes text storable on both engines: PostgreSQL takes neither broken UTF-8 nor NUL.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, "\x00") {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func notFound(op, format string, args ...any) error {
	return fault.Newf(fault.NotFound, op, format, args...)
}
