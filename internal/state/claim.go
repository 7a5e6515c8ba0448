package state

import (
	"bytes"
	"database/sql"
	"encoding/binary"
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
	result  ClaimResult
}

// Claim asks for identities in the name of an open batch, in any order. The answers are in the order of the claims.
// An id that a batch holds, this one included, is a Duplicate or a Variant, unless that batch is void: then the id is
// Claimed and moves to this batch. Nothing is written for duplicates and variants.
//
// When duplicates are held by another batch that is still open, the units counted in this step with this batch wait
// for that batch too, and are fetched again if it becomes void.
func (st *Step) Claim(batch int64, claims []Claim) ([]ClaimResult, error) {
	b, err := st.batch(batch)
	if err != nil {
		return nil, err
	}
	rows, order := sortClaims(claims)
	c := &claimer{st: st, batch: batch, info: b, look: !b.fresh}
	for chunk := range slices.Chunk(rows, claimChunk) {
		if err := c.chunk(chunk); err != nil {
			return nil, err
		}
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
		switch {
		case row.pos == pos:
			results[pos] = row.result
		case claims[pos].Content == row.held:
			results[pos] = Duplicate
		default:
			results[pos] = Variant
		}
	}
	return results, nil
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
}

// chunk claims rows with distinct keys. The usual way is to insert all; only if fewer arrived is the index asked.
func (c *claimer) chunk(rows []claimRow) error {
	all := make([]*claimRow, len(rows))
	for i := range rows {
		all[i] = &rows[i]
	}
	absent := all
	if c.look {
		holders, err := c.holders(all)
		if err != nil {
			return err
		}
		absent = absent[:0:0]
		var old []*claimRow
		for i, row := range all {
			switch {
			case !holders[i].found:
				absent = append(absent, row)
			default:
				if again, err := c.settle(row, holders[i], false); err != nil {
					return err
				} else if again {
					old = append(old, row)
				}
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
	packed := pack(rows)
	n, err := c.st.tx.exec(c.sql().insert, packed, c.batch, int64(len(rows)))
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
		again, err := c.settle(row, holders[i], !c.claimedEarlier(row.key))
		if err != nil {
			return err
		}
		if again {
			old = append(old, row)
		}
	}
	return c.take(old)
}

// settle decides a row that the index has. mine says that a row of this batch was inserted just now. again is true
// when the holder is void.
func (c *claimer) settle(row *claimRow, h holder, mine bool) (again bool, err error) {
	if !h.found {
		return false, fault.New(fault.Internal, "claim ids", "an id is gone that was there")
	}
	row.held = h.content
	if h.batch == c.batch && mine {
		row.result = Claimed
		return false, nil
	}
	status, err := c.st.batches()
	if err != nil {
		return false, err
	}
	if _, void := status.void[h.batch]; void {
		return true, nil
	}
	if h.content != row.content {
		row.result = Variant
		return false, nil
	}
	row.result = Duplicate
	if _, open := status.open[h.batch]; open && h.batch != c.batch {
		c.info.waits[h.batch] = struct{}{}
	}
	return false, nil
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
	holders, err := c.holders(rows)
	if err != nil {
		return err
	}
	c.st.status = nil
	for i, row := range rows {
		again, err := c.settle(row, holders[i], true)
		if err != nil {
			return err
		}
		if again {
			return fault.New(fault.Unavailable, "claim ids", "another publisher claims the same ids")
		}
	}
	return nil
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
	if c.st.tx.s.dialect == Postgres {
		c.st.status = nil // the rows may be of a batch that another subject opened since it was read
	}
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
	return list, err
}

// pack lays keys and contents one behind the other, for the statements below to cut up.
func pack(rows []*claimRow) []byte {
	buf := make([]byte, 0, len(rows)*claimSize)
	for _, row := range rows {
		buf = append(append(buf, row.key[:]...), row.content[:]...)
	}
	return buf
}

// claimSQL are the statements on the index. $1 is the packed rows; then the batch (insert, take) and how many they are.
type claimSQL struct{ insert, find, take string }

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
			WHERE ids.batch IN (SELECT number FROM batches WHERE void = 1)`,
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
			WHERE ids.batch IN (SELECT number FROM batches WHERE void = 1)`,
	}
)

// batches reads which batches are open or void.
func (st *Step) batches() (*batchStatus, error) {
	if st.status != nil {
		return st.status, nil
	}
	status := &batchStatus{open: map[int64]struct{}{}, void: map[int64]struct{}{}}
	err := st.tx.query(`SELECT number, void FROM batches`, func(r *sql.Rows) error {
		var number, void int64
		err := r.Scan(&number, &void)
		if void != 0 {
			status.void[number] = struct{}{}
		} else {
			status.open[number] = struct{}{}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	st.status = status
	return status, nil
}
