package state

import (
	"context"
	"database/sql"
)

const selectTotals = `SELECT f.id, f.connector_id, f.content_type, f.listed, f.landed, f.pending, f.retrying, f.lost, f.records, f.duplicates,
	f.filtered, f.malformed, f.bytes, f.newest, f.last_landed,
	(SELECT MIN(u.created) FROM units u WHERE u.feed = f.id AND u.state = 0),
	(SELECT MIN(u.created) FROM units u WHERE u.feed = f.id AND u.state = 1) FROM feeds f ORDER BY f.id`

func scanTotal(r *sql.Rows) (feed int64, t Total, err error) {
	var newest, lastLanded int64
	var oldest [2]sql.NullInt64
	err = r.Scan(&feed, &t.ConnectorID, &t.ContentType, &t.Listed, &t.Landed, &t.Pending, &t.Retrying, &t.Lost, &t.Records, &t.Duplicates,
		&t.Filtered, &t.Malformed, &t.Bytes, &newest, &lastLanded, &oldest[0], &oldest[1])
	t.Newest, t.LastLanded = fromMicros(newest), fromMicros(lastLanded)
	t.OldestOpen = earliest(oldest[0], oldest[1])
	return feed, t, err
}

// Totals returns the sums of all feeds, also those of deleted connectors and imports, in no particular order.
func (s *Store) Totals(ctx context.Context) ([]Total, error) {
	var list []Total
	err := s.rows(ctx, selectTotals, nil, func(r *sql.Rows) error {
		_, t, err := scanTotal(r)
		list = append(list, t)
		return err
	})
	return list, classify("read totals", err)
}

// Recount computes the totals of all feeds anew from their units and folded hours, and returns those that were wrong,
// corrected. They never are, unless somebody changed the tables by hand. Newest and LastLanded are left as they are. It
// reads the whole ledger in one transaction, during which nothing else is written.
func (s *Store) Recount(ctx context.Context, t Term) (changed []Total, err error) {
	err = s.step(ctx, "recount totals", t, func(st *Step) error {
		changed, err = st.recount()
		return err
	})
	if err != nil {
		return nil, err
	}
	return changed, nil
}

func (st *Step) recount() (changed []Total, err error) {
	// Steps of other subjects wait at the end for these rows, and then add to what is counted here.
	if err := st.tx.query(`SELECT id FROM feeds ORDER BY id {lock}`, func(*sql.Rows) error { return nil }); err != nil {
		return nil, err
	}
	sums := map[int64]*Total{}
	for _, query := range []string{
		`SELECT feed, COUNT(*), SUM(CASE WHEN state = 2 THEN 1 ELSE 0 END), SUM(CASE WHEN state IN (0, 1) THEN 1 ELSE 0 END),
			SUM(CASE WHEN state = 1 THEN 1 ELSE 0 END),			SUM(CASE WHEN state = 3 THEN 1 ELSE 0 END), SUM(records), SUM(duplicates), SUM(filtered), SUM(malformed), SUM(bytes)
			FROM units GROUP BY feed`,
		`SELECT feed, SUM(units), SUM(units), 0, 0, 0, SUM(records), SUM(duplicates), SUM(filtered), SUM(malformed), SUM(bytes)
			FROM unit_hours GROUP BY feed`,
	} {
		if err := st.tx.query(query, func(r *sql.Rows) error { return addSums(r, sums) }); err != nil {
			return nil, err
		}
	}
	err = st.tx.query(selectTotals, func(r *sql.Rows) error {
		feed, is, err := scanTotal(r)
		if err != nil {
			return err
		}
		want := sums[feed]
		if want == nil {
			want = &Total{}
		}
		st.deltas[feed] = &feedDelta{
			listed: want.Listed - is.Listed, landed: want.Landed - is.Landed, pending: want.Pending - is.Pending,
			retrying: want.Retrying - is.Retrying, lost: want.Lost - is.Lost, records: want.Records - is.Records, duplicates: want.Duplicates - is.Duplicates,
			filtered: want.Filtered - is.Filtered, malformed: want.Malformed - is.Malformed, bytes: want.Bytes - is.Bytes,
		}
		if *st.deltas[feed] != (feedDelta{}) {
			want.ConnectorID, want.ContentType = is.ConnectorID, is.ContentType
			want.Newest, want.LastLanded, want.OldestOpen = is.Newest, is.LastLanded, is.OldestOpen
			changed = append(changed, *want)
		}
		return nil
	})
	return changed, err
}

// addSums adds a row of sums to those of its feed.
func addSums(r *sql.Rows, sums map[int64]*Total) error {
	var feed int64
	var t Total
	if err := r.Scan(&feed, &t.Listed, &t.Landed, &t.Pending, &t.Retrying, &t.Lost, &t.Records, &t.Duplicates,
		&t.Filtered, &t.Malformed, &t.Bytes); err != nil {
		return err
	}
	sum := sums[feed]
	if sum == nil {
		sum = &Total{}
		sums[feed] = sum
	}
	sum.Listed += t.Listed
	sum.Landed += t.Landed
	sum.Pending += t.Pending
	sum.Retrying += t.Retrying
	sum.Lost += t.Lost
	sum.Records += t.Records
	sum.Duplicates += t.Duplicates
	sum.Filtered += t.Filtered
	sum.Malformed += t.Malformed
	sum.Bytes += t.Bytes
	return nil
}
