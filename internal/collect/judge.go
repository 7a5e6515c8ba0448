package collect

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/internal/record"
	"sluice/internal/state"
)

// Verdict says what is wrong with a unit.
type Verdict int

// The verdicts. A unit of which only a part is in the lake is missing.
const (
	Fine Verdict = iota
	Waits
	Missing
	LostForGood
	Surplus
)

// compare judges every unit that the service lists or the ledger has.
func (v *verification) compare(ctx context.Context) error {
	if err := v.settleDoubts(ctx); err != nil {
		return err
	}
	start, early := v.startTime(), 0
	for id, u := range v.listed {
		if _, ok := v.ledger[id]; ok {
			continue
		}
		if u.Created.Before(start) && v.holdings[id].Rows == 0 {
			early++
			continue
		}
		v.judgeUnknown(id, u)
	}
	if early > 0 {
		v.note(fmt.Sprintf("the service lists %d units from before the connector's start_time (%s), which are not collected by themselves; "+
			"sluice collect --since fetches them", early, start.UTC().Format(time.RFC3339)))
	}
	for _, u := range v.ledger {
		v.judge(u)
	}
	if err := v.judgeStrangers(ctx); err != nil {
		return err
	}
	slices.SortFunc(v.report.Findings, func(a, b Finding) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return slices.Compare(a.ID[:], b.ID[:])
	})
	v.progress(Comparing, int64(len(v.ledger)), int64(len(v.ledger)))
	return nil
}

// doubtRounds is how often units that do not fit are read again: what is being collected moves between the reading of
// the ledger and that of the lake.
const doubtRounds = 3

// settleDoubts reads ledger and lake again for as long as units do not fit and the ledger still changes.
func (v *verification) settleDoubts(ctx context.Context) error {
	for range doubtRounds {
		var doubtful []record.UnitID
		for id, u := range v.ledger {
			if h := v.holdings[id]; u.State == state.Landed && !holds(u, h) || u.State != state.Landed && h.Rows > 0 {
				doubtful = append(doubtful, id)
			}
		}
		for id := range v.listed {
			if _, ok := v.ledger[id]; !ok {
				doubtful = append(doubtful, id)
			}
		}
		if len(doubtful) == 0 {
			return nil
		}
		again, err := v.f.r.deps.State.UnitsByID(ctx, doubtful)
		if err != nil {
			return err
		}
		moved := false
		for _, u := range again {
			old, known := v.ledger[u.ID]
			moved = moved || !known || old != u
			v.ledger[u.ID] = u
		}
		if !moved {
			return nil
		}
		if err := v.count(ctx); err != nil {
			return err
		}
	}
	return nil
}

// accounted is what the lake has of a unit together with what its retention dropped: what must be what landed.
func accounted(u state.LedgerUnit, h Holding) Holding {
	h.Rows += u.DroppedRecords
	h.Distinct += u.DroppedRecords
	h.IDSum ^= u.DroppedSum
	return h
}

// holds reports whether the lake has, or had until its retention dropped it, exactly what the ledger says of a unit.
func holds(u state.LedgerUnit, h Holding) bool {
	h = accounted(u, h)
	known := u.IDSum != 0 // units of the first schema were counted without it
	return h.Rows == u.Records+u.Malformed && h.Distinct == h.Rows && (h.IDSum == u.IDSum || !known)
}

// grace is how long after its creation a unit may be on its way.
func (v *verification) grace() time.Duration { return 2*v.f.r.cfg.Interval + 10*time.Minute }

// startTime is the time before which the operator wants nothing: what is older and was never asked for is not missing.
// Records of an older unit that the ledger does not know tell that collecting began earlier and the ledger was lost.
func (v *verification) startTime() time.Time {
	start := v.f.r.cfg.StartTime
	for id, u := range v.listed {
		if _, known := v.ledger[id]; !known && v.holdings[id].Rows > 0 && u.Created.Before(start) {
			start = u.Created
		}
	}
	return start
}

// judgeUnknown judges a unit that the service lists and the ledger does not have.
func (v *verification) judgeUnknown(id record.UnitID, u record.Unit) {
	h := v.holdings[id]
	if young := v.now.Sub(u.Created) < v.grace(); h.Rows == 0 && (young || !u.Created.Before(v.marks.ListedUntil)) {
		v.tally(u.Created, Tally{Listed: 1, Waiting: 1})
		return
	}
	v.tally(u.Created, Tally{Listed: 1, Missing: 1, Records: h.Rows})
	reason := "the service lists it, Sluice never recorded it"
	if h.Rows > 0 {
		reason = "the lake has records of it, but the ledger does not know it"
	}
	v.find(Finding{ID: id, ContentID: u.ContentID, Created: u.Created, Verdict: Missing, Reason: reason, Expected: -1, Found: h.Rows, Repairable: true})
}

// judge judges a unit of the ledger.
func (v *verification) judge(u state.LedgerUnit) {
	h, expected := v.holdings[u.ID], max(u.Records+u.Malformed-u.DroppedRecords, 0)
	_, listed := v.listed[u.ID]
	f := Finding{
		ID: u.ID, ContentID: u.ContentID, Created: u.Created, Expected: expected, Found: h.Rows,
		Repairable: listed || u.Expires.IsZero() || v.now.Before(u.Expires),
	}
	t := Tally{Listed: 1, Records: h.Rows, DroppedRecords: u.DroppedRecords}
	switch u.State {
	case state.Landed:
		f.Verdict, f.Reason = landedVerdict(u, h)
	case state.Lost, state.Dropped:
		f.Verdict, f.Reason = LostForGood, u.ErrorText
		f.Repairable = listed
	case state.Listed, state.Retrying:
		f.Verdict, f.Expected = Waits, -1
		if since := latest(u.Created, u.ListedAt); v.now.Sub(since) > v.grace() {
			f.Verdict, f.Reason = Missing, "it waits to be fetched"
			if u.ErrorText != "" {
				f.Reason = "it is being tried again: " + u.ErrorText
			}
		}
	}
	switch f.Verdict {
	case Fine:
		t.Landed = 1
	case Waits:
		t.Waiting = 1
	case Missing:
		t.Missing, t.MissingRecords = 1, max(expected-h.Rows, 0)
	case LostForGood:
		t.Lost = 1
	case Surplus:
		f.Repairable = h.Distinct == h.Rows && f.Repairable // the ledger is wrong, not the lake
		t.Landed, t.Surplus, t.SurplusRecords = 1, 1, max(h.Rows-min(expected, h.Distinct), 1)
	}
	v.tally(u.Created, t)
	if f.Verdict != Fine && f.Verdict != Waits {
		v.find(f)
	}
}

func landedVerdict(u state.LedgerUnit, h Holding) (Verdict, string) {
	expected, dropped := u.Records+u.Malformed, ""
	if u.DroppedRecords > 0 {
		dropped = fmt.Sprintf(", beside the %d that its retention dropped", u.DroppedRecords)
	}
	whole := holds(u, h)
	h = accounted(u, h)
	switch {
	case whole:
		return Fine, ""
	case h.Distinct < h.Rows:
		return Surplus, fmt.Sprintf("the lake has %d records twice", h.Rows-h.Distinct)
	case h.Rows < expected:
		return Missing, fmt.Sprintf("%d of its %d records are not in the lake%s", expected-h.Rows, expected, dropped)
	case h.Rows > expected:
		return Surplus, fmt.Sprintf("the lake has %d records more than were collected", h.Rows-expected)
	}
	return Missing, "the lake has other records of it than were collected"
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (v *verification) find(f Finding) {
	f.ContentType = v.f.contentType
	v.report.Findings = append(v.report.Findings, f)
}

// judgeStrangers looks at rows of this feed whose unit neither the ledger has nor the service lists. Units that were
// folded into hourly sums look like that; the sums must agree.
func (v *verification) judgeStrangers(ctx context.Context) error {
	type sum struct {
		rows   int64
		idSum  uint64
		sample Finding
	}
	strangers, err := v.strangers(ctx)
	if err != nil {
		return err
	}
	hours := map[time.Time]*sum{}
	for id, o := range strangers {
		hour := o.Created.UTC().Truncate(time.Hour)
		if hours[hour] == nil {
			hours[hour] = &sum{sample: Finding{ID: id, ContentID: o.ContentID, Created: o.Created, Verdict: Surplus}}
		}
		hours[hour].rows += v.holdings[id].Rows
		hours[hour].idSum ^= v.holdings[id].IDSum
	}
	folded, err := v.f.r.deps.State.Hours(ctx, v.f.r.cfg.Connector.ID, v.f.contentType, v.req.Since, v.req.Until)
	if err != nil {
		return err
	}
	for _, hour := range folded {
		found := hours[hour.Start]
		delete(hours, hour.Start)
		expected := hour.Records + hour.Malformed - hour.DroppedRecords
		if found == nil {
			found = &sum{}
		}
		t := Tally{Listed: hour.Units, Landed: hour.Units, Records: found.rows, DroppedRecords: hour.DroppedRecords}
		if found.rows != expected || found.idSum^hour.DroppedSum != hour.IDSum {
			t.MissingRecords, t.SurplusRecords = max(expected-found.rows, 0), max(found.rows-expected, 0)
			if found.rows == expected { // others than were collected: at least one is not there
				t.MissingRecords, t.SurplusRecords = 1, 1
			}
			v.find(Finding{
				ID: found.sample.ID, ContentID: found.sample.ContentID, Created: hour.Start, Verdict: Missing, Expected: expected, Found: found.rows,
				Reason: fmt.Sprintf("of %d units of this hour, whose details are no longer kept, the lake has other records than were collected", hour.Units),
			})
		}
		v.tally(hour.Start, t)
	}
	for _, s := range hours {
		s.sample.Found = s.rows
		s.sample.Reason = "the lake has records of units that neither the service lists nor the ledger knows"
		v.tally(s.sample.Created, Tally{Surplus: 1, Records: s.rows, SurplusRecords: s.rows})
		v.find(s.sample)
	}
	return nil
}

// strangers are the units of this feed and interval that only the lake has.
func (v *verification) strangers(ctx context.Context) (map[record.UnitID]Origin, error) {
	var unknown []record.UnitID
	for id := range v.holdings {
		_, inLedger := v.ledger[id]
		_, listed := v.listed[id]
		if !inLedger && !listed {
			unknown = append(unknown, id)
		}
	}
	deps := v.f.r.deps
	known, err := deps.State.UnitsByID(ctx, unknown) // of other feeds and times
	if err != nil {
		return nil, err
	}
	others := map[record.UnitID]bool{}
	for _, u := range known {
		others[u.ID] = true
	}
	unknown = slices.DeleteFunc(unknown, func(id record.UnitID) bool { return others[id] })
	if len(unknown) == 0 {
		return nil, nil
	}
	origins, err := deps.Publisher.cfg.Lake.Origins(ctx, unknown)
	if err != nil {
		return nil, err
	}
	for id, o := range origins {
		if o.ConnectorID != v.f.r.cfg.Connector.ID || o.ContentType != v.f.contentType || o.Created.Before(v.req.Since) || !o.Created.Before(v.req.Until) {
			delete(origins, id)
		}
	}
	return origins, nil
}
