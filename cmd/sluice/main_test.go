package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/secret"
)

var update = flag.Bool("update", false, "rewrite testdata/reference.md")

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"sluice": main}) }

// TestScripts runs the program against an API with a fake service. Each script has a server of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			handler, err := api.New(api.Options{Service: apitest.New(), Token: secret.New(apitest.Token)})
			if err != nil {
				return err
			}
			server := httptest.NewServer(handler)
			env.Defer(server.Close)
			env.Setenv("SLUICE_URL", server.URL)
			env.Setenv("SLUICE_TOKEN", apitest.Token)
			env.Setenv("NOBODY", "http://127.0.0.1:1") // a port that was free a moment ago may be another test's by now
			env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, "run"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
}

// code runs a command line of sluice in this process and checks its exit code: code CODE ARG...
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: code CODE ARG...")
	}
	var resolved []string
	for _, arg := range args[1:] {
		if _, err := os.Stat(ts.MkAbs(arg)); err == nil && !strings.HasPrefix(arg, "-") {
			arg = ts.MkAbs(arg)
		}
		resolved = append(resolved, arg)
	}
	c := &cli{in: strings.NewReader(""), out: ts.Stdout(), err: ts.Stderr(), getenv: ts.Getenv, now: func() time.Time { return apitest.Now }, version: "test"}
	got := c.run(context.Background(), resolved)
	if want := args[0]; want != map[int]string{0: "0", 1: "1", 2: "2", 3: "3", 130: "130"}[got] {
		ts.Fatalf("exit code %d, want %s", got, want)
	}
}

// command runs a command line in this process.
func command(ctx context.Context, c *cli, args ...string) (stdout, stderr string, code int) {
	var out, err bytes.Buffer
	c.out, c.err = &out, &err
	if c.in == nil {
		c.in = strings.NewReader("")
	}
	if c.getenv == nil {
		c.getenv = func(string) string { return "" }
	}
	if c.now == nil {
		c.now = func() time.Time { return apitest.Now }
	}
	code = c.run(ctx, args)
	return out.String(), err.String(), code
}

// TestReference keeps the help of every command in one golden file, which is also the reference page.
func TestReference(t *testing.T) {
	got, stderr, code := command(t.Context(), &cli{}, "docs")
	if code != exitDone || stderr != "" {
		t.Fatalf("docs: %d %s", code, stderr)
	}
	const path = "testdata/reference.md"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the help changed; look at the difference and run: go test ./cmd/sluice -run TestReference -update\n%s", got)
	}
}

// TestEveryCommandHasHelp asks each command for help and looks for an example.
func TestEveryCommandHasHelp(t *testing.T) {
	c := &cli{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	for _, cmd := range c.root().Commands() {
		if cmd.Hidden {
			continue
		}
		if cmd.Short == "" || cmd.Example == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short %q, example %q", cmd.Name(), cmd.Short, cmd.Example)
		}
		out, stderr, code := command(t.Context(), &cli{}, cmd.Name(), "--help")
		if code != exitDone || stderr != "" || !strings.Contains(out, "Examples:") {
			t.Errorf("%s --help: %d %s %s", cmd.Name(), code, stderr, out)
		}
	}
}

func TestParts(t *testing.T) {
	var up upOptions
	var sim simOptions
	c := func() *cli {
		return &cli{version: "9.9", getenv: func(name string) string {
			if name == "SLUICE_DATA" {
				return "/env/data"
			}
			return ""
		}, parts: parts{
			up:          func(_ context.Context, o upOptions) error { up = o; return nil },
			sim:         func(_ context.Context, o simOptions) error { sim = o; return nil },
			queryWorker: func(context.Context) error { return context.DeadlineExceeded },
		}}
	}
	if _, stderr, code := command(t.Context(), c(), "up", "--config", "a.yaml", "--listen", ":1", "--demo"); code != exitDone {
		t.Fatal(code, stderr)
	}
	if up.Config != "a.yaml" || up.Data != "/env/data" || up.Listen != ":1" || !up.Demo || up.Version != "9.9" || up.Stderr == nil {
		t.Errorf("up = %+v", up)
	}
	if command(t.Context(), c(), "up", "--data", "/flag"); up.Data != "/flag" {
		t.Errorf("data = %s", up.Data)
	}
	if command(t.Context(), c(), "sim", "--listen", ":2", "--scenario", "s.yaml"); sim.Listen != ":2" || sim.Scenario != "s.yaml" {
		t.Errorf("sim = %+v", sim)
	}
	if _, _, code := command(t.Context(), c(), "query-worker"); code != exitFailed {
		t.Errorf("query-worker: %d", code)
	}
	for _, name := range []string{"up", "sim", "query-worker"} {
		if _, stderr, code := command(t.Context(), &cli{}, name); code != exitFailed || !strings.Contains(stderr, "does not contain") {
			t.Errorf("%s without its part: %d %s", name, code, stderr)
		}
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	env := func(name string) string {
		return map[string]string{"SLUICE_URL": "http://127.0.0.1:1", "SLUICE_TOKEN": "x"}[name]
	}
	if _, stderr, code := command(ctx, &cli{getenv: env}, "status"); code != exitInterrupted || stderr != "interrupted\n" {
		t.Errorf("%d %q", code, stderr)
	}
}

// serveTest serves the API of a fake until the test ends. It returns the environment of a client of it.
func serveTest(t *testing.T) func(name string) string {
	t.Helper()
	return serve(t, apitest.New())
}

func serve(t *testing.T, service api.Service) func(name string) string {
	t.Helper()
	handler, err := api.New(api.Options{Service: service, Token: secret.New(apitest.Token)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return func(name string) string {
		return map[string]string{"SLUICE_URL": server.URL, "SLUICE_TOKEN": apitest.Token}[name]
	}
}

func TestConfirm(t *testing.T) {
	env := serveTest(t)
	for _, tc := range []struct {
		answer string
		code   int
	}{{"n\n", exitFailed}, {"", exitFailed}, {"YES\n", exitDone}} {
		out, stderr, code := command(t.Context(), &cli{getenv: env, terminal: true, in: strings.NewReader(tc.answer)}, "delete", "broken")
		if code != tc.code || !strings.Contains(stderr, "Delete connector broken? [y/N]") {
			t.Errorf("%q: %d %s %s", tc.answer, code, out, stderr)
		}
	}
}

// TestQuestionIsInterrupted: Ctrl-C is an answer, although nothing can be read.
func TestQuestionIsInterrupted(t *testing.T) {
	in, typed := io.Pipe()
	defer func() { _ = typed.Close() }()
	ctx, interrupt := context.WithCancel(t.Context())
	said := &onWrite{text: "[y/N]", do: interrupt}
	c := &cli{in: in, out: io.Discard, err: said, getenv: serveTest(t), now: func() time.Time { return apitest.Now }, terminal: true}
	if code := c.run(ctx, []string{"delete", "broken"}); code != exitInterrupted || !strings.HasSuffix(said.String(), "interrupted\n") {
		t.Errorf("%d %q", code, said.String())
	}
}

// onWrite keeps what is written and does something when it has a text.
type onWrite struct {
	bytes.Buffer
	text string
	do   func()
}

func (w *onWrite) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if strings.Contains(w.String(), w.text) {
		w.do()
	}
	return n, err
}

// TestEveryMistakeHasALine: several mistakes in one error are not one long line.
func TestEveryMistakeHasALine(t *testing.T) {
	var said bytes.Buffer
	c := &cli{err: &said}
	c.explain(errors.Join(errors.New("a.yaml:1:1: one"), errors.New("a.yaml:2:1: two\x1b[31m")))
	if want := "error: a.yaml:1:1: one\nerror: a.yaml:2:1: two\\x1b[31m\n"; said.String() != want {
		t.Errorf("%q, want %q", said.String(), want)
	}
}

// TestDeleteAsksAboutSubscriptions: two questions on a terminal, the second with no as its default and with its reason.
func TestDeleteAsksAboutSubscriptions(t *testing.T) {
	for _, tc := range []struct {
		answers string
		args    []string
		stopped bool
		asked   bool
		code    int
	}{
		{"y\n\n", nil, false, true, exitDone},
		{"y\nn\n", nil, false, true, exitDone},
		{"y\n", nil, false, true, exitDone}, // the input ends
		{"y\nyes\n", nil, true, true, exitPartly},
		{"y\n", []string{"--stop-subscription"}, true, false, exitPartly},
		{"y\n", []string{"--stop-subscription=false"}, false, false, exitDone},
		{"", []string{"--yes"}, false, false, exitDone},
	} {
		env := serveTest(t)
		args := append([]string{"delete", "broken"}, tc.args...)
		out, stderr, code := command(t.Context(), &cli{getenv: env, terminal: true, in: strings.NewReader(tc.answers)}, args...)
		if code != tc.code || strings.Contains(out, "subscriptions stopped: Audit.General") != tc.stopped {
			t.Errorf("%q %v: %d %s %s", tc.answers, tc.args, code, out, stderr)
		}
		if asked := strings.Contains(stderr, "Stop the subscriptions at Microsoft as well? [y/N]") && strings.Contains(stderr, "can never be fetched by anybody"); asked != tc.asked {
			t.Errorf("%q %v: asked %v\n%s", tc.answers, tc.args, asked, stderr)
		}
	}
}

func TestHumanFormats(t *testing.T) {
	at := func(d time.Duration) *time.Time { v := apitest.Now.Add(d); return &v }
	for want, got := range map[string]string{
		"-": relative(apitest.Now, nil), "now": relative(apitest.Now, at(0)), "2 min ago": relative(apitest.Now, at(-2*time.Minute)),
		"in 4 min": relative(apitest.Now, at(4*time.Minute)), "3 h ago": relative(apitest.Now, at(-3*time.Hour)), "9 days ago": relative(apitest.Now, at(-9*24*time.Hour)),
		"1,234,567": count(1234567), "999": count(999), "-1,000": count(-1000), "abc…": cut("abcde", 4), `a\x1b[31m\n\u202e`: clean("a\x1b[31m\n\u202e"),
		"héllo 🚰": clean("héllo 🚰"),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
