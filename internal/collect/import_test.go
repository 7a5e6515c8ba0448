package collect

import (
	"fmt"
	"testing"

	"sluice/internal/normalize"
	"sluice/internal/record"
)

// TestOneIDAtTwoTimes: messages of a trace are told apart by an id that says nothing of their time. Two that have one id and
// differ are variants, also where it is the time in which they differ.
func TestOneIDAtTwoTimes(t *testing.T) {
	h := newHarness(t)
	r := h.start()
	trace := func(received string) record.Item {
		return itemOf(fmt.Sprintf(`{"MessageTraceId":"a","RecipientAddress":"x@y.z","Status":"Delivered","Received":%q}`, received))
	}
	result, err := r.manager.Import(t.Context(), ImportConnector(normalize.MessageTrace, "T", directory), "job", "f",
		func(yield func(record.Item, error) bool) {
			_ = yield(trace("2026-03-04T05:06:07"), nil) && yield(trace("2026-03-04T05:06:08"), nil) && yield(trace("2026-03-04T05:06:08"), nil)
		})
	if want := (Counts{Records: 2, Duplicates: 1}); err != nil || result.Counts != want {
		t.Errorf("%+v, %v, want %+v", result.Counts, err, want)
	}
	if got := h.once(); got != 2 {
		t.Errorf("%d records, want 2", got)
	}
}
