package app

import (
	"context"
	"path/filepath"
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

// CheckLake implements api.Keeper.
func (s *service) CheckLake(ctx context.Context, deep bool) (api.LakeCheck, error) {
	found, err := s.lake.Check(ctx, lake.CheckOptions{Deep: deep})
	if err != nil {
		return api.LakeCheck{}, err
	}
	out := api.LakeCheck{Deep: deep, OK: int64(found.Files - len(found.Bad))}
	for _, f := range found.Bad {
		out.Rows += f.Records
		out.Bytes += f.Bytes
		if f.Problem == lake.Missing {
			out.Missing++
		} else {
			out.Damaged++
		}
	}
	out.Problems, out.Omitted = s.fileProblems(found.Bad)
	return out, nil
}

// RepairLake implements api.Keeper.
func (s *service) RepairLake(ctx context.Context) (api.LakeRepair, error) {
	found, err := s.lake.Check(ctx, lake.CheckOptions{Deep: true})
	if err != nil {
		return api.LakeRepair{}, err
	}
	done, err := s.lake.Forget(ctx, found.Bad)
	if err != nil {
		return api.LakeRepair{}, err
	}
	out := api.LakeRepair{Removed: int64(done.Files - len(done.Moved)), Moved: int64(len(done.Moved)), Rows: done.Rows}
	for _, f := range found.Bad {
		out.Bytes += f.Bytes
	}
	if len(done.Moved) > 0 {
		out.Aside = filepath.Dir(done.Moved[0])
	}
	out.Problems, out.Omitted = s.fileProblems(found.Bad)
	return out, nil
}

func (s *service) fileProblems(bad []lake.BadFile) (list []api.FileProblem, omitted int64) {
	for _, f := range bad {
		if len(list) == api.MaxFileProblems {
			omitted++
			continue
		}
		problem := api.FileProblem{Table: string(f.Index), File: f.Path, State: api.FileDamaged, Reason: f.Detail, Rows: f.Records, Bytes: f.Bytes}
		if relative, err := filepath.Rel(filepath.Join(s.dataDir, "lake"), f.Path); err == nil {
			problem.File = relative
		}
		if f.Problem == lake.Missing {
			problem.State = api.FileMissing
		}
		list = append(list, problem)
	}
	return list, omitted
}
