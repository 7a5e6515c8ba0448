package census

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/worker"
	"sluice/internal/record"
)

// Ask names a record that may be in the lake.
type Ask struct {
	ID          string
	EventSecond uint32 // Unix time of the event; 0: not known, which makes the question as large as the lake
}

// Found is a record that is in the lake.
type Found struct {
	Raw   []byte // byte for byte as it came
	Index record.Index
	Unit  record.UnitID // zero when the row names none
	Seq   int64

	TenantName string
}

// Presence is the answer of Present.
type Presence struct {
	Found    map[string]Found // by _id; ids that are not in the lake are left out
	Position lake.Position    // the lake had everything of the journal up to here
	Missing  int              // files that should have been read and are not on the disk
}

// margin is how many days around the day of an event are searched.
const margin = 1

// Present tells which of some ids, up to some 10,000, are in the lake. It reads the ids of the days of the events, one
// day before and after included, and then only the records that it found. Of an id with several rows the latest is
// answered.
func (c *Census) Present(ctx context.Context, asks []Ask) (*Presence, error) {
	req, days := window(asks)
	m, err := c.pin(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &Presence{Found: make(map[string]Found), Position: m.position, Missing: m.missing}
	steps := m.steps(c.cfg.StepRows, func(day time.Time) bool { return days.all || days.wanted[day] })
	if len(asks) == 0 || len(steps) == 0 {
		return out, nil
	}
	s, err := m.open(ctx, c.cfg.Pool, true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }() //nolint:contextcheck // warms the pool for the next question, beyond this one
	hits := make(map[string]hit)
	for _, st := range steps {
		if err := m.find(ctx, s, st, days.idsOf(st), hits); err != nil {
			return nil, err
		}
	}
	return out, m.fetch(ctx, s, hits, out.Found)
}

// askDays are the days that asks are about.
type askDays struct {
	wanted map[time.Time]bool
	byDay  map[time.Time][]string // day of the event -> ids
	late   []string               // ids without a day
	all    bool                   // there are such
}

// window returns the plan and the days that hold the answer.
func window(asks []Ask) (lake.PlanRequest, *askDays) {
	days := &askDays{wanted: make(map[time.Time]bool), byDay: make(map[time.Time][]string)}
	var req lake.PlanRequest
	for _, a := range asks {
		if a.EventSecond == 0 {
			days.late, days.all = append(days.late, a.ID), true
			continue
		}
		day := time.Unix(int64(a.EventSecond), 0).UTC().Truncate(24 * time.Hour)
		days.byDay[day] = append(days.byDay[day], a.ID)
		for n := -margin; n <= margin; n++ {
			days.wanted[day.AddDate(0, 0, n)] = true
		}
		if first := day.AddDate(0, 0, -margin); req.From.IsZero() || first.Before(req.From) {
			req.From = first
		}
		if end := day.AddDate(0, 0, margin+1); end.After(req.To) {
			req.To = end
		}
	}
	if days.all {
		req = lake.PlanRequest{}
	}
	return req, days
}

// idsOf returns the ids that can be in the files of a step.
func (d *askDays) idsOf(st step) []string {
	ids := append([]string(nil), d.late...)
	for day, some := range d.byDay {
		for n := -margin; n <= margin; n++ {
			if st.days[day.AddDate(0, 0, n)] {
				ids = append(ids, some...)
				break
			}
		}
	}
	return ids
}

// hit is where an id was found.
type hit struct {
	table int
	seq   int64
	day   time.Time
	unit  string
}

// find looks for ids in the files of a step.
func (m *moment) find(ctx context.Context, s *worker.Session, st step, ids []string, hits map[string]hit) error {
	list, err := textList(ids)
	if err != nil {
		return err
	}
	sql := fmt.Sprintf(`SELECT _id, max(_seq), arg_max(k, _seq), arg_max(timestamp, _seq), arg_max(_unit, _seq) FROM %s
		WHERE _id IN %s GROUP BY _id`, m.union(lake.ColID, lake.ColSeq, lake.ColTimestamp, lake.ColUnit), list)
	return ask(ctx, s, worker.Query{SQL: sql, Files: m.files(keysPrefix, st.has), MaxRows: int64(len(ids)) + 1}, func(row []any) error {
		id, h := text(row[0]), hit{seq: long(row[1]), table: int(long(row[2])), unit: text(row[4])}
		at, ok := row[3].(time.Time)
		if !ok || h.table >= len(m.tables) {
			return fault.Newf(fault.Internal, "find records", "row %d has no time", h.seq)
		}
		h.day = at.UTC().Truncate(24 * time.Hour)
		if known, ok := hits[id]; !ok || known.seq < h.seq {
			hits[id] = h
		}
		return nil
	})
}

// fetchRows is how many records one query rebuilds.
const fetchRows = 1000

// fetch reads the records of hits, table by table and day by day.
func (m *moment) fetch(ctx context.Context, s *worker.Session, hits map[string]hit, found map[string]Found) error {
	type place struct {
		table int
		day   time.Time
	}
	groups := make(map[place]map[int64]string)
	for id, h := range hits {
		p := place{h.table, h.day}
		if groups[p] == nil {
			groups[p] = make(map[int64]string)
		}
		groups[p][h.seq] = id
	}
	for p, ids := range groups {
		files := m.files(rowsPrefix, func(t int, f *lake.File) bool { return t == p.table && f.Day.Equal(p.day) })
		for len(ids) > 0 {
			before := len(ids)
			if err := m.fetchSome(ctx, s, p.table, files, ids, hits, found); err != nil {
				return err
			}
			if len(ids) == before {
				return fault.Newf(fault.Internal, "find records", "%d records of %s are not where they were found", before, p.day.Format(time.DateOnly))
			}
		}
	}
	return nil
}

// fetchSome reads up to fetchRows of the records and takes them out of ids.
func (m *moment) fetchSome(ctx context.Context, s *worker.Session, table int, files map[string][]string, ids map[int64]string, hits map[string]hit, found map[string]Found) error {
	b := newBuilder(m.tables[table], lake.ColSeq, lake.ColTenantName)
	var seqs []string
	for seq := range ids {
		if len(seqs) == fetchRows {
			break
		}
		seqs = append(seqs, fmt.Sprint(seq))
	}
	sql := b.sql + " WHERE _seq IN (" + strings.Join(seqs, ", ") + ")"
	return ask(ctx, s, worker.Query{SQL: sql, Files: files, MaxRows: 2 * fetchRows}, func(row []any) error {
		seq := long(row[b.seq])
		id, ok := ids[seq]
		if !ok {
			return nil // the same row twice
		}
		raw, err := b.rebuild.Append(nil, row[:b.seq])
		if err != nil {
			return fault.Wrap("", "record "+id, err)
		}
		unit, _ := record.ParseUnitID(hits[id].unit)
		found[id] = Found{Raw: raw, Index: m.tables[table].Index, Unit: unit, Seq: seq, TenantName: text(row[b.seq+1])}
		delete(ids, seq)
		return nil
	})
}
