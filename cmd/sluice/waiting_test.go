package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/api"
	"sluice/internal/api/apitest"
)

// fullDisk cannot write an import until it was asked for its problem several times.
type fullDisk struct {
	*apitest.Fake

	asked atomic.Int64
	room  chan struct{}
}

func (s *fullDisk) Info(ctx context.Context) (api.Info, error) {
	info, err := s.Fake.Info(ctx)
	switch n := s.asked.Add(1); {
	case n <= 3:
		info.Problem = &api.Failure{Kind: "full", Message: "the disk is full", Hint: "make room"}
	case n == 5:
		close(s.room)
	}
	return info, err
}

func (s *fullDisk) ImportFile(ctx context.Context, id, name string, body io.Reader) (api.FileResult, error) {
	select {
	case <-s.room:
		return s.Fake.ImportFile(ctx, id, name, body)
	case <-ctx.Done():
		return api.FileResult{}, ctx.Err()
	}
}

// TestAnImportSaysWhatItWaitsFor: once per reason, and that it goes on.
func TestAnImportSaysWhatItWaitsFor(t *testing.T) {
	others := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, others) })
	file := filepath.Join(t.TempDir(), "a.json")
	if err := os.WriteFile(file, []byte(`{"a":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	env := serve(t, &fullDisk{Fake: apitest.New(), room: make(chan struct{})})
	_, stderr, code := command(t.Context(), &cli{getenv: env, problemEvery: time.Millisecond}, "import", "--type", "office365",
		"--tenant-name", "Contoso", "--directory-id", "11111111-2222-3333-4444-555555555555", file)
	if want := "waiting: the disk is full\nhint: make room\ngoing on\n"; code != exitDone || stderr != want {
		t.Errorf("%d %q, want %q", code, stderr, want)
	}
}
