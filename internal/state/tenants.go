package state

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"

	"sluice/internal/fault"
)

// Erasure says that the data of a tenant were erased, the last time. Rows of the lake with its name that came with messages of
// the journal up to Seq are gone, or do not count any more: whoever reads ids from the lake leaves them out.
type Erasure struct {
	TenantName string
	Generation uint32 // how often; it is part of the keys of claims, so that what was erased can land again
	Seq        uint64 // of the journal
	At         time.Time
	Pending    bool // the lake may still have such rows, see EndErasure
}

// eraseChunk is how many units of the ledger one transaction removes.
const eraseChunk = 2000

// BeginErasure forgets what the ledger has of a tenant, the directories that belong to it and its imports, and raises its
// generation. From then on the tenant's rows of the journal up to the last confirmed batch of the term's subject count as erased;
// removing them from the lake is left to the caller, who calls EndErasure when that is done, after a restart too. imports are the
// connector ids under which records of the tenant were imported. The histories of its connectors stay.
//
// It is a fault.Conflict while the tenant has connectors, and a fault.Unavailable while batches with units of the tenant are
// not settled: the lake does not have all yet that is to be erased. Both leave the tenant's data alone. The caller sees to it
// that no batch with records of the tenant, claimed under the generation before, is opened from here on.
func (s *Store) BeginErasure(ctx context.Context, t Term, tenantName string, imports []string) (Erasure, error) {
	op := "erase tenant " + tenantName
	e := Erasure{TenantName: tenantName, At: fromMicros(micros(s.clock.Now())), Pending: true}
	for left := true; left; {
		err := s.fenced(ctx, op, t, func(tx *tx) (err error) {
			if err := tx.erasable(tenantName, imports); err != nil {
				return err
			}
			var n int64
			if n, err = tx.exec(`DELETE FROM units WHERE id IN (SELECT u.id FROM units u JOIN feeds f ON f.id = u.feed
				WHERE f.connector_id IN (`+tenantFeeds(imports)+`) LIMIT ?)`, append(feedArgs(tenantName, imports), int64(eraseChunk))...); err != nil {
				return err
			}
			if left = n == eraseChunk; left {
				return nil
			}
			return tx.beginErasure(t.Subject, &e, imports)
		})
		if err != nil {
			return Erasure{}, err
		}
	}
	return e, nil
}

// tenantFeeds is a subquery with the connector ids of a tenant: those that connectors had, and those of imports.
func tenantFeeds(imports []string) string {
	return `SELECT connector_id FROM connector_tenants WHERE tenant_name = ?` + strings.Repeat(` UNION SELECT ?`, len(imports))
}

func feedArgs(tenantName string, imports []string) []any {
	args := []any{tenantName}
	for _, id := range imports {
		args = append(args, id)
	}
	return args
}

// erasable returns why a tenant's data cannot be erased at the moment.
func (t *tx) erasable(tenantName string, imports []string) error {
	var names []string
	if err := t.query(`SELECT name FROM connectors WHERE tenant_name = ? ORDER BY name {lock}`, func(r *sql.Rows) error {
		var name string
		err := r.Scan(&name)
		names = append(names, name)
		return err
	}, tenantName); err != nil {
		return err
	}
	if len(names) > 0 {
		return fault.Newf(fault.Conflict, "", "the tenant %s has connectors: %s", tenantName, strings.Join(names, ", ")).
			WithHint("delete them first; data of a tenant are not erased while they are collected")
	}
	var batch int64
	busy, err := t.one(`SELECT b.batch FROM batch_units b JOIN units u ON u.id = b.unit JOIN feeds f ON f.id = u.feed
		WHERE f.connector_id IN (`+tenantFeeds(imports)+`) LIMIT 1`, feedArgs(tenantName, imports), &batch)
	if err == nil && busy {
		err = fault.Newf(fault.Unavailable, "", "the lake does not have all records of the tenant %s yet", tenantName).
			WithHint("try again in a moment")
	}
	return err
}

// beginErasure removes the rest, and fills in up to where the journal's rows are erased, and the new generation.
func (t *tx) beginErasure(subject string, e *Erasure, imports []string) error {
	args := feedArgs(e.TenantName, imports)
	feeds := `(SELECT id FROM feeds WHERE connector_id IN (` + tenantFeeds(imports) + `))`
	for _, statement := range []string{
		`DELETE FROM unit_hours WHERE feed IN ` + feeds,
		`DELETE FROM filter_counts WHERE feed IN ` + feeds,
		`DELETE FROM gaps WHERE connector_id IN (` + tenantFeeds(imports) + `)`,
		`DELETE FROM feed_marks WHERE connector_id IN (` + tenantFeeds(imports) + `)`,
		// The feeds stay: publishers remember their numbers, and the next import uses them again.
		`UPDATE feeds SET listed = 0, landed = 0, pending = 0, retrying = 0, lost = 0, records = 0, duplicates = 0, filtered = 0,
			malformed = 0, bytes = 0, newest = 0, last_landed = 0 WHERE connector_id IN (` + tenantFeeds(imports) + `)`,
	} {
		if _, err := t.exec(statement, args...); err != nil {
			return err
		}
	}
	if _, err := t.exec(`DELETE FROM directories WHERE tenant_name = ?`, e.TenantName); err != nil {
		return err
	}
	if err := t.forgetImports(e.TenantName); err != nil {
		return err
	}
	if _, err := t.one(`SELECT seq FROM positions WHERE subject = ?`, []any{subject}, &e.Seq); err != nil {
		return err
	}
	if _, err := t.exec(`INSERT INTO erasures (tenant_name, generation, seq, at, pending) VALUES (?, 1, ?, ?, 1) ON CONFLICT (tenant_name)
		DO UPDATE SET generation = erasures.generation + 1, seq = excluded.seq, at = excluded.at, pending = 1`,
		e.TenantName, int64(e.Seq), micros(e.At)); err != nil {
		return err
	}
	_, err := t.one(`SELECT generation FROM erasures WHERE tenant_name = ?`, []any{e.TenantName}, &e.Generation)
	return err
}

// forgetImports removes the import runs of a tenant.
func (t *tx) forgetImports(tenantName string) error {
	var ids []string
	if err := t.query(`SELECT job FROM import_jobs`, func(r *sql.Rows) error {
		var text []byte
		if err := r.Scan(&text); err != nil {
			return err
		}
		job, err := importJob(text)
		if err == nil && job.TenantName == tenantName {
			ids = append(ids, job.ID)
		}
		return err
	}); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := t.exec(`DELETE FROM import_jobs WHERE id = ?`, id); err != nil {
			return err
		}
	}
	return nil
}

// EndErasure says that the lake has no rows of an erasure any more. An erasure that began since stays pending.
func (s *Store) EndErasure(ctx context.Context, t Term, e Erasure) error {
	return s.fenced(ctx, "end erasure", t, func(tx *tx) error {
		_, err := tx.exec(`UPDATE erasures SET pending = 0 WHERE tenant_name = ? AND generation = ?`, e.TenantName, int64(e.Generation))
		return err
	})
}

// Erasures returns the last erasure of every tenant that ever had one, in the order of their names.
func (s *Store) Erasures(ctx context.Context) ([]Erasure, error) {
	var list []Erasure
	err := s.rows(ctx, `SELECT tenant_name, generation, seq, at, pending FROM erasures`, nil, func(r *sql.Rows) error {
		var e Erasure
		var at, pending int64
		err := r.Scan(&e.TenantName, &e.Generation, &e.Seq, &at, &pending)
		e.At, e.Pending = fromMicros(at), pending != 0
		list = append(list, e)
		return err
	})
	slices.SortFunc(list, func(a, b Erasure) int { return strings.Compare(a.TenantName, b.TenantName) }) // engines collate differently
	return list, classify("read erasures", err)
}
