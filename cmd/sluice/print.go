package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"sluice/internal/api"
)

// stamp is how a time is printed, always in UTC.
const stamp = "2006-01-02T15:04:05Z"

// maxCell bounds a cell of a table, in characters. Other outputs are never cut.
const maxCell = 80

// table prints aligned columns. Rows are aligned a thousand at a time, so that long answers stream.
type table struct {
	out     *tabwriter.Writer
	pending int
}

func newTable(w io.Writer, header ...string) *table {
	t := &table{out: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row(header...)
	return t
}

// row adds a line. Cells are cleaned: log fields are written by attackers and must not reach a terminal as they are.
func (t *table) row(cells ...string) {
	for i, cell := range cells {
		if cell = cut(clean(cell), maxCell); cell == "" {
			cell = "-"
		}
		sep := "\t"
		if i == len(cells)-1 {
			sep = "\n"
		}
		_, _ = io.WriteString(t.out, cell+sep) // tabwriter keeps the error for Flush
	}
	t.pending++
}

// full reports whether enough rows wait for a flush.
func (t *table) full() bool { return t.pending >= 1000 }

func (t *table) flush() error {
	t.pending = 0
	return t.out.Flush()
}

// clean makes control characters visible instead of effective.
func clean(s string) string {
	bad := func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
	if strings.IndexFunc(s, bad) < 0 {
		return s
	}
	var out strings.Builder
	for _, r := range s {
		if bad(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			out.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

func cut(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	return string([]rune(s)[:limit-1]) + "…"
}

// count prints a number with separators.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// relative prints a time as people say it: "2 min ago", "in 4 min".
func relative(now time.Time, t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	d := now.Sub(*t)
	switch {
	case d > -time.Second && d < time.Second:
		return "now"
	case d < 0:
		return "in " + lasting(int64(-d/time.Second))
	}
	return lasting(int64(d/time.Second)) + " ago"
}

// lasting prints a number of seconds in its largest fitting unit.
func lasting(seconds int64) string {
	switch {
	case seconds <= 0:
		return "-"
	case seconds < 60:
		return fmt.Sprintf("%d s", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%d min", seconds/60)
	case seconds < 48*3600:
		return fmt.Sprintf("%d h", seconds/3600)
	}
	return fmt.Sprintf("%d days", seconds/86400)
}

func (c *cli) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(c.out, format, args...)
	return err
}

func (c *cli) printJSON(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// mistakes prints mistakes of a document as file:line:column: what.
func (c *cli) mistakes(level string, all []api.Mistake) {
	for _, m := range all {
		where := m.File
		if m.Line > 0 {
			where += fmt.Sprintf(":%d:%d", m.Line, m.Column)
		}
		what := m.Message
		if m.Path != "" {
			what = m.Path + ": " + what
		}
		c.sayf("%s: %s: %s", clean(where), level, clean(what))
		if m.Hint != "" {
			c.sayf("hint: %s", clean(m.Hint))
		}
	}
}

func list(words []string) string { return strings.Join(words, ", ") }
