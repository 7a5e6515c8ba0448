package state_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/internal/record"
	"sluice/internal/state"
)

// model is the state database as one would write it without a database.
type model struct {
	ids     map[int]modelID
	floor   int   // of the ids
	pruned  int64 // the greatest batch of which ids were pruned
	batches map[int64]*modelBatch
	units   map[record.UnitID]*modelUnit
	folded  map[string]*modelFolded // by connector
}

type modelID struct {
	content int
	batch   int64 // 0: none, the lake had it
}

type modelBatch struct {
	status string // open, published, settled, void
	seq    uint64
	units  map[record.UnitID]bool // counted
	waits  map[int64]bool         // batches it lost records to
}

type modelUnit struct {
	connector   string
	n           int
	state       state.UnitState
	complete    bool
	attempt     int
	sum         state.UnitCount
	holds       map[int64]state.UnitCount // by batch that is not settled
	ask         bool
	look, looks int
}

func (u *modelUnit) String() string {
	if u == nil {
		return "none"
	}
	return fmt.Sprintf("{%s of %s complete:%t ask:%t attempt:%d look:%d looks:%d sum:%+v held by %v}", u.state, u.connector, u.complete,
		u.ask, u.attempt, u.look, u.looks, u.sum, slices.Sorted(maps.Keys(u.holds)))
}

type modelFolded struct {
	units int64
	sum   state.UnitCount
}

func (m *model) status(batch int64) string {
	if batch == 0 {
		return "settled"
	}
	return m.batches[batch].status
}

// claim answers the claims of one call. The first claim of an id, or the first that asked if its content is another, decides
// with the latest answer of the lake to any.
func (m *model) claim(batch int64, list []state.Claim) []state.ClaimResult {
	answers, first, firstAsked := map[int]state.Claim{}, map[int]int{}, map[int]int{}
	for i, c := range list {
		id := claimID(c)
		if _, ok := first[id]; !ok {
			first[id] = i
		}
		if c.Lake == state.NotAsked {
			continue
		}
		if old, ok := answers[id]; !ok || old.SettledBatch < c.SettledBatch {
			answers[id] = c
		}
		if _, ok := firstAsked[id]; !ok {
			firstAsked[id] = i
		}
	}
	results := make([]state.ClaimResult, len(list))
	for id, i := range first {
		if asked, ok := firstAsked[id]; ok && list[asked].Content != list[i].Content {
			first[id] = asked
		}
		i = first[id]
		results[i] = m.claimOne(batch, id, contentNumber(list[i].Content), answers[id], false)
	}
	for i, c := range list {
		if id := claimID(c); first[id] != i {
			results[i] = m.claimOne(batch, id, contentNumber(c.Content), answers[id], true)
		}
	}
	return results
}

func (m *model) claimOne(batch int64, id, content int, answer state.Claim, again bool) state.ClaimResult {
	held, ok := m.ids[id]
	status := ""
	if ok {
		status = m.status(held.batch)
	}
	free := !ok || status == "void"
	missing := answer.Lake == state.Absent && held.batch != batch && held.batch <= answer.SettledBatch &&
		(status == "settled" || status == "published")
	switch {
	case !again && free && answer.Lake == state.Present:
		held = modelID{contentNumber(answer.LakeContent), 0}
		m.ids[id] = held
		status = "settled"
	case !again && (free || missing):
		m.ids[id] = modelID{content, batch}
		return claimed
	}
	if held.content != content {
		return variant
	}
	if held.batch != batch && (status == "open" || status == "published") {
		m.batches[batch].waits[held.batch] = true
	}
	return duplicate
}

// claimID and contentNumber are the inverse of claimOf.
func claimID(c state.Claim) int {
	for id := int(c.Second-claimSecond) * 100; ; id++ {
		if claimOf(id, 1).Key == c.Key {
			return id
		}
	}
}

func contentNumber(content [16]byte) int { return int(binary.BigEndian.Uint64(content[:])) }

func addCounts(to *state.UnitCount, c state.UnitCount, sign int64) {
	to.Bytes += sign * c.Bytes
	to.Records += sign * c.Records
	to.Duplicates += sign * c.Duplicates
	to.Filtered += sign * c.Filtered
	to.Malformed += sign * c.Malformed
	to.IDSum ^= c.IDSum
}

func (m *model) count(batch int64, c state.UnitCount) {
	u := m.units[c.Unit]
	m.batches[batch].units[c.Unit] = true
	part := u.holds[batch]
	addCounts(&part, c, 1)
	u.holds[batch] = part
	addCounts(&u.sum, c, 1)
	u.complete = u.complete || c.Complete && (!u.ask || c.AskedLake)
}

// endStep makes the units counted with a batch held by those to which it lost records.
func (m *model) endStep(batch int64) {
	for id := range m.batches[batch].units {
		for w := range m.batches[batch].waits {
			if _, ok := m.units[id].holds[w]; !ok {
				m.units[id].holds[w] = state.UnitCount{}
			}
		}
	}
}

func (m *model) confirm(batch int64, seq uint64) {
	m.batches[batch].status, m.batches[batch].seq = "published", seq
	for _, u := range m.units {
		if _, ok := u.holds[batch]; !ok || !u.complete || u.state == state.Landed {
			continue
		}
		open := false
		for b := range u.holds {
			open = open || m.batches[b].status == "open"
		}
		if !open {
			u.state, u.ask = state.Landed, false
		}
	}
}

func (m *model) void(batch int64) {
	published := m.batches[batch].status == "published"
	m.batches[batch].status = "void"
	for _, u := range m.units {
		if part, ok := u.holds[batch]; ok {
			u.ask = u.ask || published
			delete(u.holds, batch)
			addCounts(&u.sum, part, -1)
			u.state, u.complete = u.queued(), false
		}
	}
}

func (u *modelUnit) queued() state.UnitState {
	if strings.HasPrefix(u.connector, "import:") {
		return state.Dropped
	}
	return state.Listed
}

func (m *model) settle(seq uint64) {
	for number, b := range m.batches {
		if b.status == "published" && b.seq <= seq {
			b.status = "settled"
			for _, u := range m.units {
				delete(u.holds, number)
			}
		}
	}
}

func (m *model) heal(h state.HealUnit) {
	u := m.units[h.ID]
	u.sum = state.UnitCount{Records: h.Records, Malformed: h.Malformed, IDSum: h.IDSum}
	for _, part := range u.holds {
		addCounts(&u.sum, part, 1)
	}
	u.ask, u.complete = true, false
	if u.state != state.Listed && u.state != state.Retrying {
		u.state, u.attempt = u.queued(), 0
	}
}

func (m *model) fold() (n int64) {
	for id, u := range m.units {
		if u.state == state.Landed && len(u.holds) == 0 && u.look == 0 {
			f := m.folded[u.connector]
			if f == nil {
				f = &modelFolded{}
				m.folded[u.connector] = f
			}
			f.units++
			addCounts(&f.sum, u.sum, 1)
			delete(m.units, id)
			n++
		}
	}
	return n
}

func (m *model) prune(floor int) (removed int64) {
	m.floor = max(m.floor, floor)
	maps.DeleteFunc(m.ids, func(id int, held modelID) bool {
		status := m.status(held.batch)
		gone := int(claimOf(id, 1).Second) < m.floor && (status == "settled" || status == "void")
		if gone {
			removed++
			m.pruned = max(m.pruned, held.batch)
		}
		return gone
	})
	return removed
}
