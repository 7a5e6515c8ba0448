// Command docs writes the pages of docs/reference that follow from declarations in the code: the settings of the
// server, the options of each connector type and the JSON Schema of sluice.yaml. With -check it writes nothing and
// fails when a page differs from what it would write, which is how the tests notice a forgotten `make docs`.
//
//	go run ./internal/tools/docs [-check] [-out docs/reference]
package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"sluice/internal/config"
	"sluice/internal/source"
	"sluice/internal/source/activity"
)

func main() {
	check := flag.Bool("check", false, "compare instead of writing")
	out := flag.String("out", filepath.Join("docs", "reference"), "folder of the pages")
	flag.Parse()
	if err := run(*out, *check); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

func run(out string, check bool) error {
	pages := config.ReferencePages([]source.Properties{activity.Properties()})
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		path := filepath.Join(out, name)
		if check {
			if have, err := os.ReadFile(path); err != nil || !bytes.Equal(have, pages[name]) {
				return fmt.Errorf("%s is not up to date: run make docs", path)
			}
			continue
		}
		if err := write(path, pages[name]); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // public documentation
		return err
	}
	return os.WriteFile(path, text, 0o644) //nolint:gosec // public documentation
}
