package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
	"sluice/internal/fault"
)

func (c *cli) importCommand() *cobra.Command {
	var r api.ImportRequest
	cmd := &cobra.Command{
		Use:   "import --type TYPE --tenant-name NAME FILE...",
		Short: "Import records from files",
		Long: `Import records that were exported elsewhere: NDJSON, a JSON array, or CSV of Purview and Search-UnifiedAuditLog; also
compressed with gzip (.gz). Records that are in the lake already are not added twice, so a file can be imported again.
The command ends when the records can be searched. - reads standard input.

Malformed lines are kept in the index quarantine; the first of each file are shown. Of a file that ends inside a record,
such as an export that was cut off, the records before land, what there is of the last one is malformed, and the command
says where the file ends. The exit code is 3 when a file could not be read to its end, is not whole, or failed, and 0 when
everything readable landed.`,
		Example: "  sluice import --type office365 --tenant-name Contoso audit.ndjson.gz\n" +
			"  sluice import --type office365 --tenant-name Contoso --directory-id 11111111-2222-3333-4444-555555555555 export/*.csv",
		Args: cobra.MinimumNArgs(1),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			if err := checkFiles(args); err != nil {
				return err
			}
			job, err := server.CreateImport(ctx, r)
			if err != nil {
				return err
			}
			return c.importFiles(ctx, server, job.ID, args)
		}),
	}
	cmd.Flags().StringVar(&r.Type, "type", "", "connector `type` of the records: office365, ...")
	cmd.Flags().StringVar(&r.TenantName, "tenant-name", "", "`name` of the tenant")
	cmd.Flags().StringVar(&r.DirectoryID, "directory-id", "", "Microsoft's `id` of the tenant (default: that of its connectors); records that name no organization belong to it")
	_ = cmd.MarkFlagRequired("type")
	_ = cmd.MarkFlagRequired("tenant-name")
	_ = cmd.RegisterFlagCompletionFunc("type", words("office365", "office365_reportingwebservice", "microsoft_defender_for_cloud_apps", "office365_servicehealth"))
	return cmd
}

// checkFiles finds a wrong name before anything is sent.
func checkFiles(names []string) error {
	for _, name := range names {
		if name == "-" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return fmt.Errorf("%s is a folder; name its files", name)
		}
	}
	return nil
}

// importFiles sends the files one by one, goes on after a failure, and sums up.
func (c *cli) importFiles(ctx context.Context, server *client.Client, id string, names []string) error {
	var results []api.FileResult
	var failures []error
	for _, name := range names {
		result, err := c.importFile(ctx, server, id, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			c.sayf("error: %s: %s", clean(name), clean(err.Error()))
			failures = append(failures, err)
			continue
		}
		results = append(results, result)
	}
	if len(results) == 0 {
		return errors.Join(failures[0], c.finish(ctx, server, id))
	}
	if err := c.finish(ctx, server, id); err != nil {
		return errors.Join(c.printImport(results), err)
	}
	if err := c.printImport(results); err != nil {
		return err
	}
	incomplete := len(failures)
	for _, r := range results {
		if r.Incomplete != nil {
			incomplete++
		}
	}
	if incomplete > 0 {
		return partlyf("not imported in full: %d of %s", incomplete, plural(int64(len(names)), "file"))
	}
	return nil
}

// finish waits until the records can be searched. What went wrong with single files is known from their results.
func (c *cli) finish(ctx context.Context, server *client.Client, id string) error {
	_, err := waiting(ctx, c, server, func() (api.Import, error) { return server.FinishImport(ctx, id) })
	return err
}

func (c *cli) importFile(ctx context.Context, server *client.Client, id, name string) (api.FileResult, error) {
	if name == "-" {
		return c.send(ctx, server, id, "stdin", c.in, -1)
	}
	file, err := os.Open(name)
	if err != nil {
		return api.FileResult{}, err
	}
	defer func() { _ = file.Close() }() // only read from
	info, err := file.Stat()
	if err != nil {
		return api.FileResult{}, err
	}
	size := info.Size()
	if !info.Mode().IsRegular() {
		size = -1
	}
	bar := c.bar(size, name, true)
	defer bar.close()
	result, err := c.send(ctx, server, id, name, bar.reader(file), size)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return result, fault.New(fault.Unavailable, "", "the file changed while it was read").WithCause(err)
	}
	return result, err
}

func (c *cli) send(ctx context.Context, server *client.Client, id, name string, body io.Reader, size int64) (api.FileResult, error) {
	return waiting(ctx, c, server, func() (api.FileResult, error) { return server.ImportFile(ctx, id, name, body, size) })
}

// printImport prints one line per file, and what was wrong in them on standard error.
func (c *cli) printImport(results []api.FileResult) error {
	t := newTable(c.out, "FILE", "LINES", "LANDED", "DUPLICATES", "FILTERED", "MALFORMED")
	var malformed, foreign int64
	for _, r := range results {
		malformed += r.Malformed
		foreign += r.Foreign
		t.row(r.Name, count(r.Lines), count(r.Records), count(r.Duplicates), count(r.Filtered), count(r.Malformed))
	}
	if err := t.flush(); err != nil {
		return err
	}
	for _, r := range results {
		for _, e := range r.MalformedExamples {
			c.sayf("%s:%d: %s", clean(e.File), e.Line, clean(e.Reason))
		}
		if e := r.Incomplete; e != nil {
			c.sayf("error: %s: not imported in full: %s", clean(r.Name), clean(e.Message))
			if e.Hint != "" {
				c.sayf("hint: %s", clean(e.Hint))
			}
		}
	}
	if malformed > 0 {
		c.sayf("warning: put into the index quarantine: %s", plural(malformed, "malformed record"))
	}
	if foreign > 0 {
		c.sayf("warning: %s of another organization than that of the tenant; look at organization.id if that was not meant", linesAre(foreign))
	}
	return nil
}

func linesAre(n int64) string {
	if n == 1 {
		return "1 line is"
	}
	return count(n) + " lines are"
}
