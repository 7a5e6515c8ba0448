package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

type collectInput struct {
	Name string `path:"name"`
	Body *CollectRange
}

// CollectRange is the interval of a back-fill as it is asked for. Without it an ordinary run is started.
type CollectRange struct {
	Since string `json:"since,omitempty" doc:"Start of a back-fill: an age (7d), RFC 3339, a date or all"`
	Until string `json:"until,omitempty" doc:"End of a back-fill; default now"`
}

type jobInput struct {
	ID string `path:"id"`
}

func (s *server) jobRoutes(api huma.API) {
	collect := operation("collect", http.MethodPost, "/entries/connectors/{name}/collect", "Jobs", "Run a connector now, or fill an interval back")
	collect.DefaultStatus = http.StatusAccepted
	handle(s, api, collect, s.collect)
	handle(s, api, operation("get-job", http.MethodGet, "/jobs/{id}", "Jobs", "Get a job"),
		func(ctx context.Context, in *jobInput) (Job, error) { return s.service.Job(ctx, in.ID) })
	huma.Register(api, streamed(operation("watch-job", http.MethodGet, "/jobs/{id}/progress", "Jobs",
		"Follow a job until it is done"), api, typeOf[JobFrame]()), s.watch)
}

func (s *server) collect(ctx context.Context, in *collectInput) (Job, error) {
	var asked CollectRange
	if in.Body != nil {
		asked = *in.Body
	}
	since, until, err := s.parseRange(asked.Since, asked.Until, "")
	if err != nil {
		return Job{}, err
	}
	if asked.Since != "" && since.IsZero() {
		since = time.Unix(0, 0).UTC() // all of it, which is not the same as an ordinary run
	}
	return s.service.Collect(ctx, CollectRequest{Connector: in.Name, Since: since, Until: until})
}

func (s *server) watch(_ context.Context, in *jobInput) (*huma.StreamResponse, error) {
	return s.streaming(ndjsonType, func(st *stream) {
		for job, err := range s.service.Watch(st.ctx, in.ID) {
			if err != nil {
				st.fail(err, func(p *Problem) error { return st.now(JobFrame{Error: p}) })
				return
			}
			if err := st.now(JobFrame{Job: &job}); err != nil {
				st.broken(err)
				return
			}
		}
		st.start()
	}), nil
}
