package state

import (
	"encoding/binary"
	"maps"
	"slices"

	"sluice/internal/fault"
)

// lakeBatch is the number in the index of ids that the lake turned out to have while no batch held them. No batch has
// it, so that such ids count as held by a batch that is settled.
const lakeBatch = 0

// askedLake reports whether the lake was asked for some of the claims, and refuses claims for which it had to be.
func (st *Step) askedLake(claims []Claim) (asked bool, err error) {
	if st.floor < 0 && len(claims) > 0 {
		if st.floor, err = st.tx.floor(idsFloor); err != nil {
			return false, err
		}
		if st.pruned, err = st.tx.floor(prunedBatch); err != nil {
			return false, err
		}
	}
	for i := range claims {
		switch c := &claims[i]; {
		case c.Lake != NotAsked:
			asked = true
		case int64(c.Second) < st.floor && c.Second != 0:
			return false, errAskLake()
		}
	}
	return asked, nil
}

func errAskLake() error {
	return fault.New(fault.Unavailable, "claim ids", "an event is older than the ids that are kept").WithCause(ErrAskLake)
}

// askedRow is a row for which the lake was asked.
type askedRow struct {
	*claimRow
	answer *Claim // with the latest answer of those that claim the key
}

// claimAsked claims rows of which some know what the lake says.
func (c *claimer) claimAsked(claims []Claim, rows []claimRow, order []int32) error {
	answers := make([]*Claim, len(rows))
	for pos, i := range order {
		claim, row := &claims[pos], &rows[i]
		if claim.Lake == NotAsked {
			continue
		}
		// Content for which the lake was not asked does not take the id: the lake may have it as a variant.
		if answers[i] == nil && claims[row.pos].Lake == NotAsked && row.content != claim.Content {
			row.pos, row.content = pos, claim.Content
		}
		if answers[i] == nil || answers[i].SettledBatch < claim.SettledBatch {
			answers[i] = claim
		}
	}
	var plain []*claimRow
	var asked []askedRow
	for i := range rows {
		if answers[i] == nil {
			plain = append(plain, &rows[i])
		} else {
			asked = append(asked, askedRow{&rows[i], answers[i]})
		}
	}
	for chunk := range slices.Chunk(asked, claimChunk) {
		if err := c.askedChunk(chunk); err != nil {
			return err
		}
	}
	return c.claim(plain)
}

// askedWrites are the rows of a chunk to write, by how and by the number to write.
type askedWrites struct {
	insert, take map[int64][]*claimRow // by the number to write: of this batch, or lakeBatch
	move         map[int64][]*claimRow // by the number of the holder, to this batch
}

// askedChunk claims at most claimChunk rows for which the lake was asked. It always looks first.
func (c *claimer) askedChunk(rows []askedRow) error {
	list := make([]*claimRow, len(rows))
	for i, row := range rows {
		list[i] = row.claimRow
	}
	holders, err := c.holders(list)
	if err != nil {
		return err
	}
	w := askedWrites{map[int64][]*claimRow{}, map[int64][]*claimRow{}, map[int64][]*claimRow{}}
	for i, row := range rows {
		h := holders[i]
		switch {
		case !h.found && c.prunedSince(row):
			return errAskLake()
		case !h.found:
			to := c.enter(row)
			w.insert[to] = append(w.insert[to], row.claimRow)
		case c.lostByLake(row, h):
			c.enter(row)
			w.move[h.batch] = append(w.move[h.batch], row.claimRow)
		case c.decide(row.claimRow, h, false):
			to := c.enter(row)
			w.take[to] = append(w.take[to], row.claimRow)
		}
	}
	return c.write(w)
}

// prunedSince reports whether the lake can have got a row, and the index have lost it, after the lake was asked.
func (c *claimer) prunedSince(row askedRow) bool {
	second := int64(binary.BigEndian.Uint32(row.key[:4]))
	return row.answer.Lake == Absent && second != 0 && second < c.st.floor && row.answer.SettledBatch < c.st.pruned
}

// lostByLake reports whether the lake should have a row because of its holder, and has not.
func (c *claimer) lostByLake(row askedRow, h holder) bool {
	return row.answer.Lake == Absent && h.batch != c.batch && h.batch <= row.answer.SettledBatch &&
		(h.state == batchGone || h.state == batchPublished)
}

// enter answers a row that will be written, and returns under which number.
func (c *claimer) enter(row askedRow) (batch int64) {
	if row.answer.Lake == Absent {
		row.result, row.held = Claimed, row.content
		return c.batch
	}
	row.result, row.held = compareContent(row.content, row.answer.LakeContent), row.answer.LakeContent
	row.content = row.answer.LakeContent // what is written
	return lakeBatch
}

// write writes the rows. They were looked at in this step: only another subject, on PostgreSQL, can be in between.
func (c *claimer) write(w askedWrites) error {
	for _, kind := range []struct {
		sql  string
		rows map[int64][]*claimRow
	}{{c.sql().insert, w.insert}, {c.sql().take, w.take}} {
		for _, number := range slices.Sorted(maps.Keys(kind.rows)) {
			rows := kind.rows[number]
			if err := c.all(rows, kind.sql, pack(rows), number, int64(len(rows))); err != nil {
				return err
			}
		}
	}
	for _, holder := range slices.Sorted(maps.Keys(w.move)) {
		rows := w.move[holder]
		if err := c.all(rows, c.sql().move, pack(rows), c.batch, int64(len(rows)), holder); err != nil {
			return err
		}
	}
	return nil
}

// all runs a statement that has to change every row.
func (c *claimer) all(rows []*claimRow, query string, args ...any) error {
	n, err := c.st.tx.exec(query, args...)
	if err == nil && n != int64(len(rows)) {
		err = errRivalClaims()
	}
	return err
}
