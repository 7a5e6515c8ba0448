package census

import (
	"context"
	"fmt"
	"math/bits"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/worker"
	"sluice/internal/query"
	"sluice/internal/record"
)

// UnitsQuery says which units to count. The zero value counts all.
type UnitsQuery struct {
	Units []record.UnitID // only these, in any order and number; empty: all
	// Since leaves out rows that were written to the lake before it, and with them most old files. Ask with a time before
	// the oldest of the units landed: of a unit whose rows are older only in part, only a part is counted.
	Since time.Time
	// Without leaves out rows that retention is about to drop, or has dropped in part.
	Without Cut
}

// Holding is what the lake holds of a unit.
type Holding struct {
	Rows        int64
	Distinct    int64  // different ids among them, counted by day of event; less than Rows: a record is there twice
	Quarantined int64  // rows in quarantine, part of Rows
	IDSum       uint64 // XOR of record.IDHash over the ids of all rows
	MaxSeq      int64  // largest _seq; record.JournalSeq tells the message
}

// Holdings is the answer of Units.
type Holdings struct {
	Units    map[record.UnitID]Holding // units without rows are left out
	Position lake.Position             // everything of the journal up to here was counted, and nothing beyond
	Missing  int                       // files that should have been counted and are not on the disk
}

// Units counts the rows of each unit in all tables, at one moment: Position is the smallest of the tables, and rows
// that one of them has beyond it are not counted. It needs memory for the answer, some 150 bytes per unit, and reads
// _unit, _id, _seq and write_time of the files that can matter. Rows that no unit accounts for (messages of the journal
// that could not be decoded) are left out.
func (c *Census) Units(ctx context.Context, q UnitsQuery) (*Holdings, error) {
	m, err := c.pin(ctx, lake.PlanRequest{WrittenFrom: q.Since})
	if err != nil {
		return nil, err
	}
	m.leaveOut(q.Without)
	out := &Holdings{Units: make(map[record.UnitID]Holding), Position: m.position, Missing: m.missing}
	steps := m.steps(c.cfg.StepRows, nil)
	if len(steps) == 0 {
		return out, nil
	}
	where, err := q.where(m)
	if err != nil {
		return nil, err
	}
	s, err := m.open(ctx, c.cfg.Pool, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() //nolint:contextcheck // warms the pool for the next question, beyond this one
	for _, st := range steps {
		files := m.files(keysPrefix, st.has)
		for part := range st.parts {
			got := 0
			err := ask(ctx, s, worker.Query{SQL: m.countUnits(where, part, st.parts), Files: files, MaxRows: maxUnits}, func(row []any) error {
				got++
				return out.add(row)
			})
			if err == nil && got == maxUnits {
				err = fault.Newf(fault.Full, "count units", "more than %d units in one step", maxUnits).WithHint("ask with a later Since")
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// maxUnits bounds the units of one step, which the engine holds in memory.
const maxUnits = 5_000_000

// where is the condition on rows.
func (q *UnitsQuery) where(m *moment) (string, error) {
	parts := []string{"_unit IS NOT NULL", fmt.Sprintf("_seq < %d", m.beyond())}
	if !q.Since.IsZero() {
		parts = append(parts, "write_time >= "+query.TimeLiteral(q.Since))
	}
	if !q.Without.empty() {
		parts = append(parts, q.Without.outside())
	}
	if len(q.Units) > 0 {
		ids := make([]string, len(q.Units))
		for i, id := range q.Units {
			ids[i] = id.String()
		}
		list, err := textList(ids)
		if err != nil {
			return "", err
		}
		parts = append(parts, "_unit IN "+list)
	}
	return strings.Join(parts, " AND "), nil
}

// countUnits first makes one row per unit and id. DuckDB's md5_number_upper is the first 8 bytes of the hash, little
// endian; the XOR of such numbers is turned around once, in add.
func (m *moment) countUnits(where string, part, parts int) string {
	if parts > 1 {
		where += fmt.Sprintf(" AND hash(_unit) %% %d = %d", parts, part)
	}
	quarantine := -1
	for i, t := range m.tables {
		if t.Index == record.Quarantine {
			quarantine = i
		}
	}
	return fmt.Sprintf(`SELECT _unit, sum(n), count(h), sum(q), bit_xor(CASE WHEN n %% 2 = 1 THEN coalesce(h, 0::UBIGINT) ELSE 0::UBIGINT END), max(s)
		FROM (SELECT _unit, md5_number_upper(_id) AS h, count(*) AS n, count(*) FILTER (k = %d) AS q, max(_seq) AS s
			FROM %s WHERE %s GROUP BY ALL)
		GROUP BY _unit`, quarantine, m.union(lake.ColUnit, lake.ColID, lake.ColSeq, lake.ColWriteTime, lake.ColTimestamp), where)
}

// add adds the row of a unit from one step to what other steps found.
func (h *Holdings) add(row []any) error {
	id, ok := record.ParseUnitID(text(row[0]))
	if !ok {
		return nil // not a unit of ours
	}
	sum, err := bitsOf(row[4])
	if err != nil {
		return err
	}
	u := h.Units[id]
	u.Rows += long(row[1])
	u.Distinct += long(row[2])
	u.Quarantined += long(row[3])
	u.IDSum ^= bits.ReverseBytes64(sum)
	u.MaxSeq = max(u.MaxSeq, long(row[5]))
	h.Units[id] = u
	return nil
}
