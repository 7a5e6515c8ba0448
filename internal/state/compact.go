package state

import (
	"context"
	"errors"

	"sluice/internal/fault"
)

// Compact rewrites the files that hold connectors, so that nothing remains in them of what earlier versions of a connector
// held: on SQLite the whole database and its log, for which it needs free space of the size of the database; on
// PostgreSQL the table of connectors, whose log and backups are the operator's. Call it while nobody works.
func (s *Store) Compact(ctx context.Context) error {
	const op = "compact state"
	if s.dialect == Postgres {
		_, err := s.shared.ExecContext(ctx, "VACUUM FULL connectors")
		return classify(op, err)
	}
	select {
	case s.writer.turn <- struct{}{}:
	case <-ctx.Done():
		return classify(op, ctx.Err())
	}
	defer func() { <-s.writer.turn }()
	if s.writer.closed {
		return fault.New(fault.Canceled, op, "the state database was closed")
	}
	// The copy that VACUUM makes is as large as the database, so it must not be in memory.
	if _, err := s.writer.conn.ExecContext(ctx, "PRAGMA temp_store = FILE"); err != nil {
		return classify(op, err)
	}
	_, err := s.writer.conn.ExecContext(ctx, "VACUUM")
	var busy, pages, moved int64
	if err == nil {
		err = s.writer.conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved)
	}
	if err == nil && busy != 0 {
		err = fault.New(fault.Unavailable, op, "somebody reads the database, so its log cannot be emptied")
	}
	_, restored := s.writer.conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA temp_store = MEMORY")
	return classify(op, errors.Join(err, restored))
}
