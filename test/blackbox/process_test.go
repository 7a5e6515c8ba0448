package blackbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// place is a folder in which a server and its clients live: home, temporary files, data. Nothing of it is shared with
// other tests or with the person who runs them.
type place struct {
	t       *testing.T
	root    string
	data    string
	program string   // path of the binary as these processes see it
	extra   []string // more environment variables, NAME=value
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, root: t.TempDir(), program: binary}
	for _, name := range []string{"run", "tmp", "work"} {
		if err := os.Mkdir(filepath.Join(p.root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	p.data = filepath.Join(p.root, "data")
	return p
}

func (p *place) path(name string) string { return filepath.Join(p.root, name) }

// environment is what the processes of this place see.
func (p *place) environment() []string {
	return append([]string{
		"PATH=" + filepath.Dir(p.program) + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME=" + p.root, "XDG_RUNTIME_DIR=" + p.path("run"), "XDG_CACHE_HOME=" + p.path("run"), "TMPDIR=" + p.path("tmp"), "TZ=UTC",
	}, p.extra...)
}

// outcome is what a command left.
type outcome struct {
	args        []string
	out, errors string
	code        int
}

// commandLimit is how long a client command may take, also one that waits for units whose next try is minutes away.
const commandLimit = 5 * time.Minute

// run runs a client command of this place and returns what it left, whatever the exit code.
func (p *place) run(args ...string) outcome {
	p.t.Helper()
	return p.execute(append([]string{"SLUICE_DATA=" + p.data}, p.environment()...), p.program, args...)
}

// shell runs a command line as a person would type it, in the folder work.
func (p *place) shell(line string) outcome {
	p.t.Helper()
	return p.execute(p.environment(), "/bin/sh", "-c", line)
}

func (p *place) execute(environment []string, program string, args ...string) outcome {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = environment, p.path("work"), &out, &errs, 5*time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("%q: %v", args, err)
	}
	if ctx.Err() != nil {
		p.t.Fatalf("%q did not end: %s%s", args, out.String(), errs.String())
	}
	return outcome{args: args, out: out.String(), errors: errs.String(), code: cmd.ProcessState.ExitCode()}
}

// must runs a client command that has to succeed and returns its standard output.
func (p *place) must(args ...string) string {
	p.t.Helper()
	got := p.run(args...)
	if got.code != 0 {
		p.t.Fatalf("sluice %q: exit code %d\n%s%s", args, got.code, got.out, got.errors)
	}
	return got.out
}

// wants fails the test unless the command ended with the exit code and said every text.
func (o outcome) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("%q: exit code %d, want %d\n%s%s", o.args, o.code, code, o.out, o.errors)
	}
	for _, text := range texts {
		if !strings.Contains(o.out+o.errors, text) {
			t.Errorf("%q does not say %q:\n%s%s", o.args, text, o.out, o.errors)
		}
	}
}

// transcript collects the output of a running process.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// server is a running `sluice up`.
type server struct {
	*place
	url    string
	cmd    *exec.Cmd
	out    *transcript // standard output
	log    *transcript // standard error
	exited chan struct{}
	result error // of Wait; readable after exited
}

// requests are the lines of the log that tests themselves cause most of.
var requests = regexp.MustCompile(`(?m)^.* msg=request .*\n`)

var upLine = regexp.MustCompile(`(?m)^Sluice is up at (http://\S+) `)

// startLimit is how long a server may take until it says that it is up; stopLimit until it has stopped. Both are for a
// machine that is busy with other things.
const (
	startLimit = 2 * time.Minute
	stopLimit  = 40 * time.Second
)

// launch starts the server without waiting for it.
func (p *place) launch(flags ...string) *server {
	p.t.Helper()
	s := &server{place: p, out: &transcript{}, log: &transcript{}, exited: make(chan struct{})}
	// Not bound to a context: how it ends is what the tests are about.
	s.cmd = exec.Command(p.program, append([]string{"up", "--listen", "127.0.0.1:0"}, flags...)...)
	s.cmd.Env, s.cmd.Dir, s.cmd.Stdout, s.cmd.Stderr, s.cmd.WaitDelay = p.environment(), p.path("work"), s.out, s.log, 5*time.Second
	if err := s.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		s.result = s.cmd.Wait()
		close(s.exited)
	}()
	p.t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.exited
		if p.t.Failed() {
			p.t.Logf("server log:\n%s", last(requests.ReplaceAllString(s.log.String(), ""), 6000))
		}
	})
	return s
}

// start starts the server with the place's data folder and waits until it answers.
func (p *place) start(flags ...string) *server {
	p.t.Helper()
	config := write(p.t, p.root, "sluice.yaml", "lake:\n  commit_interval: 1s\n")
	s := p.launch(append([]string{"--config", config, "--data", p.data}, flags...)...)
	s.waitUp()
	return s
}

func (s *server) waitUp() {
	s.t.Helper()
	eventually(s.t, startLimit, func() (bool, string) {
		if m := upLine.FindStringSubmatch(s.out.String()); m != nil {
			s.url = m[1]
			return true, ""
		}
		select {
		case <-s.exited:
			s.t.Fatalf("the server ended: %v\n%s", s.result, s.log.String())
		default:
		}
		return false, "the server does not say that it is up: " + s.log.String()
	})
}

// kill ends the server as a power cut would.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
}

// interrupt ends the server as Ctrl-C does, and fails the test unless it ends in time with exit code 0.
func (s *server) interrupt() {
	s.t.Helper()
	begin := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(stopLimit):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // for the goroutines in the log
		<-s.exited
		s.t.Fatalf("the server did not end within %v of SIGINT", stopLimit)
	}
	if s.result != nil {
		s.t.Errorf("the server ended with %v after SIGINT, want exit code 0", s.result)
	}
	s.t.Logf("stopped in %v", time.Since(begin).Round(time.Millisecond))
}

// failure waits for a server that is expected not to come up and returns what it left.
func (s *server) failure() outcome {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(startLimit):
		s.t.Fatalf("the server runs and should not: %s%s", s.out, s.log)
	}
	return outcome{args: s.cmd.Args, out: s.out.String(), errors: s.log.String(), code: s.cmd.ProcessState.ExitCode()}
}

func last(text string, n int) string {
	if len(text) > n {
		return "..." + text[len(text)-n:]
	}
	return text
}
