package state

import (
	"database/sql"
	"strconv"
	"strings"
)

// column describes a column of the rows that a statement gets: name and PostgreSQL type (bytea, text or bigint).
type column struct{ name, typ string }

// columns is the shape of such rows.
type columns []column

// SQLite's rows are a VALUES list. Binding costs the square of the number of parameters, hence small chunks; few sizes,
// so that each statement is prepared once per size.
var sqliteChunks = []int{16, 4, 1}

// execRows runs a statement over rows, see {rows}, and returns the number of changed rows.
func (t *tx) execRows(query string, c columns, rows [][]any) (changed int64, err error) {
	err = t.eachChunk(query, c, rows, func(key stmtKey, table string, args []any) error {
		n, err := t.execN(key, table, args)
		changed += n
		return err
	})
	return changed, err
}

// queryRows runs a query over rows, see {rows}.
func (t *tx) queryRows(query string, c columns, rows [][]any, scan func(*sql.Rows) error) error {
	return t.eachChunk(query, c, rows, func(key stmtKey, table string, args []any) error {
		return t.queryN(key, table, args, scan)
	})
}

func (t *tx) eachChunk(query string, c columns, rows [][]any, run func(stmtKey, string, []any) error) error {
	if len(rows) == 0 {
		return nil
	}
	if t.s.dialect == Postgres {
		return run(stmtKey{query, 0}, c.unnest(), c.arrays(rows))
	}
	for _, size := range sqliteChunks {
		for len(rows) >= size {
			args := make([]any, 0, size*len(c))
			for _, row := range rows[:size] {
				args = append(args, row...)
			}
			if err := run(stmtKey{query, size}, c.values(size), args); err != nil {
				return err
			}
			rows = rows[size:]
		}
	}
	return nil
}

// values is the table expression for n rows on SQLite.
func (c columns) values(n int) string {
	var b strings.Builder
	b.WriteString("(SELECT ")
	for i, col := range c {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("column" + strconv.Itoa(i+1) + " AS " + col.name)
	}
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", len(c)), ",") + "),"
	b.WriteString(" FROM (VALUES " + strings.TrimSuffix(strings.Repeat(row, n), ",") + ")) AS r")
	return b.String()
}

// unnest is the table expression on PostgreSQL, for any number of rows.
func (c columns) unnest() string {
	arrays, names := make([]string, len(c)), make([]string, len(c))
	for i, col := range c {
		arrays[i] = "$" + strconv.Itoa(i+1) + "::" + col.typ + "[]"
		names[i] = col.name
	}
	return "unnest(" + strings.Join(arrays, ", ") + ") AS r (" + strings.Join(names, ", ") + ")"
}

// arrays turns rows into one array per column.
func (c columns) arrays(rows [][]any) []any {
	out := make([]any, len(c))
	for i, col := range c {
		switch col.typ {
		case "bytea":
			out[i] = pick[[]byte](rows, i)
		case "text":
			out[i] = pick[string](rows, i)
		default:
			out[i] = pick[int64](rows, i)
		}
	}
	return out
}

// pick returns column i of rows, whose values are of type T.
func pick[T any](rows [][]any, i int) []T {
	out := make([]T, len(rows))
	for n, row := range rows {
		out[n], _ = row[i].(T)
	}
	return out
}
