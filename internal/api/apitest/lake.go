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

// CheckLake implements api.Keeper. The lake has a missing file, and a damaged one that only a deep check finds, until
// it was repaired.
func (f *Fake) CheckLake(_ context.Context, deep bool) (api.LakeCheck, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.repaired {
		return api.LakeCheck{Deep: deep, OK: 2}, nil
	}
	check := api.LakeCheck{Deep: deep, OK: 2, Missing: 1, Rows: 400, Bytes: 100_000, Problems: problems()[:1]}
	if deep {
		check.OK, check.Damaged, check.Rows, check.Bytes, check.Problems = 1, 1, 1000, 300_000, problems()
	}
	return check, nil
}

func problems() []api.FileProblem {
	return []api.FileProblem{
		{Table: "windows_events", File: "windows_events/data/a.parquet", State: api.FileMissing, Reason: "the file is not there", Rows: 400, Bytes: 100_000},
		{Table: "windows_events", File: "windows_events/data/b.parquet", State: api.FileDamaged, Reason: "row group 2: checksum differs", Rows: 600, Bytes: 200_000},
	}
}

// RepairLake implements api.Keeper.
func (f *Fake) RepairLake(context.Context) (api.LakeRepair, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.repaired {
		return api.LakeRepair{}, nil
	}
	f.repaired = true
	return api.LakeRepair{Removed: 1, Moved: 1, Rows: 1000, Bytes: 300_000, Aside: "/srv/sluice/lake/damaged", Problems: problems()}, nil
}
