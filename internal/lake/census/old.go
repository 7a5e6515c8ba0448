package census

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/worker"
	"sluice/internal/query"
	"sluice/internal/record"
)

// Cut is a part of the lake that can be named for ever, also after its rows are gone: those of events before Before that
// came with messages of the journal up to Seq. Rows that come later, however old their events, are not in it. The zero
// value is empty.
type Cut struct {
	Before time.Time
	Seq    uint64
}

func (c Cut) empty() bool { return c.Before.IsZero() || c.Seq == 0 }

// beyond is the smallest _seq that is not in the cut.
func (c Cut) beyond() int64 { return (&moment{position: lake.Position{Seq: c.Seq}}).beyond() }

// outside is the condition on rows that are not in the cut.
func (c Cut) outside() string {
	return fmt.Sprintf("(%s >= %s OR _seq >= %d)", eventTime, query.TimeLiteral(c.Before), c.beyond())
}

// leaveOut takes files that are in the cut as a whole out of the plan.
func (m *moment) leaveOut(c Cut) {
	if c.empty() {
		return
	}
	for i := range m.tables {
		m.tables[i].Files = slices.DeleteFunc(slices.Clone(m.tables[i].Files), func(f lake.File) bool {
			return !f.Day.Add(dayLength).After(c.Before) && f.MaxSeq < c.beyond()
		})
	}
}

const dayLength = 24 * time.Hour

var eventTime = query.Ident(lake.ColTimestamp)

// OldQuery says which rows Old counts: those of events before Before that are not in Without.
type OldQuery struct {
	Before  time.Time // on the hour; not before that of Without
	Without Cut
}

// Aged are the rows of some hours of events.
type Aged struct {
	Before   time.Time     // they are of events before it, and not before that of the Aged before it
	Position lake.Position // everything of the journal up to here was counted, and nothing beyond
	Units    map[record.UnitID]AgedUnit
}

// AgedUnit is what a unit has of them.
type AgedUnit struct {
	Origin
	Rows  int64
	IDSum uint64 // see Holding.IDSum
}

// Old counts rows of old events by unit and hands them over in parts, in the order of their events: first those of events
// before Without.Before, which came behind it, then hour by hour. Parts without rows are left out, but for the last one,
// whose Before is that of the query. So whoever extends a cut by each part in turn, to {part.Before, part.Position.Seq},
// has at any time a cut whose rows were all handed over, once. All parts are of one moment. An error of take ends it.
func (c *Census) Old(ctx context.Context, q OldQuery, take func(Aged) error) error {
	if q.Before.Before(q.Without.Before) || !q.Before.Equal(q.Before.Truncate(time.Hour)) {
		return fault.New(fault.Internal, "count old rows", "they cannot be counted up to that time")
	}
	m, err := c.pin(ctx, lake.PlanRequest{To: q.Before})
	if err != nil {
		return err
	}
	m.leaveOut(q.Without)
	o := &oldRows{OldQuery: q, m: m, take: take}
	late := m.steps(c.cfg.StepRows, func(day time.Time) bool { return day.Before(q.Without.Before) })
	hours := m.steps(c.cfg.StepRows, func(day time.Time) bool { return day.Add(dayLength).After(q.Without.Before) })
	if len(late)+len(hours) > 0 {
		if o.s, err = m.open(ctx, c.cfg.Pool, false); err != nil {
			return err
		}
		defer func() { _ = o.s.Close() }() //nolint:contextcheck // warms the pool for the next question, beyond this one
		if err := o.late(ctx, late); err != nil {
			return err
		}
		for _, st := range hours {
			if err := o.hours(ctx, st); err != nil {
				return err
			}
		}
	}
	if o.done.Equal(q.Before) {
		return nil
	}
	return o.give(Aged{Before: q.Before})
}

// oldRows is one call of Old.
type oldRows struct {
	OldQuery
	m    *moment
	s    *worker.Session
	take func(Aged) error
	done time.Time // of the last part
}

func (o *oldRows) give(a Aged) error {
	a.Position, o.done = o.m.position, a.Before
	return o.take(a)
}

// late counts what came behind the cut, of the events that it covers.
func (o *oldRows) late(ctx context.Context, steps []step) error {
	all := Aged{Before: o.Without.Before, Units: map[record.UnitID]AgedUnit{}}
	for _, st := range steps {
		for part := range st.parts {
			where := fmt.Sprintf("%s < %s AND %s", eventTime, query.TimeLiteral(o.Without.Before), o.Without.outside())
			if st.parts > 1 {
				where += fmt.Sprintf(" AND hash(_unit) %% %d = %d", st.parts, part)
			}
			if err := o.count(ctx, st, where, func(_ time.Time, id record.UnitID, u AgedUnit) { all.add(id, u) }); err != nil {
				return err
			}
		}
	}
	if len(all.Units) == 0 {
		return nil
	}
	return o.give(all)
}

// hours counts what is of later events than the cut covers. A day that is too large for one query is cut by the time of
// the event, so that an hour is whole when it is handed over.
func (o *oldRows) hours(ctx context.Context, st step) error {
	from := slices.MinFunc(days(st), time.Time.Compare)
	until := slices.MaxFunc(days(st), time.Time.Compare).Add(dayLength)
	width := until.Sub(from)
	if st.parts > 1 {
		width = max(width/time.Duration(st.parts), time.Hour).Truncate(time.Hour)
	}
	for ; from.Before(until); from = from.Add(width) {
		start, end := from, from.Add(width)
		if start.Before(o.Without.Before) {
			start = o.Without.Before
		}
		if end.After(o.Before) {
			end = o.Before
		}
		var parts []Aged // in the order of hours
		where := fmt.Sprintf("%[1]s >= %[2]s AND %[1]s < %[3]s", eventTime, query.TimeLiteral(start), query.TimeLiteral(end))
		err := o.count(ctx, st, where, func(hour time.Time, id record.UnitID, u AgedUnit) {
			if last := len(parts) - 1; last < 0 || !parts[last].Before.Equal(hour.Add(time.Hour)) {
				parts = append(parts, Aged{Before: hour.Add(time.Hour), Units: map[record.UnitID]AgedUnit{}})
			}
			parts[len(parts)-1].add(id, u)
		})
		if err != nil {
			return err
		}
		for _, a := range parts {
			if err := o.give(a); err != nil {
				return err
			}
		}
	}
	return nil
}

func days(st step) []time.Time {
	var out []time.Time
	for d := range st.days {
		out = append(out, d)
	}
	return out
}

func (a *Aged) add(id record.UnitID, u AgedUnit) {
	sum := a.Units[id]
	sum.Origin = u.Origin
	sum.Rows += u.Rows
	sum.IDSum ^= u.IDSum
	a.Units[id] = sum
}

// count runs one query over the files of a step and hands over its rows, hour by hour.
func (o *oldRows) count(ctx context.Context, st step, where string, take func(hour time.Time, id record.UnitID, u AgedUnit)) error {
	columns := append([]string{lake.ColUnit, lake.ColID, lake.ColSeq, lake.ColTimestamp}, originColumns...)
	sql := fmt.Sprintf(`SELECT CAST(floor(epoch_us(%s) / 3600e6) AS BIGINT) AS hour, _unit, count(*),
		bit_xor(coalesce(md5_number_upper(_id), 0::UBIGINT)), %s FROM %s
		WHERE _unit IS NOT NULL AND _seq < %d AND %s GROUP BY hour, _unit ORDER BY hour`, eventTime, originOfUnit(), o.m.union(columns...), o.m.beyond(), where)
	got := 0
	err := ask(ctx, o.s, worker.Query{SQL: sql, Files: o.m.files(keysPrefix, st.has), MaxRows: maxUnits}, func(row []any) error {
		got++
		id, ok := record.ParseUnitID(text(row[1]))
		if !ok {
			return nil // not a unit of ours
		}
		sum, err := bitsOf(row[3])
		if err != nil {
			return err
		}
		take(time.Unix(long(row[0])*3600, 0).UTC(), id, AgedUnit{Origin: origin(row[4:]), Rows: long(row[2]), IDSum: bits.ReverseBytes64(sum)})
		return nil
	})
	if err == nil && got == maxUnits {
		err = fault.Newf(fault.Full, "count old rows", "more than %d units in one step", maxUnits)
	}
	return err
}
