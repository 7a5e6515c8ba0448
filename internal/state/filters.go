package state

import (
	"cmp"
	"context"
	"database/sql"
	"maps"
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
)

// Filter is a configured log filter as the operator gave it.
type Filter struct {
	Name    string // unique; fixed
	Spec    []byte // the configuration as JSON
	Owner   string // file that owns the entry, "" when made with apply or the API
	Created time.Time
	Updated time.Time
}

// The kinds of entries whose changes are kept.
const (
	kindConnector = "connector"
	kindFilter    = "filter"
)

// changeDeleted is what a Change says that ends an entry.
const changeDeleted = "deleted"

// PutFilter stores a filter, new or changed, and returns it with Created and Updated. detail goes into the history of a
// changed one: the names of the changed options.
func (s *Store) PutFilter(ctx context.Context, f Filter, actor, detail string) (Filter, error) {
	now := s.clock.Now()
	f.Created, f.Updated = fromMicros(micros(now)), fromMicros(micros(now))
	err := s.write(ctx, "store filter "+f.Name, func(t *tx) error {
		var created int64
		known, err := t.one(`SELECT created FROM filters WHERE name = ? {lock}`, []any{f.Name}, &created)
		if err != nil {
			return err
		}
		what := "created"
		if known {
			what, f.Created = "updated", fromMicros(created)
		} else {
			detail = ""
		}
		if _, err := t.exec(`INSERT INTO filters (name, spec, owner, created, updated) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, owner = excluded.owner, updated = excluded.updated`,
			f.Name, blob(f.Spec), f.Owner, micros(now), micros(now)); err != nil {
			return err
		}
		return t.changeOf(kindFilter, f.Name, actor, what, detail)
	})
	return f, err
}

// DeleteFilter forgets a filter. That no connector refers to it is the caller's business. What it dropped stays counted
// under its name; a new filter of that name goes on counting.
func (s *Store) DeleteFilter(ctx context.Context, name, actor string) error {
	return s.write(ctx, "delete filter "+name, func(t *tx) error {
		n, err := t.exec(`DELETE FROM filters WHERE name = ?`, name)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Newf(fault.NotFound, "", "there is no filter named %q", name).WithHint("`sluice get filters` lists them")
		}
		return t.changeOf(kindFilter, name, actor, changeDeleted, "")
	})
}

// Filters returns all filters in the order of their names.
func (s *Store) Filters(ctx context.Context) ([]Filter, error) {
	var list []Filter
	err := s.rows(ctx, `SELECT name, spec, owner, created, updated FROM filters`, nil, func(r *sql.Rows) error {
		var f Filter
		var created, updated int64
		err := r.Scan(&f.Name, &f.Spec, &f.Owner, &created, &updated)
		f.Created, f.Updated = fromMicros(created), fromMicros(updated)
		list = append(list, f)
		return err
	})
	slices.SortFunc(list, func(a, b Filter) int { return strings.Compare(a.Name, b.Name) }) // engines collate differently
	return list, classify("read filters", err)
}

// FilterHistory returns what happened to filters of the given name, oldest first. It outlives the filter, see TrimHistory.
func (s *Store) FilterHistory(ctx context.Context, name string) ([]Change, error) {
	return s.history(ctx, kindFilter, name)
}

// TenantNames returns the tenant name of every directory id that belongs to one.
func (s *Store) TenantNames(ctx context.Context) (map[string]string, error) {
	names := map[string]string{}
	err := s.rows(ctx, `SELECT directory_id, tenant_name FROM directories`, nil, func(r *sql.Rows) error {
		var id, name string
		err := r.Scan(&id, &name)
		names[id] = name
		return err
	})
	return names, classify("read directories", err)
}

// FilterCount is how many records of a connector and content type a filter dropped.
type FilterCount struct {
	ConnectorID string
	ContentType string
	Filter      string
	Records     int64
}

var filterCountColumns = columns{{"batch", "bigint"}, {"feed", "bigint"}, {"name", "text"}, {"records", "bigint"}}

// CountFiltered adds to the counts by filter. It belongs into the step that counts the same records as
// UnitCount.Filtered of the same batch, which must be open in this term.
func (st *Step) CountFiltered(batch int64, counts []FilterCount) error {
	if len(counts) == 0 {
		return nil
	}
	if _, err := st.batch(batch); err != nil {
		return err
	}
	type key struct {
		feed int64
		name string
	}
	sums := map[key]int64{}
	for _, c := range counts {
		feed, err := st.feed(c.ConnectorID, c.ContentType)
		if err != nil {
			return err
		}
		sums[key{feed, c.Filter}] += c.Records
	}
	var rows [][]any
	for _, k := range slices.SortedFunc(maps.Keys(sums), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.feed, b.feed), strings.Compare(a.name, b.name))
	}) {
		if sums[k] != 0 {
			rows = append(rows, []any{batch, k.feed, k.name, sums[k]})
		}
	}
	if _, err := st.tx.execRows(`INSERT INTO batch_filters (batch, feed, name, records)
		SELECT batch, feed, name, records FROM {rows} WHERE true
		ON CONFLICT (batch, feed, name) DO UPDATE SET records = batch_filters.records + excluded.records`, filterCountColumns, rows); err != nil {
		return err
	}
	_, err := st.tx.execRows(`INSERT INTO filter_counts (feed, name, records) SELECT feed, name, records FROM {rows} WHERE true
		ON CONFLICT (feed, name) DO UPDATE SET records = filter_counts.records + excluded.records`, filterCountColumns, rows)
	return err
}

// takeBackFiltered takes back what a batch counted by filter, as it becomes void.
func (st *Step) takeBackFiltered(batch int64) error {
	if _, err := st.tx.exec(`UPDATE filter_counts SET records = filter_counts.records - b.records FROM batch_filters b
		WHERE b.batch = ? AND b.feed = filter_counts.feed AND b.name = filter_counts.name`, batch); err != nil {
		return err
	}
	return st.settleFiltered(`= ?`, batch)
}

// settleFiltered forgets what batches counted by filter: it is counted for good.
func (st *Step) settleFiltered(which string, args ...any) error {
	_, err := st.tx.exec(`DELETE FROM batch_filters WHERE batch `+which, args...)
	return err
}

// FilterCounts returns what filters dropped so far, in the order of connector, content type and filter. Like
// Total.Filtered it counts fetched records: one that is fetched again, as for a second look, counts again. What a batch
// counted is taken back exactly when the batch becomes void. Heal is the one difference: it begins the counts of a unit
// anew, but does not know by which filter that unit's records were dropped before, so that these stay counted here.
func (s *Store) FilterCounts(ctx context.Context) ([]FilterCount, error) {
	var list []FilterCount
	err := s.rows(ctx, `SELECT f.connector_id, f.content_type, c.name, c.records FROM filter_counts c JOIN feeds f ON f.id = c.feed
		WHERE c.records <> 0`, nil, func(r *sql.Rows) error {
		var c FilterCount
		err := r.Scan(&c.ConnectorID, &c.ContentType, &c.Filter, &c.Records)
		list = append(list, c)
		return err
	})
	slices.SortFunc(list, func(a, b FilterCount) int {
		return cmp.Or(strings.Compare(a.ConnectorID, b.ConnectorID), strings.Compare(a.ContentType, b.ContentType), strings.Compare(a.Filter, b.Filter))
	})
	return list, classify("read filter counts", err)
}
