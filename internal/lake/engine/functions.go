package engine

import (
	"database/sql/driver"
	"slices"
	"strings"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"sluice/internal/fault"
	"sluice/internal/lake/worker/wire"
	"sluice/internal/query"
)

// scalar is a scalar function of the engine that is written in Go.
type scalar struct {
	config duckdb.ScalarFuncConfig
	run    duckdb.RowExecutorFn
}

func (s *scalar) Config() duckdb.ScalarFuncConfig { return s.config }

func (s *scalar) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: s.run}
}

// registerIPKey registers query.IPKeyFunction. Text that is no address has the key NULL.
func (d *database) registerIPKey() error {
	text, err := duckdb.NewTypeInfo(duckdb.TYPE_VARCHAR)
	if err != nil {
		return err
	}
	return duckdb.RegisterScalarUDF(d.conn, query.IPKeyFunction, &scalar{
		config: duckdb.ScalarFuncConfig{InputTypeInfos: []duckdb.TypeInfo{text}, ResultTypeInfo: text},
		run: func(args []driver.Value) (any, error) {
			s, ok := args[0].(string)
			if !ok {
				return nil, nil
			}
			key, ok := query.IPKey(s)
			if !ok {
				return nil, nil
			}
			return key, nil
		},
	})
}

// rawColumns are the columns from which the record of a row is rebuilt.
func rawColumns(t wire.Table) []string {
	var names []string
	for _, c := range t.Columns {
		if c.Vendor || slices.Contains(internalColumns, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

func rawFunction(t wire.Table) string { return "sluice_raw_" + t.Name }

// rawCall is the expression of the column raw. Views are expanded before unused columns are dropped, so it costs
// nothing in a query that does not select raw.
func rawCall(t wire.Table, exprs map[string]string) string {
	names := rawColumns(t)
	if len(names) == 0 {
		return "CAST(NULL AS VARCHAR)"
	}
	args := make([]string, len(names))
	for i, n := range names {
		args[i] = exprs[n]
	}
	return rawFunction(t) + "(" + strings.Join(args, ", ") + ")"
}

// registerRaw registers the function that rebuilds the record of a row of t.
func (d *database) registerRaw(t wire.Table, hooks Hooks) error {
	names := rawColumns(t)
	if len(names) == 0 {
		return nil
	}
	if hooks.Rebuild == nil {
		return fault.New(fault.Internal, "register functions", "the child was started without a rebuild function")
	}
	text, err := duckdb.NewTypeInfo(duckdb.TYPE_VARCHAR)
	if err != nil {
		return err
	}
	anything, err := duckdb.NewTypeInfo(duckdb.TYPE_ANY)
	if err != nil {
		return err
	}
	at := make(map[string]int, len(names))
	for i, n := range names {
		at[n] = i
	}
	return duckdb.RegisterScalarUDF(d.conn, rawFunction(t), &scalar{
		config: duckdb.ScalarFuncConfig{VariadicTypeInfo: anything, ResultTypeInfo: text, SpecialNullHandling: true},
		run: func(args []driver.Value) (any, error) {
			raw, err := hooks.Rebuild(func(column string) (any, bool) {
				i, ok := at[column]
				if !ok || i >= len(args) || args[i] == nil {
					return nil, false
				}
				return args[i], true
			})
			if err != nil {
				return nil, fault.Wrap("", "rebuild record", err)
			}
			return strings.ToValidUTF8(string(raw), "\uFFFD"), nil
		},
	})
}
