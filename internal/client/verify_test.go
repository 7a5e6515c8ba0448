package client_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/fault"
)

func TestVerify(t *testing.T) {
	c, fake := connect(t)
	var phases []string
	report, err := c.Verify(t.Context(), api.VerifyQuery{Connector: "broken", Since: "2026-03-01", Repair: true}, func(p api.VerifyProgress) {
		phases = append(phases, string(p.Phase))
	})
	if err != nil || strings.Join(phases, " ") != "listing counting comparing" {
		t.Fatalf("%v %v", phases, err)
	}
	if report.Complete || report.Repaired != 1 || len(report.Problems) != 3 || report.Totals.Missing != 1 || report.CoveragePercent >= 100 {
		t.Errorf("report = %+v", report)
	}
	want := api.VerifyRequest{Connector: "broken", Since: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Repair: true}
	if fake.Verified[0] != want {
		t.Errorf("asked for %+v, want %+v", fake.Verified[0], want)
	}
	last, err := c.LastVerify(t.Context())
	if err != nil || len(last) != 1 || last[0].Connector != "broken" {
		t.Errorf("last = %+v, %v", last, err)
	}
	ignore := func(api.VerifyProgress) {}
	if _, err := c.Verify(t.Context(), api.VerifyQuery{Connector: "nobody"}, ignore); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown connector: %v", err)
	}
	if _, err := c.Verify(t.Context(), api.VerifyQuery{Connector: "late"}, ignore); !fault.Is(err, fault.Throttled) || fault.HintOf(err) == "" {
		t.Errorf("a late failure: %v", err)
	}
}

// TestVerifyWithoutReport: a stream that ends well as HTTP but has no report is no verdict.
func TestVerifyWithoutReport(t *testing.T) {
	c := dial(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		_, _ = io.WriteString(w, `{"progress":{"phase":"listing"}}`+"\n")
	}))
	if _, err := c.Verify(t.Context(), api.VerifyQuery{}, func(api.VerifyProgress) {}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v", err)
	}
}

func TestUnits(t *testing.T) {
	c, _ := connect(t)
	var ids []string
	r := api.UnitsRequest{Connector: "broken", State: api.UnitPending, ContentType: "Audit.General", Limit: 3, Since: apitest.Now.Add(-4 * time.Hour), Until: apitest.Now}
	for {
		page, err := c.Units(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Units {
			ids = append(ids, u.ID)
		}
		if page.Next == "" {
			break
		}
		r.After = page.Next
	}
	if want := []string{apitest.UnitID(2), apitest.UnitID(3), apitest.UnitID(4), apitest.UnitID(5)}; strings.Join(ids, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", ids, want)
	}
	r.After, r.Until = "", apitest.Now.Add(-3*time.Hour)
	if page, err := c.Units(t.Context(), r); err != nil || page.Units == nil || len(page.Units) != 0 {
		t.Errorf("an early until: %+v, %v", page, err)
	}
	if _, err := c.Units(t.Context(), api.UnitsRequest{Connector: "no/body"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("unknown connector: %v", err)
	}
}

func TestRetry(t *testing.T) {
	c, fake := connect(t)
	got, err := c.Retry(t.Context(), "broken", api.RetryOptions{Unit: "ABCDE2", Lost: true})
	if err != nil || got.Queued != 1 || fake.Retried[0] != (api.RetryRequest{Connector: "broken", Unit: "abcde2", Lost: true}) {
		t.Errorf("%+v, %v, %+v", got, err, fake.Retried)
	}
}

func TestLakeCheckAndRepair(t *testing.T) {
	c, _ := connect(t)
	if check, err := c.CheckLake(t.Context(), true); err != nil || !check.Deep || check.Damaged != 1 || len(check.Problems) != 2 {
		t.Errorf("%+v, %v", check, err)
	}
	if repair, err := c.RepairLake(t.Context()); err != nil || repair.Removed != 1 || repair.Moved != 1 || repair.Aside == "" {
		t.Errorf("%+v, %v", repair, err)
	}
	if check, err := c.CheckLake(t.Context(), false); err != nil || check.Missing != 0 || check.Problems == nil {
		t.Errorf("%+v, %v", check, err)
	}
}
