package activity

import (
	"context"
	"errors"
	"iter"

	"sluice/internal/fault"
	"sluice/internal/m365"
	"sluice/internal/record"
)

// Fetch implements source.Source. A unit that the service no longer has gives fault.Gone. Offsets count from the
// beginning of the body; should a blob ever come in pages, which is not documented, they go on counting.
func (s *Source) Fetch(ctx context.Context, u record.Unit) iter.Seq2[record.Item, error] {
	return func(yield func(record.Item, error) bool) {
		op := "fetch " + u.ContentType + " " + u.ContentID
		seen := map[string]bool{u.URI: true}
		offset := int64(0)
		for target := u.URI; target != ""; {
			next, size, stopped, err := s.fetchPage(ctx, op, target, offset, yield)
			if err != nil {
				yield(record.Item{}, err)
				return
			}
			if stopped {
				return
			}
			if seen[next] || len(seen) > maxPages {
				yield(record.Item{}, fault.New(fault.Unavailable, op, "the service repeats a link to the next page"))
				return
			}
			target, offset = next, offset+size
			seen[next] = next != ""
		}
	}
}

// fetchPage yields the records of one body and returns the link to the next and the body's size.
func (s *Source) fetchPage(ctx context.Context, op, target string, offset int64, yield func(record.Item, error) bool) (next string, size int64, stopped bool, err error) {
	resp, err := s.client.Do(ctx, m365.Request{Op: op, Target: target})
	if err != nil {
		return "", 0, false, gone(err)
	}
	defer func() { _ = resp.Body.Close() }()
	for item, err := range split(op, resp.Body, maxRecordSize) {
		if err != nil {
			return "", 0, false, resp.Fault(err)
		}
		size = item.Offset + int64(len(item.Raw))
		item.Offset += offset
		if !yield(item, nil) {
			return "", 0, true, nil
		}
	}
	return nextPage(resp.Header), size, false, nil
}

// gone classifies the answers that say a blob is no more: content that has expired. A web page with such a status comes
// from a gateway or a wrong host and says nothing about the content, so the collector should ask again.
func gone(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) || (e.Kind != fault.NotFound && e.Kind != fault.Gone) {
		return err
	}
	c := *e
	if _, ok := errors.AsType[*m365.HTMLError](err); ok {
		c.Kind = fault.Unavailable
		return &c
	}
	c.Kind = fault.Gone
	c.Hint = "the service keeps content for a limited time; Sluice records it as lost"
	return &c
}
