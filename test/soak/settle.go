package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"sluice/internal/fault"
	"sluice/internal/m365sim"
)

// Something is stuck when nothing has become less for so long, by both clocks, after every fault was gone: longer than any
// back-off and than the time between two listings of everything, and long enough for a machine that is busy with other things.
const (
	stuckWall    = time.Minute
	stuckVirtual = 14 * time.Hour
)

// settle ends traffic and faults and waits until everything is collected.
func (u *run) settle(ctx context.Context) error {
	u.sim.Freeze()
	if err := u.sim.SetFaults(nil); err != nil {
		return err
	}
	if u.disk != nil {
		if err := u.disk.free(); err != nil {
			return err
		}
	}
	if u.database != nil {
		if err := u.database.open(ctx); err != nil {
			return err
		}
	}
	u.place.note("%v: frozen", u.time.passed(u.start).Round(time.Second))
	before := map[string]int{}
	if err := u.sim.Blobs(ctx, false, func(b m365sim.BlobTruth) error {
		before[b.ContentID] = b.Listed
		return nil
	}); err != nil {
		return err
	}
	if u.plan.Settle == settleRestart {
		u.halt(Event{}, true)
		if err := u.begin(ctx); err != nil {
			return err
		}
	}
	if u.plan.Scenario.Growing.Share > 0 {
		if err := u.until(ctx, u.time.passed(u.start)+secondLookBy); err != nil {
			return err
		}
	}
	if err := u.wait(ctx, before); err != nil || u.plan.Scenario.Growing.Share == 0 {
		return err
	}
	return u.quiet(ctx)
}

// Second looks leave no trace in the queue; they are over when nothing was read for so long.
const (
	quietFor   = 6 * time.Second
	quietLimit = 2 * time.Minute
)

// quiet waits until nothing is read any more: units that grew are looked at again until they do not.
func (u *run) quiet(ctx context.Context) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var sum int64
	since, began := time.Now(), time.Now()
	for time.Since(since) < quietFor && time.Since(began) < quietLimit {
		all, err := u.proc.client.Status(ctx)
		var now int64
		for _, s := range all {
			now += s.Records + s.Duplicates + s.Filtered + s.Malformed
		}
		if err == nil && now != sum {
			sum, since = now, time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// secondLookBy is the time after which blobs that grew must have been looked at again.
const secondLookBy = 150 * time.Minute

// wait waits until everything that can be read was listed once more and nothing is left to be collected, or nothing goes on any
// more. before has how often each blob was listed until now.
func (u *run) wait(ctx context.Context, before map[string]int) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var least int64 = math.MaxInt64
	var wall time.Time
	var virtual time.Duration
	for {
		left, why := u.unsettled(ctx, before)
		switch now := u.time.passed(u.start); {
		case why == "":
			return nil
		case left < least:
			least, wall, virtual = left, time.Now(), now
		case time.Since(wall) > stuckWall && now-virtual > stuckVirtual:
			u.report.violate(lawStuck, "no progress for %v after the last fault: %s", (now - virtual).Round(time.Minute), why)
			return nil
		}
		select {
		case <-tick.C:
		case <-u.proc.exited:
			if err := u.revive(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unsettled says what is still to be waited for, "" when nothing is, and a number that gets less when there is progress.
func (u *run) unsettled(ctx context.Context, before map[string]int) (left int64, why string) {
	all, err := u.proc.client.Status(ctx)
	if err != nil {
		return math.MaxInt64 - 1, err.Error()
	}
	var listed int64
	for _, s := range all {
		left += s.Pending
		listed += s.Listed
		switch {
		case s.Pending > 0:
			why = fmt.Sprintf("%s %s: %d units pending, state %s, last error %+v", s.Name, s.ContentType, s.Pending, s.State, s.LastError)
		case s.LastError != nil && s.LastError.Kind != string(fault.Gone): // the last word about content that is gone
			why = fmt.Sprintf("%s %s: %s, %+v", s.Name, s.ContentType, s.State, *s.LastError)
		case s.LastSuccess == nil || s.State == "starting" || s.State == "paused":
			why = fmt.Sprintf("%s %s: %s", s.Name, s.ContentType, s.State)
		}
	}
	collectors := u.collectors()
	var unseen, readable, outdated int64
	err = u.sim.Blobs(ctx, false, func(b m365sim.BlobTruth) error {
		n := int64(collectors[feedKey{b.Tenant, b.ContentType}])
		if !b.Readable || b.Gone || n == 0 {
			return nil
		}
		readable += n
		if b.Listed == before[b.ContentID] {
			unseen++
		}
		if b.Outdated && !u.plan.Scenario.Recut { // else its parts were read, which the service does not count
			outdated++
		}
		return nil
	})
	switch {
	case err != nil:
		return math.MaxInt64 - 1, err.Error()
	case unseen > 0:
		why = fmt.Sprintf("%d blobs can be read and were not listed again; %s", unseen, why)
	case why == "" && outdated > 0:
		why = fmt.Sprintf("%d blobs have grown and were not read again", outdated)
	case why == "" && listed < readable:
		why = fmt.Sprintf("%d units are known, %d blobs can be read", listed, readable)
	}
	return left + unseen + outdated + max(readable-listed, 0), why
}

// collectors tells how many connectors collect each feed.
func (u *run) collectors() map[feedKey]int {
	n := map[feedKey]int{}
	for _, c := range u.plan.Connectors {
		for _, t := range c.Types {
			n[feedKey{c.Tenant, t}]++
		}
	}
	return n
}
