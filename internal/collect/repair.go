package collect

import (
	"context"

	"sluice/internal/failpoint"
	"sluice/internal/record"
	"sluice/internal/state"
)

// repairChunk is how many units are queued in one transaction.
const repairChunk = 500

// repair queues what is missing. A queued unit is fetched again and the lake is asked for each of its records, so that
// only those land that are not there; its counts begin with what the lake holds.
func (v *verification) repair(ctx context.Context) error {
	ids := v.repairable()
	v.progress(Repairing, 0, int64(len(ids)))
	p := v.f.r.deps.Publisher
	for start := 0; start < len(ids); start += repairChunk {
		chunk := ids[start:min(start+repairChunk, len(ids))]
		err := v.f.r.deps.State.Step(ctx, p.term, func(s *state.Step) error {
			var add []record.Unit
			heal := make([]state.HealUnit, 0, len(chunk))
			for _, id := range chunk {
				if _, known := v.ledger[id]; !known {
					add = append(add, v.listed[id])
				}
				h := v.holdings[id]
				heal = append(heal, state.HealUnit{ID: id, Records: h.Rows - h.Quarantined, Malformed: h.Quarantined, IDSum: h.IDSum})
			}
			if _, err := s.AddUnits(v.f.r.cfg.Connector.ID, add); err != nil {
				return err
			}
			if err := s.Settle(v.position); err != nil { // what was counted is in the lake for good
				return err
			}
			return s.Heal(heal)
		})
		if err != nil {
			return err
		}
		failpoint.Hit(failpoint.CollectHealed)
		v.report.Repaired += int64(len(chunk))
		v.progress(Repairing, v.report.Repaired, int64(len(ids)))
	}
	return nil
}

// repairable lists the units to fetch again: what is missing or lost and may still be had. When a unit that is missing
// records can no longer be had, the same records may have come with other units as duplicates, also of other content types:
// those are read again too.
func (v *verification) repairable() []record.UnitID {
	var ids []record.UnitID
	for _, f := range v.report.Findings {
		switch {
		case f.Verdict == Surplus && f.Repairable: // the lake has more than the ledger counts: its counts begin anew
			ids = append(ids, f.ID)
		case f.Verdict != Missing && f.Verdict != LostForGood:
		case !f.Repairable:
			v.orphaned = v.orphaned || f.Verdict == Missing
		case v.waiting(f.ID): // it is in the queue already
		default:
			ids = append(ids, f.ID)
		}
	}
	if !v.orphaned {
		return ids
	}
	chosen := map[record.UnitID]bool{}
	for _, id := range ids {
		chosen[id] = true
	}
	for id, u := range v.ledger {
		if _, listed := v.listed[id]; listed && !chosen[id] && u.State == state.Landed && u.Duplicates > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func (v *verification) waiting(id record.UnitID) bool {
	u, known := v.ledger[id]
	return known && (u.State == state.Listed || u.State == state.Retrying)
}
