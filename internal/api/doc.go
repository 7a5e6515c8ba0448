// Package api is the HTTP interface of a running Sluice: JSON under /api/v1, its OpenAPI description, /healthz and
// /metrics. The command line, scripts and every other tool are clients of it; nothing reaches the server another way.
//
// # Shape
//
// The package owns the wire: paths, JSON types, errors, streams, authentication. What the operations do is behind
// Service, which the application implements. A handler here parses, calls one method of Service and writes; it holds
// no state. Each operation is declared once with its Go types, and huma derives parameter checks and the OpenAPI 3.1
// document (GET /api/v1/openapi.json and .yaml) from that declaration.
//
// # Errors
//
// Every failure is an RFC 9457 problem (Problem). Its kind is one of package fault's, and the HTTP status follows from
// it by fault.HTTPStatus. An error of unknown origin is answered as "internal error" with an id; what happened is in
// the server's log under the same id and nowhere else.
//
// # Streams
//
// Answers that take time are NDJSON: one frame per line, flushed as it happens. The status line is sent with the first
// frame, so a failure before it is an ordinary problem; a failure after it is a last frame {"error": problem}.
// A search can also be asked for in a plain format (ndjson, json, csv, raw); its notices and statistics, or its late
// failure, then come in the HTTP trailers Sluice-End and Sluice-Error. A stream that ends without either was cut.
//
// # Completeness
//
// Verifier and Queue are the operator's proof that nothing is lost. POST /verify compares what Microsoft lists with what
// the lake holds and ends with a VerifyReport, in which every unit that was to be found is landed, missing, lost or
// waiting; the daily run stores the same report, GET /verify has the latest. Coverage is 100 only when nothing is
// missing (VerifyCounts.Coverage), and what limits a verdict is in its notes. GET /connectors/{name}/units pages through
// the ledger, POST /connectors/{name}/retry makes waiting units due. POST /lake/check and /lake/repair do for data files
// what a verification and its repair do for units.
//
// # Protection
//
// Everything under /api/v1 except the OpenAPI document needs "Authorization: Bearer TOKEN". /consent/callback is open,
// because the browser of a customer's administrator is sent there by Microsoft; what an answer is worth is decided by
// package consent, requests are limited, and the page shows nothing of an answer that belongs to no link. Cross-origin writes are
// refused, bodies are bounded or streamed, a peer that stops reading or sending is dropped after a minute, and the
// request log holds method, path, status and duration but never a query.
package api
