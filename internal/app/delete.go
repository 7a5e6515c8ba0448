package app

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/config"
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
		others, err := s.sharedTypes(ctx, c)
		if err != nil {
			return api.DeleteResult{}, err
		}
		stop = s.subscriptionStopper(ctx, c, others) // made before the settings are gone
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

// sharedTypes names, by content type, another connector that collects with the subscriptions of this one: they belong to the
// tenant and the application. What appears while they are off is lost to it, too.
func (s *service) sharedTypes(ctx context.Context, c state.Connector) (map[string]string, error) {
	stored, err := s.state.Connectors(ctx)
	if err != nil {
		return nil, err
	}
	application, names := s.applicationOf(c), map[string]string{}
	for _, other := range stored {
		if other.ID == c.ID || other.Type != c.Type || other.DirectoryID != c.DirectoryID || s.applicationOf(other) != application {
			continue
		}
		for _, contentType := range s.contentTypes(other) {
			names[contentType] = other.Name
		}
	}
	return names, nil
}

// applicationOf is the application that a connector signs in as, "" when that cannot be read.
func (s *service) applicationOf(c state.Connector) string {
	parsed, err := config.FromSpec(c.Spec, s.properties)
	if err != nil {
		return ""
	}
	if resolved, err := parsed.Resolve(os.LookupEnv); err == nil {
		parsed = resolved
	}
	return strings.ToLower(parsed.Values.String("application_id"))
}

// subscriptionStopper returns what stops the subscriptions of a connector, but for those that others collect with; nil for
// a type without subscriptions.
func (s *service) subscriptionStopper(ctx context.Context, c state.Connector, others map[string]string) func(context.Context) []api.StoppedSubscription {
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
		own := slices.DeleteFunc(slices.Clone(contentTypes), func(contentType string) bool { return others[contentType] != "" })
		failed := stopper.Stop(ctx, own)
		return stoppedViews(contentTypes, func(contentType string) error {
			if other := others[contentType]; other != "" {
				return fault.Newf(fault.Conflict, "stop subscription", "connector %s collects with the same subscription", other).
					WithHint("nothing to do; it ends when the last connector with this application is deleted with it")
			}
			return fault.Wrap("", "stop subscription", failed[contentType])
		})
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
