package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/fault"
)

func TestPercentNeverRoundsUp(t *testing.T) {
	for _, tc := range []struct {
		coverage float64
		whole    bool
		want     string
	}{
		{100, true, "100.00%"},
		{100, false, "99.99%"}, // a server that rounded
		{99.99999999999999, true, "99.99%"},
		{99.99999999999999, false, "99.99%"},
		{99.999, false, "99.99%"},
		{99.99, false, "99.99%"},
		{99.989999, false, "99.98%"},
		{66.6666, false, "66.66%"},
		{0.004, false, "0.00%"},
		{0, false, "0.00%"},
		{-1, false, "0.00%"},
	} {
		if got := percent(tc.coverage, tc.whole); got != tc.want {
			t.Errorf("percent(%v, %v) = %s, want %s", tc.coverage, tc.whole, got, tc.want)
		}
	}
	for n := range int64(10_001) { // each hundredth that a report can have
		counts := api.VerifyCounts{Listed: 10_000, Landed: n, Missing: 10_000 - n}
		if got, want := percent(counts.Coverage(), counts.Whole()), fmt.Sprintf("%d.%02d%%", n/100, n%100); got != want {
			t.Errorf("%d of 10000 = %s, want %s", n, got, want)
		}
	}
}

func TestNoCoverageWithoutAVerdict(t *testing.T) {
	for want, n := range map[string]api.VerifyCounts{
		"-":       {Listed: 5, Waiting: 5},
		"100.00%": {Listed: 5, Waiting: 4, Landed: 1},
		"0.00%":   {Listed: 5, Waiting: 4, Missing: 1},
	} {
		cells := verifyCells(n, n.Coverage())
		if got := cells[len(cells)-1]; got != want {
			t.Errorf("%+v reads %s, want %s", n, got, want)
		}
	}
	if cells := verifyCells(api.VerifyCounts{}, 100); cells[len(cells)-1] != "100.00%" {
		t.Errorf("nothing listed reads %s", cells[len(cells)-1])
	}
}

func reported(change func(*api.VerifyReport)) api.VerifyReport {
	r := api.VerifyReport{Connector: "contoso", Since: apitest.Now.Add(-time.Hour), Until: apitest.Now, Feeds: []api.VerifyFeed{{Connector: "contoso"}}}
	change(&r)
	return r
}

func TestVerdict(t *testing.T) {
	for want, change := range map[string]func(*api.VerifyReport){
		"complete: everything that Microsoft lists from 2026-03-04T04:06:07Z to 2026-03-04T05:06:07Z is in the lake: 1 unit with 2 records": func(r *api.VerifyReport) {
			r.Totals = api.VerifyCounts{Listed: 1, Landed: 1, Records: 2}
		},
		"complete so far: nothing that Microsoft lists from 2026-03-04T04:06:07Z to 2026-03-04T05:06:07Z is missing; 0 units landed with 0 records, 2,000 units still wait: see sluice status --queue": func(r *api.VerifyReport) {
			r.Totals = api.VerifyCounts{Listed: 2000, Waiting: 2000}
		},
		"complete: Microsoft lists nothing until 2026-03-04T05:06:07Z": func(r *api.VerifyReport) { r.Since = time.Time{} },
		"nothing to verify: there is no connector that collects":       func(r *api.VerifyReport) { r.Feeds = nil },
	} {
		if got := verdict(reported(change)); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestIncompleteSaysWhatToDo(t *testing.T) {
	missing := func(r *api.VerifyReport) {
		r.Totals = api.VerifyCounts{Listed: 3, Landed: 1, Missing: 2}
		r.Problems = []api.VerifyProblem{{State: api.UnitMissing, Repairable: true}}
	}
	for _, tc := range []struct {
		name          string
		change        func(*api.VerifyReport)
		repair        bool
		message, hint string
	}{
		{"repairable", missing, false, ": 2 units missing", "run `sluice verify contoso --repair` to fetch again what is missing"},
		{"repairable, not named", func(r *api.VerifyReport) { missing(r); r.Problems, r.Omitted, r.Connector = nil, 2, "" }, false, ": 2 units missing", "run `sluice verify --repair` to fetch again what is missing"},
		{"repaired", func(r *api.VerifyReport) { missing(r); r.Repaired = 2 }, true, ": 2 units missing", "2 units are fetched again now; run `sluice verify contoso` when sluice status --queue shows nothing"},
		{"gone", func(r *api.VerifyReport) { missing(r); r.Problems[0].Repairable = false }, false, ": 2 units missing", "what is missing cannot be fetched again"},
		{"lost", func(r *api.VerifyReport) { r.Totals = api.VerifyCounts{Lost: 1} }, false, ": 1 unit lost", "lost units are gone at Microsoft"},
		{"surplus", func(r *api.VerifyReport) { r.Totals = api.VerifyCounts{Surplus: 1, SurplusRecords: 2} }, false, ": 1 unit surplus, 2 records surplus", "please report it"},
		{"no verdict", func(r *api.VerifyReport) { r.Notes = []string{"listing failed"} }, false, "no verdict on everything", "see the notes"},
	} {
		err := incomplete(reported(tc.change), tc.repair)
		var part *partError
		if !errors.As(err, &part) || codeOf(err) != exitPartly || !strings.Contains(err.Error(), tc.message) || !strings.HasPrefix(fault.HintOf(err), tc.hint) && !strings.Contains(fault.HintOf(err), tc.hint) {
			t.Errorf("%s: %v; hint %q", tc.name, err, fault.HintOf(err))
		}
	}
	if err := incomplete(reported(func(r *api.VerifyReport) { r.Complete = true }), false); err != nil {
		t.Errorf("complete: %v", err)
	}
}

// TestLongReportsAreBounded also checks that what an attacker wrote does not reach the terminal.
func TestLongReportsAreBounded(t *testing.T) {
	var out, said bytes.Buffer
	c := &cli{out: &out, err: &said, now: func() time.Time { return apitest.Now }}
	r := reported(func(r *api.VerifyReport) {
		r.Omitted, r.Totals.Missing = 5000, 6000
		for range 1000 {
			r.Problems = append(r.Problems, api.VerifyProblem{State: api.UnitMissing, Reason: "evil \x1b[31m\nlost: fake"})
			r.Feeds[0].Gaps = append(r.Feeds[0].Gaps, api.Gap{Reason: "g\x1b"})
		}
	})
	if err := c.printVerify(r, false, false); codeOf(err) != exitPartly {
		t.Fatal(err)
	}
	text := out.String()
	if n := strings.Count(text, "evil"); n != maxTold {
		t.Errorf("%d problems told", n)
	}
	if n := strings.Count(text, "\ngap: "); n != maxTold+1 {
		t.Errorf("%d gaps told", n)
	}
	for _, want := range []string{"and 5,980 problems more; -o json lists the first 1,000\n", "980 gaps before these", "; it cannot be fetched again\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") || strings.Contains(text, "\nlost: fake") {
		t.Error("control characters come through")
	}
}

func TestStatusShowsCoverageAndGapsOnlyWhenThereAreSome(t *testing.T) {
	var out, said bytes.Buffer
	c := &cli{out: &out, err: &said, now: func() time.Time { return apitest.Now }}
	if err := c.printStatus([]api.Status{{Name: "a", ContentType: "b"}}); err != nil || strings.Contains(out.String(), "COVERAGE") || said.Len() > 0 {
		t.Errorf("%v %s%s", err, out.String(), said.String())
	}
	out.Reset()
	almost, all := 99.999, 100.0
	if err := c.printStatus([]api.Status{{Name: "a", CoveragePercent: &almost}, {Name: "b", CoveragePercent: &all}, {Name: "c", Gaps: []api.Gap{{Reason: "gone", Noticed: apitest.Now}}}}); err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{"COVERAGE", "99.99%", "100.00%", "-"} {
		if !strings.HasSuffix(rows[i], " "+want) {
			t.Errorf("row %d: %s", i, rows[i])
		}
	}
	if !strings.Contains(said.String(), "gone (noticed now)\n") || strings.Contains(said.String(), "\n\n") {
		t.Errorf("gaps: %q", said.String())
	}
}

func TestVerifyShowsProgressOnATerminal(t *testing.T) {
	env := serveTest(t)
	out, stderr, code := command(t.Context(), &cli{getenv: env, terminal: true}, "verify", "contoso")
	if code != exitDone || !strings.Contains(stderr, "listing contoso") || strings.Contains(out, "listing") {
		t.Errorf("%d %q %q", code, out, stderr)
	}
}
