package collect

import (
	"maps"

	"sluice/internal/filter"
	"sluice/internal/normalize"
	"sluice/internal/record"
	"sluice/internal/state"
)

// sieve applies a connector's log filters to the records of one fetcher. A record is decided when its identity is known
// and before it is claimed: nothing of a dropped record is kept but the count, so that another connector of the tenant
// gets it (rule 7 of the collection path).
type sieve struct {
	set  *filter.Set
	view *filter.View
	env  normalize.Envelope
}

// newSieve returns nil when there is nothing to filter.
func newSieve(set *filter.Set, n *normalize.Normalizer) *sieve {
	if set.Empty() {
		return nil
	}
	return &sieve{set: set, view: filter.NewView(n)}
}

// drops names the filter that drops a record, "" when it is kept. Malformed items are always kept: they go to quarantine,
// where somebody looks at them.
func (s *sieve) drops(p *preparer, rec *prepared, u *record.BatchUnit) string {
	if s == nil || rec.rec.Index == record.Quarantine {
		return ""
	}
	s.env = normalize.Envelope{
		ID: rec.rec.ID, Index: rec.rec.Index, Connector: p.connector, ContentType: u.ContentType, ContentID: u.ContentID,
		Received: rec.rec.Received,
	}
	if !u.Created.IsZero() {
		s.env.Created = u.Created.UnixMilli()
	}
	s.view.Reset(&s.env, rec.rec.Raw, p.members)
	if keep, by := s.set.Decide(s.view); !keep {
		return by
	}
	return ""
}

// drop counts a record that a filter dropped.
func (f *fragment) drop(by string, bytes int64) {
	if f.filtered == nil {
		f.filtered = map[string]int64{}
	}
	f.filtered[by]++
	f.dropped += bytes
}

// filteredOf is what filters dropped from the units of a group.
func filteredOf(group []*fragment) []state.FilterCount {
	var counts []state.FilterCount
	for _, f := range group {
		for name, n := range f.filtered {
			counts = append(counts, state.FilterCount{ConnectorID: f.connector.ID, ContentType: f.unit.ContentType, Filter: name, Records: n})
		}
	}
	return counts
}

// sum adds up counts by filter.
func sum(byFilter map[string]int64) (n int64) {
	for v := range maps.Values(byFilter) {
		n += v
	}
	return n
}

// released is how many of the records that a second look brought may have been dropped by a filter at the first one:
// as many as were dropped then, per look, and are not now. They say nothing about the service.
func released(u *state.LedgerUnit, filtered int64) int64 {
	return max(u.Filtered/int64(u.Looks+1)-filtered, 0)
}
