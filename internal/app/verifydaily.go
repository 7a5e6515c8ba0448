package app

import (
	"context"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/state"
)

const (
	verifyEvery = 24 * time.Hour
	verifyLook  = 10 * time.Minute // how often it is looked whether one is due
	// verifySettle is how long after the start of the server the first verification waits, so that the listing of the
	// start is done; after something was restored there is no wait.
	verifySettle = time.Hour
	verifyRetry  = 4 * time.Hour // wait after a verification that failed, in part too, or that queued something
)

// verifyDaily verifies every running connector once a day and after something was restored, queues what is missing, and
// keeps the result for the status. Failures are logged and tried again after some hours. Health knows how long that may take
// after a start.
func (a *application) verifyDaily(ctx context.Context) error {
	select {
	case <-a.svc.publisher.Ready():
	case <-ctx.Done():
		return nil
	}
	at := map[string]time.Time{} // by connector, of this process
	first := a.Clock.Now().Add(verifySettle)
	restored := a.restored || a.svc.lake.Recovered() || a.svc.publisher.Restored()
	for ; ctx.Err() == nil; restored = false {
		if restored || a.Clock.Now().After(first) {
			a.verifyDue(ctx, at, restored)
		}
		_ = a.Clock.Sleep(ctx, verifyLook)
	}
	return nil
}

func (a *application) verifyDue(ctx context.Context, at map[string]time.Time, now bool) {
	connectors, err := a.svc.state.Connectors(ctx)
	if err != nil {
		a.log.Warn("daily verification", "error", err.Error())
		return
	}
	reports, err := a.svc.reports(ctx)
	if err != nil {
		a.log.Warn("daily verification", "error", err.Error())
		return
	}
	for _, c := range connectors {
		clock := a.Clock.Now()
		if c.Paused || !now && !verifyIsDue(clock, reports[c.ID], at[c.ID]) {
			continue
		}
		at[c.ID] = clock
		a.verifyScheduled(ctx, c)
	}
}

// verifyIsDue reports whether a connector is to be verified, by its latest report and the time of the latest attempt. A report
// that found something missing and queued nothing does not count: who verifies by hand every day must not keep the daily
// run from its repair. One that queued something is followed by another as soon as that can have come, and so is one that left
// something out, such as a content type that could not be listed.
func verifyIsDue(now time.Time, report api.VerifyReport, tried time.Time) bool {
	wait := verifyEvery
	switch {
	case !report.Complete && !report.Repair && !report.Scheduled: // reports of earlier versions do not tell Repair
		wait = 0
	case report.Repaired > 0, report.Omitted > 0:
		wait = verifyRetry
	}
	return passed(now, report.Finished, wait) && passed(now, tried, verifyRetry)
}

// passed reports whether so much time is over since a moment, or the clock was set back behind it.
func passed(now, since time.Time, wait time.Duration) bool {
	d := now.Sub(since)
	return d >= wait || d < -time.Hour
}

func (a *application) verifyScheduled(ctx context.Context, c state.Connector) {
	report, err := a.svc.verifyOne(ctx, c, api.VerifyRequest{Connector: c.Name, Repair: true}, true, func(api.VerifyProgress) {})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		a.log.Warn("daily verification failed", "connector", c.Name, "kind", string(fault.KindOf(err)), "error", err.Error())
	case report.Omitted > 0 && len(report.Problems) == 0:
		a.log.Warn("a part of a connector could not be verified", "connector", c.Name, "reasons", report.Notes)
	case !report.Complete:
		a.log.Error("verification found that something is missing", "connector", c.Name, "coverage_percent", report.CoveragePercent,
			"missing", report.Totals.Missing, "lost", report.Totals.Lost, "surplus", report.Totals.Surplus, "queued", report.Repaired)
	default:
		a.log.Info("verified: everything is in the lake", "connector", c.Name, "units", report.Totals.Landed, "records", report.Totals.Records)
	}
}
