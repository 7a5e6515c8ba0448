// Command bench measures Sluice as an operator would see it: it starts the real binary as a server, a second process of
// the same binary as the simulated Microsoft, collects, searches, and prints what that cost beside the numbers to reach.
//
// CPU seconds are user and system time of the server process alone, without its query children and without the
// simulator. Memory is the peak of its resident set. Nothing leaves the loopback interface.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"
)

type options struct {
	binary       string
	events       int
	latencyBlobs int
	runs         int
	keep         bool
	only         string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.StringVar(&o.binary, "binary", "bin/sluice", "the program to measure")
	flag.IntVar(&o.events, "events", 2_000_000, "events of the first collection, which is then searched")
	flag.IntVar(&o.latencyBlobs, "latency-blobs", 2000, "blobs of 100 events of the collection with 100 ms latency")
	flag.IntVar(&o.runs, "runs", 5, "runs of each search; the median counts")
	flag.BoolVar(&o.keep, "keep", false, "keep the data folder")
	flag.StringVar(&o.only, "only", "", "run one part: collect, latency, throttled, ids or tenants")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is a line of the report.
type row struct{ what, measured, target string }

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "sluice-bench-")
	if err != nil {
		return err
	}
	if !o.keep {
		defer func() { _ = os.RemoveAll(dir) }()
	}
	var rows []row
	steps := []struct {
		name string
		run  func(context.Context, options, string) ([]row, error)
	}{{"collect", benchCollect}, {"latency", benchLatency}, {"throttled", benchThrottled}, {"ids", benchIDs}, {"tenants", benchTenants}}
	for _, step := range steps {
		if o.only != "" && o.only != step.name {
			continue
		}
		more, err := step.run(ctx, o, dir)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "WHAT\tMEASURED\tTO REACH")
	for _, r := range rows {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\n", r.what, r.measured, r.target)
	}
	return t.Flush()
}

const eventSize = 1750 // bytes; what the simulator's records have on average, roughly

// benchCollect collects without latency and then searches what was collected.
func benchCollect(ctx context.Context, o options, dir string) ([]row, error) {
	say("collecting %d events without latency", o.events)
	w, err := start(ctx, o, dir+"/collect", scenario{events: o.events, blob: 500, parallel: 16})
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.stop() }()
	m, err := w.collect(ctx)
	if err != nil {
		return nil, err
	}
	rows := []row{
		{"collect to lake, no latency: CPU seconds per 100,000 events", fmt.Sprintf("%.2f", m.cpuPer100k()), "<= 4.0"},
		{"  events per second", fmt.Sprintf("%.0f", m.rate()), ""},
		{"  peak memory of the server", fmt.Sprintf("%.0f MB", m.peakMB), "<= 400 MB"},
		{"  lake, bytes per event as committed", fmt.Sprintf("%.0f", m.bytesPerEvent), ""},
	}
	say("compacting")
	compacted, err := w.compacted(ctx)
	if err != nil {
		return nil, err
	}
	rows = append(rows, row{"  lake, bytes per event after compaction", fmt.Sprintf("%.0f", compacted/float64(m.events)), "<= 300 (of " + fmt.Sprint(eventSize) + ")"})
	say("searching %d events", m.events)
	found, err := w.searches(ctx, o.runs, m.events)
	if err != nil {
		return nil, err
	}
	rows = append(rows, found...)
	return rows, nil
}

// benchLatency collects small blobs over a slow path, which only parallel fetching makes fast.
func benchLatency(ctx context.Context, o options, dir string) ([]row, error) {
	events := o.latencyBlobs * 100
	say("collecting %d events in blobs of 100 with 100 ms per request", events)
	w, err := start(ctx, o, dir+"/latency", scenario{events: events, blob: 100, latency: 100 * time.Millisecond, parallel: 64})
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.stop() }()
	m, err := w.collect(ctx)
	if err != nil {
		return nil, err
	}
	return []row{
		{"collect with 100 ms per request, blobs of 100, 5 types, 64 fetches: events per second", fmt.Sprintf("%.0f", m.rate()), ">= 20,000"},
		{"  peak memory of the server", fmt.Sprintf("%.0f MB", m.peakMB), "<= 400 MB"},
	}, nil
}

func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
}
