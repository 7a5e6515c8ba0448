package collect

import (
	"context"
	"iter"
	"time"

	"sluice/internal/fault"
	"sluice/internal/normalize"
	"sluice/internal/rawjson"
	"sluice/internal/record"
	"sluice/internal/state"
)

// Lake is what the collector asks of the lake. Implementations are safe for concurrent use.
type Lake interface {
	// Committed waits until everything up to the journal sequence seq is in the lake.
	Committed(ctx context.Context, seq uint64) error
	// Present returns those of the asked records that the lake holds, by _id.
	Present(ctx context.Context, asks []Ask) (map[string]Held, error)
	// Count counts, on one snapshot, what the lake holds of each unit. Rows that were stored before since may be
	// left out; rows within the mark and units without rows are left out. Everything of the journal up to the position was
	// counted, nothing behind.
	Count(ctx context.Context, since time.Time, without state.DropMark) (map[record.UnitID]Holding, state.Position, error)
	// Old counts, on one snapshot, the rows of events before a time that are not within the mark, and hands them over in
	// parts, in the order of their events. The last part is that of the time itself, if need be without units. An error of
	// take ends it.
	Old(ctx context.Context, before time.Time, without state.DropMark, take func(Aged) error) error
	// Origins tells where the rows of some units come from.
	Origins(ctx context.Context, units []record.UnitID) (map[record.UnitID]Origin, error)
	// Since yields the records with a journal sequence of after < seq, oldest first, and LastSeq the greatest sequence
	// of any of them, 0 in an empty lake.
	Since(ctx context.Context, after uint64) iter.Seq2[Stored, error]
	LastSeq(ctx context.Context) (uint64, error)
	// Erase removes the records of a tenant that came with messages of the journal up to through, and returns how many. A
	// second call finds only what an error of the first one left.
	Erase(ctx context.Context, tenantName string, through uint64) (int64, error)
}

// Stored is a record of the lake with its place in the journal.
type Stored struct {
	ID    string
	Batch int64
	Held
}

// Ask names a record by its identity and the second of its event, 0 when unknown.
type Ask struct {
	ID     string
	Second uint32
}

// Held is a record that the lake holds.
type Held struct {
	Index      record.Index
	Raw        []byte // the record, byte for byte
	TenantName string
	Seq        uint64 // of the journal
}

// Holding is what the lake holds of a unit.
type Holding struct {
	Rows        int64
	Distinct    int64 // different ids among them: less than Rows means that a record is there twice
	Quarantined int64 // rows in quarantine, part of Rows
	IDSum       uint64
}

// Aged are rows of old events: all of those before Before that no earlier part had.
type Aged struct {
	Before   time.Time
	Position state.Position // everything of the journal up to here was counted, nothing behind
	Units    []state.DroppedUnit
}

// Origin is where the rows of a unit come from, as they say themselves.
type Origin struct {
	ConnectorID string
	ContentType string
	ContentID   string
	Created     time.Time
}

// floorMargin is added to the floor of the ids when a fetcher decides whether to ask the lake: the floor can rise
// between that moment and the claim, but never so far.
const floorMargin = 48 * time.Hour

// askLake completes the claims of a fragment with what the lake knows, where the index of ids cannot know alone: for
// all records of a unit that is healed, and for records with events older than the index reaches (rule 8 of the
// collection path).
func (p *Publisher) askLake(ctx context.Context, frag *fragment, all bool) error {
	if p.cfg.Lake == nil {
		return nil
	}
	items := frag.items
	floor, err := p.cfg.State.IDFloor(ctx)
	if err != nil {
		return err
	}
	var asks []Ask
	var at []int
	for i := range items {
		second := items[i].claim.Second
		old := floor > 0 && second > 0 && int64(second) < int64(floor)+int64(floorMargin/time.Second)
		if !all && !old {
			continue
		}
		item := &items[i]
		asks = append(asks, Ask{ID: item.rec.ID, Second: second}, Ask{ID: item.variantID(), Second: second})
		at = append(at, i)
	}
	if len(at) == 0 {
		return nil
	}
	select {
	case <-p.ready: // before, it is not known up to where
	case <-p.stopped:
		return fault.New(fault.Canceled, "ask the lake", "stopped")
	case <-ctx.Done():
		return ctx.Err()
	}
	// Batches are confirmed one after the other: up to this number and sequence, what exists is in the lake after the wait.
	number, seq := p.settledUpTo()
	if err := p.cfg.Lake.Committed(ctx, seq); err != nil {
		return err
	}
	held, err := p.cfg.Lake.Present(ctx, asks)
	if err != nil {
		return err
	}
	lake := lakeAnswer{settled: number, generation: frag.generation, held: func(id string) (Held, bool) {
		row, ok := held[id]
		return row, ok && !p.erasures.cover(row)
	}}
	for _, i := range at {
		if err := items[i].answer(&lake); err != nil {
			return err
		}
	}
	return nil
}

// lakeAnswer is what the lake said of the records of a fragment.
type lakeAnswer struct {
	held       func(id string) (Held, bool)
	settled    int64 // the lake had all batches up to this number
	generation uint32
	content    contentHasher
}

func (i *prepared) variantID() string {
	if i.rec.Index == record.Quarantine {
		return i.rec.ID // malformed items have no variants: their id is made of their bytes
	}
	return normalize.VariantID(i.rec.ID, i.content)
}

// answer notes what the lake said of the item's id and of the id that it would have as a variant.
func (i *prepared) answer(lake *lakeAnswer) error {
	i.claim.Lake, i.claim.SettledBatch = state.Absent, lake.settled
	i.variantLake = state.Absent
	if row, ok := lake.held(i.rec.ID); ok {
		claim, err := lake.content.claim(lake.generation, i.rec.ID, row)
		if err != nil {
			return err
		}
		i.claim.Lake, i.claim.LakeContent = state.Present, claim.Content
	}
	if _, ok := lake.held(i.variantID()); !ok || i.rec.Index == record.Quarantine {
		return nil
	}
	// A variant's id is made of its content: the lake has this very record, whoever holds the id itself.
	i.variantLake = state.Present
	if i.claim.Lake == state.Absent {
		i.claim.Key = normalize.ClaimKey(lake.generation, i.variantID())
		i.claim.Lake, i.claim.LakeContent = state.Present, i.claim.Content
	}
	return nil
}

// contentHasher makes claims of records of the lake, as the collector made them when it collected the records. It is for
// one goroutine.
type contentHasher struct {
	members []rawjson.Member
	scratch normalize.Scratch
}

func (h *contentHasher) claim(generation uint32, id string, row Held) (state.Claim, error) {
	if row.Index == record.Quarantine {
		return quarantineClaim(generation, id)
	}
	connectorType, ok := normalize.TypeOfID(id)
	if !ok {
		return state.Claim{}, fault.Newf(fault.Internal, "identify record of the lake", "the id %q is of no known kind", id)
	}
	var err error
	if h.members, err = rawjson.Members(h.members[:0], row.Raw); err != nil {
		return state.Claim{}, fault.New(fault.Internal, "read record of the lake", "").WithCause(err)
	}
	// The directory is part of the id of some records, but of no record's content.
	identity, err := normalize.Identify(connectorType, "", row.Raw, h.members, &h.scratch)
	if err != nil {
		return state.Claim{}, fault.Wrap(fault.Internal, "identify record of the lake", err)
	}
	return state.Claim{Second: identity.Second, Key: normalize.ClaimKey(generation, id), Content: identity.Content}, nil
}
