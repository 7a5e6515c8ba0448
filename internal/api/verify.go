package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// VerifyQuery is a VerifyRequest as it is asked for.
type VerifyQuery struct {
	Connector string `json:"connector,omitempty" doc:"Only this connector"`
	Since     string `json:"since,omitempty" doc:"Units created at or after: an age, RFC 3339, a date, or all; default 7d"`
	Until     string `json:"until,omitempty" doc:"Units created before; default now"`
	Repair    bool   `json:"repair,omitempty" doc:"Queue what is missing and can still be fetched"`
}

// VerifySince is how far back a verification looks when nobody says how far: what Microsoft lists.
const VerifySince = "7d"

type verifyInput struct{ Body *VerifyQuery }

func (s *server) verifyRoutes(api huma.API) {
	huma.Register(api, streamed(operation("verify", http.MethodPost, "/verify", "Completeness",
		"Compare what Microsoft lists with what the lake holds; streams the progress, then the report"), api, typeOf[VerifyFrame]()), s.verify)
	handle(s, api, operation("get-verify-reports", http.MethodGet, "/verify", "Completeness", "Get the latest report of every connector"),
		func(ctx context.Context, _ *struct{}) ([]VerifyReport, error) {
			all, err := s.service.LastVerify(ctx)
			for i := range all {
				all[i] = all[i].listed()
			}
			return listed(all), err
		})
}

func (s *server) verify(ctx context.Context, in *verifyInput) (*huma.StreamResponse, error) {
	var asked VerifyQuery
	if in.Body != nil {
		asked = *in.Body
	}
	since, until, err := s.parseRange(asked.Since, asked.Until, VerifySince)
	if err != nil {
		return nil, s.problems.of(ctx, err)
	}
	r := VerifyRequest{Connector: asked.Connector, Since: since, Until: until, Repair: asked.Repair}
	return s.streaming(ndjsonType, func(st *stream) {
		for frame, err := range s.service.Verify(st.ctx, r) {
			if err != nil {
				st.fail(err, func(p *Problem) error { return st.now(VerifyFrame{Error: p}) })
				return
			}
			if frame.Report != nil {
				report := frame.Report.listed()
				frame.Report = &report
			}
			if err := st.now(frame); err != nil {
				st.broken(err)
				return
			}
		}
		st.start()
	}), nil
}
