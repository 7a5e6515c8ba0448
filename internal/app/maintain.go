package app

import (
	"context"
	"errors"
	"time"

	"sluice/internal/fault"
	"sluice/internal/lake"
)

const (
	sweepEvery   = 10 * time.Minute
	compactEvery = time.Hour
	dropEvery    = 24 * time.Hour
	openDayFiles = 32 // small files of a day that still grows, from which on they are merged

	// historyFor is how long it is remembered who changed a connector or filter, and historyKept how many changes of each
	// are, at most. The newest stays until the entry is deleted.
	historyFor  = 400 * 24 * time.Hour
	historyKept = 1000
)

// maintain keeps lake and state tidy until ctx ends: it removes files that nothing references, compacts closed days, drops
// days that are older than the retention, and takes out of the state database what the lake can answer and what is too
// old to be of interest. Failures are logged and tried again at the next turn.
func (a *application) maintain(ctx context.Context) error {
	var compacted, dropped time.Time
	wall := wallClock{last: a.lakeFrom}
	for ; ctx.Err() == nil; _ = a.Clock.Sleep(ctx, sweepEvery) {
		now := a.Clock.Now()
		if jump := wall.turn(now); jump != 0 {
			compacted, dropped = time.Time{}, time.Time{} // by a clock that may have been ahead
			a.log.Warn("more than a day passed at once, or the clock jumped: old days are kept for a day", "by", jump.String())
		}
		if _, _, err := a.svc.lake.Sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("remove unused files of the lake", "error", err.Error())
		}
		if _, err := a.svc.publisher.FinishErasures(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("remove the rows of an erased tenant from the lake", "error", err.Error(), "hint", fault.HintOf(err))
		}
		// Open days are merged when they have become many small files, closed days whenever there is anything to merge.
		a.compact(ctx, lake.CompactOptions{Before: now.Add(2 * 24 * time.Hour), MinFiles: openDayFiles})
		if now.Sub(compacted) >= compactEvery {
			compacted = now
			a.compact(ctx, lake.CompactOptions{})
		}
		if now.Sub(dropped) >= dropEvery && !wall.doubtful(now) {
			done := a.dropOldDays(ctx, now)
			if err := a.svc.publisher.Housekeep(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("tidy the state database", "error", err.Error())
				done = false
			}
			done = a.forgetOld(ctx, now) && done
			if done { // or it is tried again at the next turn, not a day later
				dropped = now
			}
		}
	}
	return nil
}

func (a *application) compact(ctx context.Context, opts lake.CompactOptions) {
	r, err := a.svc.lake.Compact(ctx, opts)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		a.log.Warn("compact the lake", "error", err.Error())
	case r.Skipped > 0:
		a.log.Warn("files of the lake are missing; the days they belong to were not compacted", "files", r.Skipped, "hint", "run sluice verify --repair")
	case r.FilesBefore > 0:
		a.log.Info("compacted the lake", "files_before", r.FilesBefore, "files_after", r.FilesAfter, "rows", r.Rows)
	}
}

// wallClock tells a clock that goes from one that jumps: what the retention drops is gone, so it does not believe a clock
// that was set ahead before somebody had a day to set it right. A server that was switched off or suspended for long looks
// the same and waits too.
type wallClock struct {
	last time.Time // of the turn before, at first of the newest commit; zero when nothing is known
	from time.Time // since when the clock is believed
}

// turn looks at the clock, at least every few hours, and returns by how much it jumped, 0 when it did not.
func (w *wallClock) turn(now time.Time) (jump time.Duration) {
	if !w.last.IsZero() {
		jump = now.Round(0).Sub(w.last.Round(0)) // Round: what hangs on the wall, not what has passed
	}
	w.last = now
	if jump.Abs() < dropEvery {
		return 0
	}
	w.from = now
	return jump
}

// doubtful reports whether the clock jumped within the last day.
func (w *wallClock) doubtful(now time.Time) bool {
	return !w.from.IsZero() && now.Sub(w.from) < dropEvery
}

// dropOldDays applies the retention and reports whether all of it was done.
func (a *application) dropOldDays(ctx context.Context, now time.Time) (done bool) {
	before := now.Add(-a.settings.Lake.Retention)
	if err := a.svc.publisher.Dropping(ctx, before); err != nil {
		a.log.Warn("record that old days are dropped; they are kept", "error", err.Error())
		return false
	}
	counted, err := a.svc.state.DropMark(ctx)
	if err != nil {
		a.log.Warn("read what was recorded as dropped; old days are kept", "error", err.Error())
		return false
	}
	done = true
	for _, index := range lake.Indices() {
		dropped, err := a.svc.lake.DropBefore(ctx, index, before, counted.Seq)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			done = false
			a.log.Warn("drop old days of the lake", "table", string(index), "error", err.Error())
		case dropped.Rows > 0:
			a.log.Info("dropped old days of the lake", "table", string(index), "before", dropped.Before, "rows", dropped.Rows, "files", dropped.Files)
		}
	}
	return done
}

// forgetOld forgets imports that ended and changes of the configuration, both of long ago, and reports whether that was done.
func (a *application) forgetOld(ctx context.Context, now time.Time) (done bool) {
	jobs, jobsErr := a.svc.state.TrimImportJobs(ctx, now.Add(-importsFor), importsKept, a.svc.imports.forget(now))
	changes, changesErr := a.svc.state.TrimHistory(ctx, now.Add(-historyFor), historyKept)
	if jobs+changes > 0 {
		a.log.Info("forgot what is long over", "imports", jobs, "changes", changes)
	}
	err := errors.Join(jobsErr, changesErr)
	if err != nil && ctx.Err() == nil {
		a.log.Warn("forget old imports and changes", "error", err.Error())
	}
	return err == nil
}
