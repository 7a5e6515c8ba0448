package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// options are the flags.
type options struct {
	seeds    string
	lasting  time.Duration
	plan     string
	repeat   int
	parallel int
	binary   string
	race     bool
	summary  string
	growing  bool
	noDisk   bool
	postgres string
	shrink   int
	dir      string
	keep     bool
	show     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.StringVar(&o.seeds, "seeds", "1-200", "seeds to run: 7 or 1-200 or 3,8,20-40")
	flag.DurationVar(&o.lasting, "for", 0, "run new seeds for so long instead")
	flag.StringVar(&o.plan, "plan", "", "run the plan in this `file` instead")
	flag.IntVar(&o.repeat, "repeat", 1, "run each plan so often")
	flag.IntVar(&o.parallel, "parallel", 2, "runs at a time")
	flag.StringVar(&o.binary, "binary", os.Getenv("SLUICE_SOAK_BINARY"), "the program, built with -tags sluicetest; built when empty")
	flag.BoolVar(&o.race, "race", false, "build the program with the race detector")
	flag.StringVar(&o.summary, "summary", "", "`file` for the reports as JSON")
	flag.BoolVar(&o.growing, "growing", true, "also draw blobs that grow after they were first served")
	flag.BoolVar(&o.noDisk, "no-disk", false, "no full disks")
	flag.StringVar(&o.postgres, "postgres", "", "`URL` of a PostgreSQL server: the state is there, in a database for each run, and its connections break; default: SQLite")
	flag.IntVar(&o.shrink, "shrink", 60, "runs to find the smallest plan of a failure; 0: do not look")
	flag.StringVar(&o.dir, "dir", "", "`folder` for the runs; default: in memory where that is possible")
	flag.BoolVar(&o.keep, "keep", false, "keep the folders of runs that passed")
	flag.BoolVar(&o.show, "show", false, "print the plans instead of running them")
	flag.Parse()
	ok, err := start(ctx, o)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	case !ok:
		os.Exit(1)
	}
}

// start runs everything that the options ask for and reports whether all of it passed.
func start(ctx context.Context, o options) (ok bool, err error) {
	l := limits{growing: o.growing, disk: !o.noDisk, postgres: o.postgres != ""}
	if l.disk {
		if why := canMount(); why != nil {
			fmt.Fprintln(os.Stderr, why)
			l.disk = false
		}
	}
	plans, err := plansOf(o, l)
	if err != nil {
		return false, err
	}
	if o.show {
		for p := range plans {
			fmt.Printf("# seed %d\n%s", p.Seed, p)
		}
		return true, nil
	}
	dir, err := workFolder(o.dir)
	if err != nil {
		return false, err
	}
	defer func() { _ = os.Remove(dir) }() // stays when a failure is in it
	binary, err := program(ctx, o, dir)
	if err != nil {
		return false, err
	}
	if o.binary == "" {
		defer func() { _ = os.Remove(binary) }()
	}
	s := &soak{options: o, runner: &runner{binary: binary, temp: dir, keep: o.keep, server: o.postgres}, terminal: isTerminal(os.Stdout)}
	if err := s.all(ctx, plans); err != nil {
		return false, err
	}
	return s.finish()
}

// plansOf yields the plans to run.
func plansOf(o options, l limits) (func(func(*Plan) bool), error) {
	if o.plan != "" {
		p, err := loadPlan(o.plan)
		if err != nil {
			return nil, err
		}
		return repeated([]*Plan{p}, o.repeat), nil
	}
	if o.lasting > 0 {
		end := time.Now().Add(o.lasting)
		first := uint64(time.Now().UnixMilli())
		return func(yield func(*Plan) bool) {
			for seed := first; time.Now().Before(end) && yield(generate(seed, l)); seed++ {
			}
		}, nil
	}
	seeds, err := parseSeeds(o.seeds)
	if err != nil {
		return nil, err
	}
	var plans []*Plan
	for _, seed := range seeds {
		plans = append(plans, generate(seed, l))
	}
	return repeated(plans, o.repeat), nil
}

func repeated(plans []*Plan, times int) func(func(*Plan) bool) {
	return func(yield func(*Plan) bool) {
		for _, p := range plans {
			for range times {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// parseSeeds reads 7, 1-200 and lists of these.
func parseSeeds(text string) ([]uint64, error) {
	var seeds []uint64
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.ParseUint(first, 10, 64)
		to := from
		if isRange && err == nil {
			to, err = strconv.ParseUint(last, 10, 64)
		}
		if err != nil || to < from || to-from > 1e6 {
			return nil, fmt.Errorf("%q is not a seed nor a range of seeds such as 1-200", part)
		}
		for seed := from; seed <= to; seed++ {
			seeds = append(seeds, seed)
		}
	}
	return seeds, nil
}

// memoryFolder is a file system in memory, where there is one. A run needs some space above the floor of the program, and two
// runs are made at a time; the memory of a container is often much smaller.
const (
	memoryFolder = "/dev/shm"
	memoryRoom   = 2 << 30
)

// workFolder makes the folder of the runs. They write and fsync a lot, so memory is preferred: a killed process does not
// lose what it wrote to either.
func workFolder(dir string) (string, error) {
	if dir == "" && freeSpace(memoryFolder) >= memoryRoom {
		dir = memoryFolder
	}
	path, err := os.MkdirTemp(dir, "sluice-soak-")
	if err != nil {
		path, err = os.MkdirTemp("", "sluice-soak-")
	}
	return path, err
}

// program returns the program to test and builds it when none was named.
func program(ctx context.Context, o options, dir string) (string, error) {
	if o.binary != "" {
		path, err := filepath.Abs(o.binary)
		if err == nil {
			_, err = os.Stat(path)
		}
		return path, err
	}
	path := filepath.Join(dir, "sluice")
	args := []string{"build", "-tags", "sluicetest", "-o", path}
	if o.race {
		args = append(args, "-race")
	}
	build := exec.CommandContext(ctx, "go", append(args, "sluice/cmd/sluice")...) //nolint:gosec // our own arguments
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	return path, build.Run()
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// soak is a session of many runs.
type soak struct {
	options
	runner   *runner
	terminal bool

	mu      sync.Mutex
	running []uint64  // guarded by mu
	reports []*Report // guarded by mu
	began   time.Time
}

// all runs the plans, some at a time.
func (s *soak) all(ctx context.Context, plans func(func(*Plan) bool)) error {
	s.began = time.Now()
	var group errgroup.Group
	group.SetLimit(max(s.parallel, 1))
	for p := range plans {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			s.one(ctx, p)
			return nil
		})
	}
	return errors.Join(group.Wait(), ctx.Err())
}

func (s *soak) one(ctx context.Context, p *Plan) {
	s.mu.Lock()
	s.running = append(s.running, p.Seed)
	s.progress()
	s.mu.Unlock()
	r := s.runner.run(ctx, p)
	if r.Verdict == failed && s.shrink > 0 && ctx.Err() == nil {
		s.smallest(ctx, p, r)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.running, p.Seed); i >= 0 {
		s.running = slices.Delete(s.running, i, i+1)
	}
	if ctx.Err() != nil {
		return // interrupted: the run says nothing
	}
	s.reports = append(s.reports, r)
	s.clearLine()
	fmt.Println(r.line())
	fmt.Print(r.details())
	if r.Smallest != "" {
		fmt.Printf("  the smallest plan that fails like this:\n%s  run it again: %s\n", indent(r.Smallest, "    "), r.Again)
	}
	s.progress()
}

// progress shows what is going on, on a terminal. s.mu is held.
func (s *soak) progress() {
	if s.terminal {
		s.clearLine()
		fmt.Printf("%v: %d done, running %v", time.Since(s.began).Round(time.Second), len(s.reports), s.running)
	}
}

func (s *soak) clearLine() {
	if s.terminal {
		fmt.Print("\r\x1b[K")
	}
}

// triesPerPlan is how often a smaller plan may pass before it counts as one that does not fail.
const triesPerPlan = 2

// smallest makes the plan of a failure smaller and writes the result into its report.
func (s *soak) smallest(ctx context.Context, p *Plan, r *Report) {
	laws := r.laws()
	sh := &shrinker{left: s.shrink, fails: func(ctx context.Context, candidate *Plan) bool {
		for range triesPerPlan {
			again := s.runner.run(ctx, candidate)
			if again.Folder != "" {
				_ = os.RemoveAll(again.Folder)
			}
			if again.Verdict == failed && slices.ContainsFunc(again.laws(), func(law string) bool { return slices.Contains(laws, law) }) {
				return true
			}
		}
		return false
	}}
	smallest := sh.shrink(ctx, p)
	path := filepath.Join(r.Folder, "smallest.yaml")
	if err := os.WriteFile(path, []byte(smallest.String()), 0o600); err != nil {
		r.note("%v", err)
	}
	r.Smallest, r.Again = smallest.String(), "go run ./test/soak -plan "+path
}

func indent(text, by string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(by + line)
	}
	return b.String()
}

// finish prints the sum of it all and writes the summary.
func (s *soak) finish() (ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clearLine()
	bad := 0
	var records, requests int
	for _, r := range s.reports {
		if r.Verdict != passed {
			bad++
		}
		records += r.Records
		requests += r.Requests
	}
	fmt.Printf("%d runs in %v, %d failed; %d records and %d requests checked\n", len(s.reports), time.Since(s.began).Round(time.Second), bad, records, requests)
	if s.summary != "" {
		slices.SortFunc(s.reports, func(a, b *Report) int { return cmp.Compare(a.Seed, b.Seed) })
		text, err := json.MarshalIndent(s.reports, "", "  ")
		if err == nil {
			err = os.WriteFile(s.summary, append(text, '\n'), 0o644) //nolint:gosec // made-up data, for everybody
		}
		if err != nil {
			return false, err
		}
	}
	return bad == 0, nil
}
