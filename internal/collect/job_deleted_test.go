package collect

import (
	"testing"
	"time"

	"sluice/internal/fault"
)

// TestJobOfADeletedConnectorEnds: nobody fetches what it waits for any more, and the next process does not go on with it.
func TestJobOfADeletedConnectorEnds(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	u := src.add(general, "u", now.Add(-time.Hour), rec("1", ""))
	src.fail[u.Key] = []error{errReset.WithRetryAfter(24 * time.Hour)}
	r := h.start()
	r.manager.Start(connectorConfig(src, general))
	h.waitFor("the runner", func() bool { _, err := r.manager.Runner("c1"); return err == nil })
	job, err := r.manager.Collect("c1", now.Add(-2*time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	h.waitFor("the failure", func() bool { return h.total(general).Retrying == 1 })
	r.manager.Remove(t.Context(), "c1")
	h.waitFor("the end of the job", func() bool {
		job, err = r.manager.Job(job.ID)
		return err == nil && job.Done
	})
	if !fault.Is(job.Err, fault.Canceled) {
		t.Errorf("the job says %v", job.Err)
	}
	if kept, err := h.state.Values(t.Context(), jobPrefix); err != nil || len(kept) > 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// TestJobOfAContentTypeThatWasTakenOutEnds: nobody fetches what was listed of it, while the connector runs on without it.
func TestJobOfAContentTypeThatWasTakenOutEnds(t *testing.T) {
	h := newHarness(t)
	src := newFakeSource()
	now := time.Now().UTC()
	u := src.add(dlp, "d", now.Add(-time.Hour), rec("1", ""))
	src.add(general, "g", now.Add(-time.Hour), rec("2", ""))
	src.fail[u.Key] = []error{errReset.WithRetryAfter(24 * time.Hour)}
	r := h.start()
	r.manager.Start(connectorConfig(src, general, dlp))
	h.waitFor("the runner", func() bool { _, err := r.manager.Runner("c1"); return err == nil })
	job, err := r.manager.Collect("c1", now.Add(-2*time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	h.waitFor("the failure", func() bool { return h.total(dlp).Retrying == 1 })
	r.manager.Start(connectorConfig(src, general))
	h.waitFor("the end of the job", func() bool {
		job, err = r.manager.Job(job.ID)
		return err == nil && job.Done
	})
	if !fault.Is(job.Err, fault.Canceled) || job.Landed != 1 {
		t.Errorf("%d landed, the job says %v", job.Landed, job.Err)
	}
}
