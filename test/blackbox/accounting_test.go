package blackbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/m365sim"
)

// audience is what a token of the simulated tenant must be for.
const audience = "https://manage.office.com"

// works waits until the connector runs and something of every content type was listed.
func (p *place) works() {
	p.t.Helper()
	eventually(p.t, settleLimit, func() (bool, string) {
		status := p.status()
		for _, contentType := range m365sim.ContentTypes() {
			if s := status[connector+" "+contentType]; s.Listed == 0 || s.NextRun == nil {
				return false, fmt.Sprintf("%s is %q with %d listed: %+v", contentType, s.State, s.Listed, s.LastError)
			}
		}
		return true, ""
	})
}

// settleLimit is how long a collection may take that meets faults, waits included, on a machine that is busy with other
// things.
const settleLimit = 4 * time.Minute

// finish stops the traffic and the faults, collects what is missing and compares the lake with the truth.
func (p *place) finish(sim *m365sim.Server) {
	p.t.Helper()
	sim.Freeze()
	if err := sim.SetFaults(nil); err != nil {
		p.t.Fatal(err)
	}
	p.must("collect", connector, "--since", "25h", "--wait")
	p.compare(sim)
}

// compare demands that lake and status say exactly what the simulator's truth says.
func (p *place) compare(sim *m365sim.Server) {
	p.t.Helper()
	all := p.records("all")
	unique := map[string]bool{}
	var bases []string
	for _, l := range all {
		if unique[l.ID] {
			p.t.Errorf("%s is in the lake twice", l.ID)
		}
		unique[l.ID] = true
		bases = append(bases, l.base())
	}
	var truth bytes.Buffer
	if err := sim.WriteIDs(p.t.Context(), &truth, "", "", time.Time{}, time.Time{}); err != nil {
		p.t.Fatal(err)
	}
	same(p.t, "identities", bases, lines(truth.String()))
	p.compareStatus(sim, int64(len(all)))
}

func (p *place) compareStatus(sim *m365sim.Server, inLake int64) {
	p.t.Helper()
	truth, err := sim.Truth(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	status := p.status()
	var records, malformed int64
	for _, want := range truth.Tenants[0].ContentTypes {
		got, ok := status[connector+" "+want.Type]
		if !ok {
			p.t.Fatalf("no status of %s: %v", want.Type, slices.Collect(maps.Keys(status)))
		}
		if got.Listed != int64(want.Blobs) || got.Landed != got.Listed || got.Pending != 0 || got.Lost != 0 {
			p.t.Errorf("%s: %d listed, %d landed, %d pending, %d lost; want %d landed", want.Type, got.Listed, got.Landed, got.Pending, got.Lost, want.Blobs)
		}
		if sum := got.Records + got.Duplicates + got.Filtered + got.Malformed; sum != int64(want.Records) || got.Malformed != int64(want.Malformed) {
			p.t.Errorf("%s: %d records + %d duplicates + %d filtered + %d malformed = %d; %d were served, %d of them malformed", want.Type,
				got.Records, got.Duplicates, got.Filtered, got.Malformed, sum, want.Records, want.Malformed)
		}
		records += got.Records
		malformed += got.Malformed
	}
	if records != inLake || records != int64(truth.Totals.Distinct) {
		p.t.Errorf("status counts %d records, the lake holds %d, the truth is %d", records, inLake, truth.Totals.Distinct)
	}
	if got := len(p.records("quarantine")); int64(got) != malformed {
		p.t.Errorf("the quarantine holds %d elements, status counts %d", got, malformed)
	}
}

// same compares two multisets and shows a few differences.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	count := map[string]int{}
	for _, w := range want {
		count[w]++
	}
	for _, g := range got {
		count[g]--
	}
	var wrong []string
	for key, n := range count {
		if n != 0 {
			wrong = append(wrong, fmt.Sprintf("%+d %s", n, last(key, 300)))
		}
	}
	slices.Sort(wrong)
	if len(wrong) > 0 {
		t.Errorf("%s: got %d, want %d; %d differ (+ is missing, - is too many):\n%s", what, len(got), len(want), len(wrong),
			strings.Join(wrong[:min(len(wrong), 10)], "\n"))
	}
	if len(want) == 0 {
		t.Errorf("%s: nothing was expected, so nothing was tested", what)
	}
}

// TestEveryRecordOnceAndUnaltered collects from a service with every weakness that is known of it.
func TestEveryRecordOnceAndUnaltered(t *testing.T) {
	t.Parallel()
	sim := m365sim.StartTest(t, messy(1, 4000))
	p := newPlace(t)
	p.start()
	p.apply(sim, nil)
	p.works()
	// A run may end with exit code 1 for a listing that failed; it is listed again by the schedule.
	if got := p.run("collect", connector, "--since", "25h", "--wait"); got.code != 0 && got.code != 1 {
		t.Errorf("collect ended with %d: %s%s", got.code, got.out, got.errors)
	}
	p.finish(sim)
	struck := sim.Requests(0).Faults
	for _, kind := range []m365sim.Kind{
		m365sim.TooMany, m365sim.AF429, m365sim.Unavailable, m365sim.Reset, m365sim.TruncatedGzip, m365sim.BadGzip,
		m365sim.HTML200, m365sim.EmptyPage, m365sim.NextEndtime, m365sim.StaleNext, m365sim.Unauthorized,
	} {
		if struck[kind] == 0 {
			t.Errorf("the fault %s never struck: %v", kind, struck)
		}
	}
	t.Run("raw", func(t *testing.T) { compareRaw(t, p, sim) })
	t.Run("again", func(t *testing.T) { // nothing new comes of asking again
		before := len(p.records("all"))
		p.must("collect", connector, "--since", "25h", "--wait")
		if after := len(p.records("all")); after != before {
			t.Errorf("%d records after another run, %d before", after, before)
		}
	})
}

// TestLossIsShown collects from a service that no longer has a part of what it lists.
func TestLossIsShown(t *testing.T) {
	t.Parallel()
	sim := m365sim.StartTest(t, m365sim.Scenario{
		Seed: 11, Tenants: []m365sim.Tenant{tenant(600)},
		Faults: []m365sim.Fault{{Route: "blob", Probability: 0.1, Kind: m365sim.Expired}, {Route: "blob", Probability: 0.1, Kind: m365sim.NotFound}},
	})
	sim.Freeze()
	p := newPlace(t)
	s := p.start()
	p.apply(sim, nil)
	p.run("collect", connector, "--since", "25h", "--wait").wants(t, 3, "units can no longer be read")
	var bases []string
	for _, l := range p.records("all") {
		bases = append(bases, l.base())
	}
	var want bytes.Buffer
	if err := sim.WriteIDs(t.Context(), &want, "", "", time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	same(t, "identities", bases, lines(want.String()))
	truth, err := sim.Truth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	status := p.status()
	for _, want := range truth.Tenants[0].ContentTypes {
		got := status[connector+" "+want.Type]
		if got.Lost != int64(want.Lost) || got.Landed != int64(want.Blobs) || got.Listed != got.Landed+got.Lost || got.Pending != 0 {
			t.Errorf("%s: %d listed, %d landed, %d lost; want %d landed and %d lost", want.Type, got.Listed, got.Landed, got.Lost, want.Blobs, want.Lost)
		}
		if want.Lost > 0 && got.State != "data gap" {
			t.Errorf("%s is %q with %d lost units", want.Type, got.State, want.Lost)
		}
	}
	if n := strings.Count(s.log.String(), "content is lost"); n != truth.Totals.Lost || n == 0 {
		t.Errorf("the log names %d lost units, want %d", n, truth.Totals.Lost)
	}
}

// compareRaw demands that --raw gives back the bytes that the service sends.
func compareRaw(t *testing.T, p *place, sim *m365sim.Server) {
	var usable, broken []string
	seen := map[string]bool{}
	for _, element := range elements(t, sim) {
		switch text := string(element); {
		case text[0] != '{':
			broken = append(broken, text)
		case !seen[text]:
			seen[text] = true
			usable = append(usable, text)
		}
	}
	same(t, "raw records", lines(p.must("search", "*", "--since", "all", "--limit", "0", "--raw")), usable)
	same(t, "raw malformed elements", lines(p.must("search", "*", "--index", "quarantine", "--since", "all", "--limit", "0", "--raw")), broken)
}

// elements reads every array element that the service has, as a client that shares no code with Sluice.
func elements(t *testing.T, sim *m365sim.Server) []json.RawMessage {
	t.Helper()
	web := sim.Client()
	defer web.CloseIdleConnections()
	token := signIn(t, web, sim.URL())
	get := func(target string, into any) http.Header {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %v %s", target, resp.Status, err, text)
		}
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
		return resp.Header
	}
	const stamp = "2006-01-02T15:04:05"
	blobs := map[string]bool{}
	var all []json.RawMessage
	now := time.Now().UTC()
	for _, contentType := range m365sim.ContentTypes() {
		for hours := 30; hours > 0; hours -= 15 {
			next := sim.URL() + "/api/v1.0/" + directory + "/activity/feed/subscriptions/content?" + url.Values{
				"contentType": {contentType}, "startTime": {now.Add(-time.Duration(hours) * time.Hour).Format(stamp)},
				"endTime": {now.Add(-time.Duration(hours-15) * time.Hour).Add(time.Minute).Format(stamp)}, "PublisherIdentifier": {directory},
			}.Encode()
			for next != "" {
				var page []struct{ ContentURI string }
				next = get(next, &page).Get("NextPageUri")
				for _, blob := range page {
					if blobs[blob.ContentURI] {
						continue
					}
					blobs[blob.ContentURI] = true
					var body []json.RawMessage
					get(blob.ContentURI, &body)
					all = append(all, body...)
				}
			}
		}
	}
	return all
}

func signIn(t *testing.T, web *http.Client, base string) string {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {application}, "client_secret": {credential}, "scope": {audience + "/.default"},
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/"+directory+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("no token: %s %v", resp.Status, err)
	}
	return answer.Token
}
