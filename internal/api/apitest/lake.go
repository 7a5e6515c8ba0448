package apitest

import (
	"context"
	"time"

	"sluice/internal/api"
)

// LakeStats implements api.Keeper.
func (f *Fake) LakeStats(context.Context) ([]api.TableStats, error) {
	day := Now.UTC().Truncate(24 * time.Hour)
	return []api.TableStats{
		{Table: "windows_events", Rows: 1200, Files: 3, Bytes: 345_678, Days: 1, Columns: 140, First: &day, Last: &day},
		{Table: "alerts", Columns: 93},
	}, nil
}

// CompactLake implements api.Keeper.
func (f *Fake) CompactLake(_ context.Context, before time.Time) (api.Compaction, error) {
	if !before.IsZero() {
		return api.Compaction{}, nil
	}
	return api.Compaction{FilesBefore: 3, FilesAfter: 1, BytesBefore: 345_678, BytesAfter: 234_567, Rows: 1200}, nil
}
