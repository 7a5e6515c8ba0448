package state_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/goleak"

	"sluice/internal/clock"
	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

func TestMain(m *testing.M) {
	if os.Getenv(crashDSN) != "" {
		crashChild()
		return
	}
	goleak.VerifyTestMain(m)
}

// postgresURL names the variable with the URL of a PostgreSQL database in which tests may make schemas.
const postgresURL = "SLUICE_TEST_POSTGRES"

// engines are the databases that the contract is checked on.
var engines = map[state.Dialect]func(testing.TB) string{
	state.SQLite: func(tb testing.TB) string { return filepath.Join(tb.TempDir(), "state.db") },
	state.Postgres: func(tb testing.TB) string {
		base := os.Getenv(postgresURL)
		if base == "" {
			tb.Skipf("%s is not set: PostgreSQL is not tested", postgresURL)
		}
		u, err := url.Parse(base)
		if err != nil {
			tb.Fatalf("%s is not a URL", postgresURL)
		}
		schema := fmt.Sprintf("test_%d_%d", os.Getpid(), rand.Uint64())
		admin(tb, base, "CREATE SCHEMA "+schema)
		tb.Cleanup(func() { admin(tb, base, "DROP SCHEMA "+schema+" CASCADE") })
		q := u.Query()
		q.Set("search_path", schema)
		u.RawQuery = q.Encode()
		return u.String()
	},
}

func admin(tb testing.TB, dsn, statement string) {
	tb.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		tb.Fatal(err)
	}
}

// contract runs test on every engine with an empty database.
func contract(t *testing.T, test func(t *testing.T, s *state.Store)) {
	t.Helper()
	for engine, dsn := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			test(t, open(t, dsn(t), state.Options{}))
		})
	}
}

func open(tb testing.TB, dsn string, o state.Options) *state.Store {
	tb.Helper()
	s, err := state.Open(context.Background(), dsn, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// fixed is a clock that stands still until it is moved.
type fixed struct {
	clock.Clock
	now time.Time
}

func (f *fixed) Now() time.Time { return f.now }

const subject = "records"

func acquire(tb testing.TB, s *state.Store) state.Term {
	tb.Helper()
	term, err := s.AcquireTerm(context.Background(), subject, "test", time.Hour)
	if err != nil {
		tb.Fatal(err)
	}
	return term
}

func step(tb testing.TB, s *state.Store, term state.Term, fn func(*state.Step) error) {
	tb.Helper()
	if err := s.Step(context.Background(), term, fn); err != nil {
		tb.Fatal(err)
	}
}

// claimSecond is the event time of the first hundred numbered records.
const claimSecond = 1_700_000_000

// claimOf makes the claim of a numbered record with numbered content.
func claimOf(id, content int) state.Claim {
	c := state.Claim{Second: uint32(claimSecond + id/100)}
	binary.BigEndian.PutUint64(c.Key[:], uint64(id)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(c.Content[:], uint64(content))
	return c
}

func claims(ids ...int) []state.Claim {
	list := make([]state.Claim, len(ids))
	for i, id := range ids {
		list[i] = claimOf(id, 1)
	}
	return list
}

// begin opens a batch and claims ids with content 1 in a step of its own, and counts the given units.
func begin(tb testing.TB, s *state.Store, term state.Term, ids []int, counts ...state.UnitCount) (int64, []state.ClaimResult) {
	tb.Helper()
	var number int64
	var results []state.ClaimResult
	step(tb, s, term, func(st *state.Step) (err error) {
		if number, err = st.OpenBatch(); err != nil {
			return err
		}
		if results, err = st.Claim(number, claims(ids...)); err != nil {
			return err
		}
		return st.Count(number, counts)
	})
	return number, results
}

func confirm(tb testing.TB, s *state.Store, term state.Term, batch int64, seq uint64) {
	tb.Helper()
	step(tb, s, term, func(st *state.Step) error {
		return st.Confirm(batch, state.Position{Stream: "s1", Seq: seq})
	})
}

func void(tb testing.TB, s *state.Store, term state.Term, batch int64) {
	tb.Helper()
	step(tb, s, term, func(st *state.Step) error { return st.Void(batch) })
}

func settle(tb testing.TB, s *state.Store, term state.Term, seq uint64) {
	tb.Helper()
	step(tb, s, term, func(st *state.Step) error { return st.Settle(state.Position{Stream: "s1", Seq: seq}) })
}

func published(tb testing.TB, s *state.Store) []state.PublishedBatch {
	tb.Helper()
	list, err := s.Published(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

func due(tb testing.TB, s *state.Store, connector string) []state.LedgerUnit {
	tb.Helper()
	list, err := s.DueUnits(context.Background(), connector, feedType, time.Now(), 1000)
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const feedType = "Audit.General"

// unitOf is a numbered unit, created number minutes after noon.
func unitOf(n int) record.Unit {
	return record.Unit{
		Key: fmt.Sprintf("unit-%d", n), ContentType: feedType, ContentID: fmt.Sprintf("content-%d", n), URI: fmt.Sprintf("https://h/%d", n),
		Created: day.Add(time.Duration(n) * time.Minute), Expires: day.AddDate(0, 0, 7),
	}
}

func add(tb testing.TB, s *state.Store, term state.Term, connector string, numbers ...int) []record.UnitID {
	tb.Helper()
	units, ids := make([]record.Unit, len(numbers)), make([]record.UnitID, len(numbers))
	for i, n := range numbers {
		units[i] = unitOf(n)
		ids[i] = units[i].ID(connector)
	}
	if _, err := s.AddUnits(context.Background(), term, connector, units); err != nil {
		tb.Fatal(err)
	}
	return ids
}

func unit(tb testing.TB, s *state.Store, id record.UnitID) state.LedgerUnit {
	tb.Helper()
	u, err := s.Unit(context.Background(), id)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func total(tb testing.TB, s *state.Store, connector string) state.Total {
	tb.Helper()
	totals, err := s.Totals(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	for _, t := range totals {
		if t.ConnectorID == connector {
			return t
		}
	}
	return state.Total{}
}

func wantKind(tb testing.TB, err error, kind fault.Kind, parts ...string) {
	tb.Helper()
	if !fault.Is(err, kind) {
		tb.Fatalf("got error %v of kind %q, want kind %q", err, fault.KindOf(err), kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			tb.Fatalf("error %q does not contain %q", err, part)
		}
	}
}
