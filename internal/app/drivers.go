package app

import (
	"context"
	"log/slog"
	"time"

	"sluice/internal/clock"
	"sluice/internal/collect"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/record"
	"sluice/internal/source"
	"sluice/internal/source/activity"
	"sluice/internal/state"
	"sluice/internal/vault"
)

// builder makes a source from a connector's settings.
type builder func(ctx context.Context, c config.Connector, secrets connectorSecrets, shared sharedDeps) (source.Source, error)

// sharedDeps is what the sources of all connectors share.
type sharedDeps struct {
	pacers     *m365.Pacers
	tokens     *m365.Tokens
	transports *m365.Transports
	clock      clock.Clock
	log        *slog.Logger

	sealer  *vault.Sealer
	secrets *vault.Resolver
}

// driver is a connector type.
type driver struct {
	properties source.Properties
	build      builder
}

// drivers lists every connector type. It is the one place where a new one is added.
func drivers() []driver {
	return []driver{
		{properties: activity.Properties(), build: buildActivity},
	}
}

func driverProperties() []source.Properties {
	var out []source.Properties
	for _, d := range drivers() {
		out = append(out, d.properties)
	}
	return out
}

func driverFor(connectorType string) (driver, error) {
	for _, d := range drivers() {
		if d.properties.Type == connectorType {
			return d, nil
		}
	}
	return driver{}, fault.Newf(fault.Config, "find connector type", "unknown type %q", connectorType)
}

func buildActivity(ctx context.Context, c config.Connector, secrets connectorSecrets, shared sharedDeps) (source.Source, error) {
	v := c.Values
	key, err := secrets.option(ctx, "api_access_key")
	if err != nil {
		return nil, err
	}
	password, err := secrets.option(ctx, "certificate_password")
	if err != nil {
		return nil, err
	}
	secrets.File(v.String("certificate_file"))
	secrets.File(v.String("ca_file"))
	return activity.New(activity.Config{
		SubscriptionPlan: v.String("subscription_plan"), AuthenticationEndpoint: v.String("authentication_endpoint"),
		DirectoryID: c.DirectoryID(), ApplicationID: v.String("application_id"),
		Credential: v.String("credential"), ManagedIdentityID: v.String("managed_identity_id"), Refused: secrets.refused,
		APIAccessKey: key, CertificateFile: v.String("certificate_file"), CertificatePassword: password,
		PublisherID: v.String("publisher_id"), MaxParallelFetches: int(v.Int("max_parallel_fetches")),
		RequestsPerMinute: int(v.Int("requests_per_minute")), DisableSSLVerification: v.Bool("disable_ssl_verification"),
		CAFile: v.String("ca_file"), APIEndpoint: v.String("api_endpoint"), APIAudience: v.String("api_audience"),
		WebhookAddress: secrets.hookAddress, WebhookAuthID: secrets.hookAuthID,
		ContentTypes: c.ContentTypes, Pacers: shared.pacers, Tokens: shared.tokens, Transports: shared.transports, Clock: shared.clock, Logger: shared.log,
	})
}

// runnerConfig puts a stored connector and its source together.
func runnerConfig(stored state.Connector, c config.Connector, d driver, src source.Source) collect.RunnerConfig {
	start := c.StartTime
	if start.IsZero() {
		start = stored.Created
	}
	types := c.ContentTypes
	if len(types) == 0 {
		types = d.properties.ContentTypes
	}
	return collect.RunnerConfig{
		Connector: record.Connector{
			ID: stored.ID, Name: stored.Name, Type: stored.Type, TenantName: stored.TenantName, DirectoryID: stored.DirectoryID,
		},
		Source: src, ContentTypes: types, Interval: c.Interval, Start: start, StartTime: c.StartTime, Created: stored.Created,
		Parallel:   int(max(c.Values.Int("max_parallel_fetches"), 1)),
		SecondLook: float64(c.Values.Int("second_look_percent")) / 100,
		MaxWindow:  orDefault(d.properties.MaxWindow, 24*time.Hour), Retention: orDefault(d.properties.Retention, 7*24*time.Hour),
	}
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
