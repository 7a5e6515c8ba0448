package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/m365sim"
)

// runner runs plans with one binary.
type runner struct {
	binary string
	temp   string // folder for the folders of runs
	keep   bool   // keep the folders of runs that passed, too
	server string // URL of the PostgreSQL server for plans that want one
}

// run is one plan at work.
type run struct {
	plan     *Plan
	place    *place
	disk     *disk
	database *database // nil for SQLite
	full     bool      // the disk is, or was since the last start
	down     bool      // the database is, or was since the last start
	time     *timeline
	start    time.Time // virtual
	sim      *m365sim.Server
	proc     *process
	armed    Event // fail point of this life of the program, zero for none
	steps    []step
	report   *Report
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
	if p.Postgres {
		if u.database, err = createDatabase(ctx, r.server, filepath.Base(dir)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, u.database.drop(ctx)) }()
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
	if u.database != nil {
		config += fmt.Sprintf("state: %q\n", u.database.url)
	}
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
