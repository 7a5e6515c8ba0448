package state

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"sluice/internal/fault"
)

// AddGap records a gap of a feed. With those of the same feed and reason that it overlaps or touches it becomes one, as
// early noticed as the earliest of them. A gap that is empty or turned round is a fault.Internal.
func (st *Step) AddGap(g Gap) error {
	if !g.From.Before(g.To) {
		return fault.Newf(fault.Internal, "record gap", "it ends at %s, before it begins", g.To.UTC().Format(time.RFC3339))
	}
	reason := clean(g.Reason)
	args := []any{g.ConnectorID, g.ContentType, reason, micros(g.To), micros(g.From)}
	from, to, noticed := micros(g.From), micros(g.To), micros(g.NoticedAt)
	const which = ` FROM gaps WHERE connector_id = ? AND content_type = ? AND reason = ? AND from_at <= ? AND to_at >= ?`
	if err := st.tx.query(`SELECT from_at, to_at, noticed_at`+which, func(r *sql.Rows) error {
		var f, t, n int64
		err := r.Scan(&f, &t, &n)
		from, to, noticed = min(from, f), max(to, t), min(noticed, n)
		return err
	}, args...); err != nil {
		return err
	}
	if _, err := st.tx.exec(`DELETE`+which, args...); err != nil {
		return err
	}
	_, err := st.tx.exec(`INSERT INTO gaps (connector_id, content_type, reason, from_at, to_at, noticed_at) VALUES (?, ?, ?, ?, ?, ?)`,
		g.ConnectorID, g.ContentType, reason, from, to, noticed)
	return err
}

// Gaps returns the gaps of a connector, or with an empty id of all, ordered by connector, content type and From.
func (s *Store) Gaps(ctx context.Context, connectorID string) ([]Gap, error) {
	var list []Gap
	err := s.rows(ctx, `SELECT connector_id, content_type, reason, from_at, to_at, noticed_at FROM gaps
		WHERE connector_id = ? OR ? = ''`, []any{connectorID, connectorID}, func(r *sql.Rows) error {
		var g Gap
		var from, to, noticed int64
		err := r.Scan(&g.ConnectorID, &g.ContentType, &g.Reason, &from, &to, &noticed)
		g.From, g.To, g.NoticedAt = fromMicros(from), fromMicros(to), fromMicros(noticed)
		list = append(list, g)
		return err
	})
	slices.SortFunc(list, func(a, b Gap) int { // engines collate differently
		return cmp.Or(cmp.Compare(a.ConnectorID, b.ConnectorID), cmp.Compare(a.ContentType, b.ContentType),
			a.From.Compare(b.From), cmp.Compare(a.Reason, b.Reason))
	})
	return list, classify("read gaps", err)
}

// FeedMarks returns how far the listing of a feed has come, zero when it was never set.
func (s *Store) FeedMarks(ctx context.Context, connectorID, contentType string) (FeedMarks, error) {
	var m FeedMarks
	err := s.rows(ctx, `SELECT listed_until, swept_day, swept_all, looks_grew FROM feed_marks
		WHERE connector_id = ? AND content_type = ?`, []any{connectorID, contentType}, func(r *sql.Rows) error {
		var until, day, all, grew int64
		err := r.Scan(&until, &day, &all, &grew)
		m = FeedMarks{fromMicros(until), fromMicros(day), fromMicros(all), grew != 0}
		return err
	})
	return m, classify("read marks", err)
}

// SetFeedMarks replaces the marks of a feed.
func (s *Store) SetFeedMarks(ctx context.Context, t Term, connectorID, contentType string, m FeedMarks) error {
	return s.fenced(ctx, "store marks", t, func(tx *tx) error {
		_, err := tx.exec(`INSERT INTO feed_marks (connector_id, content_type, listed_until, swept_day, swept_all, looks_grew)
			VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (connector_id, content_type) DO UPDATE SET listed_until = excluded.listed_until,
			swept_day = excluded.swept_day, swept_all = excluded.swept_all, looks_grew = excluded.looks_grew`,
			connectorID, contentType, micros(m.ListedUntil), micros(m.SweptDay), micros(m.SweptAll), flag(m.LooksGrew))
		return err
	})
}
