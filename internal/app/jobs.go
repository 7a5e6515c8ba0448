package app

import (
	"context"
	"iter"
	"time"

	"sluice/internal/api"
	"sluice/internal/collect"
)

// watchEvery bounds how often the progress of a job is sent.
const watchEvery = 200 * time.Millisecond

// Collect implements api.Collector.
func (s *service) Collect(ctx context.Context, r api.CollectRequest) (api.Job, error) {
	c, err := s.connector(ctx, api.Connectors, r.Connector)
	if err != nil {
		return api.Job{}, err
	}
	j, err := s.manager.Collect(c.ID, r.Since, r.Until) //nolint:contextcheck // the job outlives the request
	if err != nil {
		return api.Job{}, err
	}
	return jobView(j), nil
}

// Job implements api.Collector.
func (s *service) Job(_ context.Context, id string) (api.Job, error) {
	j, err := s.manager.Job(id)
	if err != nil {
		return api.Job{}, err
	}
	return jobView(j), nil
}

// Watch implements api.Collector.
func (s *service) Watch(ctx context.Context, id string) iter.Seq2[api.Job, error] {
	return func(yield func(api.Job, error) bool) {
		for {
			j, changed, err := s.manager.WatchJob(id)
			if !yield(jobView(j), err) || err != nil || j.Done {
				return
			}
			if s.clock.Sleep(ctx, watchEvery) != nil {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}
}

func jobView(j collect.Job) api.Job {
	view := api.Job{
		ID: j.ID, Connector: j.Name, Started: j.Started, Finished: timeOrNil(j.Finished),
		Listed: j.Listed, Landed: j.Landed, Pending: j.Pending, Lost: j.Lost, Records: j.Records,
		Done: j.Done, Error: failure(j.Err),
	}
	if j.Backfill {
		view.Since, view.Until = timeOrNil(j.Since), timeOrNil(j.Until)
		if j.Since.Before(j.Oldest.Add(-time.Hour)) { // "the last seven days" is what can be had
			view.ListedSince = timeOrNil(j.Oldest)
		}
	}
	return view
}
