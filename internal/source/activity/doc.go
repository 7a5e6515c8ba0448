// Package activity reads the Office 365 Management Activity API: the unified audit log of a Microsoft 365 tenant.
//
// A tenant has a subscription per content type; nothing is produced before it is started (Prepare). The service then
// gathers events into immutable blobs. List names the blobs that became available in a window, page by page; Fetch reads
// one blob, a JSON array of records, and hands each record over byte for byte while the rest is still on its way.
//
//	subscriptions.go   Prepare: which subscriptions exist, which must be started
//	webhook.go         Tend: webhooks of the subscriptions, set and looked after
//	list.go            List: windows, pages, damaged entries
//	fetch.go           Fetch: one blob, its pages should it ever have several
//	split.go           the JSON array, cut into records without decoding them
//	check.go           the steps of the Test button; check_content.go those about content
//
// A webhook makes the service say when there is content. It is a convenience: whatever is wrong with it is a warning
// (Warnings), never a failure of collecting.
//
// The driver keeps nothing between calls but the times at which it started subscriptions, because the service wants 15
// minutes between two starts of the same type, and what became of their webhooks. Wire facts: spec/management-activity-api.md.
package activity
