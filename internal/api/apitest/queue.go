package apitest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/internal/api"
	"sluice/internal/fault"
)

// UnitID is the id of the n-th unit of "broken". The first five digits of all are the same.
func UnitID(n int) string { return fmt.Sprintf("abcde%x%026x", n, n) }

// units is the queue of "broken": its units 1 lost, 2 and 3 retrying, 4 listed, 5 being fetched, 6 landed, 7 with the
// first six digits of 6.
func (f *Fake) units() []api.Unit {
	expires, next, landed := Now.Add(6*24*time.Hour), Now.Add(90*time.Second), Now.Add(-time.Minute)
	var all []api.Unit
	for n, state := range []api.UnitState{api.UnitLost, api.UnitRetrying, api.UnitRetrying, api.UnitListed, api.UnitFetching, api.UnitLanded, api.UnitLanded} {
		u := api.Unit{
			ID: UnitID(n + 1), Connector: "broken", ContentType: "Audit.General", ContentID: fmt.Sprintf("20260304%d$audit_general", n+1),
			Created: hour.Add(time.Duration(n) * time.Minute), Expires: &expires, State: state, ListedAt: hour.Add(time.Hour),
		}
		switch state {
		case api.UnitListed, api.UnitFetching, api.UnitPending: // nothing was tried yet
		case api.UnitRetrying:
			u.Attempt, u.NextTry = 3, &next
			u.LastError = &api.Failure{Kind: "unavailable", Message: "503 Service Unavailable", Hint: ""}
		case api.UnitLost:
			u.Attempt = 1
			u.LastError = &api.Failure{Kind: "gone", Message: "AF20051: content has expired", Hint: ""}
		case api.UnitLanded:
			u.Records, u.Bytes, u.LandedAt, u.JournalSeq = 100, 180_000, &landed, 7
		}
		all = append(all, u)
	}
	all[6].ID = all[5].ID[:31] + "f"
	return all
}

// Units implements api.Queue. Contoso has no units.
func (f *Fake) Units(_ context.Context, r api.UnitsRequest) (api.UnitsPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(api.Connectors, r.Connector); err != nil {
		return api.UnitsPage{}, err
	}
	start := 0
	if r.After != "" {
		var err error
		if start, err = strconv.Atoi(r.After); err != nil {
			return api.UnitsPage{}, fault.Newf(fault.Config, "", "%q is not the next of a page", r.After)
		}
	}
	var found []api.Unit
	for _, u := range f.units() {
		waits := slices.Contains([]api.UnitState{api.UnitListed, api.UnitFetching, api.UnitRetrying}, u.State)
		if r.Connector != u.Connector || r.ContentType != "" && r.ContentType != u.ContentType || u.Created.Before(r.Since) ||
			!r.Until.IsZero() && !u.Created.Before(r.Until) || r.State == api.UnitPending && !waits || r.State != api.UnitPending && r.State != "" && r.State != u.State {
			continue
		}
		found = append(found, u)
	}
	page := api.UnitsPage{Units: found[min(start, len(found)):]}
	if limit := cmp.Or(r.Limit, api.DefaultUnits); len(page.Units) > limit {
		page.Units, page.Next = page.Units[:limit], strconv.Itoa(start+limit)
	}
	return page, nil
}

// Retry implements api.Queue.
func (f *Fake) Retry(_ context.Context, r api.RetryRequest) (api.RetryResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(api.Connectors, r.Connector); err != nil {
		return api.RetryResult{}, err
	}
	f.Retried = append(f.Retried, r)
	var fits []api.Unit
	var queued int64
	for _, u := range f.units() {
		if r.Unit != "" && strings.HasPrefix(u.ID, r.Unit) && u.Connector == r.Connector {
			fits = append(fits, u)
		}
		if u.Connector == r.Connector && (u.State == api.UnitRetrying || r.Lost && u.State == api.UnitLost) {
			queued++
		}
	}
	switch {
	case r.Unit == "":
		return api.RetryResult{Queued: queued}, nil
	case len(fits) == 0:
		return api.RetryResult{}, fault.Newf(fault.NotFound, "", "%s has no unit %s", r.Connector, r.Unit)
	case len(fits) > 1:
		return api.RetryResult{}, fault.Newf(fault.Conflict, "", "%d units begin with %s", len(fits), r.Unit).WithHint("give more digits")
	case fits[0].State == api.UnitLost && !r.Lost:
		return api.RetryResult{}, fault.New(fault.Conflict, "", "the unit was given up as lost").WithHint("add --lost to ask for it again")
	case fits[0].State == api.UnitLanded:
		return api.RetryResult{}, fault.New(fault.Conflict, "", "the unit has landed")
	}
	return api.RetryResult{Queued: 1}, nil
}
