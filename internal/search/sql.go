package search

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sluice/internal/lake/worker"
	"sluice/internal/lake/worker/wire"
	"sluice/internal/query"
)

// cutSQL notes that a result has more rows than the limit of the request (0: all), or than the searcher allows.
func (s *Searcher) cutSQL(res *Result, wanted int) {
	if !res.Stats.Truncated && (wanted == 0 || wanted > s.cfg.MaxSQLRows) {
		res.Notices = append(res.Notices, query.Notice{Kind: query.Partial, Text: fmt.Sprintf(
			"an SQL query answers with %d rows at most; count or group them, narrow the time range, or use an LQ query, which has no bound", s.cfg.MaxSQLRows)})
	}
	res.Stats.Truncated = true
}

// sqlTables are the views that SQL may name, besides all.
var sqlTables = []string{"windows_events", "syslog", "alerts", "quarantine", "sluice_audit"}

func (s *Searcher) searchSQL(ctx context.Context, req Request) (*Result, error) {
	started := time.Now()
	tables, err := s.tables(ctx, sqlTables, req.Since, req.Until)
	if err != nil {
		return nil, err
	}
	guard := tenantCondition(req.TenantNames)
	if times := timeCondition(req.Since, req.Until); times != "" {
		if guard != "" {
			guard += " AND "
		}
		guard += times
	}
	body := wire.OpenBody{Analyst: true}
	res := &Result{Stats: Stats{CommittedAt: committedAt(tables)}, Notices: missingNotices(tables)}
	for _, t := range tables {
		body.Tables = append(body.Tables, wireTable(t, guard))
		for _, f := range t.Files {
			res.Stats.Files++
			res.Stats.Bytes += f.Bytes
		}
	}
	session, err := s.cfg.Pool.Open(ctx, body)
	if err != nil {
		return nil, err
	}
	limit := s.cfg.MaxSQLRows
	if req.Limit > 0 {
		limit = min(limit, req.Limit)
	}
	rows, err := session.Query(ctx, worker.Query{SQL: req.Query, MaxRows: int64(limit) + 1})
	if err != nil {
		_ = session.Close() //nolint:contextcheck // warms the pool for the next search, beyond this one
		return nil, err
	}
	for _, c := range rows.Columns() {
		res.Columns = append(res.Columns, Column{c.Name, c.SQLType})
	}
	res.close = sync.OnceValue(session.Close)
	res.rows = func(yield func(Row, error) bool) {
		defer func() { _ = res.Close() }()
		defer func() { res.Stats.Elapsed = time.Since(started) }()
		for n := 0; rows.Next(); n++ {
			if n == limit {
				s.cutSQL(res, req.Limit)
				continue
			}
			if !yield(Row{Values: rows.Values(), columns: res.Columns}, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(Row{}, err)
		}
	}
	return res, nil
}
