// Package follow reads everything that was collected, in order, from any position, for as long as somebody wants it:
// `sluice tail` and the delivery to destinations.
//
// What was collected is in two places that overlap. The journal has the newest part and tells at once what is new; the
// lake has everything up to its committed position. Both order it in the same way: by the sequence of the journal,
// and within one message by the record's place (record.Seq). A position therefore means the same in both, and also
// after the journal was replaced, because a new stream begins above every known sequence.
//
//	lake     1 ······································ committed
//	journal                        first ································ last
//	Reader   ────── lake ──────────────────┴──────── journal ────────────► waits
//
// A Reader reads the journal when that reaches back to its position, and the lake otherwise. The lake is read up to the
// position that it had committed before the scan began, so that no table lags behind another; then the reader looks
// again where to go on. When the journal is trimmed away under a slow reader it goes back to the lake. Neither way
// leaves out or repeats a message.
//
// # Holding the journal
//
// Reading the journal is cheaper than reading the lake and sees a record seconds earlier, so readers that matter are
// attached (Readers): their positions are durable, and the journal is trimmed only below the smallest of them (Floor).
// A reader that is further behind than the budget is detached: it holds nothing any more, reads the lake until it has
// caught up, and is attached again. A dead destination thus costs the budget and never the journal; collecting does not
// notice it, and nothing is lost, because being attached is only about speed.
//
//	readers := follow.NewReaders(store, journal, budget, log)
//	a, err := readers.Attach(ctx, "soc-splunk", start)
//	r, err := follow.NewReader(source, a.Position())
//	for {
//		entry, err := r.Next(ctx)                  // ... deliver entry.Rows ...
//		err = a.Advance(ctx, entry.Seq)            // after the far side has it
//	}
package follow
