package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/config"
	"sluice/internal/fault"
	"sluice/internal/m365sim"
)

// The simulated tenant of the demo. Nothing here is a secret: the simulator accepts it and nothing else does.
const (
	demoConnector = "contoso-office365"
	demoDirectory = "5a0c1a9e-3d2b-4f6a-9c8e-1f2d3c4b5a69"
	demoApp       = "0b9f2c5d-7e81-4a36-b4d0-6c5e8f7a9b12"
	demoSecret    = "demo~secret~of~the~simulated~tenant"
	demoOwner     = "the demo"
)

// DemoScenario is what the demo simulates: a company of a few hundred people with a day of history.
func DemoScenario() m365sim.Scenario {
	traffic := func(contentType string, perMinute float64, blob int) m365sim.Traffic {
		return m365sim.Traffic{
			ContentType: contentType, Rate: perMinute, History: m365sim.Duration(24 * time.Hour), BlobSize: blob,
			Latency: m365sim.Duration(2 * time.Second),
		}
	}
	return m365sim.Scenario{
		Seed: 365,
		Tenants: []m365sim.Tenant{{
			ID: demoDirectory, Name: "contoso", Users: 400,
			Apps: []m365sim.App{{ID: demoApp, Secret: demoSecret, Subscribed: true}}, // a demo that is started again has no gap
			Traffic: []m365sim.Traffic{
				traffic(m365sim.AzureActiveDirectory, 6, 50), traffic(m365sim.Exchange, 8, 50), traffic(m365sim.SharePoint, 12, 50),
				traffic(m365sim.General, 4, 25), traffic(m365sim.DLP, 0.5, 10),
			},
		}},
		Faults: []m365sim.Fault{
			{Route: "blob", First: 1, Kind: m365sim.AF429},
			{Route: "blob", Probability: 0.005, Kind: m365sim.Reset},
		},
	}
}

// startDemo starts the simulator and applies a connector that collects from it.
func (a *application) startDemo(ctx context.Context) error {
	sim, err := m365sim.New(DemoScenario(), m365sim.Options{Clock: a.Clock, Logger: a.log.With("component", "simulator")})
	if err != nil {
		return fault.Wrap("", "make the simulated tenant", err)
	}
	server, err := a.listenDemo(context.WithoutCancel(ctx), sim)
	if err != nil {
		return fault.Wrap("", "start the simulated tenant", err)
	}
	a.onClose(func() { _ = server.Close() })
	ca := filepath.Join(a.dir.path, "simulator-ca.pem")
	if err := sim.WriteCA(ca); err != nil {
		return err
	}
	doc, err := json.Marshal(map[string]any{
		"name": demoConnector, "tenant_name": "Contoso", "type": "office365", "interval": "1m",
		"directory_id": demoDirectory, "application_id": demoApp, "api_access_key": demoSecret,
		"authentication_endpoint": server.URL(), "api_endpoint": server.URL(), "ca_file": ca, "requests_per_minute": 0,
		"start_time": a.Clock.Now().Add(-25 * time.Hour).Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	parsed, err := config.ParseApply("demo", doc, a.svc.properties)
	if err != nil {
		return fault.Wrap(fault.Internal, "make the demo's connector", err)
	}
	return a.svc.applyFile(ctx, &config.File{Path: demoOwner, Connectors: parsed.Connectors})
}

// listenDemo starts the simulator at the address that it had in this data folder before, if that is free: units that wait
// name it, and a connector sends its token to no other.
func (a *application) listenDemo(ctx context.Context, sim *m365sim.Sim) (*m365sim.Server, error) {
	if c, err := a.svc.connector(ctx, api.Connectors, demoConnector); err == nil {
		var spec struct {
			Endpoint string `json:"api_endpoint"`
		}
		_ = json.Unmarshal(c.Spec, &spec) // without an address there is nothing to keep
		if address, ok := strings.CutPrefix(spec.Endpoint, "https://"); ok && strings.HasPrefix(address, "127.0.0.1:") {
			if server, err := sim.Start(ctx, address); err == nil {
				return server, nil
			}
		}
	}
	return sim.Start(ctx, "127.0.0.1:0")
}

// greetDemo tells what to try.
func (a *application) greetDemo() {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Sluice is up at %s with a simulated Microsoft 365 tenant (one day of history, live traffic).\n", a.url)
	fmt.Fprintf(&b, "Data is in %s. In a second terminal try:\n\n", a.dir.path)
	for _, line := range []string{
		"search 'Operation:FileDownloaded' --since 24h",
		"search 'Operation:UserLoginFailed AND NOT UserId:*#EXT#*' --fields timestamp,UserId,srcip,event.reason",
		`search --lang sql 'select "event.action", count(*) n from windows_events group by 1 order by n desc limit 10'`,
	} {
		fmt.Fprintf(&b, "    %s %s\n", a.Program, line)
	}
	fmt.Fprintf(&b, "\nand `%s status` for how collecting goes. Stop it with Ctrl-C.\n", a.Program)
	_, _ = a.Stdout.Write(b.Bytes())
}
