// Package client is the Go client of Sluice's API, used by the command line.
//
// Find decides which server to talk to and with which token, from the environment, the data folder and the record that
// a running server leaves (RecordServer). A Client has one method per operation; failures come back as the fault.Error
// that the server meant, and a server that does not answer is fault.Unavailable with a hint on how to start one.
package client
