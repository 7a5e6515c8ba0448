package state

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"slices"

	"sluice/internal/fault"
)

const (
	keySize     = 20 // second and hash
	contentSize = 16
	claimSize   = keySize + contentSize
	// claimChunk is how many claims one statement takes: the size of the table numbers on SQLite.
	claimChunk = 1024
)

// claimKey is the key of the index of identities.
type claimKey [keySize]byte

// claimRow is a claim on its way through the index. Of equal keys only the first goes; the others share its fate.
type claimRow struct {
	key     claimKey
	content [contentSize]byte // asked for
	pos     int               // in the call
	held    [contentSize]byte // what the index holds in the end
	wait    int64             // another batch that holds it and is not settled, 0 for none
	result  ClaimResult
}

// ErrAskLake is in the chain of the error of a Claim below the floor of the ids for which the lake was not asked, or too
// long ago. See Store.IDFloor.
var ErrAskLake = errors.New("the lake must be asked first")

// Claim asks for identities in the name of an open batch, in any order. The answers are in the order of the claims.
// An id that a batch holds, this one included, is a Duplicate or a Variant, unless that batch is void: then the id is
// Claimed and moves to this batch. Nothing is written for duplicates and variants.
//
// When duplicates are held by another batch that is not settled yet, the units counted in this step with this batch are
// fetched again if that batch becomes void, and while it is open they wait for it.
//
// A claim for which the lake was asked knows more than the index:
//
//   - Absent: an id held by a published or settled batch up to SettledBatch should be in the lake and is not. It is
//     Claimed and moves to this batch. Held by a later batch, or by one that is open, it is answered as above.
//   - Present: an id that is not held, or held by a void batch, is entered with LakeContent as one that the lake has for
//     good, whatever becomes of this batch; the answer is Duplicate or Variant. A held one is answered as above.
//
// Claims of the same id in one call share the lake's answer; of different contents the first that asked comes first. A claim
// without one whose Second is not 0 and below the floor of the ids fails all with a fault.Unavailable that holds ErrAskLake,
// and nothing of the step is to be kept. So does an Absent of the lake for an id below the floor that is not held, if ids of
// batches behind SettledBatch were pruned: it may be one of them.
func (st *Step) Claim(batch int64, claims []Claim) ([]ClaimResult, error) {
	b, err := st.batch(batch)
	if err != nil {
		return nil, err
	}
	asked, err := st.askedLake(claims)
	if err != nil {
		return nil, err
	}
	rows, order := sortClaims(claims)
	c := &claimer{st: st, batch: batch, info: b, look: !b.fresh}
	if asked {
		err = c.claimAsked(claims, rows, order)
	} else {
		err = c.claim(pointers(rows))
	}
	if err != nil {
		return nil, err
	}
	if b.fresh && len(rows) > 0 {
		keys := make([]claimKey, len(rows))
		for i := range rows {
			keys[i] = rows[i].key
		}
		b.claimed = append(b.claimed, keys)
	}
	results := make([]ClaimResult, len(claims))
	for pos, i := range order {
		row := &rows[i]
		results[pos] = row.result
		if row.pos != pos {
			results[pos] = compareContent(claims[pos].Content, row.held)
		}
		if row.wait != 0 && results[pos] == Duplicate {
			b.waits[row.wait] = struct{}{}
		}
	}
	return results, nil
}

// compareContent answers a claim of an id that is held.
func compareContent(asked, held [contentSize]byte) ClaimResult {
	if asked == held {
		return Duplicate
	}
	return Variant
}

func pointers(rows []claimRow) []*claimRow {
	list := make([]*claimRow, len(rows))
	for i := range rows {
		list[i] = &rows[i]
	}
	return list
}

// sortClaims returns the distinct keys in the order of the index, and for each claim the position of its key.
func sortClaims(claims []Claim) (rows []claimRow, order []int32) {
	rows = make([]claimRow, len(claims))
	for i := range claims {
		row := &rows[i]
		binary.BigEndian.PutUint32(row.key[:4], claims[i].Second)
		copy(row.key[4:], claims[i].Key[:])
		row.content, row.pos = claims[i].Content, i
	}
	slices.SortFunc(rows, func(a, b claimRow) int {
		if n := bytes.Compare(a.key[:], b.key[:]); n != 0 {
			return n
		}
		return a.pos - b.pos // the first of the call wins
	})
	order = make([]int32, len(claims))
	distinct := 0
	for i := range rows {
		if i == 0 || rows[i].key != rows[distinct-1].key {
			rows[distinct] = rows[i]
			distinct++
		}
		order[rows[i].pos] = int32(distinct - 1)
	}
	return rows[:distinct], order
}

// claimer works through the chunks of one call.
type claimer struct {
	st    *Step
	batch int64
	info  *liveBatch
	look  bool // look first: rows may be in this batch already, or most of the last chunk were held
}

// holder is what the index says of a row.
type holder struct {
	found   bool
	content [contentSize]byte
	batch   int64
	state   int64 // of the batch
}

// claim claims rows with distinct keys for which the index alone decides.
func (c *claimer) claim(rows []*claimRow) error {
	for chunk := range slices.Chunk(rows, claimChunk) {
		if err := c.chunk(chunk); err != nil {
			return err
		}
	}
	return nil
}

// chunk claims at most claimChunk rows. The usual way is to insert all; only if fewer arrived is the index asked.
func (c *claimer) chunk(rows []*claimRow) error {
	absent := rows
	if c.look {
		holders, err := c.holders(rows)
		if err != nil {
			return err
		}
		absent = absent[:0:0]
		var old []*claimRow
		for i, row := range rows {
			if !holders[i].found {
				absent = append(absent, row)
			} else if c.decide(row, holders[i], false) {
				old = append(old, row)
			}
		}
		c.look = !c.info.fresh || len(absent) < len(rows)/2
		if err := c.take(old); err != nil {
			return err
		}
	}
	return c.insert(absent, len(rows))
}

// insert claims rows of which most are believed to be new. None of them was in this batch before, except those of
// earlier calls.
func (c *claimer) insert(rows []*claimRow, chunk int) error {
	if len(rows) == 0 {
		return nil
	}
	n, err := c.st.tx.exec(c.sql().insert, pack(rows), c.batch, int64(len(rows)))
	if err != nil {
		return err
	}
	if n == int64(len(rows)) {
		for _, row := range rows {
			row.result, row.held = Claimed, row.content
		}
		return nil
	}
	if n < int64(chunk/2) {
		c.look = true
	}
	holders, err := c.holders(rows)
	if err != nil {
		return err
	}
	var old []*claimRow
	for i, row := range rows {
		if !holders[i].found {
			return errIDGone()
		}
		if c.decide(row, holders[i], !c.claimedEarlier(row.key)) {
			old = append(old, row)
		}
	}
	return c.take(old)
}

func errIDGone() error { return fault.New(fault.Internal, "claim ids", "an id is gone that was there") }

// decide answers a row that the index has. mine says that a row of this batch was inserted just now. free is true when
// the holder is void: then the row is not answered.
func (c *claimer) decide(row *claimRow, h holder, mine bool) (free bool) {
	row.held = h.content
	if h.batch == c.batch && mine {
		row.result = Claimed
		return false
	}
	if h.state == batchVoid {
		return true
	}
	row.result = compareContent(row.content, h.content)
	if h.state != batchGone && h.batch != c.batch {
		row.wait = h.batch
	}
	return false
}

// take claims rows of void batches. On PostgreSQL another subject may be faster.
func (c *claimer) take(rows []*claimRow) error {
	if len(rows) == 0 {
		return nil
	}
	n, err := c.st.tx.exec(c.sql().take, pack(rows), c.batch, int64(len(rows)))
	if err != nil {
		return err
	}
	if n == int64(len(rows)) {
		for _, row := range rows {
			row.result, row.held = Claimed, row.content
		}
		return nil
	}
	c.st.status = nil
	holders, err := c.holders(rows)
	if err != nil {
		return err
	}
	for i, row := range rows {
		if !holders[i].found {
			return errIDGone()
		}
		if c.decide(row, holders[i], true) {
			return errRivalClaims()
		}
	}
	return nil
}

func errRivalClaims() error {
	return fault.New(fault.Unavailable, "claim ids", "another publisher claims the same ids")
}

// claimedEarlier reports whether an earlier call of this step asked for the key: then a row of this batch is old.
func (c *claimer) claimedEarlier(key claimKey) bool {
	for _, keys := range c.info.claimed {
		if _, ok := slices.BinarySearchFunc(keys, key, func(a, b claimKey) int { return bytes.Compare(a[:], b[:]) }); ok {
			return true
		}
	}
	return false
}

// holders asks the index for the rows, at most claimChunk.
func (c *claimer) holders(rows []*claimRow) ([]holder, error) {
	list := make([]holder, len(rows))
	var content sql.RawBytes
	err := c.st.tx.query(c.sql().find, func(r *sql.Rows) error {
		var n, batch int64
		if err := r.Scan(&n, &content, &batch); err != nil {
			return err
		}
		list[n] = holder{found: true, content: [contentSize]byte(content), batch: batch}
		return nil
	}, pack(rows), int64(len(rows)))
	if err != nil {
		return nil, err
	}
	return list, c.st.states(list)
}

// pack lays keys and contents one behind the other, for the statements below to cut up.
func pack(rows []*claimRow) []byte {
	buf := make([]byte, 0, len(rows)*claimSize)
	for _, row := range rows {
		buf = append(append(buf, row.key[:]...), row.content[:]...)
	}
	return buf
}

// claimSQL are the statements on the index. $1 is the packed rows; then the batch (not for find) and how many they are;
// then the batch that holds them (move).
type claimSQL struct{ insert, find, take, move string }

func (c *claimer) sql() *claimSQL {
	if c.st.tx.s.dialect == Postgres {
		return &postgresClaims
	}
	return &sqliteClaims
}

// CROSS JOIN keeps SQLite, and LATERAL with LIMIT keeps PostgreSQL, at one index look-up per claim, whatever the
// planner believes of the size of ids.
var (
	sqliteClaims = claimSQL{
		insert: `INSERT INTO ids (key, content, batch) SELECT substr($1, n*36+1, 20), substr($1, n*36+21, 16), $2
			FROM numbers WHERE n < $3 ON CONFLICT DO NOTHING`,
		find: `SELECT n, i.content, i.batch FROM numbers CROSS JOIN ids i WHERE n < $2 AND i.key = substr($1, n*36+1, 20)`,
		take: `INSERT INTO ids (key, content, batch) SELECT substr($1, n*36+1, 20), substr($1, n*36+21, 16), $2
			FROM numbers WHERE n < $3 ON CONFLICT (key) DO UPDATE SET content = excluded.content, batch = excluded.batch
			WHERE ids.batch IN (SELECT number FROM batches WHERE state = 1)`,
		move: `INSERT INTO ids (key, content, batch) SELECT substr($1, n*36+1, 20), substr($1, n*36+21, 16), $2
			FROM numbers WHERE n < $3 ON CONFLICT (key) DO UPDATE SET content = excluded.content, batch = excluded.batch
			WHERE ids.batch = $4`,
	}
	postgresClaims = claimSQL{
		insert: `INSERT INTO ids (key, content, batch)
			SELECT substr($1::bytea, n*36+1, 20), substr($1::bytea, n*36+21, 16), $2::bigint
			FROM generate_series(0, $3::int-1) n ON CONFLICT DO NOTHING`,
		find: `SELECT n, i.content, i.batch FROM generate_series(0, $2::int-1) n,
			LATERAL (SELECT content, batch FROM ids WHERE key = substr($1::bytea, n*36+1, 20) LIMIT 1) i`,
		take: `INSERT INTO ids (key, content, batch)
			SELECT substr($1::bytea, n*36+1, 20), substr($1::bytea, n*36+21, 16), $2::bigint
			FROM generate_series(0, $3::int-1) n ON CONFLICT (key) DO UPDATE SET content = excluded.content, batch = excluded.batch
			WHERE ids.batch IN (SELECT number FROM batches WHERE state = 1)`,
		move: `INSERT INTO ids (key, content, batch)
			SELECT substr($1::bytea, n*36+1, 20), substr($1::bytea, n*36+21, 16), $2::bigint
			FROM generate_series(0, $3::int-1) n ON CONFLICT (key) DO UPDATE SET content = excluded.content, batch = excluded.batch
			WHERE ids.batch = $4::bigint`,
	}
)

// states fills in the states of the holders' batches. Only batches that were not looked up before in this step are read:
// a chunk is held by few, while all that were ever void are many. A batch that another subject opened, published or made
// void since is caught by writeWaits, and one that is gone stays gone.
func (st *Step) states(list []holder) error {
	if st.status == nil {
		st.status = map[int64]int64{}
	}
	var unknown []int64
	for i := range list {
		if h := &list[i]; h.found {
			if _, ok := st.status[h.batch]; !ok {
				st.status[h.batch] = batchGone
				unknown = append(unknown, h.batch)
			}
		}
	}
	if err := st.tx.queryRows(`SELECT b.number, b.state FROM {rows} CROSS JOIN batches b WHERE b.number = r.number`,
		numberColumns, numberRows(unknown), func(r *sql.Rows) error {
			var number, state int64
			err := r.Scan(&number, &state)
			st.status[number] = state
			return err
		}); err != nil {
		return err
	}
	for i := range list {
		list[i].state = st.status[list[i].batch]
	}
	return nil
}
