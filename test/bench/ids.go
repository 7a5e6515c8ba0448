package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"sluice/internal/state"
)

// The index of ids is measured with batches as the collector makes them.
const (
	idBatches   = 200
	idsPerBatch = 2000
)

// benchIDs measures what the exact de-duplication costs per record: claiming new ids, and claiming them again.
func benchIDs(ctx context.Context, _ options, dir string) ([]row, error) {
	say("claiming %d ids, each twice", idBatches*idsPerBatch)
	store, err := state.Open(ctx, filepath.Join(dir, "ids.db"), state.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	term, err := store.AcquireTerm(ctx, "records", "bench", time.Hour)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, what := range []string{"ids: CPU per new record", "ids: CPU per duplicate"} {
		cpu := ownCPU()
		began := time.Now()
		for b := range idBatches {
			if err := claimBatch(ctx, store, term, b, uint64(i*idBatches+b+1)); err != nil {
				return nil, err
			}
		}
		n := float64(idBatches * idsPerBatch)
		rows = append(rows, row{what, fmt.Sprintf("%.2f us (%.0f per second)", (ownCPU()-cpu).Seconds()*1e6/n, n/time.Since(began).Seconds()), "3.3 us"})
	}
	return rows, nil
}

func claimBatch(ctx context.Context, store *state.Store, term state.Term, b int, seq uint64) error {
	claims := make([]state.Claim, idsPerBatch)
	for i := range claims {
		n := uint64(b*idsPerBatch + i)
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, n))
		claims[i] = state.Claim{Second: uint32(1_760_000_000 + n/50)}
		copy(claims[i].Key[:], sum[:])
		copy(claims[i].Content[:], sum[16:])
	}
	return store.Step(ctx, term, func(s *state.Step) error {
		number, err := s.OpenBatch()
		if err != nil {
			return err
		}
		if _, err := s.Claim(number, claims); err != nil {
			return err
		}
		return s.Confirm(number, state.Position{Stream: "bench", Seq: seq})
	})
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
