package main

import (
	"context"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
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

// stuck is a server whose runs and verifications end when somebody has asked for the status several times.
type stuck struct {
	*apitest.Fake

	state string
	asked atomic.Int64
	room  chan struct{}
}

func (s *stuck) Status(ctx context.Context) ([]api.Status, error) {
	if s.asked.Add(1) == 10 {
		close(s.room)
	}
	all, err := s.Fake.Status(ctx)
	for i := range all {
		if all[i].State, all[i].LastError = s.state, nil; s.state != "paused" {
			all[i].LastError = &api.Failure{Kind: "unavailable", Message: "the port is closed", Hint: "open it"}
		}
	}
	return all, err
}

func (s *stuck) Watch(ctx context.Context, id string) iter.Seq2[api.Job, error] {
	<-s.room
	return s.Fake.Watch(ctx, id)
}

func (s *stuck) Verify(ctx context.Context, r api.VerifyRequest) iter.Seq2[api.VerifyFrame, error] {
	<-s.room
	return s.Fake.Verify(ctx, r)
}

// TestWhoWaitsForAConnectorIsToldWhy: a connector that is paused or cannot reach Microsoft would look like a command that hangs.
func TestWhoWaitsForAConnectorIsToldWhy(t *testing.T) {
	for name, tc := range map[string]struct {
		state string
		args  []string
		want  string
	}{
		"a paused connector does not collect": {"paused", []string{"collect", "contoso", "--wait"}, "waiting: connector contoso is paused\nhint: sluice resume contoso\n"},
		"a paused connector can be verified":  {"paused", []string{"verify", "contoso"}, ""},
		"collecting":                          {"degraded", []string{"collect", "contoso", "--wait"}, "waiting: contoso Audit.Exchange: the port is closed\nhint: open it\n"},
		"verifying":                           {"degraded", []string{"verify", "contoso"}, "waiting: contoso Audit.Exchange: the port is closed\nhint: open it\n"},
	} {
		env := serve(t, &stuck{Fake: apitest.New(), state: tc.state, room: make(chan struct{})})
		_, stderr, code := command(t.Context(), &cli{getenv: env, problemEvery: time.Millisecond}, tc.args...)
		if code != exitDone || stderr != tc.want {
			t.Errorf("%s: %d %q, want %q", name, code, stderr, tc.want)
		}
	}
}

// partly is a server whose runs end with a failure.
type partly struct {
	*apitest.Fake

	landed int64
}

func (s *partly) Collect(ctx context.Context, r api.CollectRequest) (api.Job, error) {
	job, err := s.Fake.Collect(ctx, r)
	from := apitest.Now.AddDate(0, 0, -7)
	job.ListedSince = &from
	return job, err
}

func (s *partly) Watch(_ context.Context, id string) iter.Seq2[api.Job, error] {
	return func(yield func(api.Job, error) bool) {
		yield(api.Job{ID: id, Connector: "contoso", Landed: s.landed, Listed: s.landed, Done: true, Error: &api.Failure{Kind: "permission", Message: "DLP.All: not granted"}}, nil)
	}
}

// TestARunThatFailsForOneContentType: what landed landed, so the run failed partly; and nobody is left to believe that an interval
// that Microsoft no longer lists was fetched.
func TestARunThatFailsForOneContentType(t *testing.T) {
	for landed, want := range map[int64]int{0: exitFailed, 5: exitPartly} {
		env := serve(t, &partly{apitest.New(), landed})
		_, stderr, code := command(t.Context(), &cli{getenv: env}, "collect", "contoso", "--since", "30d", "--wait")
		if code != want || !strings.Contains(stderr, "note: Microsoft lists content only since 2026-02-25T05:06:07Z") || !strings.Contains(stderr, "error: DLP.All: not granted") {
			t.Errorf("%d landed: %d %q", landed, code, stderr)
		}
	}
}
