package state

import (
	"context"
	"database/sql/driver"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"sluice/internal/fault"
)

const (
	pgConns       = 16
	pgIdleConns   = 4
	pgIdleFor     = 5 * time.Minute
	pgLife        = 10 * time.Minute       // after a failover connections find their way back to where the server is now
	pgSilence     = 30 * time.Second       // without an acknowledgement of what was sent
	pgOutcomeWait = 10 * time.Minute       // that a server which is there is asked whether a transaction committed
	pgOutcomeAsk  = 15 * time.Second       // for one question
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
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		if err := boundSilence(conn, pgSilence); err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
	db := stdlib.OpenDB(*cfg, stdlib.OptionResetSession(writable))
	db.SetMaxOpenConns(pgConns)
	db.SetMaxIdleConns(pgIdleConns)
	db.SetConnMaxIdleTime(pgIdleFor)
	db.SetConnMaxLifetime(pgLife)
	s.read, s.shared = db, db
	return db.PingContext(ctx)
}

// writable lets go of a connection whose server has become a standby: it would be refused for as long as it lives, and a
// pool that is in use never gives it up. A new connection may lead to the new primary.
func writable(_ context.Context, conn *pgx.Conn) error {
	for _, name := range []string{"in_hot_standby", "default_transaction_read_only"} {
		if conn.PgConn().ParameterStatus(name) == "on" {
			return driver.ErrBadConn
		}
	}
	return nil
}
