package activity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"time"

	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/record"
	"sluice/internal/source"
)

// Bounds of a listing.
const (
	maxPages    = 1000
	maxListBody = 64 << 20
	wireTime    = "2006-01-02T15:04:05" // the only form that every variant of the service reads alike
)

// List implements source.Source. The window's bounds are widened to whole seconds, because the service knows no smaller
// ones; units a fraction of a second outside of the window can therefore come too. A damaged entry does not keep the
// others from coming: its error is yielded when all pages have been read.
func (s *Source) List(ctx context.Context, w source.Window) iter.Seq2[record.Unit, error] {
	return func(yield func(record.Unit, error) bool) {
		ct, ok := findContentType(w.ContentType)
		op := fmt.Sprintf("list %s %s to %s", w.ContentType, w.From.UTC().Format(wireTime), w.To.UTC().Format(wireTime))
		switch {
		case !ok:
			yield(record.Unit{}, fault.New(fault.Config, op, "no such content type"))
			return
		case !w.From.Before(w.To):
			yield(record.Unit{}, fault.New(fault.Config, op, "the window is empty"))
			return
		case w.To.Sub(w.From) > maxWindow:
			yield(record.Unit{}, fault.Newf(fault.Config, op, "the window is longer than %v", maxWindow))
			return
		}
		l := listing{s: s, op: op, contentType: ct.name}
		from, to := wholeSeconds(w)
		for from.Before(to) && !l.stopped { // twice when widening made the window longer than the service allows
			end := from.Add(min(to.Sub(from), maxWindow))
			if err := l.window(ctx, from, end, yield); err != nil {
				yield(record.Unit{}, s.unready(ctx, ct.name, err))
				return
			}
			from = end
		}
		if l.damaged != nil && !l.stopped {
			yield(record.Unit{}, l.damaged)
		}
	}
}

// wholeSeconds floors the start and ceils the end.
func wholeSeconds(w source.Window) (from, to time.Time) {
	from, to = w.From.UTC().Truncate(time.Second), w.To.UTC().Truncate(time.Second)
	if to.Before(w.To) {
		to = to.Add(time.Second)
	}
	return from, to
}

// listing is one call of List.
type listing struct {
	s           *Source
	op          string
	contentType string
	stopped     bool  // the consumer wants no more
	damaged     error // first damaged entry
}

// window follows all pages of one request.
func (l *listing) window(ctx context.Context, from, to time.Time, yield func(record.Unit, error) bool) error {
	r := m365.Request{Op: l.op, Target: l.s.feed + "/subscriptions/content", MaxBody: maxListBody, Query: url.Values{
		"contentType": {l.contentType}, "startTime": {from.Format(wireTime)}, "endTime": {to.Format(wireTime)},
	}}
	seen := map[string]bool{}
	for page := 1; ; page++ {
		resp, err := l.s.client.Do(ctx, r)
		if err != nil {
			return l.pageError(page, err)
		}
		next := nextPage(resp.Header)
		err = resp.Fault(l.page(resp.Body, yield))
		_ = resp.Body.Close()
		switch {
		case err != nil:
			return err
		case l.stopped, next == "":
			return nil
		case seen[next]:
			return fault.New(fault.Unavailable, l.op, "the service repeats a link to the next page").
				WithHint("nothing to do: Sluice lists the window again")
		case page == maxPages:
			return fault.Newf(fault.Unavailable, l.op, "the window has more than %d pages", maxPages).
				WithHint("nothing to do: Sluice asks for shorter windows")
		}
		seen[next] = true
		r.Target, r.Query = next, nil
	}
}

// nextPage is the link to the next page, empty on the last one. One of Microsoft's pages calls the header NextPageUrl.
func nextPage(h http.Header) string {
	return first(h.Get("NextPageUri"), h.Get("NextPageUrl"))
}

// pageError corrects the class of a refused link: a 400 on it is the service's fault, not the configuration's, and
// listing the window from its beginning helps (spec/http-behaviour.md section 1).
func (l *listing) pageError(page int, err error) error {
	var e *fault.Error
	if page == 1 || !errors.As(err, &e) || e.Status != http.StatusBadRequest || e.Kind == fault.Throttled {
		return err
	}
	c := *e
	c.Kind = fault.Unavailable
	c.Message = fmt.Sprintf("the link to page %d was refused, the window must be listed again from its beginning: %s", page, e.Message)
	return &c
}

// entry is one element of a listing (spec/management-activity-api.md section 4).
type entry struct {
	ContentID         string `json:"contentId"`
	ContentURI        string `json:"contentUri"`
	ContentCreated    string `json:"contentCreated"`
	ContentExpiration string `json:"contentExpiration"`
}

// page yields the units of one page. The page is an array or an error: an object or a web page is never "no content".
func (l *listing) page(body io.Reader, yield func(record.Unit, error) bool) error {
	for item, err := range split(l.op, body, 1<<20) {
		if err != nil {
			return err
		}
		unit, err := l.unit(item)
		if err != nil {
			if l.damaged == nil {
				l.damaged = err
			}
			continue
		}
		if !yield(unit, nil) {
			l.stopped = true
			return nil
		}
	}
	return nil
}

// unit reads an entry; every field that the collector needs must be there.
func (l *listing) unit(item record.Item) (record.Unit, error) {
	bad := func(what string) error {
		return fault.Newf(fault.Malformed, l.op, "the service lists a damaged entry: %s", what).
			WithHint("the other entries were taken; Sluice lists the window again. If it stays, open a case with Microsoft")
	}
	var e entry
	if item.Malformed != "" {
		return record.Unit{}, bad(item.Malformed)
	}
	if json.Unmarshal(item.Raw, &e) != nil {
		return record.Unit{}, bad("a field has the wrong type")
	}
	created, err := parseTime(e.ContentCreated)
	switch {
	case e.ContentID == "":
		return record.Unit{}, bad("contentId is missing")
	case e.ContentURI == "":
		return record.Unit{}, bad("contentUri is missing")
	case err != nil:
		return record.Unit{}, bad("contentCreated is not a time")
	}
	u := record.Unit{Key: l.contentType + "|" + e.ContentID, ContentType: l.contentType, ContentID: e.ContentID, URI: e.ContentURI, Created: created}
	if expires, err := parseTime(e.ContentExpiration); err == nil && expires.After(created) {
		u.Expires = expires // what expired before it was made can be read all the same
	}
	return u, nil
}

// parseTime reads RFC 3339, and the same without a zone, which is UTC. A zone must not lead out of the years that can be
// written in this form again.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05.999999999", s)
	}
	if t = t.UTC(); err == nil && (t.Year() < 1 || t.Year() > 9999) {
		err = fmt.Errorf("the year %d cannot be", t.Year())
	}
	return t, err
}
