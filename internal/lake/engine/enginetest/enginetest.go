// Package enginetest lets the packages around the query engine test against the real one, although they may not import
// DuckDB themselves. RunChild makes a test binary answer as the query child that package worker starts: the executable
// of a test is the test, so its TestMain has to become that child. WriteParquet makes fixtures from SQL. Only tests
// import this package; no program contains it.
package enginetest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"testing"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"sluice/internal/lake/engine"
	"sluice/internal/lake/worker"
)

// RunChild runs a query child and exits when the test binary was started as one; otherwise it returns. Call it first
// in TestMain.
func RunChild(hooks engine.Hooks) {
	if len(os.Args) < 2 || os.Args[1] != worker.Command {
		return
	}
	if err := engine.Main(context.Background(), os.Stdin, os.Stdout, hooks); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // this is the end of the child's main
	}
	os.Exit(0) //nolint:forbidigo // this is the end of the child's main
}

// WriteParquet writes the result of a SELECT to a Parquet file.
func WriteParquet(t testing.TB, path, selectSQL string) {
	t.Helper()
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	target := strings.ReplaceAll(path, "'", "''")
	for _, s := range []string{
		"SET TimeZone = 'UTC'",
		"COPY (" + selectSQL + ") TO '" + target + "' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)",
	} {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("write fixture %s: %v", path, err)
		}
	}
}
