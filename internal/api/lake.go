package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Keeper looks after the lake.
type Keeper interface {
	// LakeStats has one element per table.
	LakeStats(ctx context.Context) ([]TableStats, error)
	// CompactLake rewrites the small files of days that ended before the given time; zero: of all closed days.
	CompactLake(ctx context.Context, before time.Time) (Compaction, error)
	// CheckLake looks at every data file that the tables refer to: that it is there, with its size and footer; with
	// deep also that every row can be read. It changes nothing, and damage is no error.
	CheckLake(ctx context.Context, deep bool) (LakeCheck, error)
	// RepairLake makes the lake readable again: it checks deep, removes references to missing files from the tables,
	// and moves damaged files aside. The rows of both are then missing, which Verify finds and repairs.
	RepairLake(ctx context.Context) (LakeRepair, error)
}

// FileState is what a check found of a data file.
type FileState string

// What can be wrong with a data file.
const (
	FileMissing FileState = "missing"
	FileDamaged FileState = "damaged"
)

// FileProblem is a data file that cannot be read.
type FileProblem struct {
	Table  string    `json:"table"`
	File   string    `json:"file" doc:"Path below the lake's folder"`
	State  FileState `json:"state" enum:"missing,damaged"`
	Reason string    `json:"reason" doc:"In plain words"`
	Rows   int64     `json:"rows" doc:"That the table expects in it"`
	Bytes  int64     `json:"bytes"`
}

// MaxFileProblems bounds the files that a check or repair names.
const MaxFileProblems = 1000

// LakeCheck is the result of a check.
type LakeCheck struct {
	Deep     bool          `json:"deep" doc:"Every row was read"`
	OK       int64         `json:"ok" doc:"Files without a finding"`
	Missing  int64         `json:"missing" doc:"Files that a table refers to and that are not there"`
	Damaged  int64         `json:"damaged" doc:"Files that cannot be read as they were written"`
	Rows     int64         `json:"rows" doc:"Rows of the missing and damaged files"`
	Bytes    int64         `json:"bytes" doc:"Bytes of the missing and damaged files"`
	Problems []FileProblem `json:"problems" nullable:"false" doc:"At most 1000"`
	Omitted  int64         `json:"omitted" doc:"Problems beyond those listed"`
}

// LakeRepair is the result of a repair.
type LakeRepair struct {
	Removed  int64         `json:"removed" doc:"References to missing files that were removed"`
	Moved    int64         `json:"moved" doc:"Damaged files that were moved aside"`
	Rows     int64         `json:"rows" doc:"Rows that were in those files"`
	Bytes    int64         `json:"bytes"`
	Aside    string        `json:"aside,omitempty" doc:"Folder that the damaged files were moved to"`
	Problems []FileProblem `json:"problems" nullable:"false" doc:"What was repaired, at most 1000 files"`
	Omitted  int64         `json:"omitted" doc:"Files beyond those listed"`
}

// TableStats counts a table of the lake.
type TableStats struct {
	Table   string     `json:"table"`
	Rows    int64      `json:"rows"`
	Files   int        `json:"files"`
	Bytes   int64      `json:"bytes" doc:"Of the data files"`
	Days    int        `json:"days" doc:"Days that have rows"`
	Columns int        `json:"columns"`
	First   *time.Time `json:"first" doc:"Oldest day that has rows"`
	Last    *time.Time `json:"last" doc:"Newest day that has rows"`
}

// Compaction counts what a compaction did.
type Compaction struct {
	FilesBefore int   `json:"files_before" doc:"Files that were replaced"`
	FilesAfter  int   `json:"files_after" doc:"Files that replaced them"`
	BytesBefore int64 `json:"bytes_before"`
	BytesAfter  int64 `json:"bytes_after"`
	Rows        int64 `json:"rows"`
}

// CompactOptions restrict a compaction.
type CompactOptions struct {
	Before string `json:"before,omitempty" doc:"Compact days that ended before: an age (1d), RFC 3339 or a date; default: every day that ended two hours ago"`
}

// CheckOptions say how closely a check looks.
type CheckOptions struct {
	Deep bool `json:"deep,omitempty" doc:"Read every row, not only the footers"`
}

type compactInput struct{ Body *CompactOptions }

type checkInput struct{ Body *CheckOptions }

func (s *server) lakeRoutes(api huma.API) {
	handle(s, api, operation("get-lake-stats", http.MethodGet, "/lake/stats", "Lake", "Rows, files and bytes per table"),
		func(ctx context.Context, _ *struct{}) ([]TableStats, error) {
			all, err := s.service.LakeStats(ctx)
			return listed(all), err
		})
	handle(s, api, operation("compact-lake", http.MethodPost, "/lake/compact", "Lake", "Rewrite the small files of closed days into larger ones"),
		func(ctx context.Context, in *compactInput) (Compaction, error) {
			var asked CompactOptions
			if in.Body != nil {
				asked = *in.Body
			}
			before, _, err := s.parseRange(asked.Before, "", "")
			if err != nil {
				return Compaction{}, err
			}
			return s.service.CompactLake(ctx, before)
		})
	handle(s, api, operation("check-lake", http.MethodPost, "/lake/check", "Lake", "Look for missing and damaged data files; changes nothing"),
		func(ctx context.Context, in *checkInput) (LakeCheck, error) {
			check, err := s.service.CheckLake(ctx, in.Body != nil && in.Body.Deep)
			check.Problems = listed(check.Problems)
			return check, err
		})
	handle(s, api, operation("repair-lake", http.MethodPost, "/lake/repair", "Lake", "Remove references to missing files, move damaged files aside"),
		func(ctx context.Context, _ *struct{}) (LakeRepair, error) {
			repair, err := s.service.RepairLake(ctx)
			repair.Problems = listed(repair.Problems)
			return repair, err
		})
}
