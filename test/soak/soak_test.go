package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/m365sim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The fixed seeds of TestScenarios are 1 to scenarioSeeds, and those behind them up to postgresSeeds for runs with the state
// in PostgreSQL. make soak runs many more.
const (
	scenarioSeeds = 25
	postgresSeeds = scenarioSeeds + 5
)

// TestScenarios runs fixed seeds against the program, two at a time. SLUICE_SOAK_BINARY names one that was built with -tags
// sluicetest; without it the program is built. SLUICE_TEST_POSTGRES is the URL of a PostgreSQL server for some of them.
func TestScenarios(t *testing.T) {
	if testing.Short() {
		t.Skip("scenarios take minutes")
	}
	dir, err := workFolder("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // stays when a failure is in it
	binary, err := program(t.Context(), options{binary: os.Getenv("SLUICE_SOAK_BINARY")}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := limits{disk: true}
	if why := canMount(); why != nil {
		t.Log(why)
		l.disk = false
	}
	runner := &runner{binary: binary, temp: dir, server: os.Getenv("SLUICE_TEST_POSTGRES")}
	slots := make(chan struct{}, 2)
	for seed := uint64(1); seed <= postgresSeeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			l := l
			if l.postgres = seed > scenarioSeeds; l.postgres && runner.server == "" {
				t.Skip("SLUICE_TEST_POSTGRES is not set")
			}
			slots <- struct{}{}
			defer func() { <-slots }()
			r := runner.run(t.Context(), generate(seed, l))
			t.Log(r.line())
			if r.Verdict != passed {
				t.Errorf("%s\n%s  look for the smallest plan: go run ./test/soak -seeds %d", r.Plan, r.details(), seed)
			}
		})
	}
}

// TestPlansRepeat demands that a seed always gives the same plan, and that a plan survives its own form.
func TestPlansRepeat(t *testing.T) {
	for seed := range uint64(60) {
		l := limits{growing: true, disk: true, postgres: seed%2 == 0}
		p := generate(seed, l)
		if err := p.check(); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, p)
		}
		if again := generate(seed, l); !p.equal(again) {
			t.Fatalf("seed %d gives two plans:\n%s\n%s", seed, p, again)
		}
		read, err := parsePlan([]byte(p.String()))
		if err != nil || read.String() != p.String() {
			t.Fatalf("seed %d: %v\n%s\n%s", seed, err, p, read)
		}
		if seed < 3 {
			if _, err := m365sim.New(p.Scenario, m365sim.Options{}); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}

// TestPlansDiffer demands that everything a plan can have is drawn now and then.
func TestPlansDiffer(t *testing.T) {
	kinds, events, seen := map[m365sim.Kind]int{}, map[EventKind]int{}, map[string]int{}
	count := func(what string, is bool) {
		if is {
			seen[what]++
		} else {
			seen[what] += 0
		}
	}
	for seed := range uint64(400) {
		p := generate(seed, limits{growing: true, disk: true, postgres: true})
		for _, f := range p.Scenario.Faults {
			kinds[f.Kind]++
			count("share", f.Share > 0)
			count("wider than", f.WiderThan > 0)
			count("per target", f.PerTarget)
		}
		for _, e := range p.Events {
			events[e.Kind]++
			count("days away", e.For > m365sim.Duration(24*time.Hour))
			count("fail point that fails", e.Act == "error")
		}
		s := p.Scenario
		count("three tenants", len(s.Tenants) == 3)
		count("two connectors", len(p.Connectors) > len(s.Tenants))
		for what, is := range map[string]bool{
			"late": s.Late.Share > 0, "growing": s.Growing.Share > 0, "recut": s.Recut, "variants": s.Duplicates.Variants > 0,
			"across feeds": s.Duplicates.AcrossFeeds > 0, "redelivered": s.Duplicates.Redelivered > 0, "malformed": s.Malformed > 0, "odd": s.Odd > 0,
			"without id": s.WithoutID > 0, "throttle": s.Throttle.RequestsPerMinute > 0, "skew": s.ClockSkew != 0, "expiry": s.Expiry != 0,
			"short tokens": s.TokenLifetime != 0, "equal": s.EqualCreated > 1, "sweeps": p.Settle == settleSweeps,
		} {
			count(what, is)
		}
	}
	for what, n := range seen {
		if n == 0 {
			t.Errorf("no plan has %s", what)
		}
	}
	for _, kind := range m365sim.Kinds() {
		if kinds[kind] == 0 {
			t.Errorf("no plan has the fault %s", kind)
		}
	}
	for _, kind := range EventKinds() {
		if events[kind] == 0 {
			t.Errorf("no plan has the event %s", kind)
		}
	}
}

func TestPlanMistakes(t *testing.T) {
	good := generate(1, limits{}).String()
	if _, err := parsePlan([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "factor: 1\n", good + "nonsense: 1\n", "factor: 60\nlive: 1h\nsettle: sweeps\nconnectors: [{name: a, tenant: b}]\n"} {
		if p, err := parsePlan([]byte(text)); err == nil {
			t.Errorf("accepted: %s", p)
		}
	}
}

// FuzzParsePlan demands that every text is refused or is a plan that survives its own form.
func FuzzParsePlan(f *testing.F) {
	for seed := range uint64(3) {
		f.Add([]byte(generate(seed, limits{growing: true, disk: true}).String()))
	}
	f.Add([]byte("factor: 60\nlive: -1s\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := parsePlan(text)
		if err != nil {
			return
		}
		if again, err := parsePlan([]byte(p.String())); err != nil || again.String() != p.String() {
			t.Errorf("%v\n%s\n%s", err, p, again)
		}
	})
}

func TestParseSeeds(t *testing.T) {
	for text, want := range map[string][]uint64{"7": {7}, "1-3": {1, 2, 3}, "3, 8,20-21": {3, 8, 20, 21}} {
		if got, err := parseSeeds(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "a", "3-1", "1-", "-3", "1--3"} {
		if got, err := parseSeeds(text); err == nil {
			t.Errorf("%q became %v", text, got)
		}
	}
}

// TestShrink lets a plan fail for one reason and demands that nothing else stays.
func TestShrink(t *testing.T) {
	var p *Plan
	for seed := uint64(0); p == nil; seed++ {
		if c := generate(seed, limits{}); len(c.Scenario.Faults) > 4 && len(c.Events) > 2 && len(c.Scenario.Tenants) > 1 &&
			slices.ContainsFunc(c.Scenario.Faults, func(f m365sim.Fault) bool { return f.Kind == m365sim.ForeignURI }) {
			p = c
		}
	}
	sh := &shrinker{left: 2000, fails: func(_ context.Context, c *Plan) bool {
		return slices.ContainsFunc(c.Scenario.Faults, func(f m365sim.Fault) bool { return f.Kind == m365sim.ForeignURI })
	}}
	small := sh.shrink(t.Context(), p)
	if len(small.Scenario.Faults) != 1 || len(small.Events) != 0 || len(small.Connectors) != 1 || len(small.Scenario.Tenants) != 1 ||
		len(small.Connectors[0].Types) != 1 || small.Scenario.Latency != 0 {
		t.Errorf("with %d runs left:\n%s", sh.left, small)
	}
}

// judged runs the judge of a made-up lake against a simulator of its own.
func judged(t *testing.T, change func(rows []row) []row) *Report {
	t.Helper()
	p := &Plan{
		Factor: 60, Live: m365sim.Duration(time.Minute), Settle: settleSweeps,
		Connectors: []Connector{{Name: "c", Tenant: "000000a0-0000-4000-8000-000000000001", Types: []string{m365sim.General}}},
		Scenario: m365sim.Scenario{Seed: 3, Malformed: 0.05, Tenants: []m365sim.Tenant{{
			ID: "000000a0-0000-4000-8000-000000000001", Apps: []m365sim.App{{ID: "000000b0-0000-4000-8000-000000000001", Secret: "s"}},
			Traffic: []m365sim.Traffic{{ContentType: m365sim.General, Events: 200, History: m365sim.Duration(10 * time.Hour), BlobSize: 10}},
		}}, Duplicates: m365sim.Duplicates{Variants: 0.1, WithinBlob: 0.1}},
	}
	sim, err := m365sim.New(p.Scenario, m365sim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	u := &run{plan: p, report: &Report{Verdict: passed}, sim: &m365sim.Server{Sim: sim}}
	x, err := u.expect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var rows, spoiled []row
	had := map[string]bool{}
	err = sim.Blobs(t.Context(), true, func(b m365sim.BlobTruth) error {
		for i, item := range b.Items {
			r := row{ID: item.ID, Raw: string(item.Raw)}
			switch {
			case item.Malformed:
				spoiled = append(spoiled, row{ID: fmt.Sprint(b.ContentID, i), Raw: r.Raw})
				continue
			case had[r.ID+r.Raw]:
				continue
			case had[r.ID]:
				r.Variant, r.ID = r.ID, r.ID+":variant"
			}
			had[item.ID], had[item.ID+r.Raw] = true, true
			rows = append(rows, r)
		}
		return nil
	})
	if err != nil || len(spoiled) == 0 || !slices.ContainsFunc(rows, func(r row) bool { return r.Variant != "" }) {
		t.Fatalf("%d records, %d malformed: %v", len(rows), len(spoiled), err)
	}
	u.judgeRecords(x, change(rows))
	u.judgeQuarantine(x, spoiled)
	return u.report
}

func TestJudge(t *testing.T) {
	tests := map[string]struct {
		change func([]row) []row
		law    string // "" passes
	}{
		"perfect":     {func(r []row) []row { return r }, ""},
		"one missing": {func(r []row) []row { return r[1:] }, lawLost},
		"one twice":   {func(r []row) []row { return append(r, r[0]) }, lawTwice},
		"a variant that is none": {func(r []row) []row {
			return append(r, row{ID: "x", Variant: r[0].ID, Raw: r[0].Raw})
		}, lawTwice},
		"altered":  {func(r []row) []row { r[3].Raw += " "; return r }, lawUnexplained},
		"invented": {func(r []row) []row { return append(r, row{ID: "o365:x:y", Raw: "{}"}) }, lawUnexplained},
	}
	for name, tt := range tests {
		r := judged(t, tt.change)
		if got := r.laws(); tt.law == "" && len(got) > 0 || tt.law != "" && !slices.Contains(got, tt.law) {
			t.Errorf("%s: %v, want %q\n%s", name, got, tt.law, r.details())
		}
	}
}

func TestDisk(t *testing.T) {
	if why := canMount(); why != nil {
		t.Skip(why)
	}
	dir := filepath.Join(t.TempDir(), "disk")
	d, err := mountDisk(dir, 8)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(); err != nil {
			t.Error(err)
		}
	}()
	file := filepath.Join(dir, "file")
	for _, free := range []int64{0, 1 << 20} {
		if err := d.leave(free); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, 2<<20), 0o600); err == nil {
			t.Errorf("2 MiB fit where %d bytes should be free", free)
		}
		if err := d.free(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, 2<<20), 0o600); err != nil {
			t.Errorf("after the ballast was removed: %v", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
