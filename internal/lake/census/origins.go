package census

import (
	"context"
	"fmt"
	"time"

	"sluice/internal/lake"
	"sluice/internal/lake/worker"
	"sluice/internal/normalize"
	"sluice/internal/record"
)

// Origin is where the rows of a unit come from, as they say themselves.
type Origin struct {
	ConnectorID string
	ContentType string
	ContentID   string
	Created     time.Time
}

// originColumns are what Origins reads, beside the unit.
var originColumns = []string{
	normalize.Columns[normalize.ConnectorID].Name, normalize.Columns[normalize.ContentType].Name,
	normalize.Columns[normalize.ContentID].Name, normalize.Columns[normalize.ContentCreated].Name,
}

// Origins tells where the rows of some units come from. Units without rows are left out.
func (c *Census) Origins(ctx context.Context, units []record.UnitID) (map[record.UnitID]Origin, error) {
	m, err := c.pin(ctx, lake.PlanRequest{})
	if err != nil {
		return nil, err
	}
	out := make(map[record.UnitID]Origin, len(units))
	steps := m.steps(c.cfg.StepRows, nil)
	if len(steps) == 0 || len(units) == 0 {
		return out, nil
	}
	q := UnitsQuery{Units: units}
	where, err := q.where(m)
	if err != nil {
		return nil, err
	}
	s, err := m.open(ctx, c.cfg.Pool, false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() //nolint:contextcheck // warms the pool for the next question, beyond this one
	sql := fmt.Sprintf(`SELECT _unit, %s FROM %s WHERE %s GROUP BY _unit`,
		originOfUnit(), m.union(append([]string{lake.ColUnit, lake.ColSeq}, originColumns...)...), where)
	for _, st := range steps {
		err := ask(ctx, s, worker.Query{SQL: sql, Files: m.files(keysPrefix, st.has), MaxRows: int64(len(units)) + 1}, func(row []any) error {
			if id, ok := record.ParseUnitID(text(row[0])); ok {
				out[id] = origin(row[1:])
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// originOfUnit is the origin of the rows of a group, which are of one unit.
func originOfUnit() string {
	column := func(i int) string { return identList(originColumns[i : i+1]) }
	return fmt.Sprintf("any_value(%s), any_value(%s), any_value(%s), max(%s)", column(0), column(1), column(2), column(3))
}

// origin reads what originOfUnit selects.
func origin(values []any) Origin {
	created, _ := values[3].(time.Time)
	return Origin{ConnectorID: text(values[0]), ContentType: text(values[1]), ContentID: text(values[2]), Created: created.UTC()}
}
