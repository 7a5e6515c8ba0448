package collect

import (
	"time"

	"sluice/internal/record"
	"sluice/internal/state"
)

// builder makes a batch of the records of a group that were claimed, and counts per unit what became of the others.
type builder struct {
	batch      *record.Batch
	connectors map[string]int
	units      map[record.UnitID]int
	counts     []state.UnitCount // parallel to batch.Units
}

func (b *builder) build(group []*fragment, results []state.ClaimResult, variants map[int]string) []state.UnitCount {
	b.units = map[record.UnitID]int{}
	i := 0
	for _, f := range group {
		unit := b.unit(f)
		f.counts = Counts{Filtered: sum(f.filtered)}
		count := &b.counts[unit]
		count.Bytes += f.bytes + f.dropped
		count.Complete = count.Complete || f.complete
		count.AskedLake = count.AskedLake || f.complete && f.asked
		for k := range f.items {
			item := &f.items[k]
			rec := item.rec
			rec.Unit = unit
			variant, isVariant := variants[i]
			kept := results[i] == state.Claimed || isVariant
			if isVariant {
				rec.ID, rec.VariantOf = variant, item.rec.ID
			}
			i++
			switch {
			case !kept:
				f.counts.Duplicates++
				continue
			case rec.Index == record.Quarantine:
				f.counts.Malformed++
			default:
				f.counts.Records++
				if event := time.UnixMilli(item.event).UTC(); item.event > 0 && event.After(count.Newest) {
					count.Newest = event
				}
			}
			count.IDSum ^= record.IDHash(rec.ID)
			b.batch.Records = append(b.batch.Records, rec)
		}
		count.Records += f.counts.Records
		count.Duplicates += f.counts.Duplicates
		count.Filtered += f.counts.Filtered
		count.Malformed += f.counts.Malformed
	}
	return b.counts
}

func (b *builder) unit(f *fragment) int {
	if n, ok := b.units[f.unit.ID]; ok {
		return n
	}
	c, ok := b.connectors[f.connector.ID]
	if !ok {
		c = len(b.batch.Connectors)
		b.connectors[f.connector.ID] = c
		b.batch.Connectors = append(b.batch.Connectors, *f.connector)
	}
	u := f.unit
	u.Connector = c
	n := len(b.batch.Units)
	b.units[u.ID] = n
	b.batch.Units = append(b.batch.Units, u)
	b.counts = append(b.counts, state.UnitCount{Unit: u.ID})
	return n
}
