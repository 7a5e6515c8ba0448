package state

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"

	"sluice/internal/record"
)

// UnitsByPrefix returns units of a connector whose id begins with the given lower-case hexadecimal digits, at most limit.
// A prefix that is none of an id finds nothing.
func (s *Store) UnitsByPrefix(ctx context.Context, connectorID, prefix string, limit int) ([]LedgerUnit, error) {
	var low, high record.UnitID
	width := 2 * len(low)
	if len(prefix) > width {
		return nil, nil
	}
	if n, err := hex.Decode(low[:], []byte(prefix+strings.Repeat("0", width-len(prefix)))); err != nil || n != len(low) {
		return nil, nil //nolint:nilerr // not the beginning of any id
	}
	if _, err := hex.Decode(high[:], []byte(prefix+strings.Repeat("f", width-len(prefix)))); err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	list, err := s.units(ctx, unitSelect+`FROM units u JOIN feeds f ON f.id = u.feed
		WHERE u.id >= ? AND u.id <= ? AND f.connector_id = ? ORDER BY u.id LIMIT ?`, low[:], high[:], connectorID, int64(limit))
	return list, classify("find units", err)
}

// UnsettledRecords counts the records of published batches behind a position: those that a search cannot see yet.
func (s *Store) UnsettledRecords(ctx context.Context, after Position) (n int64, err error) {
	err = s.rows(ctx, `SELECT COALESCE(SUM(u.records + u.malformed), 0) FROM batches b JOIN batch_units u ON u.batch = b.number
		WHERE b.state = 2 AND b.seq > ?`, []any{int64(after.Seq)},
		func(r *sql.Rows) error { return r.Scan(&n) })
	return n, classify("count records that are not committed", err)
}
