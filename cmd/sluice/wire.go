package main

import (
	"context"
	"io"
)

// parts are the programs inside of this one that are more than a client. A part that is nil is not in this build.
type parts struct {
	up          func(context.Context, upOptions) error
	sim         func(context.Context, simOptions) error
	queryWorker func(context.Context) error
}

// upOptions are the flags of up.
type upOptions struct {
	Config         string // file, "" for none
	Data           string // folder, "" for the one in the configuration
	Listen         string // address, "" for the one in the configuration
	Demo           bool
	Version        string
	Stdout, Stderr io.Writer
}

// simOptions are the flags of sim.
type simOptions struct {
	Listen         string
	Scenario       string // file, "" for the built-in one
	Stdout, Stderr io.Writer
}

// wire names the parts of this build.
func wire() parts { return parts{} }
