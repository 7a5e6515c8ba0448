package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
)

func (c *cli) collectCommand() *cobra.Command {
	var r api.CollectRange
	var wait bool
	cmd := &cobra.Command{
		Use:   "collect CONNECTOR",
		Short: "Run a connector now, or fill an interval back",
		Long: `Start a run of a connector outside of its schedule. With --since it fetches everything of that interval again, as far back
as Microsoft serves it; records that are in the lake already are not added twice.

With --wait the command ends with the run: exit code 0 when every unit landed, 3 when units were lost or a content type
could not be listed. The run is the server's: it goes on when the command is interrupted.`,
		Example:           "  sluice collect contoso-office365\n  sluice collect contoso-office365 --since 7d --wait\n  sluice collect contoso-office365 --since 2026-01-01 --until 2026-01-03",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Connectors),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := c.checkInterval(r.Since, r.Until); err != nil {
				return err
			}
			if r.Until != "" && r.Since == "" {
				return usagef("--until needs --since: without it the run is what the schedule would do")
			}
			_, name, err := resolve(ctx, server, args[0], api.Connectors)
			if err != nil {
				return err
			}
			job, err := server.Collect(ctx, name, r)
			if err != nil {
				return err
			}
			if !strings.EqualFold(r.Since, "all") && job.ListedSince != nil {
				c.sayf("note: Microsoft lists content only since %s; what is older and was exported can be imported: sluice import", job.ListedSince.UTC().Format(stamp))
			}
			if !wait {
				return c.printf("%s: run %s started\n", clean(name), clean(job.ID))
			}
			return c.follow(ctx, server, job)
		}),
	}
	cmd.Flags().StringVar(&r.Since, "since", "", "start of a back-fill: an age (7d), RFC 3339, a date or all")
	cmd.Flags().StringVar(&r.Until, "until", "", "end of a back-fill (default now)")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end and show the progress")
	return cmd
}

// timeFlag is a flag that takes a time, as it was given.
type timeFlag struct{ name, text string }

// checkTimes refuses what the server would not understand, as wrong usage. The server counts ages by its own clock.
func (c *cli) checkTimes(flags ...timeFlag) error {
	for _, flag := range flags {
		if flag.text == "" {
			continue
		}
		if _, err := api.ParseTime(flag.text, c.now()); err != nil {
			return usagef("--%s: %w", flag.name, err)
		}
	}
	return nil
}

// checkInterval is checkTimes for the two ends of an interval, which must not be swapped.
func (c *cli) checkInterval(since, until string) error {
	if err := c.checkTimes(timeFlag{"since", since}, timeFlag{"until", until}); err != nil || since == "" || until == "" {
		return err
	}
	now := c.now()
	from, _ := api.ParseTime(since, now) // both were understood above
	to, _ := api.ParseTime(until, now)
	if !from.Before(to) {
		return usagef("--since (%s) must be before --until (%s)", from.UTC().Format(stamp), to.UTC().Format(stamp))
	}
	return nil
}

// follow shows a job until it is done.
func (c *cli) follow(ctx context.Context, server *client.Client, job api.Job) error {
	bar := c.bar(1, "units", false)
	connector, id := job.Connector, job.ID
	hinders := func() (*api.Failure, error) {
		if problem, err := paused(ctx, server, connector); err != nil || problem != nil {
			return problem, err
		}
		return collecting(ctx, server, connector)
	}
	job, err := waitingFor(c, hinders, func() (api.Job, error) {
		return server.Watch(ctx, id, func(j api.Job) {
			bar.limit(max(j.Listed, 1))
			bar.set(j.Landed + j.Lost)
		})
	})
	bar.close()
	if err != nil {
		return err
	}
	if err := c.printf("%s: %s listed, %s landed, %s pending, %s lost, %s records\n", clean(job.Connector),
		count(job.Listed), count(job.Landed), count(job.Pending), count(job.Lost), count(job.Records)); err != nil {
		return err
	}
	switch {
	case job.Error != nil && job.Landed > 0:
		return &partError{failed(*job.Error)}
	case job.Error != nil:
		return failed(*job.Error)
	case job.Lost > 0:
		return partlyf("%d of %d units can no longer be read", job.Lost, job.Listed)
	case job.Pending > 0:
		return partlyf("%d of %d units wait for another try", job.Pending, job.Listed)
	}
	return nil
}

// failed turns a failure that is a part of an answer into an error.
func failed(f api.Failure) error {
	return fault.New(fault.Kind(f.Kind), "", f.Message).WithHint(f.Hint)
}
