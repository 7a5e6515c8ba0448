package house

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "sluice"

// minComment is the shortest package comment, in characters: about three lines.
const minComment = 200

func tree(t *testing.T) []Package {
	t.Helper()
	packages, err := Packages(root(t), module, "internal", "cmd", "test")
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 5 {
		t.Fatalf("only %d packages found: the rules look at the wrong place", len(packages))
	}
	return packages
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPackagesExplainThemselves(t *testing.T) {
	t.Parallel()
	for _, p := range tree(t) {
		if n := len([]rune(strings.TrimSpace(p.Comment))); n < minComment && !strings.HasPrefix(p.Path, "test") {
			t.Errorf("%s: the package comment has %d characters, want %d: say what it is for, how its parts meet and what it guarantees", p.Path, n, minComment)
		}
	}
}

func TestArrows(t *testing.T) {
	t.Parallel()
	for _, v := range Violations(tree(t), Arrows()) {
		t.Error(v)
	}
}

// A program below test/ measures from outside and has no tests: its goroutines end with its process.
func TestGoroutinesAreCheckedForLeaks(t *testing.T) {
	t.Parallel()
	for _, p := range tree(t) {
		if p.Name == "main" && strings.HasPrefix(p.Path, "test/") {
			continue
		}
		if p.Starts != "" && !p.Checks {
			t.Errorf("%s starts a goroutine, and no test of %s uses go.uber.org/goleak", p.Starts, p.Path)
		}
	}
}

func TestDocumentsLinkToSomething(t *testing.T) {
	t.Parallel()
	broken, err := BrokenLinks(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range broken {
		t.Error(b)
	}
}

// write makes a small repository.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The rules find what they are meant to find.
func TestRulesOnASmallTree(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"internal/record/a.go":                 "// Package record is short.\npackage record\n\nimport \"sluice/internal/fault\"\n",
		"internal/record/ignored.go":           "//go:build never\n\npackage record\n\nimport \"sluice/internal/state\"\n",
		"internal/source/act/a.go":             "package act\n\nimport (\n\t\"context\"\n\t\"sluice/internal/source\"\n\t\"sluice/internal/state/sub\"\n)\n",
		"internal/source/act/a_test.go":        "package act\n\nimport \"sluice/internal/collect\"\n",
		"internal/lake/engine/e.go":            "package engine\n\nimport _ \"github.com/duckdb/duckdb-go/v2\"\n\nfunc f() { go f() }\n",
		"internal/lake/engine/e_test.go":       "package engine\n\nimport _ \"go.uber.org/goleak\"\n",
		"internal/lake/l.go":                   "package lake\n\nimport _ \"github.com/duckdb/duckdb-go/v2\"\n\nfunc f(g interface{ Go(func()) }) { g.Go(nil) }\n",
		"internal/lake/engine/enginetest/e.go": "package enginetest\n\nimport (\n\t_ \"github.com/duckdb/duckdb-go/v2\"\n\t_ \"testing\"\n)\n",
		"internal/search/s.go":                 "package search\n\nimport _ \"sluice/internal/lake/engine/enginetest\"\n",
		"internal/search/s_test.go":            "package search\n\nimport _ \"sluice/internal/lake/engine/enginetest\"\n",
		"internal/app/testdata/x.go":           "package broken{",
		"cmd/sluice/main.go":                   "package main\n\nimport _ \"sluice/internal/app\"\n",
		"cmd/other/main.go":                    "package main\n\nimport _ \"sluice/internal/app\"\n",
	})
	packages, err := Packages(dir, module, "internal", "cmd")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range Violations(packages, Arrows()) {
		position, _, _ := strings.Cut(v, " ")
		got = append(got, position)
	}
	want := []string{"internal/lake/l.go:3:", "internal/record/a.go:4:", "internal/search/s.go:3:", "internal/source/act/a.go:6:", "cmd/other/main.go:3:"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	facts := map[string]string{}
	for _, p := range packages {
		facts[p.Path] = fmt.Sprintf("%s %v %s", p.Starts, p.Checks, p.Comment)
	}
	for path, want := range map[string]string{
		"internal/record":      " false Package record is short.\n",
		"internal/lake/engine": "internal/lake/engine/e.go:5 true ",
		"internal/lake":        "internal/lake/l.go:5 false ",
	} {
		if facts[path] != want {
			t.Errorf("%s: got %q, want %q", path, facts[path], want)
		}
	}
}

func TestBrokenLinks(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"README.md":     "[a](docs/a.md) [gone](docs/gone.md#part) [web](https://x.example) [here](#x) ![p](docs/p.png) `[code](no)`\n```\n[code](no)\n```\n",
		"docs/a.md":     "[up](../README.md#x \"title\") [root](/docs/a.md)\n[ref]: missing.md\n",
		".hidden/x.md":  "[x](y)\n",
		"testdata/x.md": "[x](y)\n",
	})
	got, err := BrokenLinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"README.md:1: docs/gone.md#part leads nowhere",
		"README.md:1: docs/p.png leads nowhere",
		"docs/a.md:2: missing.md leads nowhere",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
