package engine

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"sluice/internal/fault"
	"sluice/internal/lake/worker/wire"
	"sluice/internal/query"
)

// database is the one connection of a child to an engine in memory.
type database struct {
	db      *sql.DB
	conn    *sql.Conn
	setup   wire.SetupBody
	defined map[string]string // view -> the statement that made it
}

// goHeap bounds the Go side of a child, which only encodes rows.
const goHeap = 256 << 20

// openDatabase limits the process, opens DuckDB and makes it do a little of everything that queries need, so that
// threads and code are there before Landlock and before the first query.
func openDatabase(ctx context.Context, setup wire.SetupBody) (*database, error) {
	const op = "open query engine"
	debug.SetMemoryLimit(goHeap)
	if err := limitProcess(setup.DataBytes); err != nil {
		return nil, fault.Wrap(fault.Internal, op, err)
	}
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, op, err)
	}
	d := &database{db: sql.OpenDB(connector), setup: setup, defined: map[string]string{}}
	if d.conn, err = d.db.Conn(ctx); err != nil {
		d.close()
		return nil, fault.Wrap(fault.Internal, op, err)
	}
	statements := append([]string{
		"SET TimeZone = 'UTC'",
		fmt.Sprintf("SET threads = %d", max(1, setup.Threads)),
		fmt.Sprintf("SET memory_limit = '%dB'", setup.MemoryBytes),
		"SET temp_directory = " + query.Literal(setup.TempDir),
		fmt.Sprintf("SET max_temp_directory_size = '%dB'", setup.TempBytes),
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allow_community_extensions = false",
		"SET allow_persistent_secrets = false",
		"SET parquet_metadata_cache = true",
	}, query.Prelude()...)
	statements = append(statements, warmUp...)
	for _, s := range statements {
		if err := d.exec(ctx, s); err != nil {
			d.close()
			return nil, fault.Wrap(fault.Internal, op, fmt.Errorf("%s: %w", s, err))
		}
	}
	if err := d.registerIPKey(); err != nil {
		d.close()
		return nil, fault.Wrap(fault.Internal, op, err)
	}
	return d, nil
}

var warmUp = []string{
	"SELECT json_serialize_sql('SELECT 1')",
	"SELECT count(*) FROM (SELECT range % 7 AS k, lower(range::VARCHAR) AS t FROM range(300000)) WHERE contains(t, '9') GROUP BY k ORDER BY k LIMIT 3",
	"SELECT TIMESTAMPTZ '2026-01-01 00:00:00+00:00' < now(), regexp_matches('a', '(?i)A')",
}

func (d *database) close() {
	if d.conn != nil {
		_ = d.conn.Close() // the process ends next
	}
	_ = d.db.Close()
}

func (d *database) exec(ctx context.Context, statement string) error {
	_, err := d.conn.ExecContext(ctx, statement)
	return err
}

// fence closes everything that the queries to come do not need.
func (d *database) fence(ctx context.Context, open wire.OpenBody, hooks Hooks) error {
	const op = "fence query engine"
	var paths, quoted []string
	for _, t := range open.Tables {
		for _, f := range t.Files {
			paths = append(paths, f)
			quoted = append(quoted, query.Literal(f))
		}
	}
	if open.Analyst {
		for _, t := range open.Tables {
			if err := d.registerRaw(t, hooks); err != nil {
				return fault.Wrap(fault.Internal, op, err)
			}
		}
	}
	for _, s := range []string{
		"SET allowed_paths = [" + strings.Join(quoted, ", ") + "]",
		"SET enable_external_access = false",
		"SET lock_configuration = true",
	} {
		if err := d.exec(ctx, s); err != nil {
			return fault.Wrap(fault.Internal, op, err)
		}
	}
	return fault.Wrap(fault.Internal, op, restrict(paths, d.setup.TempDir))
}

// columns returns the columns of a list of Parquet files with their types, by lower-case name.
func (d *database) columns(ctx context.Context, source string) (map[string]string, error) {
	rows, err := d.conn.QueryContext(ctx, "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM "+source+")") //nolint:gosec // source comes from parquet, which quotes
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	found := map[string]string{}
	for rows.Next() {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			return nil, err
		}
		found[strings.ToLower(name)] = typ
	}
	return found, rows.Err()
}

// tableNamed returns the table of that name.
func tableNamed(tables []wire.Table, name string) (wire.Table, bool) {
	i := slices.IndexFunc(tables, func(t wire.Table) bool { return t.Name == name })
	if i < 0 {
		return wire.Table{}, false
	}
	return tables[i], true
}
