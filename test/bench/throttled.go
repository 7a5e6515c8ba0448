package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// The second tenant of benchThrottled, which the simulated service throttles.
const (
	throttledDirectory = "8e0c1b4f-63a2-4b6a-8b10-4a70301a1c22"
	throttledConnector = "throttled"
	allowedPerMinute   = 600
	throttledBlobs     = 900
	otherBlobs         = 1000
)

// benchThrottled collects from a tenant alone, and again beside one that allows 600 requests a minute. Everything of both
// arrives; the throttled one must not slow the other.
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
	began := time.Now()
	var beside measure
	var arrived int64
	var took time.Duration
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		arrived, err = w.collectFrom(ctx, throttledConnector, w.sims[1])
		took = time.Since(began)
		return err
	})
	group.Go(func() (err error) {
		beside.events, err = w.collectFrom(ctx, connector, w.sims[0])
		beside.wall = time.Since(began)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if arrived != throttledBlobs*100 {
		return nil, fmt.Errorf("%d events of the throttled tenant arrived, want %d", arrived, throttledBlobs*100)
	}
	return []row{
		{"a tenant alone: events per second", fmt.Sprintf("%.0f", alone.rate()), ""},
		{"  the same beside a tenant throttled to 600 requests a minute", fmt.Sprintf("%.0f", beside.rate()), "about the same"},
		{"  the throttled tenant: all its events arrived after", took.Round(time.Second).String(), "everything arrives"},
	}, nil
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
