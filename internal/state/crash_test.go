package state_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/state"
)

// The variables that turn the test binary into a process that works on a state database until it is killed.
const (
	crashDSN  = "SLUICE_STATE_CRASH_DSN"
	crashMode = "SLUICE_STATE_CRASH_MODE" // "inside": stop inside the third step; "loop": step after step
)

const crashClaims = 1500 // per step, more than one chunk

// crashChild writes a line after each step that committed.
func crashChild() {
	s, err := state.Open(context.Background(), os.Getenv(crashDSN), state.Options{})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1) //nolint:forbidigo // this is the end of the child's main
	}
	term, err := s.AcquireTerm(context.Background(), subject, "test", time.Hour)
	for i := 0; err == nil; i++ {
		err = s.Step(context.Background(), term, func(st *state.Step) error {
			if err := crashStep(st, i); err != nil {
				return err
			}
			if i == 2 && os.Getenv(crashMode) == "inside" {
				fmt.Println("inside")
				_, _ = io.Copy(io.Discard, os.Stdin) // until the end
			}
			return nil
		})
		fmt.Println("committed", i)
	}
	fmt.Println("error:", err)
	os.Exit(1) //nolint:forbidigo // this is the end of the child's main
}

// crashStep lists a unit, claims its records, counts them, and confirms the batch of the step before.
func crashStep(st *state.Step, i int) error {
	u := unitOf(i)
	if _, err := st.AddUnits("c1", []record.Unit{u}); err != nil {
		return err
	}
	b, err := st.OpenBatch()
	if err != nil {
		return err
	}
	list := make([]state.Claim, crashClaims)
	for k := range list {
		list[k] = claimOf(i*crashClaims+k, 1)
	}
	if _, err := st.Claim(b, list); err != nil {
		return err
	}
	if err := st.Count(b, []state.UnitCount{{Unit: u.ID("c1"), Records: crashClaims, Complete: true}}); err != nil {
		return err
	}
	if i == 0 {
		return nil
	}
	return st.Confirm(b-1, state.Position{Stream: "s1", Seq: uint64(i)})
}

// crash runs the child until stop says so of a line, kills it, and returns how many steps it said it had committed.
func crash(t *testing.T, dsn, mode string, stop func(line string) bool) (committed int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), crashDSN+"="+dsn, crashMode+"="+mode)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "error:"):
			t.Error(line)
		case strings.HasPrefix(line, "committed"):
			committed++
		}
		if !killed && stop(line) {
			killed = true
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the child ended by itself")
	}
	return committed
}

// visible opens the database after a crash and returns how many steps it holds, each whole.
func visible(t *testing.T, dsn string) int {
	t.Helper()
	s := open(t, dsn, state.Options{})
	acquire(t, s) // on PostgreSQL this waits for the server to notice that the child is gone
	units, err := s.Units(t.Context(), state.UnitFilter{ConnectorID: "c1"})
	if err != nil {
		t.Fatal(err)
	}
	n := len(units)
	for i, u := range units {
		landed := i < n-1 // the next step confirmed it
		if u.Records != crashClaims || (u.State == state.Landed) != landed {
			t.Errorf("unit %d of %d: %+v", i, n, u)
		}
	}
	open, err := s.OpenBatches(t.Context())
	if err != nil || len(open) != min(n, 1) {
		t.Errorf("open batches %v, %v", open, err)
	}
	var ids int
	if err := s.DB().QueryRowContext(t.Context(), "SELECT count(*) FROM ids").Scan(&ids); err != nil || ids != n*crashClaims {
		t.Errorf("%d ids after %d steps of %d, %v", ids, n, crashClaims, err)
	}
	got := total(t, s, "c1")
	if got.Records != int64(ids) || got.Listed != int64(n) || got.Landed != int64(max(n-1, 0)) {
		t.Errorf("total %+v after %d steps", got, n)
	}
	pos, err := s.LastConfirmed(t.Context(), subject)
	if err != nil || n > 0 && pos.Seq != uint64(n-1) {
		t.Errorf("position %+v after %d steps, %v", pos, n, err)
	}
	return n
}

func TestKillInsideStep(t *testing.T) {
	t.Parallel()
	for engine, dsn := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			dsn := dsn(t)
			crash(t, dsn, "inside", func(line string) bool { return line == "inside" })
			if n := visible(t, dsn); n != 2 {
				t.Errorf("%d steps are visible, want the 2 that committed", n)
			}
		})
	}
}

func TestKillAtAnyPoint(t *testing.T) {
	t.Parallel()
	for engine, dsn := range engines {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			for rounds := range 4 {
				dsn := dsn(t)
				wait := time.Duration(rounds*7+1) * time.Millisecond
				var timer <-chan time.Time
				committed := crash(t, dsn, "loop", func(string) bool {
					if timer == nil {
						timer = time.After(wait)
						<-timer // the child goes on meanwhile
						return true
					}
					return false
				})
				if n := visible(t, dsn); n < committed || n > committed+1 {
					t.Errorf("%d steps are visible, the child committed %d", n, committed)
				}
			}
		})
	}
}
