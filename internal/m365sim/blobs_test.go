package m365sim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"
)

// blobs reads /sim/truth/blobs.
func (c *client) blobs() (all []BlobTruth) {
	c.t.Helper()
	status, body, _ := c.get(c.server.URL() + "/sim/truth/blobs")
	if status != http.StatusOK {
		c.t.Fatalf("blobs: %d %s", status, body)
	}
	for line := range bytes.Lines(body) {
		var b BlobTruth
		decode(c.t, line, &b)
		all = append(all, b)
	}
	return all
}

// TestBlobsKnowWhatClientsWereTold lists, reads, loses and lets expire.
func TestBlobsKnowWhatClientsWereTold(t *testing.T) {
	clock := newClock()
	s := scenario(100, General)
	s.PageSize, s.Expiry = 20, Duration(24*time.Hour)
	s.Faults = []Fault{{Route: "blob", Kind: NotFound, Every: 5}, {Route: "blob", Kind: ServerError, Every: 4}}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(General)
	for i, b := range c.blobs() {
		if b.Listed+b.Served > 0 || b.Gone || !b.Readable || b.Records != 10 {
			t.Errorf("blob %d before anybody asked: %+v", i, b)
		}
	}
	items, _ := c.list(General, clock.Now().Add(-21*time.Hour), clock.Now().Add(time.Second))
	for _, it := range items {
		_, _, _ = c.get(it.ContentURI)
	}
	gone, served := 0, 0
	for i, b := range c.blobs() {
		if b.Listed != 1 || b.ContentID != items[i].ContentID {
			t.Errorf("blob %d was listed once: %+v", i, b)
		}
		if b.Gone {
			gone++
		}
		if b.Gone == b.Readable {
			t.Errorf("blob %d is gone or readable: %+v", i, b)
		}
		served += b.Served
	}
	if gone != 2 || served != 6 { // of ten requests the 5th and 10th, and of the other eight every 4th
		t.Errorf("%d gone and %d served, want 2 and 6", gone, served)
	}
	clock.Advance(20 * time.Hour)
	expired := slices.IndexFunc(c.blobs(), func(b BlobTruth) bool { return b.Expires.After(clock.Now()) })
	for i, b := range c.blobs() {
		if b.Readable != (i >= expired && !b.Gone) {
			t.Errorf("blob %d, of which the first %d have expired: %+v", i, expired, b)
		}
	}
	if expired < 3 || expired > 9 {
		t.Errorf("%d blobs have expired", expired)
	}
}

// TestGrowingBlob reads a blob before and after it has grown.
func TestGrowingBlob(t *testing.T) {
	clock := newClock()
	s := scenario(100, General)
	s.Growing = Growing{Share: 1, Delay: Duration(40 * time.Hour)}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(General)
	items, _ := c.list(General, clock.Now().Add(-21*time.Hour), clock.Now().Add(time.Second))
	read := func(uri string) (records []json.RawMessage) {
		_, body, _ := c.get(uri)
		decode(t, body, &records)
		return records
	}
	first := read(items[9].ContentURI)
	if len(first) != 5 || c.truth().Totals.Records >= 100 {
		t.Errorf("%d records at first, %+v", len(first), c.truth().Totals)
	}
	clock.Advance(40 * time.Hour)
	then := read(items[9].ContentURI)
	if len(then) != 10 || c.truth().Totals.Distinct != 100 {
		t.Fatalf("%d records then, %+v", len(then), c.truth().Totals)
	}
	for i := range first {
		if !bytes.Equal(first[i], then[i]) {
			t.Errorf("record %d changed", i)
		}
	}
}

// TestVariants demands records with equal identities and other content.
func TestVariants(t *testing.T) {
	s := scenario(200, Exchange)
	s.Duplicates.Variants = 0.2
	c := connect(t, StartTest(t, s, Options{Clock: newClock()}))
	contents := map[string]map[string]bool{}
	err := c.server.Blobs(t.Context(), true, func(b BlobTruth) error {
		for _, item := range b.Items {
			if contents[item.ID] == nil {
				contents[item.ID] = map[string]bool{}
			}
			contents[item.ID][string(item.Raw)] = true
			if !json.Valid(item.Raw) {
				t.Errorf("%s", item.Raw)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	twice := 0
	for _, c := range contents {
		if len(c) == 2 {
			twice++
		}
	}
	if twice < 20 || twice > 60 || len(contents) != 200 {
		t.Errorf("%d of %d identities have two contents", twice, len(contents))
	}
}

// TestFaultsChoose checks the conditions that pick blobs and windows.
func TestFaultsChoose(t *testing.T) {
	clock := newClock()
	s := scenario(1000, General)
	s.PageSize = 200
	s.Faults = []Fault{{Route: "blob", Kind: ServerError, Share: 0.2}, {Route: "content", Kind: Unavailable, WiderThan: Duration(4 * time.Hour)}}
	c := connect(t, StartTest(t, s, Options{Clock: clock}))
	c.subscribe(General)
	end := clock.Now().Add(time.Second)
	if status, _, _ := c.must(c.request(http.MethodGet, contentPath(General, end.Add(-5*time.Hour), end))); status != http.StatusServiceUnavailable {
		t.Errorf("a window of five hours: %d", status)
	}
	items, _ := c.list(General, end.Add(-4*time.Hour), end)
	var bad [2][]string
	for round := range bad {
		for _, it := range items {
			if status, _, _ := c.get(it.ContentURI); status != http.StatusOK {
				bad[round] = append(bad[round], it.ContentID)
			}
		}
	}
	if !slices.Equal(bad[0], bad[1]) || len(bad[0]) == 0 || len(bad[0]) > len(items)/2 {
		t.Errorf("of %d blobs %d failed at first, %d then", len(items), len(bad[0]), len(bad[1]))
	}
}

// TestTokensByClock lets a token end by the service's clock.
func TestTokensByClock(t *testing.T) {
	clock := newClock()
	s := scenario(10, General)
	s.TokenLifetime = Duration(10 * time.Minute)
	c := connect(t, StartTest(t, s, Options{Clock: clock, TokensByClock: true}))
	c.subscribe(General)
	path := contentPath(General, clock.Now().Add(-time.Hour), clock.Now())
	clock.Advance(9 * time.Minute)
	if status, _, _ := c.must(c.request(http.MethodGet, path)); status != http.StatusOK {
		t.Errorf("after nine minutes: %d", status)
	}
	clock.Advance(2 * time.Minute)
	if status, _, _ := c.must(c.request(http.MethodGet, path)); status != http.StatusUnauthorized {
		t.Errorf("after eleven minutes: %d", status)
	}
}
