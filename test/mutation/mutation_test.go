package mutation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// variable switches the whole list on.
const variable = "SLUICE_MUTATIONS"

// patience is for one test binary.
const patience = 4 * time.Minute

// root is the folder of the module.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			err = errors.New("no go.mod above")
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal(err)
	return ""
}

// TestMutations is the list: each mutation has to be caught by its test, and the test has to pass without it.
func TestMutations(t *testing.T) {
	tr := &tree{root: root(t), timeout: patience}
	list := slices.DeleteFunc(All(), func(m Mutation) bool { return !m.Quick && (testing.Short() || os.Getenv(variable) != "1") })
	before := &baselines{tree: tr, list: list, runs: map[Test]*baseline{}}
	for _, m := range list {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			switch end, text, err := before.of(t.Context(), m.Test); {
			case err != nil:
				t.Fatal(err)
			case end == skipped:
				t.Skipf("%s is skipped here, so nothing can be said:\n%s", m.Test.Name, tail(text))
			case end != passed:
				t.Fatalf("%s of %s does not pass as the code is (%s):\n%s", m.Test.Name, m.Test.Package, end, tail(text))
			}
			r, err := tr.with(t.Context(), &m, t.TempDir())
			var line string
			if err == nil {
				line, err = m.judge(r)
			}
			if err != nil {
				t.Fatalf("%s is taken out of %s, and %s does not fail as it should: %v", strings.Join(m.Keeps, ", "), m.File, m.Test.Name, err)
			}
			t.Logf("%s of %s: %s", m.Test.Name, m.Test.Package, line)
		})
	}
}

// baselines runs the tests of the list as the code is, those of one package and of the same tags together and once.
type baselines struct {
	*tree
	list []Mutation

	mu   sync.Mutex
	runs map[Test]*baseline // without names
}

type baseline struct {
	once   sync.Once
	report *report
	err    error
}

func (b *baselines) of(ctx context.Context, test Test) (end outcome, text string, err error) {
	group := Test{Package: test.Package, Tags: test.Tags}
	b.mu.Lock()
	run := b.runs[group]
	if run == nil {
		run = &baseline{}
		b.runs[group] = run
	}
	b.mu.Unlock()
	run.once.Do(func() {
		var names []string
		for _, m := range b.list {
			if m.Test.Package == test.Package && m.Test.Tags == test.Tags && !slices.Contains(names, m.Test.Name) {
				names = append(names, m.Test.Name)
			}
		}
		run.report, run.err = b.run(context.WithoutCancel(ctx), test.Package, test.Tags, names, "")
	})
	switch {
	case run.err != nil:
		return absent, "", run.err
	case run.report.broken != "":
		return absent, run.report.broken, nil
	}
	return run.report.end(test.Name), run.report.text(test.Name), nil
}

// TestListIsUpToDate checks what can be checked without running anything, so that a mutation that no longer fits is seen by
// whoever changed the code.
func TestListIsUpToDate(t *testing.T) {
	names := map[string]bool{}
	for _, m := range All() {
		t.Run(m.Name, func(t *testing.T) {
			if names[m.Name] {
				t.Error("two mutations have this name")
			}
			names[m.Name] = true
			if _, err := m.write(root(t), t.TempDir()); err != nil {
				t.Error(err)
			}
			if _, err := regexp.Compile(m.Fails); err != nil || m.Fails == "" {
				t.Errorf("what its failure looks like: %q, %v", m.Fails, err)
			}
			if len(m.Keeps) == 0 || m.Test.Package == "" || m.Test.Name == "" {
				t.Errorf("a mutation says what it takes away and which test notices it: %+v", m)
			}
		})
	}
}

// TestEveryRuleIsTakenAway: each rule of the collection path that is built has a mutation.
func TestEveryRuleIsTakenAway(t *testing.T) {
	taken := map[string]bool{}
	for _, m := range All() {
		for _, rule := range m.Keeps {
			taken[rule] = true
		}
	}
	for rule := 1; rule <= 15; rule++ {
		name := fmt.Sprint("rule ", rule)
		if rule == 14 { // about alerts, which are not built yet
			continue
		}
		if !taken[name] {
			t.Errorf("no mutation takes %s away", name)
		}
		delete(taken, name)
	}
	for law := 1; law <= 6; law++ {
		delete(taken, fmt.Sprint("law ", law))
	}
	for name := range taken {
		t.Errorf("a mutation takes %q away, which docs/design.md does not have", name)
	}
}

// TestRunner tries mutations on a small module: one is caught, and one for each way in which none is.
func TestRunner(t *testing.T) {
	tr := &tree{root: filepath.Join(root(t), "test", "mutation", "testdata", "sample"), timeout: patience}
	hasty := &tree{root: tr.root, timeout: 5 * time.Second} // for what runs out of time; the others may be slow
	const larger = "TestMax/first is larger"
	for _, tt := range []struct {
		name     string
		old, new string
		test     string
		fails    string
		want     error
	}{
		{"caught", "a > b", "a < b", larger, `got 1, want 2`, nil},
		{"caught by a panic", "return a\n", "panic(a)\n", "TestMax", `panic: 2`, nil},
		{"caught elsewhere", "a > b", "a > 1+b", "TestMax/second is larger", `got`, errSurvived},
		{"survives", "a > b", "a >= b", "TestMax", `got`, errSurvived},
		{"another reason", "a > b", "a < b", "TestMax", `got 7`, errReason},
		{"no reason", "a > b", "a < b", "TestMax", ``, errReason},
		{"does not compile", "a > b", "a > c", "TestMax", `undefined`, errBroken},
		{"runs out of time", "<-done", "<-make(chan int)", "TestWait", `test timed out`, errTimedOut},
		{"is skipped", "a > b", "a < b", "TestSkipped", `not here`, errSkipped},
		{"no such test", "a > b", "a < b", "TestNothing", `no tests`, errAbsent},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := Mutation{Name: tt.name, File: "sample.go", Old: tt.old, New: tt.new, Test: Test{Package: ".", Name: tt.test}, Fails: tt.fails}
			in := tr
			if errors.Is(tt.want, errTimedOut) {
				in = hasty
			}
			r, err := in.with(t.Context(), &m, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.judge(r); !errors.Is(err, tt.want) {
				t.Errorf("verdict %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("as it is", func(t *testing.T) {
		r, err := tr.run(t.Context(), ".", "", []string{larger, "TestSkipped"}, "")
		if err != nil || r.broken != "" || r.end(larger) != passed || r.end("TestSkipped") != skipped || r.end("TestWait") != absent {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestOutOfDate(t *testing.T) {
	for name, m := range map[string]Mutation{
		"old text is gone":  {File: "sample.go", Old: "a >= b", New: "a < b"},
		"old text is twice": {File: "sample.go", Old: "return", New: "// return"},
		"file is gone":      {File: "example.go", Old: "a > b", New: "a < b"},
	} {
		if _, err := m.write(filepath.Join("testdata", "sample"), t.TempDir()); err == nil || !strings.Contains(err.Error(), "out of date") {
			t.Errorf("%s: %v", name, err)
		}
	}
	nothing := Mutation{File: "sample.go", Old: "a > b", New: "a > b"}
	if _, err := nothing.write(filepath.Join("testdata", "sample"), t.TempDir()); err == nil {
		t.Error("a mutation that changes nothing was taken")
	}
}
