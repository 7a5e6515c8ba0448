package api

import "sluice/internal/movein"

// MoveIn says what became of the settings of another collector's document. It holds names of settings, never values.
type MoveIn struct {
	Kind  movein.Kind    `json:"kind" enum:"devo,filebeat,sentinel" doc:"The collector that the document belongs to"`
	Title string         `json:"title" doc:"The same in words"`
	Taken []movein.Taken `json:"taken" nullable:"false" doc:"Settings that were taken over"`
	Left  []movein.Left  `json:"left" nullable:"false" doc:"Settings that were not, and why"`
}
