package state

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"sluice/internal/fault"
)

const (
	pgConns     = 16
	pgIdleConns = 4
	pgIdleFor   = 5 * time.Minute
	// For the answer whether a transaction committed: longer than a server needs to come back, or its standby to take over.
	pgOutcomeWait = 10 * time.Minute
	pgOutcomePace = 250 * time.Millisecond // between two questions
	pgOutcomeLast = 5 * time.Second        // that a caller who gave up is kept for the answer
)

// openPostgres opens one pool. The URL's text never gets into an error: it may hold a password.
func (s *Store) openPostgres(ctx context.Context, dsn string) error {
	s.dialect = Postgres
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fault.New(fault.Config, "read the database URL", "it is not a valid postgres:// URL").
			WithHint("postgres://USER:PASSWORD@HOST:5432/DATABASE; special characters of the password percent-encoded")
	}
	s.name = cfg.Host + "/" + cfg.Database
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "sluice"
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxOpenConns(pgConns)
	db.SetMaxIdleConns(pgIdleConns)
	db.SetConnMaxIdleTime(pgIdleFor)
	s.read, s.shared = db, db
	return db.PingContext(ctx)
}
