package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/lake/worker/wire"
	"sluice/internal/query"
)

// internalColumns are not shown to people; raw stands for them.
var internalColumns = []string{"_shape", "_style", "_overflow", "_raw"}

// allTables are the tables that the view all puts together.
var allTables = []string{"windows_events", "syslog", "alerts"}

// defineViews makes the views that a statement names, over files, or over all files of a table that is not in the map. The
// others are left out because a view of hundreds of columns takes some milliseconds to make.
func (d *database) defineViews(ctx context.Context, open wire.OpenBody, statement string, files map[string][]string) error {
	statement = strings.ToLower(statement)
	all := strings.Contains(statement, query.All)
	for _, t := range open.Tables {
		if !strings.Contains(statement, t.Name) && (!all || !slices.Contains(allTables, t.Name)) {
			continue
		}
		every := t.Files
		if part, ok := files[t.Name]; ok {
			t.Files = part
		}
		exprs, from, err := d.tableSource(ctx, t, every, open.Analyst)
		if err != nil {
			return err
		}
		columns := viewColumns(t, open.Analyst)
		selected := make([]string, len(columns))
		for i, c := range columns {
			selected[i] = exprs[c.Name] + " AS " + query.Ident(c.Name)
		}
		body := "SELECT " + strings.Join(selected, ", ") + " FROM " + from
		if t.Where != "" && len(t.Files) > 0 {
			body += " WHERE " + t.Where
		}
		if err := d.define(ctx, t.Name, body); err != nil {
			return err
		}
	}
	if !all {
		return nil
	}
	return d.define(ctx, query.All, unionOfAll(open, files))
}

// define creates or replaces a view unless it is there already.
func (d *database) define(ctx context.Context, name, body string) error {
	statement := "CREATE OR REPLACE VIEW " + query.Ident(name) + " AS " + body
	if d.defined[name] == statement || body == "" {
		return nil
	}
	if err := d.exec(ctx, statement); err != nil {
		return fmt.Errorf("define view %s: %w", name, err)
	}
	d.defined[name] = statement
	return nil
}

// viewColumns are the columns of the view of a table.
func viewColumns(t wire.Table, analyst bool) []wire.Column {
	out := make([]wire.Column, 0, len(t.Columns)+2)
	hasIndex := false
	for _, c := range t.Columns {
		if analyst && (slices.Contains(internalColumns, c.Name) || c.Name == "raw") {
			continue
		}
		hasIndex = hasIndex || c.Name == "_index"
		out = append(out, c)
	}
	if !hasIndex {
		out = append(out, wire.Column{Name: "_index", SQLType: "VARCHAR"})
	}
	if analyst {
		out = append(out, wire.Column{Name: "raw", SQLType: "VARCHAR"})
	}
	return out
}

// tableSource returns the expression for each column of the table's view, and what they are selected from. every is all
// files of the table that the child may read, where a later version of an alert may be.
func (d *database) tableSource(ctx context.Context, t wire.Table, every []string, analyst bool) (exprs map[string]string, from string, err error) {
	exprs = map[string]string{"_index": query.Literal(t.Name), "raw": "CAST(NULL AS VARCHAR)"}
	if len(t.Files) == 0 {
		for _, c := range t.Columns {
			exprs[c.Name] = "CAST(NULL AS " + c.SQLType + ")"
		}
		return exprs, emptySource(t), nil
	}
	from = parquet(t.Files)
	have, err := d.columns(ctx, from)
	if err != nil {
		return nil, "", err
	}
	for _, c := range t.Columns {
		typ, ok := have[strings.ToLower(c.Name)]
		switch {
		case !ok && c.Name == "_index":
		case !ok:
			exprs[c.Name] = "CAST(NULL AS " + c.SQLType + ")"
		case typ != c.SQLType:
			exprs[c.Name] = "TRY_CAST(" + query.Ident(c.Name) + " AS " + c.SQLType + ")"
		default:
			exprs[c.Name] = query.Ident(c.Name)
		}
	}
	if analyst {
		exprs["raw"] = rawCall(t, exprs)
	}
	if t.Name == "alerts" && have["_id"] != "" && have["_seq"] != "" {
		from = "(SELECT * FROM " + from + " WHERE (_id, _seq) IN (SELECT (_id, max(_seq)) FROM " + parquet(every) + " GROUP BY _id))"
	}
	return exprs, from, nil
}

// parquet reads a list of files by column name; folder names never become columns.
func parquet(files []string) string {
	quoted := make([]string, len(files))
	for i, f := range files {
		quoted[i] = query.Literal(f)
	}
	return "read_parquet([" + strings.Join(quoted, ", ") + "], union_by_name = true, hive_partitioning = false)"
}

// unionOfAll is the body of the view all. A column that the tables store differently is text there. Tables without
// files in this query only give their columns: planning an empty branch over hundreds of columns is not free.
func unionOfAll(open wire.OpenBody, files map[string][]string) string {
	var order []string
	types := map[string]string{}
	for _, name := range allTables {
		t, _ := tableNamed(open.Tables, name)
		for _, c := range viewColumns(t, open.Analyst) {
			have, ok := types[c.Name]
			switch {
			case !ok:
				order = append(order, c.Name)
				types[c.Name] = c.SQLType
			case have != c.SQLType:
				types[c.Name] = "VARCHAR"
			}
		}
	}
	var branches []string
	for _, name := range allTables {
		t, ok := tableNamed(open.Tables, name)
		if !ok {
			continue
		}
		part, restricted := files[name]
		if none := len(t.Files) == 0 || (restricted && len(part) == 0); none {
			continue
		}
		columns := viewColumns(t, open.Analyst)
		selected := make([]string, len(order))
		for i, col := range order {
			at := slices.IndexFunc(columns, func(c wire.Column) bool { return c.Name == col })
			switch {
			case at < 0:
				selected[i] = "CAST(NULL AS " + types[col] + ") AS " + query.Ident(col)
			case columns[at].SQLType != types[col]:
				selected[i] = "CAST(" + query.Ident(col) + " AS " + types[col] + ") AS " + query.Ident(col)
			default:
				selected[i] = query.Ident(col)
			}
		}
		branches = append(branches, "SELECT "+strings.Join(selected, ", ")+" FROM "+query.Ident(name))
	}
	if len(branches) == 0 && len(order) > 0 {
		empty := make([]wire.Column, len(order))
		for i, col := range order {
			empty[i] = wire.Column{Name: col, SQLType: types[col]}
		}
		return "SELECT * FROM " + emptySource(wire.Table{Columns: empty})
	}
	return strings.Join(branches, " UNION ALL ")
}

// emptySource has the columns of a table and no rows.
func emptySource(t wire.Table) string {
	if len(t.Columns) == 0 {
		return "range(0)"
	}
	columns := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		columns[i] = "CAST(NULL AS " + c.SQLType + ") AS " + query.Ident(c.Name)
	}
	return "(SELECT " + strings.Join(columns, ", ") + " WHERE false)"
}
