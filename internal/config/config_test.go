package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/internal/fault"
)

var update = flag.Bool("update", false, "rewrite the expected messages of testdata/bad")

// The first comment lines of each file in testdata/bad are the exact messages that the file must produce.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	for _, path := range files(t, "bad") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			data := read(t, path)
			if *update {
				data = rewrite(t, path, data)
			}
			file, err := Load(filepath.Base(path), data, drivers(), environment)
			if err == nil {
				t.Fatal("Load found nothing wrong")
			}
			if file != nil {
				t.Error("Load returned a file beside its error")
			}
			want, _ := messages(data)
			if got := err.Error(); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if fault.KindOf(err) != fault.Config {
				t.Errorf("the kind is %s, want %s", fault.KindOf(err), fault.Config)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the message tells a secret: %s", err)
			}
		})
	}
}

// messages splits a fixture into the messages of its first comment lines and the document.
func messages(data []byte) (want string, document []byte) {
	var lines []string
	for {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok || !bytes.HasPrefix(line, []byte("# ")) {
			return strings.Join(lines, "\n"), data
		}
		lines = append(lines, string(line[2:]))
		data = rest
	}
}

// rewrite replaces the messages of a fixture. Their number moves the lines that they name, hence the repetition.
func rewrite(t *testing.T, path string, data []byte) []byte {
	t.Helper()
	_, document := messages(data)
	data = append([]byte("# ?\n"), document...)
	for range 3 {
		_, err := Load(filepath.Base(path), data, drivers(), environment)
		if err == nil {
			t.Fatalf("%s: nothing is wrong", path)
		}
		head := "# " + strings.ReplaceAll(err.Error(), "\n", "\n# ") + "\n"
		data = append([]byte(head), document...)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return data
}

// Each good file loads without error and warning, and its connectors survive every form.
func TestGoodFiles(t *testing.T) {
	t.Parallel()
	for _, path := range files(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			file, err := Load(path, read(t, path), drivers(), environment)
			if err != nil {
				t.Fatal(err)
			}
			if len(file.Warnings) > 0 {
				t.Errorf("warnings: %v", file.Warnings)
			}
			roundTrip(t, file.Connectors)
		})
	}
}

func files(t *testing.T, folder string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s: %v", folder, err)
	}
	return paths
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// roundTrip sends connectors through the stored form and the printed form and compares.
func roundTrip(t *testing.T, connectors []Connector) {
	t.Helper()
	for _, c := range connectors {
		stored, err := FromSpec(c.SpecJSON(), drivers())
		if err != nil {
			t.Fatalf("FromSpec(%s): %v", c.JSON(), err)
		}
		if got, want := string(stored.SpecJSON()), string(c.SpecJSON()); got != want {
			t.Errorf("stored form\ngot  %s\nwant %s", got, want)
		}
	}
	var yaml bytes.Buffer
	if err := WriteYAML(&yaml, connectors); err != nil {
		t.Fatal(err)
	}
	apply, err := ParseApply("printed.yaml", yaml.Bytes(), drivers())
	if err != nil {
		t.Fatalf("%v\n%s", err, &yaml)
	}
	if len(apply.Connectors) != len(connectors) {
		t.Fatalf("%d connectors came back of %d", len(apply.Connectors), len(connectors))
	}
	for i, c := range apply.Connectors {
		if got, want := string(c.SpecJSON()), string(connectors[i].SpecJSON()); got != want {
			t.Errorf("printed form\ngot  %s\nwant %s", got, want)
		}
	}
}

func TestProblemsAreTyped(t *testing.T) {
	t.Parallel()
	_, err := Load("sluice.yaml", []byte("dta: 1\nlisten: x\n"), drivers(), nil)
	var problems Problems
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Fatalf("got %#v, want two Problems", err)
	}
	if p := problems[1]; p.Line != 2 || p.Column != 9 || p.Path != "listen" || p.File != "sluice.yaml" {
		t.Errorf("got %+v", p)
	}
}
