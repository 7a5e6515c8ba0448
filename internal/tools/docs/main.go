// Command docs writes the pages of docs/reference that follow from declarations in the code: the settings of the
// server, the options of each connector type, what each type needs, the options of multi-tenant applications, the JSON
// Schema of sluice.yaml, and the fields of the record. With -check it writes nothing and
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
	"strings"

	"sluice/internal/config"
	"sluice/internal/normalize"
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
	drivers := []source.Properties{activity.Properties()}
	pages := config.ReferencePages(drivers)
	pages["record.md"] = recordPage()
	pages["types.md"] = typesPage(drivers)
	pages["consent.md"] = consentPage()
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

// recordPage lists the core columns of the lake and fields of record/1.
func recordPage() []byte {
	kinds := map[normalize.Kind]string{normalize.Text: "text", normalize.Long: "integer", normalize.Time: "time", normalize.JSON: "JSON"}
	var b bytes.Buffer
	b.WriteString(`# The record

Every record in the lake has the fields below as far as its source tells them; what is absent is not there at all. Beside them stands
the Microsoft record, unchanged, under the name of its source: ` + "`office365.Operation`" + `, ` + "`office365.UserId`" + ` and so on. A bare Microsoft
name (` + "`Operation`" + `) works in searches too. In JSON the dots are nested objects and times are milliseconds since 1970 in UTC; in SQL each
field is a column under its dotted name, in double quotes, and times are timestamps.

| field | type | meaning |
| --- | --- | --- |
| ` + "`_id`" + ` | text | identity of the record; unique in the lake |
| ` + "`_index`" + ` | text | the index that holds it: windows_events, alerts, syslog or quarantine |
| ` + "`write_time`" + ` | time | when it was committed to the lake |
| ` + "`_seq`, `_unit`, `_batch`" + ` | | its place in the journal and the unit that brought it |
`)
	for _, c := range normalize.Columns {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", c.Name, kinds[c.Kind], strings.ReplaceAll(c.Help, "|", "\\|"))
	}
	b.WriteString("\nIn SQL the column `raw` gives the Microsoft record byte for byte.\n")
	return b.Bytes()
}

func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // public documentation
		return err
	}
	return os.WriteFile(path, text, 0o644) //nolint:gosec // public documentation
}
