package state

import (
	"context"
	"time"

	"github.com/google/uuid"

	"sluice/internal/fault"
)

// AcquireTerm makes holder the publisher of subject for ttl and ends whatever term was before. While the lease of
// another holder lives it is a fault.Conflict that names the holder and the time; the same holder gets a new term at
// once. Time is the database's: Options.Clock on SQLite, the server's clock on PostgreSQL.
func (s *Store) AcquireTerm(ctx context.Context, subject, holder string, ttl time.Duration) (Term, error) {
	term := Term{Subject: subject, Epoch: uuid.NewString()}
	err := s.write(ctx, "acquire the term of "+subject, func(t *tx) error {
		// The row exists before it is locked, so that two who come first at the same time meet.
		if _, err := t.exec(`INSERT INTO terms (subject, epoch, holder, expires) VALUES (?, '', '', 0) ON CONFLICT DO NOTHING`,
			subject); err != nil {
			return err
		}
		var epoch, other string
		var expires int64
		if _, err := t.one(`SELECT epoch, holder, expires FROM terms WHERE subject = ? {lock}`, []any{subject},
			&epoch, &other, &expires); err != nil {
			return err
		}
		now, err := t.now()
		if err != nil {
			return err
		}
		if until := fromMicros(expires); epoch != "" && other != holder && until.After(now) {
			return fault.Newf(fault.Conflict, "", "held by %s until %s", other, until.Format(time.RFC3339)).
				WithHint("end the other process, or wait until its lease is over").WithRetryAfter(until.Sub(now))
		}
		_, err = t.exec(`UPDATE terms SET epoch = ?, holder = ?, expires = ? WHERE subject = ?`,
			term.Epoch, holder, micros(now.Add(ttl)), subject)
		return err
	})
	if err != nil {
		return Term{}, err
	}
	return term, nil
}

// RenewTerm makes the lease last ttl from now. A term that was replaced or released is a fault.Conflict; one that only
// ran out is renewed.
func (s *Store) RenewTerm(ctx context.Context, term Term, ttl time.Duration) error {
	return s.fenced(ctx, "renew the term of "+term.Subject, term, func(t *tx) error {
		now, err := t.now()
		if err != nil {
			return err
		}
		_, err = t.exec(`UPDATE terms SET expires = ? WHERE subject = ?`, micros(now.Add(ttl)), term.Subject)
		return err
	})
}

// ReleaseTerm gives the term back: nothing can be written with it any more, and anybody can acquire the next one.
func (s *Store) ReleaseTerm(ctx context.Context, term Term) error {
	return s.fenced(ctx, "release the term of "+term.Subject, term, func(t *tx) error {
		_, err := t.exec(`UPDATE terms SET epoch = '', holder = '', expires = 0 WHERE subject = ?`, term.Subject)
		return err
	})
}

// fenced runs fn in a transaction of the term. It holds the row of the term to its end, so that no other term begins
// in between; on PostgreSQL this also puts the transactions of a subject in a row.
func (s *Store) fenced(ctx context.Context, op string, term Term, fn func(*tx) error) error {
	return s.write(ctx, op, func(t *tx) error {
		query := `SELECT epoch, '' FROM terms WHERE subject = ?`
		if s.dialect == Postgres {
			query = `SELECT epoch, pg_current_xact_id()::text FROM terms WHERE subject = ? {lock}`
		}
		var epoch string
		if _, err := t.one(query, []any{term.Subject}, &epoch, &t.xid); err != nil {
			return err
		}
		s.mu.Lock()
		_, doubtful := s.doubtful[term.Epoch]
		s.mu.Unlock()
		if epoch != term.Epoch || term.Epoch == "" || doubtful {
			return fault.Newf(fault.Conflict, "", "the term of %s is over", term.Subject).
				WithHint("another process writes now, or this one must start a new term")
		}
		t.epoch = term.Epoch
		return fn(t)
	})
}

// now is the database's time.
func (t *tx) now() (time.Time, error) {
	if t.s.dialect == SQLite {
		return t.s.clock.Now(), nil
	}
	var us int64
	_, err := t.one(`SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint`, nil, &us)
	return fromMicros(us), err
}
