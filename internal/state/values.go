package state

import (
	"context"
	"database/sql"
	"encoding/json"
	"unicode/utf8"
)

// PutImportJob stores the state of an import run, new or changed.
func (s *Store) PutImportJob(ctx context.Context, job ImportJob) error {
	const op = "store import job"
	text, err := json.Marshal(job)
	if err != nil {
		return classify(op, err)
	}
	return s.write(ctx, op, func(t *tx) error {
		_, err := t.exec(`INSERT INTO import_jobs (id, started, job) VALUES (?, ?, ?)
			ON CONFLICT (id) DO UPDATE SET started = excluded.started, job = excluded.job`, job.ID, micros(job.Started), text)
		return err
	})
}

// ImportJob returns an import run, or a fault.NotFound.
func (s *Store) ImportJob(ctx context.Context, id string) (ImportJob, error) {
	jobs, err := s.importJobs(ctx, `SELECT job FROM import_jobs WHERE id = ?`, id)
	if err == nil && len(jobs) == 0 {
		err = notFound("", "there is no import job %q", id)
	}
	if err != nil {
		return ImportJob{}, classify("read import job", err)
	}
	return jobs[0], nil
}

// ImportJobs returns the newest import runs, newest first, at most limit.
func (s *Store) ImportJobs(ctx context.Context, limit int) ([]ImportJob, error) {
	jobs, err := s.importJobs(ctx, `SELECT job FROM import_jobs ORDER BY started DESC, id LIMIT ?`, int64(max(limit, 0)))
	return jobs, classify("read import jobs", err)
}

func (s *Store) importJobs(ctx context.Context, query string, args ...any) ([]ImportJob, error) {
	var jobs []ImportJob
	err := s.rows(ctx, query, args, func(r *sql.Rows) error {
		var text []byte
		if err := r.Scan(&text); err != nil {
			return err
		}
		job, err := importJob(text)
		jobs = append(jobs, job)
		return err
	})
	return jobs, err
}

func importJob(text []byte) (job ImportJob, err error) {
	err = json.Unmarshal(text, &job)
	return job, err
}

// PutValue stores a small value under a key: the run state of some part, such as "last run" or "subscribed at".
func (s *Store) PutValue(ctx context.Context, key string, value []byte) error {
	return s.write(ctx, "store "+key, func(t *tx) error {
		_, err := t.exec(`INSERT INTO state_values (name, value) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, key, blob(value))
		return err
	})
}

// Value returns the value of a key and whether there is one.
func (s *Store) Value(ctx context.Context, key string) (value []byte, ok bool, err error) {
	err = s.rows(ctx, `SELECT value FROM state_values WHERE name = ?`, []any{key}, func(r *sql.Rows) error {
		ok = true
		return r.Scan(&value)
	})
	return value, ok, classify("read "+key, err)
}

// Values returns the values of all keys that begin with prefix.
func (s *Store) Values(ctx context.Context, prefix string) (map[string][]byte, error) {
	values := map[string][]byte{}
	err := s.rows(ctx, `SELECT name, value FROM state_values WHERE substr(name, 1, ?) = ?`,
		[]any{int64(utf8.RuneCountInString(prefix)), prefix}, func(r *sql.Rows) error {
			var name string
			var value []byte
			err := r.Scan(&name, &value)
			values[name] = value
			return err
		})
	if err != nil {
		return nil, classify("read values", err)
	}
	return values, nil
}

// DeleteValue forgets the value of a key, if there is one.
func (s *Store) DeleteValue(ctx context.Context, key string) error {
	return s.write(ctx, "forget "+key, func(t *tx) error {
		_, err := t.exec(`DELETE FROM state_values WHERE name = ?`, key)
		return err
	})
}
