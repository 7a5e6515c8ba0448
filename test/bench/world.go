package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sluice/internal/api"
	"sluice/internal/client"
)

const (
	directory   = "7d9b9a3e-52f1-4a59-9a0f-3f6f2f0f9b11"
	application = "c0ffee00-1234-4321-8765-0123456789ab"
	secretText  = "bench~secret~of~the~simulated~tenant"
	connector   = "bench"
)

type scenario struct {
	events, blob int
	latency      time.Duration
	parallel     int
	perMinute    int // requests that the simulated service allows; 0: any number
}

// simulator is a simulated Microsoft with one tenant, in a process of its own.
type simulator struct {
	cmd       *exec.Cmd
	url, ca   string
	directory string
}

// world is a simulator and a server, both separate processes.
type world struct {
	dir      string
	sims     []*simulator
	server   *exec.Cmd
	client   *client.Client
	data     string
	parallel int
}

func start(ctx context.Context, o options, dir string, s scenario) (*world, error) {
	w, err := startServerOnly(ctx, o, dir)
	if err != nil {
		return nil, err
	}
	w.parallel = s.parallel
	if err := w.startSim(ctx, o.binary, directory, s); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func startServerOnly(ctx context.Context, o options, dir string) (*world, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w := &world{dir: dir, data: filepath.Join(dir, "data")}
	if err := w.startServer(ctx, o.binary); err != nil {
		return nil, errors.Join(err, w.stop())
	}
	return w, nil
}

func (w *world) startSim(ctx context.Context, binary, directory string, s scenario) error {
	var traffic strings.Builder
	types := []string{"Audit.AzureActiveDirectory", "Audit.Exchange", "Audit.SharePoint", "Audit.General", "DLP.All"}
	for _, t := range types {
		fmt.Fprintf(&traffic, "      - {content_type: %s, history: 24h, events: %d, blob_size: %d}\n", t, s.events/len(types), s.blob)
	}
	text := fmt.Sprintf("seed: 1\npage_size: 1000\nlatency: %s\nprecompress: true\nthrottle: {requests_per_minute: %d}\ntenants:\n  - id: %s\n    name: bench\n    apps: [{id: %s, secret: %s}]\n    traffic:\n%s",
		s.latency, s.perMinute, directory, application, secretText, &traffic)
	return w.startScenario(ctx, binary, directory, text)
}

// startScenario starts a simulator with the text of a scenario.
func (w *world) startScenario(ctx context.Context, binary, directory, text string) error {
	sim := &simulator{directory: directory, ca: filepath.Join(w.dir, "ca-"+directory+".pem")}
	path := filepath.Join(w.dir, "scenario-"+directory+".yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	sim.cmd = exec.CommandContext(ctx, binary, "sim", "--listen", "127.0.0.1:0", "--scenario", path, "--ca-file", sim.ca) //nolint:gosec // our own program
	sim.cmd.Stderr = os.Stderr
	out, err := sim.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := sim.cmd.Start(); err != nil {
		return err
	}
	w.sims = append(w.sims, sim)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "simulator: "); ok {
			sim.url = url
			go func() {
				for lines.Scan() { // keep the pipe empty
				}
			}()
			return nil
		}
	}
	return errors.New("the simulator did not start")
}

func (w *world) startServer(ctx context.Context, binary string) error {
	config := filepath.Join(w.dir, "sluice.yaml")
	if err := os.WriteFile(config, []byte("listen: 127.0.0.1:0\nlake: {commit_interval: 15s}\n"), 0o600); err != nil {
		return err
	}
	w.server = exec.CommandContext(ctx, binary, "up", "--config", config, "--data", w.data) //nolint:gosec // our own program
	log, err := os.Create(filepath.Join(w.dir, "server.log"))
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	w.server.Stdout, w.server.Stderr = log, log
	if err := w.server.Start(); err != nil {
		return err
	}
	return until(ctx, time.Minute, "the server", func() bool {
		settings, err := client.Find(client.Sources{Getenv: func(string) string { return "" }, DataDir: w.data})
		if err != nil {
			return false
		}
		w.client = client.New(settings)
		_, err = w.client.Info(ctx)
		return err == nil
	})
}

func (w *world) stop() error {
	var errs []error
	processes := []*exec.Cmd{w.server}
	for _, sim := range w.sims {
		processes = append(processes, sim.cmd)
	}
	for _, cmd := range processes {
		if cmd == nil || cmd.Process == nil {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// measure is what a collection cost.
type measure struct {
	events        int64
	wall          time.Duration
	cpu           time.Duration
	peakMB        float64
	bytesPerEvent float64
}

func (m measure) cpuPer100k() float64 { return m.cpu.Seconds() / float64(m.events) * 100_000 }
func (m measure) rate() float64       { return float64(m.events) / m.wall.Seconds() }

// collect applies the connector and waits until everything that the simulator holds can be searched.
func (w *world) collect(ctx context.Context) (measure, error) {
	cpu, _, err := usage(w.server.Process.Pid)
	if err != nil {
		return measure{}, err
	}
	began := time.Now()
	records, err := w.collectFrom(ctx, connector, w.sims[0])
	m := measure{events: records, wall: time.Since(began)}
	if err != nil {
		return m, err
	}
	after, peak, err := usage(w.server.Process.Pid)
	if err != nil {
		return m, err
	}
	m.cpu, m.peakMB = after-cpu, peak
	size, err := lakeBytes(w.data)
	m.bytesPerEvent = size / float64(m.events)
	return m, err
}

// collectFrom makes a connector of a simulated tenant and waits until everything that it has can be searched. It returns
// the number of records.
func (w *world) collectFrom(ctx context.Context, name string, sim *simulator) (int64, error) {
	return w.watchFrom(ctx, name, sim, func(api.Job) {})
}

// watchFrom is collectFrom that tells of the progress.
func (w *world) watchFrom(ctx context.Context, name string, sim *simulator, progress func(api.Job)) (int64, error) {
	doc := fmt.Sprintf("name: %s\ntenant_name: %s\ntype: office365\ninterval: 1h\ndirectory_id: %s\napplication_id: %s\napi_access_key: %s\n"+
		"authentication_endpoint: %s\napi_endpoint: %s\nca_file: %s\nrequests_per_minute: 0\nmax_parallel_fetches: %d\nstart_time: %s\n",
		name, name, sim.directory, application, secretText, sim.url, sim.url, sim.ca, w.parallel, time.Now().UTC().Add(-26*time.Hour).Format(time.RFC3339))
	if _, err := w.client.Apply(ctx, api.ApplyRequest{Name: "bench.yaml", Document: []byte(doc)}); err != nil {
		return 0, err
	}
	var job api.Job
	err := until(ctx, time.Minute, "the connector", func() (ready bool) {
		var err error
		job, err = w.client.Collect(ctx, name, api.CollectRange{Since: "25h"})
		return err == nil
	})
	if err != nil {
		return 0, err
	}
	if job, err = w.client.Watch(ctx, job.ID, progress); err != nil {
		return 0, err
	}
	if job.Error != nil {
		return 0, fmt.Errorf("the collection failed: %s", job.Error.Message)
	}
	if job.Lost > 0 || job.Pending > 0 {
		return 0, fmt.Errorf("the collection is not complete: %+v", job)
	}
	return job.Records, nil
}

// usage reads the CPU time and the peak resident set (MB) of a process, without its children.
func usage(pid int) (time.Duration, float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+2:])
	user, err1 := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	status, err3 := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, 0, err
	}
	var peak float64
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			if err != nil {
				return 0, 0, err
			}
			peak = kb / 1024
		}
	}
	const ticks = 100 // per second: USER_HZ on every Linux that Go runs on
	return time.Duration(user+system) * time.Second / ticks, peak, nil
}

// lakeBytes is the size of the lake's data files.
func lakeBytes(data string) (float64, error) {
	var sum int64
	err := filepath.WalkDir(filepath.Join(data, "lake"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".parquet" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return float64(sum), err
}

// searches times the searches that analysts wait for.
func (w *world) searches(ctx context.Context, runs int, events int64) ([]row, error) {
	since := time.Now().UTC().Add(-26 * time.Hour).Format(time.RFC3339)
	user, err := w.middleUser(ctx)
	if err != nil {
		return nil, err
	}
	hundred := 100
	list := []struct {
		what, target string
		query        api.SearchQuery
	}{
		{"count by field for a day", "60 ms", api.SearchQuery{Lang: "sql", Query: `select "event.action", count(*) n from windows_events group by 1 order by n desc`, Since: since}},
		{"latest 100 of a user, all fields", "300 ms", api.SearchQuery{Query: "UserId:" + user, Since: "all", Limit: &hundred}},
		{"free text", "1,500 ms", api.SearchQuery{Query: `"no such words anywhere"`, Since: "all", Limit: &hundred}},
		{"histogram per minute of one operation", "60 ms", api.SearchQuery{Lang: "sql", Query: `select date_trunc('minute', "timestamp") t, count(*) n from windows_events where "event.action" = 'FileDownloaded' group by 1 order by 1`, Since: since}},
	}
	var rows []row
	for _, s := range list {
		var times []time.Duration
		for range runs {
			began := time.Now()
			if _, err := w.client.SearchFrames(ctx, s.query, func(*api.Frame) error { return nil }); err != nil {
				return nil, fmt.Errorf("%s: %w", s.what, err)
			}
			times = append(times, time.Since(began))
		}
		slices.Sort(times)
		rows = append(rows, row{
			fmt.Sprintf("search %d events: %s", events, s.what), fmt.Sprintf("%d ms", times[len(times)/2].Milliseconds()), s.target + " (2,000,000 events)",
		})
	}
	return rows, nil
}

// compacted compacts everything, the open day too, and returns the bytes that the tables' current files have.
func (w *world) compacted(ctx context.Context) (float64, error) {
	if _, err := w.client.CompactLake(ctx, time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly)); err != nil {
		return 0, err
	}
	stats, err := w.client.LakeStats(ctx)
	var sum int64
	for _, s := range stats {
		sum += s.Bytes
	}
	return float64(sum), err
}

// middleUser is a user with an ordinary number of events.
func (w *world) middleUser(ctx context.Context) (string, error) {
	var user string
	_, err := w.client.SearchFrames(ctx, api.SearchQuery{
		Lang: "sql", Since: "all", Query: `select "user.email" u, count(*) n from windows_events where "user.email" is not null group by 1 order by n desc, u limit 1 offset 200`,
	}, func(f *api.Frame) error {
		if f.Row == nil {
			return nil
		}
		var r struct{ U string }
		err := json.Unmarshal(f.Row, &r)
		user = r.U
		return err
	})
	if err == nil && user == "" {
		err = errors.New("no user found to search for")
	}
	return user, err
}

// until polls cond until it holds.
func until(ctx context.Context, limit time.Duration, what string, cond func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting for %s", what)
		}
	}
	return nil
}
