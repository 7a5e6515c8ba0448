// Package health turns what the parts of Sluice know of themselves into conditions that an operator can read: what is
// wrong, where, since when, what Sluice does about it and what a person can do.
//
// # Conditions and the state
//
// A Condition answers one question about a feed (a content type of a connector), a connector or the server: does the
// listing work, is the verification clean, does the credential end soon. Evaluate computes all of them from an Input,
// which is plain data and holds no clock, no database and no connection. The State is the one word that sums a feed up;
// it is the most pressing of what the conditions ask for:
//
//	paused > needs attention > degraded > starting > data gap > waiting for first data > ok
//
// Conditions depend on each other. Where a condition cannot be judged because another one is bad (nothing can arrive
// while nothing can be listed), it is Unknown and stays out of the operator's sight.
//
// # Now, and on the record
//
// Monitor.Report answers with the truth of the moment. Monitor.Tick, called at least once a minute with the inputs of
// all feeds, keeps what is on the record: transitions with their time, in a Store, with flaps damped. A condition turns
// bad on the record at once, because the inputs are damped already (three failures in a row, 30 failed units), but good
// only after it has been good for two minutes, and for twice as long with every other time that it turned bad within
// the hour, up to half an hour. Unknown is no evidence: it changes nothing on the record, except that what is paused or
// deleted is not watched any more. Notifications follow the record, never the moment.
//
// Monitor.Passed is for a connection test that passed: troubles noted before it no longer count, and its conditions
// are good on the record at once. A trouble that persists is noted again by the next attempt and turns the condition
// bad at the next tick. For the error rate the limit grows with the time since the test, so that it too is back
// within a minute or two.
//
// # Error rate
//
// More than 30 failed units in 5 minutes (both configurable) are a warning. Units that fail are tried again by
// themselves; many of them at once are a sign that is worth a look even when others succeed in between and nothing
// fails three times in a row.
//
// # Inactivity
//
// A feed that brings nothing may be broken without an error: auditing was switched off, a licence ended. The question is
// whether silence is unusual at this hour of this week for this feed, so the model knows nothing but the feed's own
// history from the ledger, by hour in which the content was created (a back-fill therefore does not distort it):
//
//   - Of each of the 168 hours of the week it takes whether there was any data in that hour, over the last 8 weeks. How
//     much does not matter, and bursts do not either. The median decides: an hour expects data only when more than half
//     of the weeks had some. A holiday or an outage in the history does not change that.
//   - An hour weighs -log10 of the chance that it is empty, (empty + 1/2) / (weeks + 1), and no more than its neighbours:
//     the edges of a working day blur, and summer time moves them.
//   - Silence is measured by the sum of the weights of its whole hours, but the last one: content appears late. At a sum
//     of 3 (high), 6 (medium) or 9 (low sensitivity) it is unusual. An hour that always had data in 8 weeks weighs 1.25,
//     so a feed that is busy around the clock is inactive after 3, 5 or 8 silent hours.
//   - Feeds whose expected hours form blocks of less than 16 hours follow the work of people, who have holidays. One
//     block alone, however long it lasts, counts for so little that 2 (medium) or 3 (low) of them in a row are no alarm.
//     High makes no such allowance.
//
// Nothing is said before there are 3 weeks of history. A quiet feed expects data in no hour and never alarms.
// A fixed threshold (Limits.SilenceAfter) is an option beside the model and needs no history, only a first record.
package health
