package blackbox

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"testing"
	"time"

	"sluice/internal/m365sim"
)

// TestWebhookBringsContentAtOnce: with an hour between listings, new content is there as soon as Microsoft tells of it.
func TestWebhookBringsContentAtOnce(t *testing.T) {
	t.Parallel()
	sim := m365sim.StartTest(t, m365sim.Scenario{Seed: 51, Tenants: []m365sim.Tenant{{
		ID: directory, Name: "contoso", Users: 60, Apps: []m365sim.App{{ID: application, Secret: credential}},
		Traffic: []m365sim.Traffic{{
			ContentType: m365sim.General, Rate: 120, History: m365sim.Duration(time.Hour), Events: 30, BlobSize: 5, Latency: m365sim.Duration(time.Second),
		}},
	}}})
	p := newPlace(t)
	port := freePort(t)
	config := write(t, p.root, "hooks.yaml", fmt.Sprintf("lake: {commit_interval: 1s}\nwebhook: {listen: 127.0.0.1:%d, address: 'http://127.0.0.1:%d'}\n", port, port))
	s := p.launch("--config", config, "--data", p.data)
	s.waitUp()
	p.apply(sim, map[string]string{"content_types": "[Audit.General]", "interval": "1h", "webhook": "true"})
	status := func() (listed int64, next *time.Time) {
		st := p.status()[connector+" Audit.General"]
		return st.Listed, st.NextRun
	}
	var first int64
	eventually(t, settleLimit, func() (bool, string) {
		var next *time.Time
		first, next = status()
		return first > 0 && next != nil && time.Until(*next) > 30*time.Minute, fmt.Sprintf("%d listed", first)
	})
	eventually(t, settleLimit, func() (bool, string) {
		now, _ := status()
		return now > first, fmt.Sprintf("%d listed", now)
	})
	p.run("test", connector).wants(t, 0, "passed  webhook")
}

// freePort is a port on loopback that nobody uses at the moment, below those that systems give to who asks for any: one of
// them could be another test's before the server listens.
func freePort(t *testing.T) int {
	t.Helper()
	const first, last = 10_000, 20_000
	for {
		port := first + rand.IntN(last-first)
		var config net.ListenConfig
		l, err := config.Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		switch {
		case err == nil:
			_ = l.Close()
			return port
		case !errors.Is(err, syscall.EADDRINUSE):
			t.Fatal(err)
		}
	}
}
