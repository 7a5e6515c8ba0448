package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
)

// stopReason is why stopping subscriptions is asked for and never done by itself.
const stopReason = `Microsoft goes on making content for the subscriptions of this connector, also while nobody collects it, and keeps it for 7 days.
Stopping them cannot be undone for the time in between: content that becomes available between the stop and the next
start can never be fetched by anybody, and other programs that use the same application lose it too.`

func (c *cli) deleteCommand() *cobra.Command {
	var yes, stop bool
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a connector, destination, filter or application for consent",
		Long: `Delete an entry. The records that a connector collected stay and can be searched as before, and so do its ledger and its
history. So do the tenants that consented to an application, and their connectors. On a terminal it asks first;
elsewhere --yes is needed.

The content subscriptions of a connector go on at Microsoft unless --stop-subscription is given; on a terminal that is
asked too, with no as the default. Content that becomes available between the stop and the next start can never be
fetched by anybody, and other programs that use the same application lose it too. A subscription with which another
connector collects goes on. When a subscription is not stopped the connector is deleted all the same; the exit code is 3.`,
		Example:           "  sluice delete contoso-office365\n  sluice delete contoso-office365 --yes --stop-subscription\n  sluice delete filters/drop-noise --yes",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: c.names(api.Kinds()...),
	}
	cmd.RunE = c.remote(func(ctx context.Context, server *client.Client, args []string) error {
		kind, name, err := resolve(ctx, server, args[0], api.Kinds()...)
		if err != nil {
			return err
		}
		if stop && kind != api.Connectors {
			return usagef("--stop-subscription is for connectors, and %s is %s", name, oneOfKind(kind))
		}
		if !yes && !c.terminal {
			return usagef("nobody can be asked here; add --yes to delete %s %s", kind.Singular(), name)
		}
		if !yes {
			sure, err := c.confirm(ctx, fmt.Sprintf("Delete %s %s?", kind.Singular(), clean(name)))
			if err != nil {
				return err
			}
			if !sure {
				return errors.New("not deleted")
			}
			if kind == api.Connectors && !cmd.Flags().Changed("stop-subscription") {
				c.sayf("%s", stopReason)
				if stop, err = c.confirm(ctx, "Stop the subscriptions at Microsoft as well?"); err != nil {
					return err
				}
			}
		}
		result, err := server.Delete(ctx, kind, name, api.DeleteOptions{StopSubscriptions: stop})
		if err != nil {
			return err
		}
		return c.deleted(kind, name, stop, result)
	})
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&stop, "stop-subscription", false, "also stop the content subscriptions of the connector at Microsoft")
	return cmd
}

// deleted says what a deletion did, and what it did not.
func (c *cli) deleted(kind api.Kind, name string, stop bool, result api.DeleteResult) error {
	if kind != api.Connectors {
		return c.printf("%s %s deleted\n", kind.Singular(), clean(name))
	}
	if err := c.printf("connector %s deleted; its records, ledger and history stay\n", clean(name)); err != nil {
		return err
	}
	var stopped []string
	failed := 0
	for _, s := range result.Subscriptions {
		if s.Stopped {
			stopped = append(stopped, s.ContentType)
			continue
		}
		failed++
		if e := s.Error; e != nil {
			c.explain(fault.New(fault.Kind(e.Kind), "the subscription "+s.ContentType+" goes on", e.Message).WithHint(e.Hint))
		}
	}
	switch {
	case len(stopped) > 0:
		if err := c.printf("subscriptions stopped: %s\n", clean(list(stopped))); err != nil {
			return err
		}
	case stop && failed == 0:
		if err := c.printf("there was no subscription to stop\n"); err != nil {
			return err
		}
	case !stop:
		c.sayf("its subscriptions at Microsoft go on; when the connector is created again within 7 days, sluice collect --since 7d fetches what came meanwhile")
	}
	if failed > 0 {
		return partlyf("the connector is deleted, but %s at Microsoft", goOn(failed))
	}
	return nil
}

func goOn(n int) string {
	if n == 1 {
		return "1 subscription goes on"
	}
	return fmt.Sprintf("%d subscriptions go on", n)
}

// confirm asks a yes-or-no question on the terminal. Whatever is not a clear yes is a no. It fails when ctx ends before the
// answer, as with Ctrl-C.
func (c *cli) confirm(ctx context.Context, question string) (bool, error) {
	_, _ = fmt.Fprintf(c.err, "%s [y/N] ", question)
	if c.answers == nil {
		c.answers = bufio.NewReader(c.in)
	}
	answered := make(chan string, 1)
	go func() {
		line, _ := c.answers.ReadString('\n') // the end of the input is a no unless it follows a yes
		answered <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-answered:
		return answer == "y" || answer == "yes", nil
	case <-ctx.Done(): // the reading ends with the program
		_, _ = fmt.Fprintln(c.err)
		return false, ctx.Err()
	}
}
