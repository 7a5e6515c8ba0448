package source

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// RenderChecks prints the steps of a connection test as a person reads them:
//
//	passed  sign-in network: login.microsoftonline.com is 20.190.160.1, port 443 is open (31ms)
//	failed  token: AADSTS7000222: the client secret has expired (180ms)
//	        hint: open entra.microsoft.com > App registrations > ...
//	              copy its Value at once, ...
//	skipped tenant: token failed
//
// Each step of a hint has its own line. verbose adds the request and the answer of a step that has them. Texts of the far
// side are cleaned: no control character reaches the terminal.
func RenderChecks(w io.Writer, checks []Check, verbose bool) error {
	for _, c := range checks {
		if err := RenderCheck(w, c, verbose); err != nil {
			return err
		}
	}
	return nil
}

// RenderCheck prints one step, for tests that are shown while they run.
func RenderCheck(w io.Writer, c Check, verbose bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s%s", c.Status, printable(c.Name))
	if c.Message != "" {
		b.WriteString(": " + printable(c.Message))
	}
	if d := c.Duration.Round(time.Millisecond); d > 0 {
		fmt.Fprintf(&b, " (%s)", d)
	}
	b.WriteByte('\n')
	if c.Hint != "" {
		label := "hint"
		if c.Status != Failed {
			label = "warning"
		}
		labelled(&b, label, strings.Split(c.Hint, "; "))
	}
	if verbose && c.Detail != "" {
		labelled(&b, "more", strings.Split(c.Detail, "\n"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// labelled prints lines below a step: the first behind a label, the others below the first.
func labelled(b *strings.Builder, label string, lines []string) {
	const indent = "        "
	for i, line := range lines {
		prefix := strings.Repeat(" ", len(label)+2)
		if i == 0 {
			prefix = label + ": "
		}
		b.WriteString(indent + prefix + printable(line) + "\n")
	}
}

// printable makes control characters visible instead of effective.
func printable(s string) string {
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
