package api_test

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
	"sluice/internal/fault"
)

// verifyFrames runs a verification and returns its lines.
func verifyFrames(t *testing.T, s *server, body string) []api.VerifyFrame {
	t.Helper()
	resp, text := s.do(t, http.MethodPost, "/api/v1/verify", body)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		t.Fatalf("%d %s: %s", resp.StatusCode, resp.Header.Get("Content-Type"), text)
	}
	var frames []api.VerifyFrame
	for line := range strings.Lines(text) {
		var f api.VerifyFrame
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		frames = append(frames, f)
	}
	return frames
}

func TestVerifyStreamsProgressThenTheReport(t *testing.T) {
	s := start(t)
	if _, body := s.do(t, http.MethodGet, "/api/v1/verify", ""); strings.TrimSpace(body) != "[]" {
		t.Errorf("before the first: %s", body)
	}
	frames := verifyFrames(t, s, `{"connector":"broken","since":"2026-03-01","until":"2026-03-03"}`)
	if len(frames) != 4 {
		t.Fatalf("%d frames", len(frames))
	}
	for i, phase := range []api.VerifyPhase{api.VerifyListing, api.VerifyCounting, api.VerifyComparing} {
		if p := frames[i].Progress; p == nil || p.Phase != phase || frames[i].Report != nil {
			t.Errorf("frame %d = %+v", i, frames[i])
		}
	}
	report := frames[3].Report
	if report == nil || report.Complete || len(report.Problems) != 3 || report.Problems[0].State != api.UnitGone || report.Problems[1].Unit != apitest.UnitID(2) {
		t.Errorf("report = %+v", report)
	}
	want := api.VerifyRequest{Connector: "broken", Since: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 3, 3, 0, 0, 0, 0, time.UTC)}
	if s.fake.Verified[0] != want {
		t.Errorf("asked %+v, want %+v", s.fake.Verified[0], want)
	}
}

func TestVerifyDefaultsAndLists(t *testing.T) {
	s := start(t)
	_, body := s.do(t, http.MethodPost, "/api/v1/verify", "")
	if got := s.fake.Verified[0]; !got.Since.Equal(apitest.Now.Add(-7*24*time.Hour)) || !got.Until.IsZero() || got.Connector != "" || got.Repair {
		t.Errorf("defaults: %+v", got)
	}
	verifyFrames(t, s, `{"since":"all","repair":true}`)
	if got := s.fake.Verified[1]; !got.Since.IsZero() || !got.Repair {
		t.Errorf("all: %+v", got)
	}
	resp, stored := s.do(t, http.MethodGet, "/api/v1/verify", "")
	var reports []api.VerifyReport
	if err := json.Unmarshal([]byte(stored), &reports); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%d %v %s", resp.StatusCode, err, stored)
	}
	if len(reports) != 2 || reports[0].Connector != "broken" || reports[1].Connector != "contoso" || !reports[1].Complete || reports[0].ID != "verify-2" {
		t.Errorf("stored = %+v", reports)
	}
	for _, text := range []string{body, stored} {
		if strings.Contains(text, `"gaps":null`) || strings.Contains(text, `"hours":null`) || strings.Contains(text, `"problems":null`) || strings.Contains(text, `"notes":null`) {
			t.Errorf("a list is null: %s", text)
		}
	}
}

func TestVerifyFails(t *testing.T) {
	s := start(t)
	for body, want := range map[string]struct {
		status int
		kind   fault.Kind
	}{
		`{"connector":"nobody"}`:          {404, fault.NotFound},
		`{"since":"yesterday"}`:           {400, fault.Config},
		`{"since":"1h","until":"2h"}`:     {400, fault.Config},
		`{"connector":"contoso","sin":1}`: {422, fault.Config},
	} {
		resp, text := s.do(t, http.MethodPost, "/api/v1/verify", body)
		if p := problem(t, resp, text); p.Status != want.status || p.Kind != want.kind {
			t.Errorf("%s: %+v", body, p)
		}
	}
	frames := verifyFrames(t, s, `{"connector":"late"}`)
	if last := frames[len(frames)-1]; len(frames) != 2 || last.Error == nil || last.Error.Kind != fault.Throttled || last.Report != nil {
		t.Errorf("late failure: %+v", frames)
	}
}

func TestCoverage(t *testing.T) {
	for _, tc := range []struct {
		name   string
		counts api.VerifyCounts
		want   float64
	}{
		{"nothing at all", api.VerifyCounts{}, 100},
		{"all landed", api.VerifyCounts{Listed: 5, Landed: 5}, 100},
		{"waiting is no verdict", api.VerifyCounts{Listed: 5, Landed: 4, Waiting: 1}, 100},
		{"surplus misses nothing", api.VerifyCounts{Listed: 5, Landed: 5, Surplus: 1, SurplusRecords: 3}, 100},
		{"lost counts", api.VerifyCounts{Listed: 4, Landed: 3, Lost: 1}, 75},
		{"missing counts", api.VerifyCounts{Listed: 4, Landed: 1, Missing: 2, Lost: 1}, 25},
		{"nothing landed", api.VerifyCounts{Listed: 4, Missing: 4}, 0},
		{"one of very many", api.VerifyCounts{Listed: 1 << 60, Landed: 1<<60 - 1, Missing: 1}, 99.9999999},
		{"records only", api.VerifyCounts{Listed: 1, Landed: 1, Records: 75, MissingRecords: 25}, 75},
		{"what retention dropped was there", api.VerifyCounts{Listed: 1, Landed: 1, Records: 50, DroppedRecords: 25, MissingRecords: 25}, 75},
		{"retention dropped all", api.VerifyCounts{Listed: 1, Landed: 1, DroppedRecords: 25}, 100},
		{"records only, no unit", api.VerifyCounts{MissingRecords: 1}, 0},
	} {
		got := tc.counts.Coverage()
		if math.Abs(got-tc.want) > 1e-12 || (got == 100) != tc.counts.Whole() {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

func TestUnits(t *testing.T) {
	s := start(t)
	get := func(query string) api.UnitsPage {
		t.Helper()
		resp, body := s.do(t, http.MethodGet, "/api/v1/connectors/broken/units"+query, "")
		var page api.UnitsPage
		if err := json.Unmarshal([]byte(body), &page); err != nil || resp.StatusCode != http.StatusOK || page.Units == nil {
			t.Fatalf("%d %v %s", resp.StatusCode, err, body)
		}
		return page
	}
	for query, want := range map[string]int{
		"": 7, "?state=pending": 4, "?state=lost": 1, "?state=landed": 2, "?content_type=DLP.All": 0, "?since=1m": 0, "?until=30d": 0, "?since=1d&until=1m": 7,
	} {
		if page := get(query); len(page.Units) != want || page.Next != "" {
			t.Errorf("%q: %d units, want %d; next %q", query, len(page.Units), want, page.Next)
		}
	}
	first := get("?limit=5")
	second := get("?limit=5&after=" + first.Next)
	if len(first.Units) != 5 || len(second.Units) != 2 || second.Next != "" || second.Units[0].ID != apitest.UnitID(6) {
		t.Errorf("pages: %+v %+v", first, second)
	}
	if resp, body := s.do(t, http.MethodGet, "/api/v1/connectors/contoso/units", ""); resp.StatusCode != http.StatusOK || strings.TrimSpace(body) != `{"units":[]}` {
		t.Errorf("an empty page: %d %s", resp.StatusCode, body)
	}
	for path, status := range map[string]int{
		"nobody/units": 404, "broken/units?state=odd": 422, "broken/units?limit=0": 422, "broken/units?limit=1001": 422,
		"broken/units?after=x": 400, "broken/units?since=soon": 400, "broken/units?sort=id": 422,
	} {
		resp, body := s.do(t, http.MethodGet, "/api/v1/connectors/"+path, "")
		if problem(t, resp, body).Status != status {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, status)
		}
	}
}

func TestUnitHasExactlyTheDocumentedMembers(t *testing.T) {
	s := start(t)
	_, body := s.do(t, http.MethodGet, "/api/v1/connectors/broken/units?state=listed", "")
	var page struct{ Units []map[string]any }
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Units) != 1 {
		t.Fatalf("%v %s", err, body)
	}
	want := strings.Fields(`id connector content_type content_id created expires state attempt next_try last_error bytes records
		duplicates filtered malformed journal_seq listed_at landed_at`)
	for _, name := range want {
		if _, ok := page.Units[0][name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if len(page.Units[0]) != len(want) || page.Units[0]["next_try"] != nil || page.Units[0]["landed_at"] != nil {
		t.Errorf("unit = %v", page.Units[0])
	}
}

func TestRetry(t *testing.T) {
	s := start(t)
	for _, tc := range []struct {
		body   string
		status int
		text   string
	}{
		{"", 200, `{"queued":2}`},
		{`{"lost":true}`, 200, `{"queued":3}`},
		{`{"unit":"` + apitest.UnitID(4) + `"}`, 200, `{"queued":1}`},
		{`{"unit":"ABCDE4"}`, 200, `{"queued":1}`},
		{`{"unit":"abcde1"}`, 409, "given up as lost"},
		{`{"unit":"abcde1","lost":true}`, 200, `{"queued":1}`},
		{`{"unit":"abcde6"}`, 409, "2 units begin with abcde6"},
		{`{"unit":"123456"}`, 404, "no unit 123456"},
		{`{"unit":"abcde"}`, 400, "is no id of a unit"},
		{`{"unit":"nothex1"}`, 400, "is no id of a unit"},
		{`{"unit":"` + apitest.UnitID(4) + `0"}`, 400, "is no id of a unit"},
	} {
		resp, body := s.do(t, http.MethodPost, "/api/v1/connectors/broken/retry", tc.body)
		if resp.StatusCode != tc.status || !strings.Contains(body, tc.text) {
			t.Errorf("%s: %d %s, want %d %s", tc.body, resp.StatusCode, body, tc.status, tc.text)
		}
	}
	if resp, _ := s.do(t, http.MethodPost, "/api/v1/connectors/nobody/retry", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("unknown connector: %d", resp.StatusCode)
	}
}

func TestLakeCheckAndRepair(t *testing.T) {
	s := start(t)
	check := func(body string) (c api.LakeCheck) {
		t.Helper()
		resp, text := s.do(t, http.MethodPost, "/api/v1/lake/check", body)
		if err := json.Unmarshal([]byte(text), &c); err != nil || resp.StatusCode != http.StatusOK || c.Problems == nil {
			t.Fatalf("%d %v %s", resp.StatusCode, err, text)
		}
		return c
	}
	if c := check(""); c.Deep || c.Missing != 1 || c.Damaged != 0 || c.OK != 2 {
		t.Errorf("check = %+v", c)
	}
	if c := check(`{"deep":true}`); !c.Deep || c.Missing != 1 || c.Damaged != 1 || c.Rows != 1000 || c.Problems[1].State != api.FileDamaged {
		t.Errorf("deep check = %+v", c)
	}
	if resp, body := s.do(t, http.MethodPost, "/api/v1/lake/compact", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("compact without a body: %d %s", resp.StatusCode, body)
	}
	resp, body := s.do(t, http.MethodPost, "/api/v1/lake/repair", "")
	var repair api.LakeRepair
	if err := json.Unmarshal([]byte(body), &repair); err != nil || resp.StatusCode != http.StatusOK || repair.Removed != 1 || repair.Moved != 1 {
		t.Errorf("repair: %d %v %s", resp.StatusCode, err, body)
	}
	if c := check(`{"deep":true}`); c.Missing+c.Damaged != 0 {
		t.Errorf("after the repair: %+v", c)
	}
}
