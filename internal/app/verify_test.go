package app

import (
	"errors"
	"testing"
	"time"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/state"
)

// TestAContentTypeWithoutVerdict: it is named, the report is not complete because of it, and what an earlier report said of it
// is not forgotten.
func TestAContentTypeWithoutVerdict(t *testing.T) {
	t.Parallel()
	found := []collect.FeedReport{
		{ContentType: "DLP.All", Err: errors.New("no permission")},
		{ContentType: "Audit.General", Tally: collect.Tally{Listed: 1, Landed: 1}},
	}
	report := api.VerifyReport{}
	for _, f := range found {
		addFeed(&report, state.Connector{Name: "contoso"}, f)
	}
	finishReport(&report, time.Now())
	if len(report.Feeds) != 1 || report.Complete || len(report.Notes) != 1 || report.Notes[0] != "contoso DLP.All could not be verified: no permission" {
		t.Errorf("%+v", report)
	}
	for _, tt := range []struct {
		name string
		kept []api.VerifyFeed
		want bool
	}{
		{name: "none"},
		{name: "without it", kept: []api.VerifyFeed{{ContentType: "Audit.General"}}},
		{name: "with it", kept: []api.VerifyFeed{{ContentType: "Audit.General"}, {ContentType: "DLP.All"}}, want: true},
	} {
		if got := forgets(api.VerifyReport{Feeds: tt.kept}, found); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
