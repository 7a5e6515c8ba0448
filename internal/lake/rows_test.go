package lake

import (
	"context"
	"testing"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"sluice/internal/record"
)

// row is a row as a query engine sees it: values by column, nulls absent.
type row map[string]any

func (r row) get(column string) (any, bool) { v, ok := r[column]; return v, ok }

func (r row) text(column string) string { s, _ := r[column].(string); return s }

// readRows reads all rows of a table through a plan.
func tableRows(t testing.TB, l *Lake, index record.Index) []row {
	t.Helper()
	plan, err := l.Plan(context.Background(), PlanRequest{Index: []record.Index{index}})
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for _, f := range plan.Tables[0].Files {
		rows = append(rows, fileRows(t, f.Path)...)
	}
	return rows
}

// fileRows reads a Parquet file.
func fileRows(t testing.TB, path string) []row {
	t.Helper()
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	rows := make([]row, r.NumRows())
	for i := range rows {
		rows[i] = row{}
	}
	first := 0
	for g := range r.NumRowGroups() {
		group := r.RowGroup(g)
		for c := range r.MetaData().Schema.NumColumns() {
			chunk, err := group.Column(c)
			if err != nil {
				t.Fatal(err)
			}
			readColumn(t, chunk, rows[first:first+int(group.NumRows())])
		}
		first += int(group.NumRows())
	}
	return rows
}

func readColumn(t testing.TB, chunk file.ColumnChunkReader, rows []row) {
	t.Helper()
	name := chunk.Descriptor().Name()
	for len(rows) > 0 {
		levels := make([]int16, len(rows))
		var values []any
		var n int64
		var err error
		switch r := chunk.(type) {
		case *file.ByteArrayColumnChunkReader:
			texts := make([]parquet.ByteArray, len(rows))
			var k int
			n, k, err = r.ReadBatch(int64(len(rows)), texts, levels, nil)
			for _, s := range texts[:k] {
				values = append(values, string(s))
			}
		case *file.Int64ColumnChunkReader:
			nums := make([]int64, len(rows))
			var k int
			n, k, err = r.ReadBatch(int64(len(rows)), nums, levels, nil)
			for _, v := range nums[:k] {
				values = append(values, v)
			}
		case *file.BooleanColumnChunkReader:
			bools := make([]bool, len(rows))
			var k int
			n, k, err = r.ReadBatch(int64(len(rows)), bools, levels, nil)
			for _, v := range bools[:k] {
				values = append(values, v)
			}
		default:
			t.Fatalf("column %s: %T", name, chunk)
		}
		if err != nil || n == 0 {
			t.Fatalf("column %s: %d levels, %v", name, n, err)
		}
		for i := range int(n) {
			if levels[i] == 1 {
				rows[i][name] = values[0]
				values = values[1:]
			}
		}
		rows = rows[n:]
	}
}
