package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/internal/api"
)

// The second tenant of benchThrottled, which the simulated service throttles.
const (
	throttledDirectory = "8e0c1b4f-63a2-4b6a-8b10-4a70301a1c22"
	throttledConnector = "throttled"
	allowedPerMinute   = 600
	throttledBlobs     = 900
	otherBlobs         = 1000
	firstMinute        = (allowedPerMinute - 40) * 100 // events; the rest of the requests are listings and sign-in
)

// benchThrottled collects from a tenant alone, and again beside one that allows 600 requests a minute. Everything of both
// arrives; the throttled one must not slow the other. The service lets the requests of the first minute through at once,
// and while those are worked on the two share the processors: the second tenant begins when they are used up.
func benchThrottled(ctx context.Context, o options, dir string) ([]row, error) {
	say("collecting %d blobs of 100 events alone, then beside %d of a tenant throttled to %d requests a minute", otherBlobs, throttledBlobs, allowedPerMinute)
	s := scenario{events: otherBlobs * 100, blob: 100, latency: 50 * time.Millisecond, parallel: 16}
	alone, err := oneAlone(ctx, o, dir+"/alone", s)
	if err != nil {
		return nil, err
	}
	w, err := start(ctx, o, dir+"/throttled", s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = w.stop() }()
	slow := scenario{events: throttledBlobs * 100, blob: 100, parallel: 16, perMinute: allowedPerMinute}
	if err := w.startSim(ctx, o.binary, throttledDirectory, slow); err != nil {
		return nil, err
	}
	beside, took, err := besideThrottled(ctx, w)
	if err != nil {
		return nil, err
	}
	return []row{
		{"a tenant alone: events per second", fmt.Sprintf("%.0f", alone.rate()), ""},
		{"  the same beside a tenant throttled to 600 requests a minute", fmt.Sprintf("%.0f", beside.rate()), "about the same"},
		{"  the throttled tenant: all its events arrived after", took.Round(time.Second).String(), "everything arrives"},
	}, nil
}

// besideThrottled measures the tenant whose simulator is w's first, beside the one of the second, and tells how long that
// one took.
func besideThrottled(ctx context.Context, w *world) (beside measure, took time.Duration, err error) {
	usedUp := make(chan struct{})
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		var once sync.Once
		arrived, err := w.watchFrom(ctx, throttledConnector, w.sims[1], func(j api.Job) {
			if j.Records >= firstMinute {
				once.Do(func() { close(usedUp) })
			}
		})
		took = time.Since(began)
		if err == nil && arrived != throttledBlobs*100 {
			return fmt.Errorf("%d events of the throttled tenant arrived, want %d", arrived, throttledBlobs*100)
		}
		return err
	})
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-usedUp:
		}
		began := time.Now()
		events, err := w.collectFrom(ctx, connector, w.sims[0])
		beside = measure{events: events, wall: time.Since(began)}
		return err
	})
	err = group.Wait()
	return beside, took, err
}

func oneAlone(ctx context.Context, o options, dir string, s scenario) (measure, error) {
	w, err := start(ctx, o, dir, s)
	if err != nil {
		return measure{}, err
	}
	defer func() { _ = w.stop() }()
	began := time.Now()
	records, err := w.collectFrom(ctx, connector, w.sims[0])
	return measure{events: records, wall: time.Since(began)}, err
}
