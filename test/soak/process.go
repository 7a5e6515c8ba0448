package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/internal/client"
	"sluice/internal/clock"
)

// timeline is the virtual time that the simulator and the program share. It runs evenly but for leaps, which are made only
// while the program does not run. It is safe for concurrent use.
type timeline struct {
	mu      sync.Mutex
	c       clock.Scaled  // guarded by mu
	skipped time.Duration // guarded by mu
}

func newTimeline(factor float64) *timeline { return &timeline{c: clock.NewScaled(factor)} }

func (t *timeline) scaled() clock.Scaled {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.c
}

// begin returns the present as the start of the run, of which nothing has been skipped yet.
func (t *timeline) begin() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped = 0
	return t.c.Now()
}

// leap moves time ahead.
func (t *timeline) leap(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.c = t.c.Ahead(d)
	t.skipped += d
}

// skip takes time that has passed since a moment out of what passed returns.
func (t *timeline) skip(since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped += t.c.Now().Sub(since)
}

// passed is the time since start without leaps, and without what was skipped.
func (t *timeline) passed(start time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.c.Now().Sub(start) - t.skipped
}

// Now implements clock.Clock.
func (t *timeline) Now() time.Time { return t.scaled().Now() }

// Sleep implements clock.Clock.
func (t *timeline) Sleep(ctx context.Context, d time.Duration) error { return t.scaled().Sleep(ctx, d) }

// After implements clock.Clock.
func (t *timeline) After(d time.Duration) <-chan time.Time { return t.scaled().After(d) }

// place is the folder of one run.
type place struct {
	binary string
	root   string // home, logs
	data   string // data folder of the program; may be a mount point's folder
	log    *os.File

	journal int64 // budget of the journal, 0 for an ordinary one
}

func newPlace(binary, root string) (*place, error) {
	for _, name := range []string{"run", "tmp", "work"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			return nil, err
		}
	}
	log, err := os.OpenFile(filepath.Join(root, "server.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &place{binary: binary, root: root, data: filepath.Join(root, "data"), log: log}, nil
}

// note writes a line of the harness into the log of the program.
func (p *place) note(format string, args ...any) {
	_, _ = fmt.Fprintf(p.log, "---- "+format+"\n", args...)
}

// text is the log so far.
func (p *place) text() string {
	b, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// process is one life of the program: sluice up.
type process struct {
	cmd    *exec.Cmd
	out    *signalWriter
	exited chan struct{}
	result error // of Wait; readable after exited
	points string
	client *client.Client // nil until it is up
}

var upLine = regexp.MustCompile(`(?m)^Sluice is up at (http://\S+) `)

// startLimit is how long the program may take until it says that it is up; stopLimit until it has stopped. Both are for
// a machine that is busy with other things.
const (
	startLimit = 2 * time.Minute
	stopLimit  = time.Minute
)

// launch starts the program without waiting for it. Not bound to a context: how it ends is what this is about.
func (p *place) launch(time clock.Scaled, points string) (*process, error) {
	out := &signalWriter{changed: make(chan struct{}, 1)}
	proc := &process{out: out, exited: make(chan struct{}), points: points}
	proc.cmd = exec.Command(p.binary, "up", "--listen", "127.0.0.1:0", "--config", filepath.Join(p.root, "sluice.yaml"), "--data", p.data) //nolint:gosec,noctx // see above
	proc.cmd.Dir, proc.cmd.Stdout, proc.cmd.Stderr, proc.cmd.WaitDelay = filepath.Join(p.root, "work"), out, p.log, stopLimit
	proc.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + p.root, "XDG_RUNTIME_DIR=" + filepath.Join(p.root, "run"), "XDG_CACHE_HOME=" + filepath.Join(p.root, "run"),
		"TMPDIR=" + filepath.Join(p.root, "tmp"), "TZ=UTC", "SLUICE_TEST_CLOCK=" + time.String(), "SLUICE_FAILPOINT=" + points,
		"SLUICE_TEST_JOURNAL_BYTES=" + strconv.FormatInt(p.journal, 10),
	}
	if err := proc.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		proc.result = proc.cmd.Wait()
		close(proc.exited)
	}()
	return proc, nil
}

// errEnded says that the program ended before it was up.
var errEnded = errors.New("the program ended on its way up")

// waitUp waits until the program answers.
func (p *place) waitUp(ctx context.Context, proc *process) error {
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	for {
		if m := upLine.FindStringSubmatch(proc.out.String()); m != nil {
			settings, err := client.Find(client.Sources{Getenv: func(name string) string {
				return map[string]string{"SLUICE_URL": m[1]}[name]
			}, DataDir: p.data})
			if err == nil {
				proc.client = client.New(settings)
			}
			return err
		}
		select {
		case <-proc.out.changed:
		case <-proc.exited:
			return errEnded
		case <-limit.C:
			return fmt.Errorf("the program was not up within %v", startLimit)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// kill ends the program as a power cut would.
func (proc *process) kill() {
	_ = proc.cmd.Process.Kill()
	<-proc.exited
	proc.close()
}

func (proc *process) close() {
	if proc.client != nil {
		proc.client.Close()
	}
}

// stop ends the program as an operator does, and says what was wrong with how it ended.
func (proc *process) stop() error {
	defer proc.close()
	if err := proc.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-proc.exited:
		return proc.result
	case <-limit.C:
		_ = proc.cmd.Process.Signal(syscall.SIGQUIT) // for the goroutines in the log
		<-proc.exited
		return fmt.Errorf("it did not end within %v of SIGTERM", stopLimit)
	}
}

// ended reports whether the program is gone.
func (proc *process) ended() bool {
	select {
	case <-proc.exited:
		return true
	default:
		return false
	}
}

// wasKilled reports whether SIGKILL ended the program.
func (proc *process) wasKilled() bool {
	var exit *exec.ExitError
	if !errors.As(proc.result, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// signalWriter keeps what is written and tells about it.
type signalWriter struct {
	mu      sync.Mutex
	text    strings.Builder // guarded by mu
	changed chan struct{}
}

// Write implements io.Writer.
func (w *signalWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}()
	return w.text.Write(b)
}

func (w *signalWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}
