package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/api"
	"sluice/internal/client"
)

const searchHelp = `Search the lake and print the newest matching records first. The query is one argument: put it in quotes.

Languages: lq (default), as in Kibana: Operation:UserLoggedIn AND user.email:*@contoso.com
           sql, one SELECT:            SELECT "office365.Operation", count(*) FROM windows_events GROUP BY 1
Indices:   windows_events, alerts, syslog, quarantine, sluice_audit; all (default) is the first three.
Times:     an age (15m, 24h, 7d, 20y), RFC 3339, a date, or all. The default is the last 24 hours.

A table shows the usual columns; choose others with --fields, or take -o ndjson for whole records.
Only data are printed on standard output. Notices about the answer, and how fresh it is, are on standard error. The table
shortens long values; the other outputs never do.`

type searchFlags struct {
	q      api.SearchQuery
	limit  int
	raw    bool
	output string
}

func (c *cli) searchCommand() *cobra.Command {
	var f searchFlags
	formats := []string{"table", "ndjson", "csv", "json"}
	cmd := &cobra.Command{
		Use:   "search QUERY",
		Short: "Search the collected records",
		Long:  searchHelp,
		Example: "  sluice search 'Operation:UserLoggedIn AND user.email:*@contoso.com'\n" +
			"  sluice search 'msg_class: office365_audit_general' --index \"Windows Events\" --since 7d --limit 0 -o ndjson\n" +
			"  sluice search --raw --since all --limit 0 'Operation:FileDeleted' > records.ndjson\n" +
			"  sluice search --lang sql 'SELECT count(*) FROM windows_events' -o csv",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return usagef("search takes one query, and got %d words; put the query in quotes", len(args))
		},
		ValidArgsFunction: words(),
		RunE: c.remote(func(ctx context.Context, server *client.Client, args []string) error {
			f.q.Query = args[0]
			if err := c.checkSearch(&f, formats); err != nil {
				return err
			}
			return c.search(ctx, server, f)
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.q.Index, "index", api.IndexAll, "`name` of the index: "+list(api.Indices()))
	flags.StringVar(&f.q.Lang, "lang", string(api.LQ), "query `language`: "+list(api.Langs()))
	flags.StringVar(&f.q.Since, "since", api.DefaultSince, "`time` from which on")
	flags.StringVar(&f.q.Until, "until", "", "`time` up to which (default open)")
	flags.IntVar(&f.limit, "limit", api.DefaultLimit, "most rows wanted; 0 for all (SQL: at most 100,000)")
	flags.StringSliceVar(&f.q.Fields, "fields", nil, "`columns` wanted, separated by commas")
	flags.BoolVar(&f.raw, "raw", false, "print the original records byte for byte, each followed by a line break")
	flags.BoolVar(&f.q.Strict, "strict", false, "refuse unknown fields; keep the pure boolean meaning of contradictory conjunctions")
	outputFlag(cmd, &f.output, formats)
	_ = cmd.RegisterFlagCompletionFunc("index", words(api.Indices()...))
	_ = cmd.RegisterFlagCompletionFunc("lang", words(api.Langs()...))
	return cmd
}

func (c *cli) checkSearch(f *searchFlags, formats []string) error {
	index, ok := api.ParseIndex(f.q.Index)
	if !ok {
		return usagef("there is no index %q; use one of %s", f.q.Index, list(api.Indices()))
	}
	f.q.Index = index
	if f.limit < 0 {
		return usagef("--limit is %d; it must be 0 (all) or more", f.limit)
	}
	if slices.Contains(f.q.Fields, "") {
		return usagef("--fields has an empty name")
	}
	f.q.Limit = &f.limit
	return errors.Join(oneOf("lang", f.q.Lang, api.Langs()), oneOf("output", f.output, formats), c.checkInterval(f.q.Since, f.q.Until))
}

func (c *cli) search(ctx context.Context, server *client.Client, f searchFlags) error {
	var end api.End
	var err error
	if f.output == "table" && !f.raw {
		if len(f.q.Fields) == 0 && f.q.Lang == string(api.LQ) {
			f.q.Fields = tableFields(f.q.Index)
		}
		end, err = c.searchTable(ctx, server, f.q)
	} else {
		f.q.Format = api.Format(f.output)
		if f.raw {
			f.q.Format = api.Raw
		}
		out := bufio.NewWriterSize(c.out, 64<<10)
		end, err = server.SearchInto(ctx, f.q, out)
		err = errors.Join(err, out.Flush())
	}
	if err != nil {
		return err
	}
	return c.printEnd(end, f)
}

// tableFields are the columns of a table that nobody chose columns for: what fits a terminal.
func tableFields(index string) []string {
	if index == "quarantine" {
		return []string{"timestamp", "tenant_name", "content.type", "content.id", "offset", "reason"}
	}
	return []string{"timestamp", "tenant_name", "event.provider", "event.action", "srcip_username", "srcip", "event.outcome", "file.name"}
}

// printEnd says what a person should know about an answer.
func (c *cli) printEnd(end api.End, f searchFlags) error {
	for _, notice := range end.Notices {
		c.sayf("notice: %s", clean(notice))
	}
	if n := end.Fresh.PendingRecords; n > 0 {
		c.sayf("notice: %s collected records become searchable with the next commit", count(n))
	}
	if end.Stats.More && f.limit > 0 && end.Stats.Rows >= int64(f.limit) {
		c.sayf("notice: only the first %s shown; --limit 0 shows all", rowsAre(int64(f.limit)))
	}
	if end.Stats.Rows == 0 && f.q.Since == api.DefaultSince {
		c.sayf("notice: nothing found in the last 24 hours; --since 7d looks further back")
	}
	if end.Partial != "" {
		return partlyf("the answer is incomplete: %s", end.Partial)
	}
	return nil
}

// searchTable prints rows as they come in, a thousand at a time.
func (c *cli) searchTable(ctx context.Context, server *client.Client, q api.SearchQuery) (api.End, error) {
	var columns []api.Column
	var t *table
	end, err := server.SearchFrames(ctx, q, func(f *api.Frame) error {
		if f.Columns != nil {
			columns = f.Columns
			return nil
		}
		if t == nil { // no header without a row
			t = newTable(c.out, columnNames(columns)...)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(f.Row, &members); err != nil {
			return err
		}
		cells := make([]string, len(columns))
		for i, column := range columns {
			cells[i] = cell(api.Lookup(members, column.Name), column.Type)
		}
		t.row(cells...)
		if t.full() {
			return t.flush()
		}
		return nil
	})
	if t != nil {
		err = errors.Join(err, t.flush())
	}
	return end, err
}

func columnNames(columns []api.Column) []string {
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = strings.ToUpper(column.Name)
	}
	return names
}

// cell is a value for people: times in milliseconds become dates.
func cell(v json.RawMessage, t api.ColumnType) string {
	text := api.CellText(v)
	if t != api.TimeColumn {
		return text
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return text
	}
	return time.UnixMilli(ms).UTC().Format(stamp)
}
