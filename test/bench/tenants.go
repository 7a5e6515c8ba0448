package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sluice/internal/api"
)

// A provider's instance: many small tenants, two connectors for each.
const (
	manyTenants   = 250
	perTenant     = 2
	tenantsRunFor = 3 * time.Minute
	tenantsEvery  = time.Minute // interval of the connectors
)

// benchTenants runs many connectors and looks how late they get, and what they cost while they do little.
func benchTenants(ctx context.Context, o options, dir string) ([]row, error) {
	say("running %d connectors of %d tenants for %s", manyTenants*perTenant, manyTenants, tenantsRunFor)
	w, err := startServerOnly(ctx, o, dir+"/tenants")
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.stop() }()
	if err := w.startScenario(ctx, o.binary, "many", manyScenario()); err != nil {
		return nil, err
	}
	began := time.Now()
	if _, err := w.client.Apply(ctx, api.ApplyRequest{Name: "tenants.yaml", Document: []byte(manyConnectors(w.sims[0]))}); err != nil {
		return nil, err
	}
	applied := time.Since(began)
	err = until(ctx, 5*time.Minute, "the first run of all connectors", func() bool {
		status, err := w.client.Status(ctx)
		return err == nil && ready(status)
	})
	if err != nil {
		return nil, err
	}
	settled := time.Since(began)
	before, _, err := usage(w.server.Process.Pid)
	if err != nil {
		return nil, err
	}
	late, err := w.lateness(ctx, tenantsRunFor)
	if err != nil {
		return nil, err
	}
	after, peak, err := usage(w.server.Process.Pid)
	if err != nil {
		return nil, err
	}
	return []row{
		{
			fmt.Sprintf("%d connectors of %d tenants: applied and first run of all done after", manyTenants*perTenant, manyTenants),
			fmt.Sprintf("%s and %s", applied.Round(100*time.Millisecond), settled.Round(100*time.Millisecond)), "",
		},
		{"  latest start of a run behind its schedule (interval 1 m)", late.Round(time.Millisecond).String(), "on schedule"},
		{"  CPU of the server, share of one core", fmt.Sprintf("%.0f %%", 100*(after-before).Seconds()/tenantsRunFor.Seconds()), ""},
		{"  peak memory of the server", fmt.Sprintf("%.0f MB", peak), "<= 400 MB"},
	}, nil
}

func ready(status []api.Status) bool {
	if len(status) < manyTenants*perTenant {
		return false
	}
	for _, s := range status {
		if s.State != "ok" || s.Landed == 0 {
			return false
		}
	}
	return true
}

// lateness looks for a while how far the next run of any connector lies in the past.
func (w *world) lateness(ctx context.Context, d time.Duration) (worst time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		status, err := w.client.Status(ctx)
		now := time.Now()
		for _, s := range status {
			if s.NextRun != nil {
				worst = max(worst, now.Sub(*s.NextRun))
			}
		}
		select {
		case <-ctx.Done():
			return worst, nil
		case <-tick.C:
			if err != nil {
				return worst, err
			}
		}
	}
}

func tenantID(i int) string { return fmt.Sprintf("7d9b9a3e-52f1-4a59-9a0f-%012d", i+1) }

func manyScenario() string {
	var b strings.Builder
	b.WriteString("seed: 1\ntenants:\n")
	for i := range manyTenants {
		fmt.Fprintf(&b, "  - id: %s\n    name: tenant%d\n    users: 50\n    apps: [{id: %s, secret: %s}]\n    traffic:\n", tenantID(i), i, application, secretText)
		for _, contentType := range []string{"Audit.AzureActiveDirectory", "Audit.Exchange"} {
			fmt.Fprintf(&b, "      - {content_type: %s, history: 1h, rate: 5, blob_size: 5}\n", contentType)
		}
	}
	return b.String()
}

func manyConnectors(sim *simulator) string {
	var b strings.Builder
	b.WriteString("connectors:\n")
	for i := range manyTenants {
		for k, contentType := range []string{"Audit.AzureActiveDirectory", "Audit.Exchange"} {
			fmt.Fprintf(&b, "  - {name: tenant%d-%d, tenant_name: Tenant %d, type: office365, interval: %s, content_types: [%s], directory_id: %s, application_id: %s, api_access_key: %s, "+
				"authentication_endpoint: %q, api_endpoint: %q, ca_file: %s, start_time: %s}\n",
				i, k, i, tenantsEvery, contentType, tenantID(i), application, secretText, sim.url, sim.url, sim.ca, time.Now().UTC().Add(-2*time.Hour).Format(time.RFC3339))
		}
	}
	return b.String()
}
