package state

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"time"

	"sluice/internal/clock"
	"sluice/internal/fault"
)

// Statements are written once for both engines, with ? for parameters and these marks:
//
//	{rows}    the rows given to execRows and queryRows, as a table expression
//	{lock}    FOR UPDATE on PostgreSQL ({lock:u}: of u only; {share:b}: FOR SHARE of b); SQLite has one writer, needs no
//	          row locks
//	{retry}   the index to use on SQLite, whose planner knows no statistics here; {look} and {created} alike
//
// Statements with $1, $2 are for one engine only and hold no ?.

// rebind returns the text of a statement for this engine.
func (s *Store) rebind(query string) string {
	if text, ok := s.texts.Load(query); ok {
		return text.(string) //nolint:forcetypeassert // only strings are stored
	}
	text := sqliteMarks.Replace(query)
	if s.dialect == Postgres {
		text = numbered(postgresMarks.Replace(query))
	}
	s.texts.Store(query, text)
	return text
}

var (
	sqliteMarks = strings.NewReplacer("{lock}", "", "{lock:u}", "", "{share:b}", "",
		"{retry}", "INDEXED BY units_retry", "{look}", "INDEXED BY units_look", "{created}", "INDEXED BY units_created")
	postgresMarks = strings.NewReplacer("{lock}", "FOR UPDATE", "{lock:u}", "FOR UPDATE OF u", "{share:b}", "FOR SHARE OF b",
		"{retry}", "", "{look}", "", "{created}", "")
)

// numbered replaces each ? by $1, $2, ...
func numbered(query string) string {
	parts := strings.Split(query, "?")
	var b strings.Builder
	for i, part := range parts {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(part)
	}
	return b.String()
}

// writer is the one SQLite connection that writes. Whoever has the turn owns conn and stmts.
type writer struct {
	db     *sql.DB
	conn   *sql.Conn
	turn   chan struct{} // capacity 1: full while somebody writes
	stmts  map[stmtKey]*sql.Stmt
	closed bool
}

// stmtKey is a statement and how many rows its {rows} holds.
type stmtKey struct {
	query string
	rows  int
}

func (w *writer) close() error {
	w.turn <- struct{}{}
	defer func() { <-w.turn }()
	w.closed = true
	var errs []error
	for _, stmt := range w.stmts {
		errs = append(errs, stmt.Close())
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// tx is a write transaction. After the first error nothing more is executed and commit refuses.
type tx struct {
	s     *Store
	ctx   context.Context //nolint:containedctx // of the call that owns the transaction
	pg    *sql.Tx         // PostgreSQL
	w     *writer         // SQLite: the turn is held
	xid   string          // PostgreSQL: to ask for the outcome of a commit
	epoch string          // of the term that writes, if any
	err   error
	ended bool
}

// write runs fn in a transaction.
func (s *Store) write(ctx context.Context, op string, fn func(*tx) error) error {
	t, err := s.begin(ctx)
	if err != nil {
		return classify(op, err)
	}
	defer t.rollback()
	if err := fn(t); err != nil {
		return classify(op, err)
	}
	return classify(op, t.commit()) //nolint:contextcheck // t carries the context
}

func (s *Store) begin(ctx context.Context) (*tx, error) {
	t := &tx{s: s, ctx: ctx}
	if s.dialect == Postgres {
		// The transaction must not end by itself when ctx does, least of all during COMMIT: statements carry ctx.
		pg, err := s.shared.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return nil, err
		}
		t.pg = pg
		return t, nil
	}
	select {
	case s.writer.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	t.w = s.writer
	if err := t.beginSQLite(); err != nil {
		<-s.writer.turn
		return nil, err
	}
	return t, nil
}

func (t *tx) beginSQLite() error {
	if t.w.closed {
		return fault.New(fault.Canceled, "write", "the state database was closed")
	}
	// SQLite statements run to their end: an interrupted one would roll back the transaction behind our back, and
	// whatever followed would commit by itself. They are short; the context is looked at between them.
	t.ctx = context.WithoutCancel(t.ctx)
	_, err := t.w.conn.ExecContext(t.ctx, "BEGIN IMMEDIATE")
	return err
}

// commit ends the transaction. On PostgreSQL the outcome of a commit whose answer was lost is asked for until the server
// is back and says it, which holds up the caller; if it stays unknown, the term cannot write any more and the error is a Conflict:
// acquiring a new term and looking at the open batches is the only way to know.
func (t *tx) commit() error {
	if t.err != nil {
		return t.err
	}
	if t.ended {
		return fault.New(fault.Internal, "commit", "the transaction has ended")
	}
	t.ended = true
	if t.w != nil {
		defer func() { <-t.w.turn }()
		_, err := t.w.conn.ExecContext(t.ctx, "COMMIT")
		if err != nil {
			t.rollbackSQLite()
		}
		return err
	}
	err := t.pg.Commit()
	if err == nil || t.xid == "" {
		return err
	}
	return t.outcome(err)
}

// outcome asks whether a transaction committed. Only the time during which the server is there and does not say it is
// bounded: while it is away nobody else can write either, and there is nothing better to do than to wait.
func (t *tx) outcome(err error) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.ctx))
	defer cancel()
	defer context.AfterFunc(t.ctx, func() { time.AfterFunc(pgOutcomeLast, cancel) })()
	var since time.Time // when the server was there and did not say it; zero: it is away
	for attempt := 1; ; attempt++ {
		status, asked := t.status(ctx)
		switch {
		case asked == nil && status == "committed":
			return nil
		case asked == nil && status == "aborted":
			return err
		case fault.Is(classify("", asked), fault.Unavailable):
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		if attempt == 1 {
			t.s.log.Warn("the database server does not say whether it committed; it is asked until it does", "error", classify("commit", err).Error())
		}
		if !since.IsZero() && time.Since(since) >= t.s.outcomeWait || (clock.Real{}).Sleep(ctx, pgOutcomePace) != nil {
			break
		}
	}
	t.s.mu.Lock()
	t.s.doubtful[t.epoch] = struct{}{}
	t.s.mu.Unlock()
	return fault.New(fault.Conflict, "commit", "the database server did not tell whether it committed").
		WithHint("collecting starts again with a new term").WithCause(err)
}

// status asks once. A connection that is dead without a sign must not use up the patience of the caller.
func (t *tx) status(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, pgOutcomeAsk)
	defer cancel()
	var status sql.NullString
	err := t.s.shared.QueryRowContext(ctx, `SELECT pg_xact_status($1::text::xid8)`, t.xid).Scan(&status)
	return status.String, err
}

// rollback undoes the transaction. After commit it does nothing.
func (t *tx) rollback() {
	if t.ended {
		return
	}
	t.ended = true
	if t.pg != nil {
		_ = t.pg.Rollback() // a connection that cannot roll back is closed, which rolls back
		return
	}
	t.rollbackSQLite()
	<-t.w.turn
}

func (t *tx) rollbackSQLite() {
	if _, err := t.w.conn.ExecContext(t.ctx, "ROLLBACK"); err != nil {
		// SQLite rolls back by itself on a full disk and I/O errors; then there is no transaction any more.
		t.s.log.Debug("rollback of the state database", "error", err.Error())
	}
}

// ready reports the error that makes further statements useless.
func (t *tx) ready() error {
	switch {
	case t.err != nil:
		return t.err
	case t.ended:
		return fault.New(fault.Internal, "write", "the transaction has ended")
	}
	return nil
}

// exec runs a statement and returns the number of rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	return t.execN(stmtKey{query, 0}, "", args)
}

// execN runs the statement with the table expression for {rows}.
func (t *tx) execN(key stmtKey, rows string, args []any) (int64, error) {
	if err := t.ready(); err != nil {
		return 0, err
	}
	var res sql.Result
	var err error
	if t.pg != nil {
		res, err = t.pg.ExecContext(t.ctx, t.text(key, rows), args...)
	} else {
		var stmt *sql.Stmt
		if stmt, err = t.prepare(key, rows); err == nil { //nolint:sqlclosecheck // the writer keeps it, and closes it with itself
			res, err = stmt.ExecContext(t.ctx, args...)
		}
	}
	var n int64
	if err == nil {
		n, err = res.RowsAffected()
	}
	t.err = err
	return n, err
}

// query runs a statement that returns rows.
func (t *tx) query(query string, scan func(*sql.Rows) error, args ...any) error {
	return t.queryN(stmtKey{query, 0}, "", args, scan)
}

func (t *tx) queryN(key stmtKey, table string, args []any, scan func(*sql.Rows) error) error {
	if err := t.ready(); err != nil {
		return err
	}
	var rows *sql.Rows
	var err error
	if t.pg != nil {
		rows, err = t.pg.QueryContext(t.ctx, t.text(key, table), args...)
	} else {
		var stmt *sql.Stmt
		if stmt, err = t.prepare(key, table); err == nil { //nolint:sqlclosecheck // the writer keeps it, and closes it with itself
			rows, err = stmt.QueryContext(t.ctx, args...)
		}
	}
	t.err = eachRow(rows, err, scan)
	return t.err
}

// one scans the only row of a query. ok is false when there is none.
func (t *tx) one(query string, args []any, into ...any) (ok bool, err error) {
	err = t.query(query, func(r *sql.Rows) error { ok = true; return r.Scan(into...) }, args...)
	return ok, err
}

func (t *tx) text(key stmtKey, table string) string {
	text := t.s.rebind(key.query)
	if table != "" {
		text = strings.Replace(text, "{rows}", table, 1)
	}
	return text
}

func (t *tx) prepare(key stmtKey, table string) (*sql.Stmt, error) {
	if stmt, ok := t.w.stmts[key]; ok {
		return stmt, nil
	}
	stmt, err := t.w.conn.PrepareContext(t.ctx, t.text(key, table))
	if err != nil {
		return nil, err
	}
	t.w.stmts[key] = stmt
	return stmt, nil
}
