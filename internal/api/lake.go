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

type compactInput struct {
	Body struct {
		Before string `json:"before,omitempty" doc:"Compact days that ended before: an age (1d), RFC 3339 or a date; default: every day that ended two hours ago"`
	} `required:"false"`
}

func (s *server) lakeRoutes(api huma.API) {
	handle(s, api, operation("get-lake-stats", http.MethodGet, "/lake/stats", "Lake", "Rows, files and bytes per table"),
		func(ctx context.Context, _ *struct{}) ([]TableStats, error) {
			all, err := s.service.LakeStats(ctx)
			return listed(all), err
		})
	handle(s, api, operation("compact-lake", http.MethodPost, "/lake/compact", "Lake", "Rewrite the small files of closed days into larger ones"),
		func(ctx context.Context, in *compactInput) (Compaction, error) {
			before, _, err := s.parseRange(in.Body.Before, "", "")
			if err != nil {
				return Compaction{}, err
			}
			return s.service.CompactLake(ctx, before)
		})
}
