//go:build unix

package state_test

import (
	"syscall"
	"testing"
	"time"

	"sluice/internal/record"
	"sluice/internal/state"
)

const benchClaims = 2500

// BenchmarkClaim measures a whole step of 2,500 claims, its commit included. cpu-us/claim is the CPU time of this
// process (garbage collection included) per claim.
func BenchmarkClaim(b *testing.B) {
	for engine, dsn := range engines {
		for _, fresh := range []bool{true, false} {
			name := string(engine) + "/duplicates"
			if fresh {
				name = string(engine) + "/fresh"
			}
			b.Run(name, func(b *testing.B) {
				s := open(b, dsn(b), state.Options{})
				term := acquire(b, s)
				list := make([]state.Claim, benchClaims)
				round := 0
				claim := func() {
					step(b, s, term, func(st *state.Step) error {
						number, err := st.OpenBatch()
						if err != nil {
							return err
						}
						for k := range list {
							list[k] = claimOf(round*benchClaims+k, 1)
						}
						if _, err = st.Claim(number, list); err != nil {
							return err
						}
						return st.Confirm(number, state.Position{})
					})
				}
				claim()
				before := cpuTime(b)
				for b.Loop() {
					if fresh {
						round++
					}
					claim()
				}
				b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1000/float64(b.N)/benchClaims, "cpu-us/claim")
			})
		}
	}
}

// BenchmarkBatch measures the whole life of a batch of 25 units of 100 records: list, claim, count, confirm, settle.
func BenchmarkBatch(b *testing.B) {
	for engine, dsn := range engines {
		b.Run(string(engine), func(b *testing.B) {
			s := open(b, dsn(b), state.Options{})
			term := acquire(b, s)
			round := 0
			before := cpuTime(b)
			for b.Loop() {
				units, counts := make([]record.Unit, 25), make([]state.UnitCount, 25)
				for i := range units {
					units[i] = unitOf(round*25 + i)
					counts[i] = state.UnitCount{Unit: units[i].ID("c1"), Records: 100, Complete: true}
				}
				list := make([]state.Claim, benchClaims)
				for k := range list {
					list[k] = claimOf(round*benchClaims+k, 1)
				}
				round++
				if _, err := s.AddUnits(b.Context(), term, "c1", units); err != nil {
					b.Fatal(err)
				}
				var number int64
				step(b, s, term, func(st *state.Step) (err error) {
					if number, err = st.OpenBatch(); err != nil {
						return err
					}
					if _, err = st.Claim(number, list); err != nil {
						return err
					}
					return st.Count(number, counts)
				})
				confirm(b, s, term, number, uint64(round))
				if round%80 == 0 { // as often as the lake commits
					settle(b, s, term, uint64(round-10))
				}
			}
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/1000/float64(b.N)/benchClaims, "cpu-us/record")
		})
	}
}

func cpuTime(tb testing.TB) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
