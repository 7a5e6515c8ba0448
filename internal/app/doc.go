// Package app puts the parts of Sluice together and runs them: it is the only package that knows all of them.
//
// Run goes through these steps and undoes them in reverse order, whichever of them fails:
//
//	data folder (lock, format)  -> state database -> journal -> lake -> publisher, lake writer, runners -> API
//
// Stopping is the same path backwards and bounded in time: the API takes no more requests, runners stop fetching,
// the publisher writes what was handed to it, the lake writer commits what is in the journal, then the engines close.
// What was not finished is in the ledger or in the journal, and the next start goes on from there.
//
// The type service implements what the API offers (package api) on top of the parts; its files are named after the
// groups of operations.
package app
