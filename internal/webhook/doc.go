// Package webhook receives the notifications of the Office 365 Management Activity API: Microsoft says that content of a type
// has become available, and Sluice lists that type at once instead of at the next interval.
//
//	Microsoft ── POST {address}/{path of the connector} ──► Listener ──► Hooks ──► Hint(connector, content type) ──► list now
//
// # A hint, nothing more
//
// Polling stays the truth. A notification is read only to learn the content type; the address of the content in it is
// never asked for, and a listing finds the content like any other. So a forged, doubled or lost notification
// costs at most one listing, and a listener that is down costs a few minutes of delay. Hints are spread: within a few seconds
// (Settings.Spacing) a content type is hinted once, however many notifications arrive.
//
// # Who may call
//
// The listener stands on the internet, unlike the API of Sluice, and knows nothing but POST. Each connector has a path of
// its own that cannot be guessed, and an AuthID that Microsoft sends back in a header; both are derived from one secret of the
// server (Key), so that they survive restarts without being stored per connector. An unknown path, another method and
// a notification for another tenant or application are 404 without a word; a wrong AuthID is 401. Requests are bounded in
// size, in number at a time and, per connector, in rate. Wrong AuthIDs have a bound of their own, so that
// they cannot use up Microsoft's.
//
// # What Microsoft expects
//
// A start of a subscription calls the webhook with a validation code in header and body, and only 200 counts
// (spec/management-activity-api.md section 7). Every other answer to a notification is a failure that is tried again, and too
// many disable the webhook. So everything that is well-formed and meant for the connector is answered with 200, before
// anything is done about it. Setting the webhook at Microsoft is the driver's duty: see Tend in internal/source/activity.
//
// Hooks is the handler; Run hands out its hints; a Listener serves it over TLS and reads a certificate that was renewed
// without a restart. All of it may be used concurrently.
package webhook
