package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/m365sim"
)

// runner runs plans with one binary.
type runner struct {
	binary string
	temp   string // folder for the folders of runs
	keep   bool   // keep the folders of runs that passed, too
}

// run is one plan at work.
type run struct {
	plan   *Plan
	place  *place
	disk   *disk
	full   bool // the disk is, or was since the last start
	time   *timeline
	start  time.Time // virtual
	sim    *m365sim.Server
	proc   *process
	armed  Event // fail point of this life of the program, zero for none
	steps  []step
	report *Report
}

// step is something to do at a time of the run, without leaps.
type step struct {
	at   time.Duration
	what string
	do   func(context.Context) error
}

// run runs a plan from beginning to end. The error of a run that could not be made is in the report.
func (r *runner) run(ctx context.Context, p *Plan) *Report {
	began := time.Now()
	report := &Report{Seed: p.Seed, Plan: p.describe(), Verdict: passed}
	dir, err := os.MkdirTemp(r.temp, fmt.Sprintf("seed-%d-", p.Seed))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "plan.yaml"), []byte(p.String()), 0o600)
	}
	if err == nil {
		err = r.inFolder(ctx, p, dir, report)
	}
	if err != nil {
		report.Verdict = broken
		report.note("%v", err)
	}
	report.Wall = time.Since(began).Seconds()
	if report.Verdict == passed && !r.keep {
		if err := os.RemoveAll(dir); err != nil {
			report.note("%v", err)
		}
	} else {
		report.Folder = dir
	}
	return report
}

func (r *runner) inFolder(ctx context.Context, p *Plan, dir string, report *Report) (err error) {
	place, err := newPlace(r.binary, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.log.Close()) }()
	place.journal = p.Journal
	u := &run{plan: p, place: place, time: newTimeline(p.Factor), report: report}
	if p.needsDisk() {
		if u.disk, err = mountDisk(filepath.Join(dir, "disk"), p.DiskMiB); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, u.disk.close()) }()
		place.data = filepath.Join(dir, "disk", "data")
	}
	defer func() {
		if u.proc != nil && !u.proc.ended() {
			u.proc.kill()
		}
		if u.sim != nil {
			err = errors.Join(err, u.sim.Close())
		}
	}()
	return u.play(ctx)
}

// play is the course of a run.
func (u *run) play(ctx context.Context) error {
	config := fmt.Sprintf("lake:\n  commit_interval: %s\n", u.plan.Commit)
	if err := os.WriteFile(filepath.Join(u.place.root, "sluice.yaml"), []byte(config), 0o600); err != nil {
		return err
	}
	if err := u.begin(ctx); err != nil {
		return err
	}
	sim, err := m365sim.New(u.plan.Scenario, m365sim.Options{Clock: u.time, TokensByClock: true})
	if err != nil {
		return err
	}
	if u.sim, err = sim.Start(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	u.start = u.time.begin()
	if err := u.apply(ctx); err != nil {
		return err
	}
	for _, e := range u.plan.Events {
		u.steps = append(u.steps, step{time.Duration(e.At), string(e.Kind), func(ctx context.Context) error { return u.happen(ctx, e) }})
	}
	for len(u.steps) > 0 {
		next := u.steps[0]
		u.steps = u.steps[1:]
		if err := u.until(ctx, next.at); err != nil {
			return err
		}
		u.place.note("%v: %s", u.time.passed(u.start).Round(time.Second), next.what)
		if err := next.do(ctx); err != nil {
			return err
		}
	}
	if err := u.until(ctx, time.Duration(u.plan.Live)); err != nil {
		return err
	}
	if err := u.settle(ctx); err != nil {
		return err
	}
	if err := u.judge(ctx); err != nil {
		return err
	}
	return u.end()
}

// later adds a step.
func (u *run) later(after time.Duration, what string, do func(context.Context) error) {
	u.steps = append(u.steps, step{u.time.passed(u.start) + after, what, do})
	slices.SortStableFunc(u.steps, func(a, b step) int { return cmp.Compare(a.at, b.at) })
}

// until waits for a time of the run and starts the program again when it ends meanwhile.
func (u *run) until(ctx context.Context, at time.Duration) error {
	for {
		left := at - u.time.passed(u.start)
		if left <= 0 {
			return ctx.Err()
		}
		select {
		case <-u.time.After(left):
		case <-u.proc.exited:
			if err := u.revive(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// points is the fail point of the next life as the program reads it.
func (u *run) points() string {
	if u.armed.Point == "" {
		return ""
	}
	return fmt.Sprintf("%s@%d=%s", u.armed.Point, max(u.armed.Hit, 1), cmp.Or(u.armed.Act, "kill"))
}

// begin starts the program and waits until it is up, which does not count as time of the run: a slow machine shall not
// make the run shorter. A fail point may end the program several times on the way; anything else that does is a violation, after which
// nothing is left to be tested.
func (u *run) begin(ctx context.Context) error {
	began := u.time.Now()
	defer func() { u.time.skip(began) }()
	for range 20 {
		proc, err := u.place.launch(u.time.scaled(), u.points())
		if err != nil {
			return err
		}
		u.proc = proc
		if err = u.place.waitUp(ctx, proc); err == nil {
			return nil
		}
		if !errors.Is(err, errEnded) {
			proc.kill()
			return err
		}
		if err := u.mourn(); err != nil {
			return err
		}
	}
	return errors.New("the program does not come up")
}

// mourn looks at how the program ended by itself and prepares the next life. The error means that there is none.
func (u *run) mourn() error {
	proc := u.proc
	proc.close()
	switch {
	case proc.points != "" && proc.wasKilled():
		u.report.happened("fail point " + u.armed.Point)
		if u.armed.Times--; u.armed.Times <= 0 {
			u.armed = Event{}
		}
		return nil
	case u.full:
		u.report.happened("ended on a full disk")
		u.report.note("on a full disk the program ended: %v", proc.result)
		u.full = false
		return u.disk.free()
	}
	u.report.violate(lawProcess, "the program ended by itself (%v): %s", proc.result, lastWords(u.place.text()))
	if proc.client == nil {
		return fmt.Errorf("the program ended on its way up: %w", proc.result)
	}
	return nil
}

// revive starts the program again after it ended by itself.
func (u *run) revive(ctx context.Context) error {
	if err := u.mourn(); err != nil {
		return err
	}
	return u.begin(ctx)
}

// halt ends the program and lets it be away for a time.
func (u *run) halt(e Event, orderly bool) {
	u.armed = Event{}
	switch {
	case !orderly:
		u.proc.kill()
	default:
		points := u.proc.points
		if err := u.proc.stop(); err != nil && (points == "" || !u.proc.wasKilled()) && !u.full {
			u.report.violate(lawProcess, "after SIGTERM: %v", err)
		}
	}
	if e.For > 0 {
		u.time.leap(time.Duration(e.For))
	}
}

// happen makes an event happen.
func (u *run) happen(ctx context.Context, e Event) error {
	u.report.happened(string(e.Kind))
	switch e.Kind {
	case Kill, Stop:
		u.halt(e, e.Kind == Stop)
		return u.begin(ctx)
	case FailPoint:
		u.halt(Event{}, true)
		u.armed = e
		return u.begin(ctx)
	case DiskFloor, DiskFull:
		u.full = true
		left := int64(diskFloor - 64<<20)
		if e.Kind == DiskFull {
			left = 0
		}
		u.later(time.Duration(e.For), "disk is free again", func(context.Context) error { return u.disk.free() })
		return u.disk.leave(left)
	case Backfill:
		_, err := u.proc.client.Collect(ctx, e.Name, api.CollectRange{Since: "6d"})
		u.tolerate("back-fill", err)
	case Pause:
		u.tolerate("pause", u.proc.client.SetPaused(ctx, api.Connectors, e.Name, true))
		u.later(time.Duration(e.For), "resume "+e.Name, func(ctx context.Context) error { return u.resume(ctx, e.Name) })
	}
	return nil
}

// diskFloor is the free space below which the program pauses.
const diskFloor = 512 << 20

// tolerate notes that an operator's command failed: the program may have ended under it.
func (u *run) tolerate(what string, err error) {
	if err != nil {
		u.report.note("%s: %v", what, err)
	}
}

// resume insists, since a connector that stays paused is not collected.
func (u *run) resume(ctx context.Context, name string) error {
	return u.insist(ctx, "resume "+name, func(ctx context.Context) error {
		return u.proc.client.SetPaused(ctx, api.Connectors, name, false)
	})
}

// insistFor bounds how long a command is repeated, of wall time.
const insistFor = 60 * time.Second

// insist repeats a command until it succeeds; the program may end under it.
func (u *run) insist(ctx context.Context, what string, do func(context.Context) error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(insistFor)
	for {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", what, err)
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

// apply makes the connectors.
func (u *run) apply(ctx context.Context) error {
	ca := filepath.Join(u.place.root, "ca.pem")
	if err := u.sim.WriteCA(ca); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("connectors:\n")
	for _, c := range u.plan.Connectors {
		i := slices.IndexFunc(u.plan.Scenario.Tenants, func(t m365sim.Tenant) bool { return t.ID == c.Tenant })
		app := u.plan.Scenario.Tenants[i].Apps[0]
		fmt.Fprintf(&b, "  - name: %s\n    tenant_name: tenant %d\n    type: office365\n    directory_id: %s\n    application_id: %s\n", c.Name, i, c.Tenant, app.ID)
		fmt.Fprintf(&b, "    api_access_key: %s\n    authentication_endpoint: %s\n    api_endpoint: %s\n    ca_file: %s\n", app.Secret, u.sim.URL(), u.sim.URL(), ca)
		fmt.Fprintf(&b, "    interval: %s\n    start_time: %s\n    max_parallel_fetches: %d\n    requests_per_minute: %d\n    content_types: [%s]\n", c.Interval,
			u.start.Add(-time.Duration(c.Back)).UTC().Format(time.RFC3339), max(c.Parallel, 1), c.PerMin, strings.Join(c.Types, ", "))
		if u.plan.Scenario.Growing.Share > 0 {
			b.WriteString("    second_look_percent: 100\n") // a sample is right only in the long run
		}
	}
	document := []byte(b.String())
	return u.insist(ctx, "apply", func(ctx context.Context) error {
		_, err := u.proc.client.Apply(ctx, api.ApplyRequest{Document: document, Name: "connectors.yaml"})
		return err
	})
}

// Something is stuck when nothing has become less for so long, by both clocks, after every fault was gone: longer than any
// back-off, and long enough for a machine that is busy with other things.
const (
	stuckWall    = 25 * time.Second
	stuckVirtual = 4 * time.Hour
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
		if err := u.quiet(ctx); err != nil {
			return err
		}
	}
	return u.wait(ctx, before)
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
	var unseen, readable int64
	err = u.sim.Blobs(ctx, false, func(b m365sim.BlobTruth) error {
		n := int64(collectors[feedKey{b.Tenant, b.ContentType}])
		if !b.Readable || b.Gone || n == 0 {
			return nil
		}
		readable += n
		if b.Listed == before[b.ContentID] {
			unseen++
		}
		return nil
	})
	switch {
	case err != nil:
		return math.MaxInt64 - 1, err.Error()
	case unseen > 0:
		why = fmt.Sprintf("%d blobs can be read and were not listed again; %s", unseen, why)
	case why == "" && listed < readable:
		why = fmt.Sprintf("%d units are known, %d blobs can be read", listed, readable)
	}
	return left + unseen + max(readable-listed, 0), why
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

// end stops the program for the last time and looks through its log.
func (u *run) end() error {
	u.halt(Event{}, true)
	log := u.place.text()
	for _, sign := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
		if i := strings.Index(log, sign); i >= 0 {
			u.report.violate(lawProcess, "the log has %s", head(log[i:], 600))
		}
	}
	requests := u.sim.Requests(0)
	u.report.Requests, u.report.Faults = requests.Total, requests.Faults
	u.report.Virtual = u.time.Now().Sub(u.start).Round(time.Minute).String()
	return nil
}

// lastWords is the part of a log that tells why the program ended.
func lastWords(log string) string {
	if i := strings.LastIndex(log, "\npanic: "); i >= 0 {
		return head(log[i+1:], 800)
	}
	return tail(log, 800)
}

func head(text string, n int) string { return text[:min(len(text), n)] }

func tail(text string, n int) string { return text[max(0, len(text)-n):] }
