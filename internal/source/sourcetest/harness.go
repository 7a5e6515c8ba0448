// Package sourcetest is the conformance suite of the source contract. Every driver runs it against a server that speaks
// the driver's real protocol:
//
//	func TestConformance(t *testing.T) {
//	        sourcetest.Run(t, sourcetest.Harness{New: newServer, Windows: ..., Secrets: []string{"the client secret"}})
//	}
//
// The suite serves content, breaks things one at a time, and checks the promises of the contract: all pages are
// followed, every record arrives byte for byte, nothing is missing without an error, failures have the right kind,
// calls are independent of each other and of their order, a cancelled context ends a call at once, no goroutine stays
// behind, no secret is in any text, and no token reaches a host that the connector was not configured for.
package sourcetest

import (
	"testing"

	"sluice/internal/fault"
	"sluice/internal/source"
)

// Harness is what a driver brings to the suite.
type Harness struct {
	// New starts a server and makes a source that is configured for it. Both end with t.Cleanup. The source's request
	// limits must be off.
	New func(t *testing.T) (source.Source, Server)
	// Windows together cover everything that the server serves.
	Windows []source.Window
	// Secrets are texts that must never show up: client secret, access tokens, passwords, and the opaque part of links to
	// next pages.
	Secrets []string
	// Lacks lists the faults that the driver's protocol cannot have. Everything else is checked.
	Lacks []Case
}

// Server is the far side of a driver under test.
type Server interface {
	// Serve replaces the content: units of records, each record a JSON text that the source must hand over byte for byte.
	// Listings come in pages of perPage units. Drivers without units of their own may cut the records as they like.
	Serve(units [][]string, perPage int)
	// Break makes requests at a place fail, from the next one on, until times of them have failed (0: for ever).
	// Break of the empty Fault repairs everything.
	Break(c Case, times int)
	// Foreign is the number of requests that reached an origin other than the configured ones. A Case with ForeignLink or
	// ForeignRedirect must point at a server that counts.
	Foreign() int
	// Waiting is closed when a request hangs in a Stall.
	Waiting() <-chan struct{}
}

// Place is a kind of request.
type Place string

// The places at which things break.
const (
	SignIn   Place = "sign-in"
	Listing  Place = "listing"   // its first page
	NextPage Place = "next page" // of a listing
	Content  Place = "content"   // what Fetch reads
)

// Fault is what goes wrong.
type Fault string

// The faults. Each says what the server does.
const (
	Throttle        Fault = "throttled with Retry-After"   // 429, Retry-After: 2.5
	ThrottleOwn     Fault = "throttled in its own words"   // the service's peculiar form, no Retry-After
	ServerError     Fault = "server error"                 // 500, the service's own body
	GatewayPage     Fault = "gateway page"                 // 502 with HTML
	PageInstead     Fault = "web page instead of data"     // 200 with HTML
	WrongShape      Fault = "other JSON instead of data"   // 200 with an object where a list belongs, or the reverse
	CutConnection   Fault = "connection cut in the body"   // after some records
	CutText         Fault = "text cut in a complete body"  // valid HTTP, half of the JSON
	DamagedGzip     Fault = "gzip with a wrong checksum"   //
	Unauthorized    Fault = "token refused"                // 401
	Forbidden       Fault = "permission missing"           // 403 or what the service uses
	Expired         Fault = "content expired"              // the service's way to say so
	EmptyPage       Fault = "empty page before the others" // with a link to go on: legal
	RepeatedLink    Fault = "repeated link"                // the next page is this page
	ForeignLink     Fault = "link to a foreign host"       //
	ForeignRedirect Fault = "redirect to a foreign host"   //
	Stall           Fault = "stall"                        // no answer until the client gives up
)

// Case is a fault at a place. The zero Case is health.
type Case struct {
	Place Place
	Fault Fault
}

func (c Case) String() string { return string(c.Place) + ", " + string(c.Fault) }

// expectation is what the contract demands of a case that lasts.
type expectation struct {
	Case
	kind fault.Kind
}

// failures are all cases that must end in an error, and its kind.
func failures() []expectation {
	var all []expectation
	add := func(f Fault, kind fault.Kind, places ...Place) {
		for _, p := range places {
			all = append(all, expectation{Case{p, f}, kind})
		}
	}
	add(Throttle, fault.Throttled, SignIn, Listing, NextPage, Content)
	add(ThrottleOwn, fault.Throttled, Listing, NextPage, Content)
	add(ServerError, fault.Unavailable, SignIn, Listing, NextPage, Content)
	add(GatewayPage, fault.Unavailable, SignIn, Listing, NextPage, Content)
	add(PageInstead, fault.Unavailable, SignIn, Listing, NextPage, Content)
	add(WrongShape, fault.Unavailable, Listing, NextPage, Content)
	add(CutConnection, fault.Unavailable, Listing, NextPage, Content)
	add(CutText, fault.Unavailable, Listing, NextPage, Content)
	add(DamagedGzip, fault.Unavailable, Listing, NextPage, Content)
	add(Unauthorized, fault.Auth, SignIn, Listing, NextPage, Content)
	add(Forbidden, fault.Permission, Listing, NextPage, Content)
	add(Expired, fault.Gone, Content)
	add(RepeatedLink, fault.Unavailable, NextPage)
	add(ForeignLink, fault.Config, NextPage, Content)
	add(ForeignRedirect, fault.Config, Listing, NextPage, Content)
	return all
}
