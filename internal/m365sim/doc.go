// Package m365sim is a simulator of the Microsoft endpoints that Sluice reads: the Entra token endpoints and the Office
// 365 Management Activity API, over real HTTPS with a certificate authority of its own. The demo, the tests and the
// benchmarks run on it, and `sluice sim` is this package behind a command line. It must never be easier than Microsoft:
// where the specification offers two behaviours, it can do both.
//
//	Scenario (YAML) ──► New ──► Sim ──► Handler / Start / Serve
//	                             ├─ authority    tokens: secrets, certificates, errors      (spec/entra-auth.md)
//	                             ├─ activity     subscriptions, listing, blobs              (spec/management-activity-api.md)
//	                             ├─ webhook      validation, notifications, disabling       (spec/management-activity-api.md section 7)
//	                             ├─ faults       every failure of the fault menu            (spec/http-behaviour.md section 7)
//	                             └─ truth        what a perfect collector ends with
//
// # Blobs are computed, not stored
//
// A feed is the content of one type of one tenant. Its blobs are numbered, and a blob's creation time, the moment when
// it can first be listed, its records and all that is wrong with them are pure functions of (seed, tenant, content
// type, number). So a history of millions of events needs no memory, a blob can be served at any time in any order, a
// restart serves the same live blobs again, and the truth can be computed afterwards. Live traffic lies on a grid of
// absolute time for that reason. Only records that come from files are kept in memory.
//
// # Truth
//
// GET /sim/truth counts, and GET /sim/truth/ids lists, what a collector that runs since the simulator started must end
// with: every record of every blob that could be listed, less the blobs that a fault made unreadable for good. One line
// is an expected identity (spec/record-schema.md section 4), repeated once per distinct content that exists under it.
// GET /sim/truth/blobs shows every blob with what clients were told of it, for a collector that was away for so long that
// content expired: such blobs may be missing, but not without the collector's knowledge.
// The control routes below /sim/ answer only to the loopback interface; see control.go for all of them.
//
// # Time
//
// The service lives on Options.Clock, so that hourly sweeps and expiry can happen in seconds. Tokens live on the wall
// clock, because the client libraries that ask for them do, unless Options.TokensByClock says that the client translates.
package m365sim
