package m365sim

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"
)

// TestTruthEqualsPerfectClient downloads everything through the API and compares with the truth, for scenarios that
// each have one difficulty, and one that has them all.
func TestTruthEqualsPerfectClient(t *testing.T) {
	all := ContentTypes()
	tests := map[string]func(*Scenario){
		"plain":         func(*Scenario) {},
		"shuffled":      func(s *Scenario) { s.ShufflePages = true },
		"equal":         func(s *Scenario) { s.EqualCreated = 4 },
		"late":          func(s *Scenario) { s.Late = Late{Share: 0.3, Delay: Duration(8 * time.Hour)} },
		"duplicates":    func(s *Scenario) { s.Duplicates = Duplicates{0.1, 0.1, 0.5, 0.5, Duration(5 * time.Hour), 0} },
		"variants":      func(s *Scenario) { s.Duplicates.Variants = 0.2 },
		"growing":       func(s *Scenario) { s.Growing = Growing{Share: 0.5, Delay: Duration(12 * time.Hour)} },
		"without id":    func(s *Scenario) { s.WithoutID = 0.1 },
		"malformed":     func(s *Scenario) { s.Malformed = 0.1 },
		"odd":           func(s *Scenario) { s.Odd = 0.3 },
		"recut":         func(s *Scenario) { s.Recut = true },
		"precompressed": func(s *Scenario) { s.Precompress = true },
		"files": func(s *Scenario) {
			s.Tenants[0].Records = []Files{{Paths: []string{filepath.Join("testdata", "records.ndjson")}, BlobSize: 2}}
		},
		"live": func(s *Scenario) {
			s.Tenants[0].Traffic = append(s.Tenants[0].Traffic, Traffic{ContentType: General, Rate: 1, History: Duration(20 * time.Hour), BlobSize: 10})
		},
		"everything": func(s *Scenario) {
			s.Late = Late{Share: 0.3, Delay: Duration(8 * time.Hour)}
			s.Duplicates = Duplicates{0.1, 0.1, 0.5, 0.5, Duration(5 * time.Hour), 0.1}
			s.Growing = Growing{Share: 0.3, Delay: Duration(10 * time.Hour)}
			s.WithoutID, s.Malformed, s.Odd, s.ShufflePages, s.EqualCreated = 0.1, 0.1, 0.1, true, 3
			s.Tenants[0].Records = []Files{{Paths: []string{filepath.Join("testdata", "records.ndjson")}, BlobSize: 3}}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			s := scenario(150, all...)
			change(&s)
			c := connect(t, StartTest(t, s, Options{Clock: newClock()}))
			c.subscribe(all...)
			got := c.collect(2, all...)
			compare(t, name, got, c.truthIDs("tenant="+testTenant))
			truth := c.truth()
			if truth.Totals.Distinct != len(got) {
				t.Errorf("distinct in /sim/truth is %d, want %d", truth.Totals.Distinct, len(got))
			}
			if !s.Recut && truth.Totals.Served != truth.Totals.Blobs {
				t.Errorf("served %d of %d blobs", truth.Totals.Served, truth.Totals.Blobs)
			}
			for _, feed := range truth.Tenants[0].ContentTypes {
				compare(t, feed.Type, c.collect(2, feed.Type), c.truthIDs("content_type="+feed.Type))
			}
		})
	}
}

// TestRealRecords serves the public sample records and checks that they arrive byte for byte.
func TestRealRecords(t *testing.T) {
	pattern := filepath.Join("..", "..", "..", "shared", "data", "management-activity", "*.ndjson*")
	if paths, err := filepath.Glob(pattern); err != nil || len(paths) == 0 {
		t.Skip("the public sample records are not beside the repository")
	}
	s := scenario(0)
	s.Tenants[0].Records = []Files{{Paths: []string{pattern}, BlobSize: 500}}
	clock := newClock()
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(ContentTypes()...)
	lines, err := loadFiles(testTenant, s.Tenants[0].Records[0])
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{}
	for _, line := range lines {
		want[string(line.raw)]++
	}
	for _, ct := range ContentTypes() {
		items, _ := c.list(ct, clock.Now().Add(-24*time.Hour+time.Second), clock.Now().Add(time.Second))
		if len(items) == 0 {
			t.Errorf("%s is empty", ct)
		}
		for _, it := range items {
			for _, raw := range c.records(it.ContentURI) {
				want[string(raw)]--
			}
		}
	}
	for line, n := range want {
		if n != 0 {
			t.Fatalf("%+d times: %.200s", n, line)
		}
	}
	truth := c.truth().Totals
	if truth.Records != len(lines) || truth.Distinct < 5000 || truth.Distinct >= truth.Records || truth.Malformed != 0 {
		t.Errorf("truth is %+v for %d lines", truth, len(lines))
	}
	compare(t, "real records", c.collect(2, ContentTypes()...), c.truthIDs(""))
}

func TestLateBlobsAppear(t *testing.T) {
	clock := newClock()
	s := scenario(500, Exchange)
	s.Late = Late{Share: 0.5, Delay: Duration(12 * time.Hour)}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(Exchange)
	from, to := clock.Now().Add(-21*time.Hour), clock.Now().Add(time.Second)
	before, _ := c.list(Exchange, from, to)
	clock.Advance(12 * time.Hour)
	after, _ := c.list(Exchange, from, to)
	if len(after) != 50 || len(before) >= len(after) {
		t.Errorf("listed %d blobs, then %d, want fewer than 50, then 50", len(before), len(after))
	}
}

func TestLiveTrafficGrowsAndFreezes(t *testing.T) {
	clock := newClock()
	s := scenario(0)
	s.Tenants[0].Traffic = []Traffic{{ContentType: SharePoint, Rate: 600, BlobSize: 100}}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(SharePoint)
	if n := c.truth().Totals.Blobs; n != 0 {
		t.Errorf("there are %d blobs at the start, want none", n)
	}
	clock.Advance(10 * time.Minute)
	if n := c.truth().Totals.Records; n != 6000 {
		t.Errorf("%d records after ten minutes, want 6000", n)
	}
	if status, _, _ := c.post("/sim/freeze", nil); status != http.StatusNoContent {
		t.Errorf("freeze: %d", status)
	}
	clock.Advance(10 * time.Minute)
	compare(t, "frozen", c.collect(1, SharePoint), c.truthIDs(""))
	if n := c.truth().Totals.Records; n != 6000 {
		t.Errorf("%d records while frozen, want 6000", n)
	}
	c.server.Thaw()
	if n := c.truth().Totals.Records; n != 12000 {
		t.Errorf("%d records after thawing, want 12000", n)
	}
	half := clock.Now().Add(-10 * time.Minute).Format(time.RFC3339)
	if n := len(c.truthIDs("until=" + half)); n != 6000-100 { // the blob at the bound itself is not below it
		t.Errorf("%d identities until %s, want 5900", n, half)
	}
}

// TestRestartContinues checks that a new simulator serves the same live blobs again.
func TestRestartContinues(t *testing.T) {
	ids := func(at time.Time) []string {
		s := scenario(0)
		s.Tenants[0].Traffic = []Traffic{{ContentType: DLP, Rate: 60, History: Duration(2 * time.Hour), BlobSize: 10}}
		c := connect(t, StartTest(t, s, Options{Clock: NewHandClock(at)}))
		return c.truthIDs("since=2026-11-20T11:00:00Z&until=2026-11-20T12:00:00Z")
	}
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	first := ids(noon)
	compare(t, "after a restart", ids(noon.Add(17*time.Minute)), first)
	if len(first) != 3600 {
		t.Errorf("%d identities in an hour, want 3600", len(first))
	}
}

func TestLossIsNotTruth(t *testing.T) {
	s := scenario(1000, General)
	s.Faults = []Fault{{Route: "blob", Kind: Expired, Probability: 0.2}, {Route: "blob", Kind: NotFound, First: 3}}
	clock := newClock()
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(General)
	items, _ := c.list(General, clock.Now().Add(-23*time.Hour), clock.Now().Add(time.Second))
	var got []string
	lost := map[string]bool{}
	for range 2 { // what is gone stays gone; the first three of the other rule are gone for good as well
		for _, it := range items {
			status, body, _ := c.get(it.ContentURI)
			switch code := codeOf(body); {
			case status == http.StatusOK && !lost[it.ContentID]:
				var records []rawRecord
				decode(t, body, &records)
				for _, r := range records {
					got = append(got, r.identity())
				}
			case status != http.StatusOK && code != "AF20050" && code != "AF20051":
				t.Fatalf("blob: %d %s", status, body)
			default:
				lost[it.ContentID] = true
			}
		}
		if len(lost) < 10 || len(lost) > 40 {
			t.Errorf("%d blobs of %d are lost", len(lost), len(items))
		}
	}
	compare(t, "with losses", unique(got), c.truthIDs(""))
	if n := c.truth().Totals.Lost; n != len(lost) {
		t.Errorf("the truth says %d lost, want %d", n, len(lost))
	}
}

// BenchmarkServe measures the service alone: a blob of 100 events from the cache and a new one each time.
func BenchmarkServe(b *testing.B) {
	s := scenario(100_000, Exchange)
	s.Tenants[0].Traffic[0].BlobSize = 100
	sim, err := New(s, Options{Clock: newClock()})
	if err != nil {
		b.Fatal(err)
	}
	answer, failure := sim.authority.issue(sim.order[0], sim.order[0].apps[testApp], audiences["enterprise"], "1", true, time.Now())
	if failure != nil {
		b.Fatal(failure.message)
	}
	f := sim.order[0].feed(Exchange)
	for name, blobs := range map[string]int{"cached": 1, "new": 1000} {
		b.Run(name, func(b *testing.B) {
			sent := 0
			for i := 0; b.Loop(); i++ {
				id := blobKey{feed: f, n: i % blobs}.contentID(whole)
				req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1.0/"+testTenant+"/activity/feed/audit/"+id, nil)
				req.Header.Set("Authorization", "Bearer "+fmt.Sprint(answer["access_token"]))
				req.Header.Set("Accept-Encoding", "gzip")
				recorder := httptest.NewRecorder()
				sim.Handler().ServeHTTP(recorder, req)
				if recorder.Code != http.StatusOK {
					b.Fatal(recorder.Code, recorder.Body)
				}
				sent = recorder.Body.Len()
				if blobs > 1 && i%blobs == blobs-1 {
					sim.bodies = newBodyCache(cacheLimit)
				}
			}
			b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(sent)/100, "wire-B/event")
		})
	}
}

type rawRecord struct {
	ID           string `json:"Id"`
	Organization string `json:"OrganizationId"`
	RecordType   int
	Operation    string
	CreationTime string
}

func (r rawRecord) identity() string {
	return identity{org: r.Organization, id: r.ID, recordType: fmt.Sprint(r.RecordType), operation: r.Operation, created: r.CreationTime}.String()
}

func unique(ids []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

func TestStoppedTimeIsNotListed(t *testing.T) {
	clock := newClock()
	s := scenario(0)
	s.RestartDelay = Duration(5 * time.Minute)
	s.Tenants[0].Traffic = []Traffic{{ContentType: SharePoint, Rate: 60, BlobSize: 10}}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(SharePoint)
	start := clock.Now()
	clock.Advance(10 * time.Minute)
	if status, body, _ := c.must(c.request(http.MethodPost, "subscriptions/stop?contentType="+SharePoint)); status != http.StatusNoContent || len(body) > 0 {
		t.Errorf("stop: %d %s", status, body)
	}
	c.expect(http.MethodGet, contentPath(SharePoint, start, clock.Now()), 400, "AF20023")
	clock.Advance(10 * time.Minute)
	c.subscribe(SharePoint)
	c.expect(http.MethodGet, contentPath(SharePoint, start, clock.Now()), 400, "AF20023")
	clock.Advance(10 * time.Minute)
	items, _ := c.list(SharePoint, start, clock.Now().Add(time.Second))
	if len(items) < 118 || len(items) > 122 {
		t.Errorf("listed %d blobs, want about 120 of 180", len(items))
	}
	compare(t, "after a stop", c.collect(1, SharePoint), c.truthIDs(""))
}
