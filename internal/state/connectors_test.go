package state_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"sluice/internal/fault"
	"sluice/internal/state"
)

func TestConnectors(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		in := state.Connector{Name: "b", TenantName: "Contoso", Type: "office365", DirectoryID: "AAAA-1", Spec: []byte(`{"x":1}`), Owner: "f.yaml"}
		made, err := s.CreateConnector(ctx, in, "ann")
		if err != nil {
			t.Fatal(err)
		}
		if made.ID == "" || made.DirectoryID != "aaaa-1" || time.Since(made.Created).Abs() > time.Hour {
			t.Fatalf("created %+v", made)
		}
		got, err := s.Connector(ctx, "b")
		if err != nil || got.ID != made.ID || !got.Created.Equal(made.Created) || !bytes.Equal(got.Spec, in.Spec) || got.Owner != "f.yaml" {
			t.Fatalf("got %+v, %v; want %+v", got, err, made)
		}
		_, err = s.CreateConnector(ctx, in, "ann")
		wantKind(t, err, fault.Conflict, "exists")
		_, err = s.Connector(ctx, "nobody")
		wantKind(t, err, fault.NotFound, "nobody")

		change := got
		change.Spec, change.Owner, change.DirectoryID, change.Paused = []byte(`{"x":2}`), "", "BBBB", true
		if err := s.UpdateConnector(ctx, change, "bob", "interval"); err != nil {
			t.Fatal(err)
		}
		got, err = s.Connector(ctx, "b")
		if err != nil || string(got.Spec) != `{"x":2}` || got.Owner != "" || got.DirectoryID != "bbbb" || got.Paused {
			t.Fatalf("updated %+v, %v", got, err)
		}
		for _, wrong := range []state.Connector{
			{Name: "b", TenantName: "Fabrikam"}, {Name: "b", Type: "other"}, {Name: "b", ID: "other"},
		} {
			wantKind(t, s.UpdateConnector(ctx, wrong, "bob", ""), fault.Config, "fixed")
		}
		wantKind(t, s.UpdateConnector(ctx, state.Connector{Name: "nobody"}, "bob", ""), fault.NotFound)

		for _, paused := range []bool{true, true, false} {
			if err := s.SetPaused(ctx, "b", paused, "cat"); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Connector(ctx, "b"); err != nil || got.Paused != paused {
				t.Fatalf("paused %+v, %v", got, err)
			}
		}
		wantKind(t, s.SetPaused(ctx, "nobody", true, "cat"), fault.NotFound)

		if _, err := s.CreateConnector(ctx, state.Connector{Name: "a", TenantName: "Contoso", Type: "office365"}, "ann"); err != nil {
			t.Fatal(err)
		}
		list, err := s.Connectors(ctx)
		if err != nil || len(list) != 2 || list[0].Name != "a" || list[1].Name != "b" {
			t.Fatalf("list %+v, %v", list, err)
		}

		if err := s.DeleteConnector(ctx, "b", "dan"); err != nil {
			t.Fatal(err)
		}
		wantKind(t, s.DeleteConnector(ctx, "b", "dan"), fault.NotFound)
		again, err := s.CreateConnector(ctx, in, "eve")
		if err != nil || again.ID == made.ID {
			t.Fatalf("the name cannot be used again: %+v, %v", again, err)
		}
		history, err := s.History(ctx, "b")
		var what []string
		for _, h := range history {
			what = append(what, h.Actor+" "+h.What+" "+h.Detail)
		}
		want := []string{"ann created ", "bob updated interval", "cat paused ", "cat resumed ", "dan deleted ", "eve created "}
		if err != nil || !slices.Equal(what, want) {
			t.Fatalf("history %q, %v; want %q", what, err, want)
		}
	})
}

func TestDirectoryBelongsToOneTenantName(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		if _, err := s.CreateConnector(ctx, state.Connector{Name: "a", TenantName: "Contoso", DirectoryID: "d1"}, "x"); err != nil {
			t.Fatal(err)
		}
		_, err := s.CreateConnector(ctx, state.Connector{Name: "b", TenantName: "Fabrikam", DirectoryID: "D1"}, "x")
		wantKind(t, err, fault.Config, "Contoso", "Fabrikam")
		if _, err := s.Connector(ctx, "b"); !fault.Is(err, fault.NotFound) {
			t.Errorf("the refused connector exists: %v", err)
		}
		if err := s.DeleteConnector(ctx, "a", "x"); err != nil {
			t.Fatal(err)
		}
		wantKind(t, s.BindDirectory(ctx, "d1", "Fabrikam"), fault.Config, "Contoso", "Fabrikam")
		for range 2 {
			if err := s.BindDirectory(ctx, "d2", "Fabrikam"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.CreateConnector(ctx, state.Connector{Name: "c", TenantName: "Fabrikam", DirectoryID: "d2"}, "x"); err != nil {
			t.Fatal(err)
		}
		wantKind(t, s.UpdateConnector(ctx, state.Connector{Name: "c", DirectoryID: "d1"}, "x", ""), fault.Config, "Contoso")
	})
}

func TestImportJobsAndValues(t *testing.T) {
	t.Parallel()
	contract(t, func(t *testing.T, s *state.Store) {
		ctx := t.Context()
		for i, id := range []string{"j1", "j2", "j3"} {
			job := state.ImportJob{ID: id, State: "running", Files: []string{"a.json"}, Started: day.Add(time.Duration(i) * time.Hour)}
			if err := s.PutImportJob(ctx, job); err != nil {
				t.Fatal(err)
			}
			job.State, job.Lines = "done", int64(i)
			if err := s.PutImportJob(ctx, job); err != nil {
				t.Fatal(err)
			}
		}
		jobs, err := s.ImportJobs(ctx, 2)
		if err != nil || len(jobs) != 2 || jobs[0].ID != "j3" || jobs[1].ID != "j2" {
			t.Fatalf("jobs %+v, %v", jobs, err)
		}
		job, err := s.ImportJob(ctx, "j2")
		if err != nil || job.State != "done" || job.Lines != 1 || !job.Started.Equal(day.Add(time.Hour)) || job.Files[0] != "a.json" {
			t.Fatalf("job %+v, %v", job, err)
		}
		_, err = s.ImportJob(ctx, "none")
		wantKind(t, err, fault.NotFound)

		if _, ok, err := s.Value(ctx, "k"); ok || err != nil {
			t.Fatalf("value before it was stored: %t, %v", ok, err)
		}
		for _, v := range [][]byte{[]byte("one"), {0, 1, 255}, nil} {
			if err := s.PutValue(ctx, "k", v); err != nil {
				t.Fatal(err)
			}
			if got, ok, err := s.Value(ctx, "k"); !ok || err != nil || !bytes.Equal(got, v) {
				t.Fatalf("value %v, %t, %v; want %v", got, ok, err, v)
			}
		}
	})
}
