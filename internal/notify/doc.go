// Package notify tells people and other programs when a condition of package health turns bad and when it is over.
//
// # From changes to messages
//
// A Notifier gets the transitions that health.Monitor puts on its record. Every Target is independent: it has its own
// filter (severity, tenants), its own memory of what it was told, its own outbox and its own worker, so a mail server
// that does not answer delays no webhook.
//
// Each target hears of a problem once when it begins (and again when it gets worse), once in a while as a reminder while
// it lasts, and once when it is over. What begins and ends before it was told is not told at all.
//
// Changes are grouped, because one outage of Microsoft hits hundreds of connectors within minutes. A message leaves half
// a minute after the first change that it holds; further changes of the same cause (condition, reason and kind of event)
// wait until five minutes after the message that named the cause. A message lists at most 200 events and counts the rest.
//
// # What survives a crash
//
// A target's memory and outbox are one value in a Store, written before a message is sent. Changes that were not told yet
// are in memory only. Reconcile, called at start with what is bad according to the monitor, makes up for them, for new
// targets and for everything else that was missed. A message is delivered at least once: a crash between delivery and
// the note of it sends the same message again, with the same id.
//
// Failed deliveries are repeated with back-off from 10 seconds to 15 minutes, in order, for a day. An outbox holds 100
// messages; then the oldest is dropped. What was given up is counted, logged and mentioned in the next message.
//
// # Webhook
//
// A webhook is a POST of a Message as JSON (format "json"), whose fields are stable: fields may be added, version changes
// when one changes its meaning. "text" sends {"text": "..."} for Slack, Mattermost and Google Chat. Headers:
//
//	Idempotency-Key:    the id of the message, the same for every attempt
//	X-Sluice-Signature: t=UNIXSECONDS,v1=HEX   with a signing secret: HMAC-SHA256(secret, t + "." + body)
//
// Receivers in Go can use VerifySignature. Any answer 2xx accepts the message; redirects are not followed.
//
// # Options
//
// Kinds declares the settings of every kind of target as data, and Build makes the target from them. Secrets are looked
// up at each delivery, so a rotated one needs no restart. Other destinations take part by implementing Target.
package notify
