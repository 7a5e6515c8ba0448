package app

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/collect"
	"sluice/internal/fault"
	"sluice/internal/record"
	"sluice/internal/state"
)

// Units implements api.Queue.
func (s *service) Units(ctx context.Context, r api.UnitsRequest) (api.UnitsPage, error) {
	c, err := s.connector(ctx, api.Connectors, r.Connector)
	if err != nil {
		return api.UnitsPage{}, err
	}
	filter := state.UnitFilter{
		ConnectorID: c.ID, ContentType: r.ContentType, States: ledgerStates(r.State), From: r.Since, To: r.Until, Limit: r.Limit,
	}
	if filter.Limit <= 0 {
		filter.Limit = api.DefaultUnits
	}
	filter.Limit = min(filter.Limit, api.MaxUnits)
	if r.After != "" {
		if filter.After, err = parseCursor(r.After); err != nil {
			return api.UnitsPage{}, err
		}
	}
	units, err := s.state.Units(ctx, filter)
	if err != nil {
		return api.UnitsPage{}, err
	}
	var runner *collect.Runner
	if running, err := s.manager.Runner(c.ID); err == nil {
		runner = running
	}
	var page api.UnitsPage
	for _, u := range units {
		view := unitView(c, u)
		if runner != nil && (u.State == state.Listed || u.State == state.Retrying) && runner.Fetching(u.ContentType, u.ID) {
			view.State = api.UnitFetching
		}
		if r.State == api.UnitFetching && view.State != api.UnitFetching || r.State == api.UnitListed && view.State == api.UnitFetching {
			continue
		}
		page.Units = append(page.Units, view)
	}
	if len(units) == filter.Limit {
		page.Next = formatCursor(units[len(units)-1].Cursor())
	}
	return page, nil
}

// ledgerStates are the states of the ledger behind a state that clients ask for; nil is all.
func ledgerStates(s api.UnitState) []state.UnitState {
	switch s {
	case api.UnitListed, api.UnitFetching, api.UnitPending:
		return []state.UnitState{state.Listed, state.Retrying}
	case api.UnitRetrying:
		return []state.UnitState{state.Retrying}
	case api.UnitLanded:
		return []state.UnitState{state.Landed}
	case api.UnitLost:
		return []state.UnitState{state.Lost, state.Dropped}
	}
	return nil
}

func unitView(c state.Connector, u state.LedgerUnit) api.Unit {
	view := api.Unit{
		ID: u.ID.String(), Connector: c.Name, ContentType: u.ContentType, ContentID: u.ContentID, Created: u.Created.UTC(),
		Expires: timeOrNil(u.Expires), Attempt: u.Attempt, Bytes: u.Bytes, Records: u.Records, Duplicates: u.Duplicates,
		Filtered: u.Filtered, Malformed: u.Malformed, JournalSeq: u.Seq, ListedAt: u.ListedAt.UTC(), LandedAt: timeOrNil(u.LandedAt),
	}
	switch u.State {
	case state.Listed:
		view.State = api.UnitListed
	case state.Retrying:
		view.State, view.NextTry = api.UnitRetrying, timeOrNil(u.NextTry)
	case state.Landed:
		view.State = api.UnitLanded
	case state.Lost, state.Dropped:
		view.State = api.UnitLost
	}
	if u.ErrorText != "" && u.State != state.Landed {
		view.LastError = &api.Failure{Kind: string(u.ErrorKind), Message: u.ErrorText}
	}
	return view
}

// formatCursor writes a place in a list of units for clients, who must not read it.
func formatCursor(c state.UnitCursor) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(c.Created.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, c.ID[:]...))
}

func parseCursor(text string) (c state.UnitCursor, err error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != 8+len(c.ID) {
		return c, fault.Newf(fault.Config, "list units", "%q is no place in a list of units", text).WithHint("take it from the field next of the page before")
	}
	c.Created = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
	copy(c.ID[:], b[8:])
	return c, nil
}

// Retry implements api.Queue.
func (s *service) Retry(ctx context.Context, r api.RetryRequest) (api.RetryResult, error) {
	c, err := s.connector(ctx, api.Connectors, r.Connector)
	if err != nil {
		return api.RetryResult{}, err
	}
	if c.Paused {
		return api.RetryResult{}, fault.Newf(fault.Conflict, "retry", "connector %s is paused: nothing is tried", c.Name).WithHint("resume it first")
	}
	var ids []record.UnitID
	if r.Unit != "" {
		unit, err := s.unitByPrefix(ctx, c, strings.ToLower(r.Unit))
		if err != nil {
			return api.RetryResult{}, err
		}
		switch {
		case unit.State == state.Landed:
			return api.RetryResult{}, fault.Newf(fault.Conflict, "retry", "unit %s has landed with %d records", unit.ID, unit.Records).
				WithHint("nothing is missing of it; sluice verify --repair fetches again what is")
		case unit.State == state.Lost && !r.Lost:
			return api.RetryResult{}, fault.Newf(fault.Conflict, "retry", "unit %s is lost: %s", unit.ID, unit.ErrorText).
				WithHint("ask Microsoft for it once more with --lost")
		}
		ids = append(ids, unit.ID)
	}
	n, err := s.manager.Retry(ctx, c.ID, ids, r.Lost)
	return api.RetryResult{Queued: n}, err
}

func (s *service) unitByPrefix(ctx context.Context, c state.Connector, prefix string) (state.LedgerUnit, error) {
	const op = "find unit"
	found, err := s.state.UnitsByPrefix(ctx, c.ID, prefix, 2)
	switch {
	case err != nil:
		return state.LedgerUnit{}, err
	case len(found) == 0:
		return state.LedgerUnit{}, fault.Newf(fault.NotFound, op, "connector %s has no unit %q", c.Name, prefix).
			WithHint("sluice status --queue " + c.Name + " lists what waits")
	case len(found) > 1:
		return state.LedgerUnit{}, fault.Newf(fault.Conflict, op, "several units of %s begin with %q", c.Name, prefix).WithHint("give more digits of the id")
	}
	return found[0], nil
}
