package app

import (
	"context"
	"time"

	"sluice/internal/collect"
	"sluice/internal/lake"
	"sluice/internal/lake/census"
	"sluice/internal/record"
	"sluice/internal/state"
)

// Count implements collect.Lake.
func (l *lakeAnswers) Count(ctx context.Context, since time.Time, without state.DropMark) (map[record.UnitID]collect.Holding, state.Position, error) {
	counted, err := l.s.census.Units(ctx, census.UnitsQuery{Since: since, Without: census.Cut(without)})
	if err != nil {
		return nil, state.Position{}, err
	}
	out := make(map[record.UnitID]collect.Holding, len(counted.Units))
	for id, h := range counted.Units {
		out[id] = collect.Holding{Rows: h.Rows, Distinct: h.Distinct, Quarantined: h.Quarantined, IDSum: h.IDSum}
	}
	return out, positionOf(counted.Position), nil
}

// Old implements collect.Lake.
func (l *lakeAnswers) Old(ctx context.Context, before time.Time, without state.DropMark, take func(collect.Aged) error) error {
	return l.s.census.Old(ctx, census.OldQuery{Before: before, Without: census.Cut(without)}, func(a census.Aged) error {
		units := make([]state.DroppedUnit, 0, len(a.Units))
		for id, u := range a.Units {
			units = append(units, state.DroppedUnit{
				ID: id, ConnectorID: u.ConnectorID, ContentType: u.ContentType, Created: u.Created, Rows: u.Rows, IDSum: u.IDSum,
			})
		}
		return take(collect.Aged{Before: a.Before, Position: positionOf(a.Position), Units: units})
	})
}

func positionOf(p lake.Position) state.Position { return state.Position{Stream: p.Stream, Seq: p.Seq} }
