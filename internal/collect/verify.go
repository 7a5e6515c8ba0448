package collect

import (
	"context"
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

// VerifyRequest asks for a proof of completeness of one connector.
type VerifyRequest struct {
	Since, Until time.Time // of content creation; zero: as far back as the service lists, and now. Old ones are widened to whole hours
	Repair       bool      // queue what is missing
	// Progress is told now and then how far the work is; may be nil.
	Progress func(VerifyProgress)
}

// VerifyPhase is a part of a verification.
type VerifyPhase int

// The phases, in their order.
const (
	Surveying VerifyPhase = iota // asking the service what there is
	Counting                     // counting in the lake
	Comparing
	Repairing
)

// VerifyProgress tells how far a verification is. Total is 0 while it is unknown.
type VerifyProgress struct {
	Phase       VerifyPhase
	ContentType string
	Done, Total int64
}

// Tally counts what a verification found, in units and in records.
type Tally struct {
	Listed, Landed, Missing, Lost, Surplus, Waiting int64
	Records, MissingRecords, SurplusRecords         int64
	DroppedRecords                                  int64 // by the lake's retention: they landed, and nothing is wrong
}

// Finding is one unit that is not as it should be.
type Finding struct {
	ID          record.UnitID
	ContentType string
	ContentID   string
	Created     time.Time
	Verdict     Verdict
	Reason      string
	Expected    int64 // records that should be in the lake, without those that retention dropped; -1 when that is not known
	Found       int64
	Repairable  bool
}

// FeedReport is the result for one content type.
type FeedReport struct {
	ContentType string
	Tally       Tally
	Hours       map[time.Time]*Tally // by the hour of creation
	Findings    []Finding            // oldest first
	Gaps        []state.Gap
	Repaired    int64
	Notes       []string // what limits the verdict
	Err         error    // the service does not tell what there is: nothing else is said of this content type
}

// VerifyReport is the result for one connector.
type VerifyReport struct {
	Since, Until time.Time
	All          bool // nothing that the service lists was left out
	Feeds        []FeedReport
}

// Verify compares, unit by unit, what the service lists now with what the ledger remembers and with what the lake holds:
// rows, distinct ids and a sum over the ids are counted in the lake on one snapshot, nothing is taken from the ledger's
// word. It works beside a running collection. Findings are no errors; an error means that there is no verdict. A content type
// that cannot be listed, as for want of a permission, keeps no other from its verdict and its repair.
func (m *Manager) Verify(ctx context.Context, cfg RunnerConfig, req VerifyRequest) (VerifyReport, error) {
	select {
	case <-m.deps.Publisher.Ready():
	case <-ctx.Done():
		return VerifyReport{}, ctx.Err()
	}
	if m.deps.Publisher.cfg.Lake == nil {
		return VerifyReport{}, fault.New(fault.Internal, "verify", "there is no lake to compare with")
	}
	r := NewRunner(cfg, m.deps)
	if len(r.feeds) > 0 {
		r.feeds[0].askTime(ctx)
	}
	now := r.feedTime()
	if req.Progress == nil {
		req.Progress = func(VerifyProgress) {}
	}
	oldest := now.Add(-cfg.Retention + marginToRetention)
	if err := req.bound(now, oldest); err != nil {
		return VerifyReport{}, err
	}
	report := VerifyReport{Since: req.Since, Until: req.Until, All: !req.Since.After(oldest) && !req.Until.Before(now)}
	err := report.verify(ctx, r.feeds, func(f *feed) *verification {
		return &verification{f: f, req: req, now: now, oldest: oldest, listed: map[record.UnitID]record.Unit{}}
	})
	return report, err
}

// bound completes the interval.
func (req *VerifyRequest) bound(now, oldest time.Time) error {
	if req.Since.IsZero() {
		req.Since = oldest
	}
	// Of old units only sums by hour are left: hours are compared as a whole.
	if folded := now.Add(-LookBack); req.Since.Before(folded) {
		req.Since = req.Since.Truncate(time.Hour)
		if !req.Until.IsZero() && req.Until.Before(folded) {
			req.Until = req.Until.Add(time.Hour - 1).Truncate(time.Hour)
		}
	}
	if req.Until.IsZero() || req.Until.After(now) {
		req.Until = now
	}
	if !req.Since.Before(req.Until) {
		return fault.Newf(fault.Config, "verify", "the interval is empty: %s is not before %s",
			req.Since.UTC().Format(time.RFC3339), req.Until.UTC().Format(time.RFC3339))
	}
	return nil
}

// verify verifies content types one after the other. What one of them cannot get back by itself is looked for in the others.
func (r *VerifyReport) verify(ctx context.Context, feeds []*feed, begin func(*feed) *verification) error {
	var failed []error
	var whole []int // without orphans
	for i, f := range feeds {
		v := begin(f)
		if err := v.run(ctx); err != nil {
			return fault.Wrap("", "verify "+f.contentType, err)
		}
		switch {
		case v.report.Err != nil:
			failed = append(failed, fault.Wrap("", "verify "+f.contentType, v.report.Err))
		case !v.orphaned:
			whole = append(whole, i)
		}
		r.Feeds = append(r.Feeds, v.report)
	}
	if len(failed) > 0 && len(failed) == len(feeds) {
		return failed[0]
	}
	if len(whole)+len(failed) == len(feeds) {
		return nil
	}
	for _, i := range whole {
		v := begin(feeds[i])
		v.orphaned = true
		if err := v.run(ctx); err != nil {
			return fault.Wrap("", "repair with "+feeds[i].contentType, err)
		}
		r.Feeds[i].Repaired += v.report.Repaired
	}
	return nil
}

// feedTime is the service's time, as the first listing would use it.
func (r *Runner) feedTime() time.Time {
	if len(r.feeds) == 0 {
		return r.deps.Clock.Now()
	}
	return r.feeds[0].now()
}

// verification is the work on one content type. Service, ledger and lake are read in this order: what the service
// lists and is collected meanwhile is then in the ledger, and what the ledger says has landed is in the lake.
type verification struct {
	f           *feed
	req         VerifyRequest
	now, oldest time.Time
	listed      map[record.UnitID]record.Unit      // by the service, now
	ledger      map[record.UnitID]state.LedgerUnit // of the window, and what was listed
	holdings    map[record.UnitID]Holding          // all of the lake that can matter
	marks       state.FeedMarks                    // how far collecting has listed
	position    state.Position                     // of the snapshot that was counted
	report      FeedReport
	orphaned    bool // with Repair: records are missing that can only be had with other units, to which they were duplicates
}

func (v *verification) run(ctx context.Context) error {
	v.report = FeedReport{ContentType: v.f.contentType, Hours: map[time.Time]*Tally{}}
	if err := v.survey(ctx); err != nil || v.report.Err != nil {
		return err
	}
	counting := &v.f.r.deps.Publisher.counting
	counting.RLock()
	defer counting.RUnlock()
	if err := v.readLedger(ctx); err != nil {
		return err
	}
	if err := v.count(ctx); err != nil {
		return err
	}
	if err := v.compare(ctx); err != nil {
		return err
	}
	if v.req.Repair {
		return v.repair(ctx)
	}
	return nil
}

// survey asks the service what there is. Where the service does not tell, the report says why.
func (v *verification) survey(ctx context.Context) error {
	from := v.req.Since
	if from.Before(v.oldest) {
		from = v.oldest
		if v.req.Since.Before(v.oldest.Add(-time.Hour)) {
			v.note("the service lists content only since " + v.oldest.UTC().Format(time.RFC3339) + "; for what is older ledger and lake were compared")
		}
	}
	if !from.Before(v.req.Until) {
		return nil
	}
	v.progress(Surveying, 0, 0)
	err := v.f.insist(ctx)
	if err == nil {
		_, err = v.f.list(ctx, from, v.req.Until, v.f.surveying(func(u record.Unit) {
			v.listed[u.ID(v.f.r.cfg.Connector.ID)] = u
			if len(v.listed)%listChunk == 0 {
				v.progress(Surveying, int64(len(v.listed)), 0)
			}
		}), insistFor)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := v.noteStart(ctx); err != nil {
		return err
	}
	if err != nil {
		v.report.Err = fault.Wrap("", "ask the service what there is", err)
		return nil
	}
	v.progress(Surveying, int64(len(v.listed)), int64(len(v.listed)))
	return nil
}

// noteStart records that the survey found off, and started, what has to be on for content to be kept. Nobody else saw it.
func (v *verification) noteStart(ctx context.Context) error {
	marks, err := v.f.loadMarks(ctx)
	if err != nil {
		return err
	}
	return v.f.noteStart(ctx, marks)
}

func (v *verification) readLedger(ctx context.Context) error {
	s, id := v.f.r.deps.State, v.f.r.cfg.Connector.ID
	v.ledger = map[record.UnitID]state.LedgerUnit{}
	var cursor state.UnitCursor
	for {
		units, err := s.UnitsBetween(ctx, id, v.f.contentType, v.req.Since, v.req.Until, cursor, listChunk)
		if err != nil {
			return err
		}
		if len(units) == 0 {
			break
		}
		for _, u := range units {
			v.ledger[u.ID] = u
		}
		cursor = units[len(units)-1].Cursor()
	}
	var err error
	if v.marks, err = s.FeedMarks(ctx, id, v.f.contentType); err != nil {
		return err
	}
	gaps, err := s.Gaps(ctx, id)
	if err != nil {
		return err
	}
	for _, g := range gaps {
		if g.ContentType == v.f.contentType && g.To.After(v.req.Since) && g.From.Before(v.req.Until) {
			v.report.Gaps = append(v.report.Gaps, g)
		}
	}
	return nil
}

// countMargin is how long before a unit is created its first row can have been stored: never, but clocks differ.
const countMargin = 24 * time.Hour

func (v *verification) count(ctx context.Context) error {
	v.progress(Counting, 0, 0)
	p := v.f.r.deps.Publisher
	if err := p.cfg.Lake.Committed(ctx, p.Confirmed()); err != nil {
		return err
	}
	dropped, err := v.f.r.deps.State.DropMark(ctx)
	if err != nil {
		return err
	}
	v.holdings, v.position, err = p.cfg.Lake.Count(ctx, v.req.Since.Add(-countMargin), dropped)
	return err
}

func (v *verification) progress(phase VerifyPhase, done, total int64) {
	v.req.Progress(VerifyProgress{Phase: phase, ContentType: v.f.contentType, Done: done, Total: total})
}

func (v *verification) note(text string) { v.report.Notes = append(v.report.Notes, text) }

// tally counts a unit in the feed and in its hour.
func (v *verification) tally(created time.Time, t Tally) {
	hour := created.UTC().Truncate(time.Hour)
	if v.report.Hours[hour] == nil {
		v.report.Hours[hour] = &Tally{}
	}
	v.report.Hours[hour].Add(t)
	v.report.Tally.Add(t)
}

// Add adds the counts of o.
func (t *Tally) Add(o Tally) {
	t.Listed += o.Listed
	t.Landed += o.Landed
	t.Missing += o.Missing
	t.Lost += o.Lost
	t.Surplus += o.Surplus
	t.Waiting += o.Waiting
	t.Records += o.Records
	t.MissingRecords += o.MissingRecords
	t.SurplusRecords += o.SurplusRecords
	t.DroppedRecords += o.DroppedRecords
}
