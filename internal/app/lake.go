package app

import (
	"context"
	"time"

	"sluice/internal/api"
	"sluice/internal/lake"
)

// LakeStats implements api.Keeper.
func (s *service) LakeStats(ctx context.Context) ([]api.TableStats, error) {
	all, err := s.lake.Stats(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]api.TableStats, 0, len(all))
	for _, t := range all {
		out = append(out, api.TableStats{
			Table: string(t.Index), Rows: t.Rows, Files: t.Files, Bytes: t.Bytes, Days: t.Days, Columns: t.Columns,
			First: timeOrNil(t.First), Last: timeOrNil(t.Last),
		})
	}
	return out, nil
}

// CompactLake implements api.Keeper.
func (s *service) CompactLake(ctx context.Context, before time.Time) (api.Compaction, error) {
	r, err := s.lake.Compact(ctx, lake.CompactOptions{Before: before})
	return api.Compaction{
		FilesBefore: r.FilesBefore, FilesAfter: r.FilesAfter, BytesBefore: r.BytesBefore, BytesAfter: r.BytesAfter, Rows: r.Rows,
	}, err
}
