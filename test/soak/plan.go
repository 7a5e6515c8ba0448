package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"sluice/internal/m365sim"
)

// Plan is one scenario: what Microsoft does, what happens to the process, how the collector is set up. It holds everything that is random
// about a run but the scheduling of the machine, and is written as YAML (String) so that a failure can be kept and run
// again (-plan FILE). All times are virtual: of the clock that simulator and program share.
type Plan struct {
	Seed       uint64           `yaml:"seed"`
	Factor     float64          `yaml:"factor"`          // virtual seconds per second
	Live       m365sim.Duration `yaml:"live"`            // from the start until traffic and faults end
	Commit     m365sim.Duration `yaml:"commit_interval"` // of the lake
	Settle     string           `yaml:"settle"`          // sweeps: wait until sweeps have found what came late; restart: start again, which sweeps at once
	DiskMiB    int              `yaml:"disk_mib"`        // the data folder is a file system of this size; 0: an ordinary folder
	Journal    int64            `yaml:"journal_bytes"`   // budget of the journal; 0: an ordinary one
	Postgres   bool             `yaml:"postgres"`        // the state is in PostgreSQL, not in SQLite
	Connectors []Connector      `yaml:"connectors"`
	Events     []Event          `yaml:"events"` // in the order of At
	Scenario   m365sim.Scenario `yaml:"scenario"`
}

// The ways to settle.
const (
	settleSweeps  = "sweeps"
	settleRestart = "restart"
)

// Connector is a connector as it is applied.
type Connector struct {
	Name     string           `yaml:"name"`
	Tenant   string           `yaml:"tenant"` // directory id
	Types    []string         `yaml:"types"`
	Interval m365sim.Duration `yaml:"interval"`
	Back     m365sim.Duration `yaml:"back"`     // start_time is so long before the start
	Parallel int              `yaml:"parallel"` // max_parallel_fetches
	PerMin   int              `yaml:"requests_per_minute"`
}

// Event is something that happens to the process or that an operator does.
type Event struct {
	At    m365sim.Duration `yaml:"at"` // after the start
	Kind  EventKind        `yaml:"kind"`
	For   m365sim.Duration `yaml:"for"`   // how long the program is away, or the disk is full
	Point string           `yaml:"point"` // of fail_point
	Hit   int              `yaml:"hit"`   // which pass of the point acts; default 1
	Act   string           `yaml:"act"`   // kill (default) or error
	Times int              `yaml:"times"` // armed again so often after it acted; default 1
	Name  string           `yaml:"name"`  // connector
}

// EventKind is what happens.
type EventKind string

// The kinds of events.
const (
	Kill      EventKind = "kill"       // kill -9; started again after For
	Stop      EventKind = "stop"       // SIGTERM; started again after For
	FailPoint EventKind = "fail_point" // restarted with a fail point that ends it; started again at once
	DiskFloor EventKind = "disk_floor" // less than the floor is free for a time: collecting has to pause
	DiskFull  EventKind = "disk_full"  // nothing is free for a time
	Backfill  EventKind = "backfill"   // an operator asks for everything again
	Pause     EventKind = "pause"      // an operator pauses a connector for a time

	Disconnect   EventKind = "disconnect"    // PostgreSQL ends all connections of the program
	DatabaseDown EventKind = "database_down" // and takes no new ones for a time
)

// EventKinds lists the kinds.
func EventKinds() []EventKind {
	return []EventKind{Kill, Stop, FailPoint, DiskFloor, DiskFull, Backfill, Pause, Disconnect, DatabaseDown}
}

// needsDisk reports whether the plan fills a file system of its own.
func (p *Plan) needsDisk() bool { return p.DiskMiB > 0 }

// sort puts the events in order.
func (p *Plan) sort() {
	slices.SortStableFunc(p.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
}

// check finds what run could not work with.
func (p *Plan) check() error {
	switch {
	case p.Factor < 2 || p.Factor > 1e5:
		return fmt.Errorf("factor %v does not lie between 2 and 100000", p.Factor)
	case p.Live <= 0:
		return fmt.Errorf("live %v is no time to run", p.Live)
	case len(p.Connectors) == 0:
		return fmt.Errorf("no connectors")
	case p.Settle != settleSweeps && p.Settle != settleRestart:
		return fmt.Errorf("settle %q is neither %s nor %s", p.Settle, settleSweeps, settleRestart)
	}
	for _, c := range p.Connectors {
		known := slices.ContainsFunc(p.Scenario.Tenants, func(t m365sim.Tenant) bool { return t.ID == c.Tenant && len(t.Apps) > 0 })
		if !known || c.Name == "" || len(c.Types) == 0 {
			return fmt.Errorf("connector %q: tenant %q with an application and types are needed", c.Name, c.Tenant)
		}
	}
	for _, e := range p.Events {
		if !slices.Contains(EventKinds(), e.Kind) {
			return fmt.Errorf("event %q is not one of %v", e.Kind, EventKinds())
		}
		if (e.Kind == DiskFloor || e.Kind == DiskFull) && !p.needsDisk() {
			return fmt.Errorf("event %s needs disk_mib", e.Kind)
		}
		if (e.Kind == Disconnect || e.Kind == DatabaseDown) && !p.Postgres {
			return fmt.Errorf("event %s needs postgres", e.Kind)
		}
	}
	return nil
}

// String writes the plan as YAML, without what is zero.
func (p *Plan) String() string {
	var root yaml.Node
	if err := root.Encode(p); err != nil {
		return "# " + err.Error()
	}
	prune(&root)
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(&root); err != nil {
		return "# " + err.Error()
	}
	return out.String()
}

// prune removes the members of mappings that say nothing.
func prune(n *yaml.Node) (empty bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		switch n.Value {
		case "", "0", "false", "null", "0s", "0001-01-01T00:00:00Z":
			return true
		}
		return false
	case yaml.SequenceNode:
		for _, item := range n.Content {
			prune(item)
		}
		return len(n.Content) == 0
	case yaml.MappingNode:
		var kept []*yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !prune(n.Content[i+1]) {
				kept = append(kept, n.Content[i], n.Content[i+1])
			}
		}
		n.Content = kept
		return len(kept) == 0
	default:
		return false
	}
}

// parsePlan reads what String writes.
func parsePlan(text []byte) (*Plan, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	p := &Plan{}
	if err := decoder.Decode(p); err != nil {
		return nil, err
	}
	p.sort()
	return p, p.check()
}

func loadPlan(path string) (*Plan, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := parsePlan(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// clone copies a plan deeply.
func (p *Plan) clone() *Plan {
	c := &Plan{}
	if err := json.Unmarshal(p.bytes(), c); err != nil {
		panic("a plan is not read as it was written: " + err.Error())
	}
	return c
}

func (p *Plan) equal(o *Plan) bool { return bytes.Equal(p.bytes(), o.bytes()) }

func (p *Plan) bytes() []byte {
	text, err := json.Marshal(p)
	if err != nil {
		panic("a plan cannot be written: " + err.Error())
	}
	return text
}

// describe is the plan in a few words.
func (p *Plan) describe() string {
	types := 0
	for _, t := range p.Scenario.Tenants {
		types += len(t.Traffic)
	}
	return fmt.Sprintf("x%v, %d tenants, %d feeds, %d connectors, %d fault rules, %d events, %v", p.Factor, len(p.Scenario.Tenants), types,
		len(p.Connectors), len(p.Scenario.Faults), len(p.Events), time.Duration(p.Live))
}
