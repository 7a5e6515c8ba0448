package activity

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"

	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/source"
)

var (
	_ source.Stopper = (*Source)(nil)
	_ source.Tender  = (*Source)(nil)
	_ source.Warner  = (*Source)(nil)
)

// Stop implements source.Stopper. A type that has no subscription any more counts as stopped.
func (s *Source) Stop(ctx context.Context, contentTypes []string) map[string]error {
	failed := map[string]error{}
	for _, name := range contentTypes {
		if err := s.stop(ctx, name); err != nil {
			failed[name] = err
		}
	}
	return failed
}

func (s *Source) stop(ctx context.Context, contentType string) error {
	resp, err := s.client.Do(ctx, m365.Request{
		Op: "stop subscription " + contentType, Method: http.MethodPost, Target: s.feed + "/subscriptions/stop",
		Query: url.Values{"contentType": {contentType}}, MaxBody: maxSmallBody,
	})
	if code := fault.CodeOf(err); code == "AF20022" || code == "AF20023" {
		return nil
	}
	if err != nil {
		return err
	}
	s.log.WarnContext(ctx, "subscription stopped", slog.String("content_type", contentType))
	return resp.Body.Close()
}
