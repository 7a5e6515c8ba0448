package engine

import (
	"context"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strings"
	"time"

	duckdb "github.com/duckdb/duckdb-go/v2"

	"sluice/internal/fault"
	"sluice/internal/lake/worker/wire"
)

// frameBytes is about how many bytes of rows go into a frame.
const frameBytes = 128 << 10

// stream runs a query and writes its columns and rows. The driver holds the whole result in memory before the first
// row, so the query is always wrapped in a LIMIT.
func (d *database) stream(ctx context.Context, q wire.QueryBody, out io.Writer) (int64, error) {
	inner := strings.TrimRight(q.SQL, "; \t\r\n")
	statement := fmt.Sprintf("SELECT * FROM (\n%s\n) AS result LIMIT %d", inner, max(1, q.MaxRows))
	var count int64
	err := d.conn.Raw(func(c any) error {
		queryer, ok := c.(driver.QueryerContext)
		if !ok {
			return fault.New(fault.Internal, "run query", "the driver cannot query")
		}
		rows, err := queryer.QueryContext(ctx, statement, nil)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		count, err = writeRows(rows, out)
		return err
	})
	return count, err
}

func writeRows(rows driver.Rows, out io.Writer) (int64, error) {
	names := rows.Columns()
	columns := make([]wire.Column, len(names))
	for i, n := range names {
		columns[i] = wire.Column{Name: n}
		if typed, ok := rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
			columns[i].SQLType = typed.ColumnTypeDatabaseTypeName(i)
		}
	}
	if err := wire.WriteJSON(out, wire.Columns, columns); err != nil {
		return 0, err
	}
	var count int64
	var buf []byte
	values := make([]driver.Value, len(names))
	row := make([]any, len(names))
	for {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return count, err
		}
		for i, v := range values {
			if row[i], err = portable(v, columns[i].SQLType); err != nil {
				return count, err
			}
		}
		if buf, err = wire.EncodeRow(buf, row); err != nil {
			return count, err
		}
		count++
		if len(buf) >= frameBytes {
			if err := wire.WriteFrame(out, wire.Rows, buf); err != nil {
				return count, err
			}
			buf = buf[:0]
		}
	}
	if len(buf) == 0 {
		return count, nil
	}
	return count, wire.WriteFrame(out, wire.Rows, buf)
}

// portable turns a value of the driver into one that wire.EncodeRow takes, without losing digits.
func portable(v driver.Value, sqlType string) (any, error) {
	switch v := v.(type) {
	case nil, bool, int64, string:
		return v, nil
	case float64:
		return float(v), nil
	case float32:
		return float(float64(v)), nil
	case int8:
		return int64(v), nil
	case int16:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case uint8:
		return int64(v), nil
	case uint16:
		return int64(v), nil
	case uint32:
		return int64(v), nil
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), nil
		}
		return json.Number(fmt.Sprint(v)), nil
	case *big.Int:
		if v.IsInt64() {
			return v.Int64(), nil
		}
		return json.Number(v.String()), nil
	case time.Time:
		return moment(v, sqlType), nil
	case []byte:
		return binary(v, sqlType), nil
	case duckdb.Decimal:
		return json.Number(v.String()), nil
	case duckdb.Interval:
		return interval(v), nil
	case fmt.Stringer:
		return v.String(), nil
	}
	b, err := json.Marshal(plain(v, sqlType))
	if err != nil {
		return nil, fault.Wrap(fault.Config, "encode result column of type "+sqlType, err)
	}
	return json.RawMessage(b), nil
}

// float keeps the values that JSON does not know as text.
func float(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Sprint(f)
	}
	return f
}

func moment(t time.Time, sqlType string) any {
	switch {
	case sqlType == "DATE":
		return t.Format(time.DateOnly)
	case strings.HasPrefix(sqlType, "TIME") && !strings.HasPrefix(sqlType, "TIMESTAMP"):
		return t.Format("15:04:05.999999")
	}
	return t.UTC()
}

func binary(b []byte, sqlType string) string {
	if sqlType == "UUID" && len(b) == 16 {
		h := hex.EncodeToString(b)
		return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	}
	return hex.EncodeToString(b)
}

// interval is the form that DuckDB prints.
func interval(i duckdb.Interval) string {
	var parts []string
	if i.Months != 0 {
		parts = append(parts, fmt.Sprintf("%d months", i.Months))
	}
	if i.Days != 0 {
		parts = append(parts, fmt.Sprintf("%d days", i.Days))
	}
	if i.Micros != 0 || len(parts) == 0 {
		parts = append(parts, (time.Duration(i.Micros) * time.Microsecond).String())
	}
	return strings.Join(parts, " ")
}

// plain makes nested values fit for JSON: maps get text keys, values inside are treated as outside.
func plain(v any, sqlType string) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e, "")
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = plain(e, "")
		}
		return out
	case duckdb.Map:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[fmt.Sprint(k)] = plain(e, "")
		}
		return out
	case duckdb.Union:
		return plain(v.Value, "")
	case nil, bool, string, json.Number:
		return v
	}
	if dv, err := portableScalar(v, sqlType); err == nil {
		return dv
	}
	return fmt.Sprint(v)
}

// portableScalar is portable for values that are not nested.
func portableScalar(v any, sqlType string) (any, error) {
	switch v.(type) {
	case float64, float32, int8, int16, int32, int64, uint8, uint16, uint32, uint64, *big.Int, time.Time, []byte,
		duckdb.Decimal, duckdb.Interval, fmt.Stringer:
		return portable(v, sqlType)
	}
	return nil, fault.Newf(fault.Internal, "encode result", "type %T", v)
}
