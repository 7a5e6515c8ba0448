package mutation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// outcome is how a test ended.
type outcome string

const (
	absent  outcome = "absent" // it did not run to an end
	passed  outcome = "pass"
	failed  outcome = "fail"
	skipped outcome = "skip"
)

// report is what `go test -json` told about some tests of a package.
type report struct {
	broken   string              // output of a build that failed
	timedOut bool                // the test binary ran out of time
	ends     map[string]outcome  // by test
	output   map[string][]string // by test; "" is what belongs to none
}

// event is a line of `go test -json`: see `go doc test2json`.
type event struct {
	Action, Test, Output, FailedBuild string
}

// read takes the output of `go test -json`. Lines that are no event come from the go command itself.
func read(output []byte) *report {
	r := &report{ends: map[string]outcome{}, output: map[string][]string{}}
	complaints, ran := "", false
	for line := range bytes.Lines(output) {
		var e event
		if json.Unmarshal(line, &e) != nil {
			complaints += string(line)
			continue
		}
		switch e.Action {
		case "build-output":
			complaints += e.Output
		case "output":
			r.output[e.Test] = append(r.output[e.Test], e.Output)
			r.timedOut = r.timedOut || strings.HasPrefix(e.Output, "panic: test timed out after ")
		case "pass", "fail", "skip":
			if e.Test != "" {
				r.ends[e.Test] = outcome(e.Action)
			}
			ran = ran || e.FailedBuild == ""
		}
	}
	if !ran {
		r.broken = complaints + strings.Join(r.output[""], "")
	}
	return r
}

// end is how a test ended.
func (r *report) end(test string) outcome {
	if o, ok := r.ends[shownName(test)]; ok {
		return o
	}
	return absent
}

// text is the output of a test, of its subtests and of what belongs to no test, as that of a goroutine that panicked.
func (r *report) text(test string) string {
	var b strings.Builder
	for _, name := range sortedKeys(r.output) {
		if name == "" || name == shownName(test) || strings.HasPrefix(name, shownName(test)+"/") {
			b.WriteString(strings.Join(r.output[name], ""))
		}
	}
	return b.String()
}

// shownName is a test's name as package testing writes it.
func shownName(name string) string { return strings.ReplaceAll(name, " ", "_") }

func sortedKeys(m map[string][]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Verdicts on a mutation that was not caught.
var (
	errBroken   = errors.New("the mutated code does not build")
	errTimedOut = errors.New("the test ran out of time, which proves nothing: name a test that fails")
	errAbsent   = errors.New("there is no such test")
	errSurvived = errors.New("the mutation survives: the test passes without the rule")
	errSkipped  = errors.New("the test is skipped")
	errReason   = errors.New("the test fails for another reason than the one that is expected")
)

// judge says whether the mutation was caught: by which line of the test's output, or why not.
func (m *Mutation) judge(r *report) (line string, err error) {
	switch {
	case r.broken != "":
		return "", fmt.Errorf("%w:\n%s", errBroken, r.broken)
	case r.timedOut:
		return "", fmt.Errorf("%w\n%s", errTimedOut, tail(r.text(m.Test.Name)))
	}
	switch r.end(m.Test.Name) {
	case absent:
		return "", fmt.Errorf("%w: %s\n%s", errAbsent, m.Test.Name, tail(r.text(m.Test.Name)))
	case passed:
		return "", errSurvived
	case skipped:
		return "", errSkipped
	case failed:
	}
	expected, err := regexp.Compile(m.Fails)
	if err != nil {
		return "", err
	}
	text := r.text(m.Test.Name)
	for line := range strings.Lines(text) {
		if m.Fails != "" && expected.MatchString(line) {
			return strings.TrimSpace(line), nil
		}
	}
	return "", fmt.Errorf("%w, %q:\n%s", errReason, m.Fails, tail(text))
}

// tail is the last part of a long text.
func tail(text string) string {
	const most = 4000
	if len(text) <= most {
		return text
	}
	return "...\n" + text[len(text)-most:]
}

// tree runs tests of the module at root.
type tree struct {
	root    string
	timeout time.Duration // for one test binary
}

// with tries a mutation; dir is for its files.
func (tr *tree) with(ctx context.Context, m *Mutation, dir string) (*report, error) {
	overlay, err := m.write(tr.root, dir)
	if err != nil {
		return nil, err
	}
	return tr.run(ctx, m.Test.Package, m.Test.Tags, []string{m.Test.Name}, overlay)
}

// run runs tests of a package, with an overlay or "" without. Without one, the go command may answer from its cache.
func (tr *tree) run(ctx context.Context, pkg, tags string, tests []string, overlay string) (*report, error) {
	args := []string{"test", "-json", "-vet=off", "-timeout=" + tr.timeout.String(), "-run=" + pattern(tests)}
	if tags != "" {
		args = append(args, "-tags="+tags)
	}
	if overlay != "" {
		args = append(args, "-count=1", "-overlay="+overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...) //nolint:gosec // our own list
	cmd.Dir = tr.root
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, complaints.String())
	}
	return read(append(out, complaints.Bytes()...)), nil // a test that failed is no error here
}

// pattern is the -run pattern for exactly these tests.
func pattern(tests []string) string {
	alternatives := make([]string, len(tests))
	for i, test := range tests {
		parts := strings.Split(shownName(test), "/")
		for k, part := range parts {
			parts[k] = "^" + regexp.QuoteMeta(part) + "$"
		}
		alternatives[i] = strings.Join(parts, "/")
	}
	return strings.Join(alternatives, "|")
}
