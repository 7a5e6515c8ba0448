package main

import (
	"cmp"
	"context"
	"time"

	"sluice/internal/api"
	"sluice/internal/client"
)

// problemEvery is how often a command that waits for the server asks whether it can write.
const problemEvery = 5 * time.Second

// waiting does work that lasts as long as the server needs to write something, and says meanwhile why that cannot be
// written, once per reason: a full disk would look like a command that hangs.
func waiting[T any](ctx context.Context, c *cli, server *client.Client, work func() (T, error)) (T, error) {
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
		info, err := server.Info(ctx)
		if err != nil {
			continue // the work finds out itself
		}
		told = c.tellProblem(info.Problem, told)
	}
}

// tellProblem says what changed since told, and returns what is told now.
func (c *cli) tellProblem(problem *api.Failure, told string) string {
	switch {
	case problem == nil && told != "":
		c.sayf("going on")
		return ""
	case problem == nil || problem.Message == told:
		return told
	}
	c.sayf("waiting: %s", clean(problem.Message))
	if problem.Hint != "" {
		c.sayf("hint: %s", clean(problem.Hint))
	}
	return problem.Message
}
