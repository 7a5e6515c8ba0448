package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/m365sim"
)

// key names a record: identity without the mark of a variant, and hash of its bytes.
type key struct {
	id  string
	raw [sha256.Size]byte
}

// expected is what the service knows of the content that the connectors collect.
type expected struct {
	must, may map[key]string    // to the blob that shows it first, for people
	broken    map[string][2]int // malformed elements by their bytes: at least, at most
	feeds     map[feedKey]*feedTruth
}

// feedKey is a feed of the service: a content type of a tenant.
type feedKey struct{ tenant, contentType string }

// feedTruth counts the blobs of a feed.
type feedTruth struct {
	must, may          int                 // blobs
	records, malformed int                 // elements of the blobs that must be there
	named              []m365sim.BlobTruth // blobs that may be missing, but of which the program must know
}

// surelyNamed is how often a connector must have been given a listing with a blob until it must know the blob, whatever happens: one
// listing may be given to a program that is killed before it can write it down, and two windows of one round can share a
// blob at their border.
const surelyNamed = 3

// expect walks through what the service knows.
func (u *run) expect(ctx context.Context) (*expected, error) {
	collectors := u.collectors()
	x := &expected{must: map[key]string{}, may: map[key]string{}, broken: map[string][2]int{}, feeds: map[feedKey]*feedTruth{}}
	err := u.sim.Blobs(ctx, true, func(b m365sim.BlobTruth) error {
		fk := feedKey{b.Tenant, b.ContentType}
		n := collectors[fk]
		if n == 0 {
			return nil
		}
		if x.feeds[fk] == nil {
			x.feeds[fk] = &feedTruth{}
		}
		u.report.Blobs++
		x.take(x.feeds[fk], b, n, u.plan.Scenario.Recut)
		return nil
	})
	for k := range x.must {
		delete(x.may, k)
	}
	return x, err
}

// take takes in a blob that n connectors collect.
func (x *expected) take(f *feedTruth, b m365sim.BlobTruth, n int, recut bool) {
	must := b.Readable && !b.Gone
	if must {
		f.must++
		f.records += b.Records
		f.malformed += b.Malformed
	} else {
		f.may++
		if b.Listed >= surelyNamed*n {
			f.named = append(f.named, b)
		}
	}
	where := fmt.Sprintf("%s (appeared %s, expires %s, listed %d times, served %d times, gone %v)", b.ContentID, b.Appears.Format(time.RFC3339), b.Expires.Format(time.RFC3339),
		b.Listed, b.Served, b.Gone)
	for _, item := range b.Items {
		if item.Malformed {
			span := x.broken[string(item.Raw)]
			if must {
				span[0] += n
			}
			if span[1] += n; recut { // each cut of a blob is a unit of its own
				span[1] += 2 * n
			}
			x.broken[string(item.Raw)] = span
			continue
		}
		k := key{item.ID, sha256.Sum256(item.Raw)}
		if must {
			x.must[k] = where
		} else if x.may[k] == "" {
			x.may[k] = where
		}
	}
}

// row is a row of the lake.
type row struct {
	ID      string `json:"_id"`
	Variant string `json:"ingest.variant_of"`
	Raw     string `json:"raw"`
}

// rows reads everything that an index holds, when all that was collected can be searched.
func (u *run) rows(ctx context.Context, index string, fields ...string) (all []row, err error) {
	limit := 0
	err = u.insist(ctx, "search "+index, func(ctx context.Context) error {
		var out bytes.Buffer
		end, err := u.proc.client.SearchInto(ctx, api.SearchQuery{
			Query: "*", Index: index, Since: "all", Limit: &limit, Fields: fields, Format: api.NDJSON,
		}, &out)
		switch {
		case err != nil:
			return err
		case end.Partial != "":
			return fmt.Errorf("partial answer: %s", end.Partial)
		case end.Fresh.PendingRecords > 0:
			return fmt.Errorf("%d records are not committed yet", end.Fresh.PendingRecords)
		}
		all = all[:0]
		for line := range strings.Lines(out.String()) {
			var r row
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				return fmt.Errorf("%s: %w", line, err)
			}
			all = append(all, r)
		}
		return nil
	})
	return all, err
}

// judge compares lake and status with the truth.
func (u *run) judge(ctx context.Context) error {
	status, records, spoiled, err := u.observe(ctx)
	if err != nil {
		return err
	}
	x, err := u.expect(ctx)
	if err != nil {
		return err
	}
	u.report.Records, u.report.May, u.report.InLake = len(x.must), len(x.may), len(records)
	held := u.judgeRecords(x, records)
	u.judgeQuarantine(x, spoiled)
	u.judgeStatus(x, status, held)
	if sum, malformed := sums(status); sum != len(records) || malformed != len(spoiled) {
		u.report.violate(lawCounts, "status counts %d records and %d malformed, the lake holds %d and %d", sum, malformed, len(records), len(spoiled))
	}
	return nil
}

// searchableBy is how long what was counted may take to be searchable, of wall time; searchedAgain how often that is looked at,
// because a search may take most of it on a busy machine.
const (
	searchableBy  = time.Minute
	searchedAgain = 5
)

// observe reads what the program has and says. What it has counted becomes searchable with the next commit, so a difference is
// believed only when it stays.
func (u *run) observe(ctx context.Context) (status []api.Status, records, spoiled []row, err error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(searchableBy)
	for attempt := 1; ; attempt++ {
		if status, err = u.status(ctx); err != nil {
			return nil, nil, nil, err
		}
		if records, err = u.rows(ctx, api.IndexAll, "_id", "ingest.variant_of", "raw"); err != nil {
			return nil, nil, nil, err
		}
		if spoiled, err = u.rows(ctx, "quarantine", "_id", "raw"); err != nil {
			return nil, nil, nil, err
		}
		if sum, malformed := sums(status); sum == len(records) && malformed == len(spoiled) || time.Now().After(deadline) && attempt >= searchedAgain {
			return status, records, spoiled, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, nil, nil, ctx.Err()
		}
	}
}

func sums(status []api.Status) (records, malformed int) {
	for _, s := range status {
		records += int(s.Records)
		malformed += int(s.Malformed)
	}
	return records, malformed
}

func (u *run) status(ctx context.Context) (all []api.Status, err error) {
	err = u.insist(ctx, "status", func(ctx context.Context) (err error) {
		all, err = u.proc.client.Status(ctx)
		return err
	})
	return all, err
}

// judgeRecords compares the records of the lake with the truth and returns what the lake holds.
func (u *run) judgeRecords(x *expected, records []row) map[key]bool {
	ids, held := map[string]bool{}, map[key]bool{}
	for _, r := range records {
		if ids[r.ID] {
			u.report.violate(lawTwice, "%s is in the lake twice", r.ID)
		}
		ids[r.ID] = true
		base := r.ID
		if r.Variant != "" {
			base = r.Variant
		}
		k := key{base, sha256.Sum256([]byte(r.Raw))}
		if held[k] {
			u.report.violate(lawTwice, "%s is in the lake twice with the same content (%s)", base, r.ID)
		}
		held[k] = true
		if x.must[k] == "" && x.may[k] == "" {
			u.report.violate(lawUnexplained, "%s is in the lake, but the service never had it like this: %s", r.ID, head(r.Raw, 200))
		}
	}
	missing := map[string]int{}
	for k, where := range x.must {
		if !held[k] {
			missing[where]++
		}
	}
	for where, n := range missing {
		u.report.violate(lawLost, "%d records of %s are not in the lake", n, where)
	}
	return held
}

func (u *run) judgeQuarantine(x *expected, spoiled []row) {
	ids, count := map[string]bool{}, map[string]int{}
	for _, r := range spoiled {
		if ids[r.ID] {
			u.report.violate(lawTwice, "%s is in the quarantine twice", r.ID)
		}
		ids[r.ID] = true
		count[r.Raw]++
	}
	for raw, span := range x.broken {
		if n := count[raw]; n < span[0] {
			u.report.violate(lawLost, "%s is %d times in the quarantine, and was served in at least %d places", head(raw, 80), n, span[0])
		} else if n > span[1] {
			u.report.violate(lawTwice, "%s is %d times in the quarantine, and was served in %d places", head(raw, 80), n, span[1])
		}
		delete(count, raw)
	}
	for raw := range count {
		u.report.violate(lawUnexplained, "%s is in the quarantine, but the service never had it", head(raw, 80))
	}
}

// judgeStatus checks what the program says of itself.
func (u *run) judgeStatus(x *expected, status []api.Status, held map[key]bool) {
	for _, c := range u.plan.Connectors {
		for _, contentType := range c.Types {
			i := slices.IndexFunc(status, func(s api.Status) bool { return s.Name == c.Name && s.ContentType == contentType })
			if i < 0 {
				u.report.violate(lawCounts, "%s %s has no status", c.Name, contentType)
				continue
			}
			f := x.feeds[feedKey{c.Tenant, contentType}]
			if f == nil {
				f = &feedTruth{}
			}
			u.judgeFeed(f, status[i], held)
		}
	}
}

func (u *run) judgeFeed(f *feedTruth, s api.Status, held map[key]bool) {
	u.report.Lost += s.Lost
	what := s.Name + " " + s.ContentType
	if s.Listed != s.Landed+s.Pending+s.Lost {
		u.report.violate(lawCounts, "%s: %d listed, but %d landed + %d pending + %d lost", what, s.Listed, s.Landed, s.Pending, s.Lost)
	}
	if u.plan.Scenario.Recut {
		return // one blob is up to three units, which share its records
	}
	if s.Landed < int64(f.must) && s.Pending == 0 {
		u.report.violate(lawCounts, "%s: %d units landed, %d blobs can be read", what, s.Landed, f.must)
	}
	if s.Lost > int64(f.may) {
		u.report.violate(lawCounts, "%s: %d units are said to be lost, the service refused %d at most", what, s.Lost, f.may)
	}
	if f.may == 0 {
		sum := s.Records + s.Duplicates + s.Filtered + s.Malformed
		// Units can be fetched again (second looks, pauses), which brings duplicates and nothing else: the records are compared with
		// the lake.
		if s.Listed != int64(f.must) || sum < int64(f.records) || s.Malformed != int64(f.malformed) {
			u.report.violate(lawCounts, "%s: %d units listed, %d records + %d duplicates + %d filtered + %d malformed = %d; the service has %d blobs with %d elements, %d of them malformed",
				what, s.Listed, s.Records, s.Duplicates, s.Filtered, s.Malformed, sum, f.must, f.records, f.malformed)
		}
	}
	var silent []string
	for _, b := range f.named {
		if slices.ContainsFunc(b.Items, func(i m365sim.Item) bool { return !i.Malformed && !held[key{i.ID, sha256.Sum256(i.Raw)}] }) {
			silent = append(silent, b.ContentID)
		}
	}
	if int64(len(silent)) > s.Lost+s.Pending {
		u.report.violate(lawSilent, "%s: %d blobs are not in the lake and were listed often, %d are said to be lost: %s", what, len(silent), s.Lost, silent[0])
	}
}
