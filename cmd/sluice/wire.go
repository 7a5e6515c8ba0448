package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"sluice/internal/app"
	"sluice/internal/fault"
	"sluice/internal/lake"
	"sluice/internal/lake/engine"
	"sluice/internal/m365sim"
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
	CAFile         string // where the certificate of the simulator's authority is written, "" for a file beside the scenario
	Stdout, Stderr io.Writer
}

// wire names the parts of this build.
func wire() parts { return parts{up: runServer, sim: runSimulator, queryWorker: runQueryWorker} }

func runServer(ctx context.Context, o upOptions) error {
	level := slog.LevelInfo
	if o.Demo {
		level = slog.LevelError // the demo's terminal is for the searches to try; its faults are in sluice status
	}
	testTime, err := testClock()
	if err != nil {
		return err
	}
	return app.Run(ctx, app.Options{
		JournalBytes: testJournalBytes(), Clock: testTime, ConfigFile: o.Config, Data: o.Data, Listen: o.Listen, Demo: o.Demo, Version: o.Version, Stdout: o.Stdout, Program: os.Args[0],
		Logger: slog.New(slog.NewTextHandler(o.Stderr, &slog.HandlerOptions{Level: level})),
	})
}

func runQueryWorker(ctx context.Context) error {
	return engine.Main(ctx, os.Stdin, os.Stdout, engine.Hooks{Rebuild: lake.Rebuild})
}

func runSimulator(ctx context.Context, o simOptions) error {
	scenario := app.DemoScenario()
	if o.Scenario != "" {
		var err error
		if scenario, err = m365sim.Load(o.Scenario); err != nil {
			return err
		}
	}
	log := slog.New(slog.NewTextHandler(o.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sim, err := m365sim.New(scenario, m365sim.Options{Logger: log})
	if err != nil {
		return err
	}
	ca := o.CAFile
	if ca == "" {
		dir, err := os.MkdirTemp("", "sluice-sim-")
		if err != nil {
			return fault.Wrap(fault.Config, "write the CA certificate", err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		ca = filepath.Join(dir, "ca.pem")
	}
	if err := sim.WriteCA(ca); err != nil {
		return err
	}
	return sim.Serve(ctx, o.Listen, func(s *m365sim.Server) { describeSimulator(o.Stdout, s.URL(), ca, scenario) })
}

// describeSimulator prints what a connector needs to collect from the simulator.
func describeSimulator(w io.Writer, url, ca string, scenario m365sim.Scenario) {
	_, _ = fmt.Fprintf(w, "simulator: %s\nca_file: %s\n", url, ca)
	for _, t := range scenario.Tenants {
		for _, a := range t.Apps {
			_, _ = fmt.Fprintf(w, "directory_id: %s\napplication_id: %s\n", t.ID, a.ID)
			if a.Secret != "" { // of a simulated application: nobody else accepts it
				_, _ = fmt.Fprintf(w, "api_access_key: %s\n", a.Secret)
			}
		}
	}
	_, _ = fmt.Fprintf(w, "Use the URL as authentication_endpoint and api_endpoint. %s/sim/truth counts what a collector must end with.\n", url)
}
