package engine_test

import (
	"context"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake/engine/enginetest"
	"sluice/internal/lake/worker"
	"sluice/internal/lake/worker/wire"
)

var columns = []wire.Column{
	{Name: "_id", SQLType: "VARCHAR"},
	{Name: "timestamp", SQLType: "TIMESTAMP WITH TIME ZONE"},
	{Name: "tenant_name", SQLType: "VARCHAR"},
	{Name: "_seq", SQLType: "BIGINT"},
	{Name: "_shape", SQLType: "VARCHAR"},
	{Name: "_raw", SQLType: "VARCHAR"},
	{Name: "office365.Operation", SQLType: "VARCHAR", Vendor: true},
	{Name: "office365.RecordType", SQLType: "BIGINT", Vendor: true},
	{Name: "office365.Late", SQLType: "VARCHAR", Vendor: true}, // no file has it
}

// fixture writes one table with three rows and returns the tables of a lake.
func fixture(t *testing.T) (tables []wire.Table, other string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "it's.parquet")
	enginetest.WriteParquet(t, file, `SELECT 'id' || i AS _id, TIMESTAMPTZ '2026-11-20 10:00:00Z' + i * INTERVAL 1 hour AS timestamp,
		CASE WHEN i = 2 THEN 'Fabrikam' ELSE 'Contoso' END AS tenant_name, i AS _seq, 'shape' AS _shape, NULL::VARCHAR AS _raw,
		'Op' || i AS "office365.Operation", 9007199254740993 + i AS "office365.RecordType" FROM range(3) t(i)`)
	alerts := filepath.Join(dir, "alerts.parquet")
	enginetest.WriteParquet(t, alerts, `SELECT 'al' AS _id, TIMESTAMPTZ '2026-11-20 10:00:00Z' AS timestamp, 'Contoso' AS tenant_name,
		i AS _seq, 'version' || i AS "office365.Operation" FROM range(3) t(i)`)
	other = filepath.Join(dir, "other.parquet")
	enginetest.WriteParquet(t, other, "SELECT 'secret' AS s")
	return []wire.Table{
		{Name: "windows_events", Columns: columns, Files: []string{file}},
		{Name: "alerts", Columns: columns, Files: []string{alerts}},
		{Name: "syslog", Columns: columns},
	}, other
}

func newPool(t *testing.T, cfg worker.Config) *worker.Pool {
	t.Helper()
	cfg.TempDir = t.TempDir()
	if cfg.DataLimit == 0 {
		cfg.DataLimit = dataLimit
	}
	pool, err := worker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func openSession(t *testing.T, pool *worker.Pool, body wire.OpenBody) *worker.Session {
	t.Helper()
	s, err := pool.Open(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func run(ctx context.Context, s *worker.Session, sql string) ([][]any, []wire.Column, error) {
	rows, err := s.Query(ctx, worker.Query{SQL: sql, MaxRows: 1000})
	if err != nil {
		return nil, nil, err
	}
	var out [][]any
	for rows.Next() {
		out = append(out, append([]any(nil), rows.Values()...))
	}
	return out, rows.Columns(), rows.Err()
}

func TestValuesKeepTheirTypes(t *testing.T) {
	tables, _ := fixture(t)
	s := openSession(t, newPool(t, worker.Config{}), wire.OpenBody{Tables: tables})
	got, _, err := run(t.Context(), s, `SELECT _id, "timestamp", "office365.RecordType", "office365.Late", _index FROM windows_events ORDER BY _seq LIMIT 1`)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]any{{"id0", time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), int64(9007199254740993), nil, "windows_events"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v\nwant %#v", got, want)
	}
	got, _, err = run(t.Context(), s, `SELECT count(*) FROM "all" WHERE "office365.Late" IS NULL`)
	if err != nil || got[0][0] != int64(4) {
		t.Errorf("all: got %v, %v; want 4 rows (3 events, the latest version of 1 alert)", got, err)
	}
	got, _, err = run(t.Context(), s, `SELECT "office365.Operation" FROM alerts`)
	if err != nil || len(got) != 1 || got[0][0] != "version2" {
		t.Errorf("alerts: got %v, %v; want version2 only", got, err)
	}
}

func TestAnalystViews(t *testing.T) {
	tables, _ := fixture(t)
	tables[0].Where = "tenant_name IN ('Contoso')"
	s := openSession(t, newPool(t, worker.Config{}), wire.OpenBody{Tables: tables, Analyst: true})
	got, cols, err := run(t.Context(), s, `SELECT * FROM windows_events ORDER BY _seq; `)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Errorf("got %d rows, want the 2 of the tenant", len(got))
	}
	for _, c := range cols {
		if strings.HasPrefix(c.Name, "_shape") || c.Name == "_raw" {
			t.Errorf("internal column %s is shown", c.Name)
		}
	}
	got, _, err = run(t.Context(), s, `SELECT raw FROM "all" WHERE _id = 'id1'`)
	if err != nil || len(got) != 1 || got[0][0] != `{"Operation":"Op1","RecordType":9007199254740994}` {
		t.Errorf("raw: got %v, %v", got, err)
	}
}

func TestGate(t *testing.T) {
	tables, other := fixture(t)
	s := openSession(t, newPool(t, worker.Config{}), wire.OpenBody{Tables: tables, Analyst: true})
	file := tables[0].Files[0]
	refused := []string{
		"DROP VIEW windows_events", "SELECT 1; SELECT 2", "", "SET threads = 1", "PRAGMA disable_optimizer", "ATTACH 'x'",
		"COPY windows_events TO 'x'", "SELECT * FROM '" + strings.ReplaceAll(file, "'", "''") + "'", `SELECT * FROM "` + other + `"`,
		"SELECT * FROM read_parquet('" + other + "')", "SELECT * FROM glob('/*')", "SELECT * FROM duckdb_settings()",
		"SELECT * FROM duckdb_settings", "SELECT * FROM sqlite_master", "SELECT * FROM information_schema.tables", "SHOW TABLES",
		"SELECT * FROM enable_logging(storage = 'file')", "CALL enable_logging()", "SELECT * FROM query('SELECT 1')",
		"SELECT current_setting('temp_directory')", "SELECT getenv('HOME')", "SELECT sluice_raw_alerts(1)",
		"WITH duckdb_settings AS (SELECT 1) SELECT 1", `WITH "/etc/passwd" AS (SELECT 1) SELECT 1`,
		"SELECT * FROM (SELECT 1) WHERE 1 IN (SELECT content FROM read_text('/etc/passwd'))",
		"SELECT (SELECT max(x) FROM pragma_version() t(x))", "SELECT 1) UNION ALL (SELECT 2",
		"SELECT list_transform([1], lambda x: getvariable('a'))", "FROM windows_events SELECT nextval('s')",
		"SELECT * FROM windows_events, LATERAL (SELECT * FROM read_csv('/etc/passwd'))",
	}
	for _, q := range refused {
		if got, _, err := run(t.Context(), s, q); !fault.Is(err, fault.Config) {
			t.Errorf("%s: got %v, %v; want a refusal", q, got, err)
		}
	}
	allowed := []string{
		"SELECT 1", "WITH x AS (SELECT tenant_name, count(*) n FROM windows_events GROUP BY ALL) SELECT * FROM x ORDER BY n DESC",
		`SELECT date_trunc('hour', "timestamp") h, count(*) FROM "all" GROUP BY 1 ORDER BY 1`,
		"SELECT x, unnest([1, 2]) FROM range(3) t(x)", "DESCRIBE windows_events", "SELECT row_number() OVER (ORDER BY _seq) FROM alerts",
		`SELECT j.key FROM windows_events, json_each('{"a":1}') j`, "SELECT a.* FROM windows_events a JOIN syslog b USING (_id)",
		"SELECT lower('A') || 'b', 'abc' LIKE 'a%', 5 // 2, [x + 1 FOR x IN [1, 2]], {'a': 1}.a", "FROM quarantine_not_there",
		"VALUES (1), (2)", "SELECT split_part('a.b', '.', 1), coalesce(NULL, 1), now() > TIMESTAMPTZ '2020-01-01', INTERVAL 1 day",
		"WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r", "SELECT 1 -- comment",
	}
	for _, q := range allowed {
		_, _, err := run(t.Context(), s, q)
		if strings.Contains(q, "not_there") {
			if !fault.Is(err, fault.Config) {
				t.Errorf("%s: got %v, want an unknown table", q, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestFilesOutsideThePlanAreRefused(t *testing.T) {
	tables, other := fixture(t)
	s := openSession(t, newPool(t, worker.Config{}), wire.OpenBody{Tables: tables}) // no gate: the engine's own fences
	for _, q := range []string{
		"SELECT * FROM read_parquet('" + other + "')",
		"SELECT * FROM read_text('/etc/passwd')",
	} {
		if got, _, err := run(t.Context(), s, q); err == nil {
			t.Errorf("%s: got %v, want an error", q, got)
		}
	}
}

func TestErrorsOfAnalystSQL(t *testing.T) {
	tables, _ := fixture(t)
	s := openSession(t, newPool(t, worker.Config{}), wire.OpenBody{Tables: tables, Analyst: true})
	for q, want := range map[string]string{
		"SELEC 1":                                   "syntax error",
		"SELECT nothing FROM windows_events":        "nothing",
		"SELECT CAST('x' AS INTEGER)":               "Could not convert",
		"SELECT lower(1, 2, 3) FROM windows_events": "lower",
	} {
		_, _, err := run(t.Context(), s, q)
		if !fault.Is(err, fault.Config) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want kind config with %q", q, err, want)
		}
	}
}

func TestHogsEndAlone(t *testing.T) {
	if dataLimit < 0 {
		t.Skip("no memory limit under the race detector")
	}
	tables, _ := fixture(t)
	pool := newPool(t, worker.Config{Max: 3, Timeout: 2 * time.Second, MemoryLimit: 256 << 20})
	for q, want := range map[string]fault.Kind{
		"SELECT length(repeat('x', 3000000000))": fault.Full,
		"SELECT count(*) FROM range(100000) a, range(100000) b, range(100) c WHERE a.range + b.range < c.range": fault.Unavailable,
	} {
		s := openSession(t, pool, wire.OpenBody{Tables: tables, Analyst: true})
		if got, _, err := run(t.Context(), s, q); !fault.Is(err, want) {
			t.Errorf("%s: got %v, %v; want kind %s", q, got, err, want)
		}
	}
	s := openSession(t, pool, wire.OpenBody{Tables: tables})
	if got, _, err := run(t.Context(), s, "SELECT 1"); err != nil || len(got) != 1 {
		t.Errorf("after the hogs: got %v, %v", got, err)
	}
}
