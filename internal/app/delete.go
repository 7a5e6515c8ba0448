package app

import (
	"context"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
	"sluice/internal/source"
	"sluice/internal/state"
)

// stopSubscriptionsIn bounds how long stopping the subscriptions of a deleted connector may take.
const stopSubscriptionsIn = time.Minute

// Delete implements api.Entries.
func (s *service) Delete(ctx context.Context, kind api.Kind, name string, o api.DeleteOptions) (api.DeleteResult, error) {
	if kind == api.Filters {
		return api.DeleteResult{}, s.deleteFilter(ctx, name)
	}
	if kind == api.Consent {
		return api.DeleteResult{}, s.deleteApplication(ctx, name)
	}
	c, err := s.connector(ctx, kind, name)
	if err != nil {
		return api.DeleteResult{}, err
	}
	if c.Owner != "" {
		return api.DeleteResult{}, ownedBy(c)
	}
	var stop func(context.Context) []api.StoppedSubscription
	if o.StopSubscriptions {
		stop = s.subscriptionStopper(ctx, c) // made before the settings are gone
	}
	s.applying.Lock() // nobody starts it again meanwhile
	err = s.remove(ctx, c, "api")
	s.applying.Unlock()
	if err != nil {
		return api.DeleteResult{}, err
	}
	if stop == nil {
		return api.DeleteResult{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, stopSubscriptionsIn)
	defer cancel()
	return api.DeleteResult{Subscriptions: stop(ctx)}, nil
}

// subscriptionStopper returns what stops the subscriptions of a connector; nil for a type without subscriptions.
func (s *service) subscriptionStopper(ctx context.Context, c state.Connector) func(context.Context) []api.StoppedSubscription {
	contentTypes := s.contentTypes(c)
	cfg, err := s.build(ctx, c)
	if err != nil {
		return func(context.Context) []api.StoppedSubscription {
			return stoppedViews(contentTypes, func(string) error { return err })
		}
	}
	stopper, ok := cfg.Source.(source.Stopper)
	if !ok {
		return nil
	}
	return func(ctx context.Context) []api.StoppedSubscription {
		failed := stopper.Stop(ctx, contentTypes)
		return stoppedViews(contentTypes, func(contentType string) error { return fault.Wrap("", "stop subscription", failed[contentType]) })
	}
}

func stoppedViews(contentTypes []string, failed func(contentType string) error) []api.StoppedSubscription {
	var out []api.StoppedSubscription
	for _, contentType := range contentTypes {
		err := failed(contentType)
		out = append(out, api.StoppedSubscription{ContentType: contentType, Stopped: err == nil, Error: failure(err)})
	}
	return out
}
