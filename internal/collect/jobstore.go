package collect

import (
	"context"
	"encoding/json"
	"time"

	"sluice/internal/fault"
)

// jobPrefix begins the names of the values that hold back-fills which are not done.
const jobPrefix = "job:"

// storedJob is what is kept of a back-fill, so that it goes on after a restart. What it listed is in the ledger already;
// listing the interval again finds the rest.
type storedJob struct {
	ConnectorID string    `json:"connector_id"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Started     time.Time `json:"started"`
}

// keepJob remembers a back-fill until it is done. Ordinary runs are not kept: the schedule repeats them.
func (m *Manager) keepJob(ctx context.Context, j Job) error {
	if !j.Backfill {
		return nil
	}
	text, err := json.Marshal(storedJob{j.ConnectorID, j.Since, j.Until, j.Started})
	if err == nil {
		err = m.deps.State.PutValue(ctx, jobPrefix+j.ID, text)
	}
	return fault.Wrap("", "remember the back-fill", err)
}

func (m *Manager) forgetJob(ctx context.Context, id string) {
	if err := m.deps.State.DeleteValue(ctx, jobPrefix+id); err != nil {
		m.deps.Logger.Warn("a finished back-fill was not forgotten: it is repeated at the next start, which is harmless", "job", id, "error", err.Error())
	}
}

// forgetJobs forgets the back-fills of a connector that was deleted, also those that do not run because it was paused.
func (m *Manager) forgetJobs(ctx context.Context, connectorID string) {
	kept, err := m.deps.State.Values(ctx, jobPrefix)
	if err != nil {
		m.deps.Logger.Warn("back-fills of a deleted connector were not forgotten", "error", err.Error())
		return
	}
	for key, text := range kept {
		var stored storedJob
		if json.Unmarshal(text, &stored) == nil && stored.ConnectorID == connectorID {
			m.forgetJob(ctx, key[len(jobPrefix):])
		}
	}
}

// resumeJobs goes on with the back-fills of a connector that an earlier run of the process did not finish.
func (m *Manager) resumeJobs(ctx context.Context, r *Runner) {
	kept, err := m.deps.State.Values(ctx, jobPrefix)
	for attempt := 1; err != nil; attempt++ {
		if ctx.Err() != nil {
			return
		}
		r.log.Warn("back-fills of an earlier run cannot be read; it is tried again", "error", err.Error())
		if m.deps.Clock.Sleep(ctx, Backoff(err, attempt)) != nil {
			return
		}
		kept, err = m.deps.State.Values(ctx, jobPrefix)
	}
	for key, text := range kept {
		var stored storedJob
		id := key[len(jobPrefix):]
		if err := json.Unmarshal(text, &stored); err != nil {
			r.log.Warn("a back-fill of an earlier run cannot be read; ask for it again", "job", id, "error", err.Error())
			m.forgetJob(ctx, id)
			continue
		}
		if _, err := m.Job(id); stored.ConnectorID != r.cfg.Connector.ID || err == nil {
			continue // another connector's, or it is running
		}
		r.log.Info("going on with a back-fill of an earlier run", "job", id, "since", stored.Since, "until", stored.Until)
		m.goJob(r, &Job{ //nolint:contextcheck // jobs live under the context of Run, which is m.base
			ID: id, ConnectorID: stored.ConnectorID, Name: r.cfg.Connector.Name, Since: stored.Since, Until: stored.Until,
			Backfill: true, Started: stored.Started,
		})
	}
}
