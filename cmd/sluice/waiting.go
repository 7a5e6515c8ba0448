package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/health"
)

// problemEvery is how often a command that waits for the server asks whether it can write.
const problemEvery = 5 * time.Second

// waiting does work that lasts as long as the server needs to write something, and says meanwhile why that cannot be
// written, once per reason: a full disk would look like a command that hangs.
func waiting[T any](ctx context.Context, c *cli, server *client.Client, work func() (T, error)) (T, error) {
	return waitingFor(c, func() (*api.Failure, error) { return writing(ctx, server) }, work)
}

// waitingFor is waiting for work that may be hindered by something else: problem says by what, nil for nothing.
func waitingFor[T any](c *cli, problem func() (*api.Failure, error), work func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := work()
		done <- outcome{value, err}
	}()
	tick := time.NewTicker(cmp.Or(c.problemEvery, problemEvery))
	defer tick.Stop()
	told := ""
	for {
		select {
		case o := <-done:
			return o.value, o.err
		case <-tick.C:
		}
		hinders, err := problem()
		if err != nil {
			continue // the work finds out itself
		}
		told = c.tellProblem(hinders, told)
	}
}

// writing is why the server cannot write; nil when it can.
func writing(ctx context.Context, server *client.Client) (*api.Failure, error) {
	info, err := server.Info(ctx)
	return info.Problem, err
}

// collecting is why the server cannot write, or else what hinders a connector, if one is named.
func collecting(ctx context.Context, server *client.Client, connector string) (*api.Failure, error) {
	problem, err := writing(ctx, server)
	if err != nil || problem != nil || connector == "" {
		return problem, err
	}
	all, err := server.Status(ctx)
	for _, s := range all {
		if s.Name == connector && s.LastError != nil {
			found := *s.LastError
			found.Message = connector + " " + s.ContentType + ": " + found.Message
			return &found, nil
		}
	}
	return nil, err
}

// paused is the problem of work that only a running connector does.
func paused(ctx context.Context, server *client.Client, connector string) (*api.Failure, error) {
	all, err := server.Status(ctx)
	if err != nil || !slices.ContainsFunc(all, func(s api.Status) bool { return s.Name == connector && s.State == string(health.Paused) }) {
		return nil, err
	}
	return &api.Failure{Kind: string(health.Paused), Message: "connector " + connector + " is paused", Hint: "sluice resume " + connector}, nil
}

// tellProblem says what changed since told, and returns what is told now: the kind of the problem, whose words may change
// with every look.
func (c *cli) tellProblem(problem *api.Failure, told string) string {
	switch {
	case problem == nil && told != "":
		c.sayf("going on")
		return ""
	case problem == nil || problem.Kind == told:
		return told
	}
	c.sayf("waiting: %s", clean(problem.Message))
	if problem.Hint != "" {
		c.sayf("hint: %s", clean(problem.Hint))
	}
	return problem.Kind
}
