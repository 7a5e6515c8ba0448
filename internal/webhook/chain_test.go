package webhook

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"sluice/internal/m365sim"
	"sluice/internal/secret"
	"sluice/internal/source"
	"sluice/internal/source/activity"
)

// chain is the whole way over real connections: the driver starts a subscription at a simulated Microsoft, which validates
// and notifies a Listener, whose hint makes the test list.
type chain struct {
	clock *m365sim.HandClock
	sim   *m365sim.Server
	hooks *Hooks
	src   *activity.Source
	hints chan string
}

func newChain(t *testing.T) *chain {
	c := &chain{clock: m365sim.NewHandClock(time.Date(2026, 11, 20, 12, 35, 0, 0, time.UTC)), hints: make(chan string, 100)}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	c.sim = m365sim.StartTest(t, m365sim.Scenario{
		Seed: 5, TokenLifetime: m365sim.Duration(1000 * time.Hour),
		Tenants: []m365sim.Tenant{{
			ID: directory, Users: 20, Apps: []m365sim.App{{ID: application, Secret: "s3cret"}},
			Traffic: []m365sim.Traffic{{ContentType: general, Rate: 1, BlobSize: 10}, {ContentType: exchange, Rate: 1, BlobSize: 600}},
		}},
	}, m365sim.Options{Clock: c.clock, TokensByClock: true, WebhookClient: client})
	c.hooks = New(Settings{Key: testKey, Spacing: time.Nanosecond, Hint: func(id, contentType string) { c.hints <- id + " " + contentType }})
	l := serve(t, Config{Listen: "127.0.0.1:0"}, c.hooks)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.hooks.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := c.sim.WriteCA(ca); err != nil {
		t.Fatal(err)
	}
	var err error
	c.src, err = activity.New(activity.Config{
		AuthenticationEndpoint: c.sim.URL(), APIEndpoint: c.sim.URL(), CAFile: ca, DirectoryID: directory, ApplicationID: application,
		APIAccessKey: secret.New("s3cret"), Clock: c.clock,
		WebhookAddress: testKey.Address("http://"+l.Addr().String()+"/sluice", "c1"), WebhookAuthID: testKey.AuthID("c1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.src.CloseIdle)
	return c
}

// heard waits for a hint.
func (c *chain) heard(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-c.hints:
		if got != want {
			t.Errorf("hint %q, want %q", got, want)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("no hint came")
	}
}

func (c *chain) listed(t *testing.T, since time.Time) (n int) {
	t.Helper()
	for _, err := range c.src.List(t.Context(), source.Window{ContentType: general, From: since, To: c.clock.Now()}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestFromMicrosoftToTheListing(t *testing.T) {
	c := newChain(t)
	c.hooks.Set(contoso())
	if _, failed := c.src.Prepare(t.Context(), []string{general, exchange}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if w := c.src.Warnings(); len(w) > 0 {
		t.Fatalf("warnings: %v", w)
	}
	began := c.clock.Now()
	c.clock.Advance(11 * time.Minute)
	c.sim.Notify(t.Context())
	c.heard(t, "c1 "+general)
	if n := c.listed(t, began); n != 1 {
		t.Errorf("%d units listed after the hint, want 1", n)
	}
}

// A connector that the listener does not know gets no webhook, and collects all the same; when it is known, Tend sets it.
func TestUnknownConnectorIsOnlyPolled(t *testing.T) {
	c := newChain(t)
	began := c.clock.Now()
	if _, failed := c.src.Prepare(t.Context(), []string{general}); len(failed) > 0 {
		t.Fatal(failed)
	}
	if w := c.src.Warnings(); len(w) != 1 {
		t.Errorf("warnings: %v", w)
	}
	c.clock.Advance(11 * time.Minute)
	if n := c.listed(t, began); n != 1 {
		t.Errorf("%d units listed, want 1", n)
	}
	wrong := contoso()
	wrong.AuthID = secret.New("not what Microsoft sends")
	c.hooks.Set(wrong)
	c.clock.Advance(15 * time.Minute)
	c.src.Tend(t.Context(), []string{general})
	if w := c.src.Warnings(); len(w) != 1 {
		t.Errorf("wrong AuthID: warnings %v", w)
	}
	c.hooks.Set(contoso())
	c.clock.Advance(15 * time.Minute)
	c.src.Tend(t.Context(), []string{general})
	if w := c.src.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	c.clock.Advance(10 * time.Minute)
	c.sim.Notify(t.Context())
	c.heard(t, "c1 "+general)
}
