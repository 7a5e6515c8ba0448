package state

import (
	"context"
	"database/sql"
	"time"
)

// LandedHour is what landed of the units of a feed that were created within an hour.
type LandedHour struct {
	Start   time.Time
	Units   int64
	Records int64 // that are in the lake because of them
	Fetched int64 // all that came, with duplicates, filtered and malformed ones
}

// LandedHours returns what landed of a feed by hour of creation, for the hours that overlap [from, to), in order. Hours
// in which nothing landed are left out. Units that were folded and those that were not come together. It reads the
// landed units of that time, so it is for once in a while.
func (s *Store) LandedHours(ctx context.Context, connectorID, contentType string, from, to time.Time) ([]LandedHour, error) {
	const op = "read landed hours"
	feed, ok, err := s.feed(ctx, connectorID, contentType)
	if err != nil || !ok {
		return nil, classify(op, err)
	}
	const hour = int64(time.Hour / time.Microsecond)
	first := from.Truncate(time.Hour)
	end := to.Add(time.Hour - 1).Truncate(time.Hour)
	var list []LandedHour
	err = s.rows(ctx, `SELECT h.hour, SUM(h.units), SUM(h.records), SUM(h.fetched) FROM (
			SELECT hour, units, records, records + duplicates + filtered + malformed AS fetched FROM unit_hours
			WHERE feed = ? AND hour >= ? AND hour < ?
			UNION ALL
			SELECT created - created % ? AS hour, 1 AS units, records, records + duplicates + filtered + malformed AS fetched FROM units
			WHERE feed = ? AND state = 2 AND created >= ? AND created < ?
		) AS h GROUP BY h.hour ORDER BY h.hour`,
		[]any{feed, micros(first), micros(end), hour, feed, micros(first), micros(end)}, func(r *sql.Rows) error {
			var h LandedHour
			var start int64
			err := r.Scan(&start, &h.Units, &h.Records, &h.Fetched)
			h.Start = fromMicros(start)
			list = append(list, h)
			return err
		})
	return list, classify(op, err)
}

// FeedTime is a time of a feed.
type FeedTime struct {
	ConnectorID string
	ContentType string
	At          time.Time
}

// LastData returns, for every feed that ever had any, when the newest of its landed units that held at least one record
// was created. It is a few look-ups in an index per feed.
func (s *Store) LastData(ctx context.Context) ([]FeedTime, error) {
	var list []FeedTime
	err := s.rows(ctx, `SELECT f.connector_id, f.content_type,
		(SELECT u.created FROM units u WHERE u.feed = f.id AND u.state = 2 AND u.records + u.duplicates + u.filtered + u.malformed > 0
			ORDER BY u.created DESC, u.id DESC LIMIT 1),
		(SELECT h.newest FROM unit_hours h WHERE h.feed = f.id AND h.records + h.duplicates + h.filtered + h.malformed > 0
			ORDER BY h.hour DESC LIMIT 1) FROM feeds f ORDER BY f.id`, nil, func(r *sql.Rows) error {
		var t FeedTime
		var units, folded sql.NullInt64
		err := r.Scan(&t.ConnectorID, &t.ContentType, &units, &folded)
		if last := max(units.Int64, folded.Int64); last > 0 {
			t.At = fromMicros(last)
			list = append(list, t)
		}
		return err
	})
	return list, classify("read last data", err)
}
