package blackbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/m365sim"
)

// The simulated tenant that most tests collect from.
const (
	directory   = "6f1c7a52-0b8e-4d13-9a77-35f0b7c2d410"
	application = "c4d2a9e8-1f35-4b60-8e21-7a90d3b6f5c1"
	credential  = "blackbox~secret~of~the~simulated~app"
	connector   = "contoso"
)

// tenant is a simulated tenant with some history in all five content types and a little live traffic.
func tenant(events int) m365sim.Tenant {
	traffic := func(contentType string, share float64, blob int) m365sim.Traffic {
		return m365sim.Traffic{
			ContentType: contentType, Rate: 30, History: m365sim.Duration(24 * time.Hour), Events: int(share * float64(events)),
			BlobSize: blob, Latency: m365sim.Duration(time.Second),
		}
	}
	return m365sim.Tenant{
		ID: directory, Name: "contoso", Users: 60, Apps: []m365sim.App{{ID: application, Secret: credential}},
		Traffic: []m365sim.Traffic{
			traffic(m365sim.AzureActiveDirectory, 0.2, 11), traffic(m365sim.Exchange, 0.25, 13), traffic(m365sim.SharePoint, 0.3, 17),
			traffic(m365sim.General, 0.2, 10), traffic(m365sim.DLP, 0.05, 6),
		},
	}
}

// messy is a scenario in which everything goes wrong now and then.
func messy(seed uint64, events int) m365sim.Scenario {
	second := m365sim.Duration(time.Second)
	return m365sim.Scenario{
		Seed: seed, Tenants: []m365sim.Tenant{tenant(events)}, PageSize: 7, ShufflePages: true, EqualCreated: 3,
		Duplicates: m365sim.Duplicates{
			WithinBlob: 0.02, AcrossBlobs: 0.02, AcrossFeeds: 0.2, Redelivered: 0.03, RedeliveredAfter: m365sim.Duration(6 * time.Hour),
		},
		WithoutID: 0.01, Malformed: 0.01, Odd: 0.03,
		Faults: []m365sim.Fault{
			{Route: "token", First: 1, Kind: m365sim.Unavailable},
			{Route: "blob", Every: 90, Kind: m365sim.TooMany, RetryAfter: "0.4"},
			{Route: "blob", Every: 110, Kind: m365sim.AF429, RetryAfter: "0.3"},
			{Route: "content", First: 1, After: second, Kind: m365sim.AF429, RetryAfter: "0.3"},
			{Route: "blob", First: 2, After: second, Kind: m365sim.Unauthorized},
			{Route: "blob", Probability: 0.02, Kind: m365sim.Unavailable},
			{Route: "blob", Probability: 0.03, Kind: m365sim.Reset},
			{Route: "blob", Probability: 0.03, Kind: m365sim.TruncatedGzip},
			{Route: "blob", Probability: 0.02, Kind: m365sim.TruncatedJSON},
			{Route: "blob", Every: 45, Kind: m365sim.BadGzip}, // a probability may never strike
			{Route: "blob", Probability: 0.02, Kind: m365sim.HTML200},
			{Route: "content", Probability: 0.02, Kind: m365sim.HTML200},
			{Route: "content", Probability: 0.15, Kind: m365sim.EmptyPage},
			{Route: "content", Probability: 0.15, Kind: m365sim.NextEndtime},
			{Route: "content", Every: 25, Kind: m365sim.StaleNext},
			{Route: "content", Every: 40, Kind: m365sim.ServerError},
		},
	}
}

// document is a connector as apply takes it; changes replace options or, with an empty value, remove them.
func (p *place) document(sim *m365sim.Server, changes map[string]string) string {
	p.t.Helper()
	ca := p.path("simulator-ca.pem")
	if err := sim.WriteCA(ca); err != nil {
		p.t.Fatal(err)
	}
	options := map[string]string{
		"name": connector, "tenant_name": "Contoso", "type": "office365", "interval": "1m", "directory_id": directory,
		"application_id": application, "api_access_key": credential, "authentication_endpoint": sim.URL(), "api_endpoint": sim.URL(),
		"ca_file": ca, "requests_per_minute": "0", "start_time": time.Now().Add(-25 * time.Hour).UTC().Format(time.RFC3339),
	}
	maps.Copy(options, changes)
	var b strings.Builder
	lead := "  - "
	b.WriteString("connectors:\n")
	for _, key := range slices.SortedFunc(mapKeys(options), func(a, b string) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
	}) {
		if options[key] != "" {
			fmt.Fprintf(&b, "%s%s: %s\n", lead, key, options[key])
			lead = "    "
		}
	}
	return b.String()
}

// rank puts the name first.
func rank(key string) int {
	if key == "name" {
		return 0
	}
	return 1
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// apply applies a connector that must be accepted.
func (p *place) apply(sim *m365sim.Server, changes map[string]string) {
	p.t.Helper()
	p.must("apply", "-f", write(p.t, p.root, "apply-"+cmp.Or(changes["name"], connector)+".yaml", p.document(sim, changes)))
}

// status returns the status per connector and content type.
func (p *place) status() map[string]api.Status {
	p.t.Helper()
	var all []api.Status
	if err := json.Unmarshal([]byte(p.must("status", "-o", "json")), &all); err != nil {
		p.t.Fatal(err)
	}
	byKey := map[string]api.Status{}
	for _, s := range all {
		byKey[s.Name+" "+s.ContentType] = s
	}
	return byKey
}

// lines splits text into lines without the last, empty one.
func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// landed is a record of the lake as its identity shows it.
type landed struct {
	ID      string `json:"_id"`
	Variant string `json:"ingest.variant_of"`
}

// base is the identity without the mark of a variant.
func (l landed) base() string { return cmp.Or(l.Variant, l.ID) }

// records returns the identities of everything that an index holds.
func (p *place) records(index string) []landed {
	p.t.Helper()
	fields := "_id,ingest.variant_of"
	if index == "quarantine" {
		fields = "_id"
	}
	out := p.must("search", "*", "--index", index, "--since", "all", "--limit", "0", "--fields", fields, "-o", "ndjson")
	var all []landed
	for _, line := range lines(out) {
		var l landed
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			p.t.Fatalf("%s: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

// dataset is the folder of public records beside the repository.
func dataset(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(module(t), "..", "shared", "data", name)
	if found, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(found) == 0 {
		t.Skipf("the public records are not beside the repository (%s)", dir)
	}
	return dir
}
