package filter_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"reflect"
	"sync"
	"testing"
	"time"

	"sluice/internal/filter"
)

func named(t testing.TB, name string, mode filter.Mode, query string) *filter.Filter {
	t.Helper()
	return mustCompile(t, filter.Spec{Name: name, Mode: mode, Query: query}, filter.Options{Now: func() time.Time { return now }})
}

func TestSet(t *testing.T) {
	files := named(t, "no-files", filter.Exclude, "Operation:File*")
	bob := named(t, "no-bob", filter.Exclude, "UserId:bob@x.com")
	exchange := named(t, "only-exchange", filter.Include, "Workload:Exchange")
	entra := named(t, "only-entra", filter.Include, "Workload:AzureActiveDirectory")
	v := filter.NewView(normalizer(t))
	for _, c := range []struct {
		name string
		set  *filter.Set
		want map[string]string // record -> filter that drops it
	}{
		{"nil", nil, map[string]string{}},
		{"empty", filter.NewSet(), map[string]string{}},
		{"one exclude", filter.NewSet(files), map[string]string{"download": "no-files", "upload": "no-files"}},
		{"the first exclude is named", filter.NewSet(bob, files), map[string]string{"download": "no-bob", "upload": "no-files", "rule": "no-bob", "login": "no-bob"}},
		{"one include", filter.NewSet(exchange), map[string]string{"download": "only-exchange", "upload": "only-exchange", "login": "only-exchange"}},
		{"any include will do", filter.NewSet(exchange, entra), map[string]string{"download": "only-exchange", "upload": "only-exchange"}},
		{"exclude beats include", filter.NewSet(entra, bob), map[string]string{
			"download": "no-bob", "upload": "only-entra", "rule": "no-bob", "mail": "only-entra", "mail2": "only-entra", "dlp": "only-entra", "login": "no-bob",
		}},
	} {
		got := map[string]string{}
		for _, id := range order {
			v.Reset(envelope(id), []byte(records[id]), members(t, records[id]))
			if keep, by := c.set.Decide(v); !keep {
				got[id] = by
			} else if by != "" {
				t.Errorf("%s: %s is kept by %q", c.name, id, by)
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// What is no JSON object goes to quarantine and is not dropped on the way.
func TestMalformedRecordsAreKept(t *testing.T) {
	set := filter.NewSet(named(t, "all-but-none", filter.Include, "Operation:none"), named(t, "missing", filter.Exclude, "NOT Operation:none"))
	v := filter.NewView(normalizer(t))
	for _, raw := range []string{"", "[]", "{", `{"Operation":"Send"`, "\x00", `"text"`} {
		v.Reset(envelope("x"), []byte(raw), nil)
		if keep, by := set.Decide(v); !keep {
			t.Errorf("%q is dropped by %s", raw, by)
		}
	}
}

// A query that means nothing for a record keeps it, in both modes: here ~ on a number.
func TestUndecidedKeeps(t *testing.T) {
	v := filter.NewView(normalizer(t))
	for _, mode := range []filter.Mode{filter.Exclude, filter.Include} {
		set := filter.NewSet(named(t, "f", mode, "FileSizeBytes:2048~"))
		v.Reset(envelope("download"), []byte(records["download"]), nil)
		if keep, _ := set.Decide(v); !keep {
			t.Errorf("%s drops what it cannot decide", mode)
		}
	}
}

// Now moves on while a filter lives.
func TestNowIsTheTimeOfTheDecision(t *testing.T) {
	clock := now
	f := mustCompile(t, filter.Spec{Query: "timestamp:<now-3h"}, filter.Options{Now: func() time.Time { return clock }})
	v := filter.NewView(normalizer(t))
	v.Reset(envelope("download"), []byte(records["download"]), nil)
	if keep, _ := filter.NewSet(f).Decide(v); !keep {
		t.Error("two hours old, and dropped")
	}
	clock = clock.Add(2 * time.Hour)
	if keep, _ := filter.NewSet(f).Decide(v); keep {
		t.Error("four hours old, and kept")
	}
}

func TestConcurrentUse(t *testing.T) {
	set := filter.NewSet(named(t, "no-files", filter.Exclude, "Operation:File* OR bob"), named(t, "only-exchange", filter.Include, "Workload:Exchange"))
	n := normalizer(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			v := filter.NewView(n)
			for range 50 {
				kept := 0
				for _, id := range order {
					v.Reset(envelope(id), []byte(records[id]), nil)
					if keep, _ := set.Decide(v); keep {
						kept++
					}
				}
				if kept != 3 {
					t.Errorf("kept %d records, want 3", kept)
					return
				}
			}
		})
	}
	wg.Wait()
}

func samples(extra ...string) iter.Seq2[filter.Sample, error] {
	return func(yield func(filter.Sample, error) bool) {
		for _, id := range order {
			if !yield(filter.Sample{Env: envelope(id), Raw: []byte(records[id])}, nil) {
				return
			}
		}
		for _, raw := range extra {
			if !yield(filter.Sample{Env: envelope("x"), Raw: []byte(raw)}, nil) {
				return
			}
		}
	}
}

func TestDryRun(t *testing.T) {
	set := filter.NewSet(
		mustCompile(t, filter.Spec{Name: "files", Conditions: []filter.Condition{cond("Operation", filter.StartsWith, "File"), cond("Workloda", filter.NotEquals, "x")}}, filter.Options{}),
		mustCompile(t, filter.Spec{Name: "odd", Query: "Nothere:x OR FileSizeBytes:1~"}, filter.Options{}),
		mustCompile(t, filter.Spec{Name: "lost", Query: "Nothere:x OR Subject:x"}, filter.Options{}),
		mustCompile(t, filter.Spec{Name: "idle", Conditions: []filter.Condition{cond("threat.name", filter.Equals, "x")}}, filter.Options{}),
	)
	report, err := filter.Test(t.Context(), set, filter.NewView(normalizer(t)), samples("not json"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := `{
 "seen": 7,
 "dropped": 2,
 "undecided": 0,
 "malformed": 1,
 "by_filter": {
  "files": 2,
  "idle": 0,
  "lost": 0,
  "odd": 0
 },
 "examples": [
  {
   "filter": "files",
   "id": "download",
   "timestamp": "2026-11-21T10:00:00Z",
   "msg_class": "office365_audit_general",
   "action": "FileDownloaded",
   "user": "bob@x.com"
  },
  {
   "filter": "files",
   "id": "upload",
   "timestamp": "2026-11-21T09:00:00Z",
   "msg_class": "office365_audit_general",
   "action": "FileUploaded",
   "user": "ann@x.com"
  }
 ],
 "unknown_fields": [
  {
   "filter": "files",
   "path": "conditions[1].field",
   "field": "Workloda",
   "suggest": "Workload"
  },
  {
   "filter": "idle",
   "path": "conditions[0].field",
   "field": "threat.name"
  }
 ],
 "notices": [
  {
   "filter": "odd",
   "text": "query: means nothing for 2 of 7 records, which are kept: position 28: office365.FileSizeBytes is a number: expected a value without ~"
  },
  {
   "filter": "lost",
   "text": "query: unknown field \"Nothere\": the clause matches nothing"
  }
 ]
}`
	if string(got) != want {
		t.Errorf("got\n%s", got)
	}
	if report.DropsEverything() || report.Share() != 2.0/7 {
		t.Errorf("DropsEverything %t, Share %v", report.DropsEverything(), report.Share())
	}
}

func TestDryRunThatDropsEverything(t *testing.T) {
	set := filter.NewSet(mustCompile(t, filter.Spec{Conditions: []filter.Condition{cond("Operation", filter.Exists)}}, filter.Options{}))
	v := filter.NewView(normalizer(t))
	report, err := filter.Test(t.Context(), set, v, samples())
	if err != nil || !report.DropsEverything() || report.Share() != 1 || len(report.Examples) != 5 {
		t.Errorf("got %+v, %v", report, err)
	}
	nothing, err := filter.Test(t.Context(), set, v, func(func(filter.Sample, error) bool) {})
	if err != nil || nothing.DropsEverything() || nothing.Share() != 0 {
		t.Errorf("of no records: got %+v, %v", nothing, err)
	}
}

func TestDryRunEndsWithErrors(t *testing.T) {
	broken := errors.New("the lake went away")
	report, err := filter.Test(t.Context(), nil, filter.NewView(normalizer(t)), func(yield func(filter.Sample, error) bool) {
		if yield(filter.Sample{Env: envelope("mail"), Raw: []byte(records["mail"])}, nil) {
			yield(filter.Sample{}, broken)
		}
	})
	if !errors.Is(err, broken) || report.Seen != 1 {
		t.Errorf("got %+v, %v", report, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if report, err = filter.Test(ctx, nil, filter.NewView(normalizer(t)), samples()); !errors.Is(err, context.Canceled) || report.Seen != 0 {
		t.Errorf("canceled: got %+v, %v", report, err)
	}
}
