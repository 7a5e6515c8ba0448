package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"sluice/internal/failpoint"
	"sluice/internal/m365sim"
)

// limits say what generate may draw.
type limits struct {
	growing  bool // blobs that grow
	disk     bool // file systems of their own
	postgres bool // the state in PostgreSQL
}

// gen draws a plan. Every decision comes from one generator in a fixed order, so a seed always gives the same plan.
type gen struct {
	*rand.Rand
	limits
	p    *Plan
	away time.Duration // the program is not running for so long, all in all
}

// generate draws the plan of a seed.
func generate(seed uint64, l limits) *Plan {
	g := &gen{Rand: rand.New(rand.NewPCG(seed, 0x51a1ce)), limits: l, p: &Plan{Seed: seed}} //nolint:gosec // repeatable on purpose
	g.p.Scenario.Seed = seed
	g.frame()
	g.process()
	g.tenants()
	g.weaknesses()
	g.faults()
	g.connectors()
	g.operator()
	if g.postgres { // last: what else a seed gives does not depend on the database
		g.database()
	}
	g.p.sort()
	return g.p
}

// perhaps is true with a probability.
func (g *gen) perhaps(p float64) bool { return g.Float64() < p }

// between draws a duration in whole seconds.
func (g *gen) between(low, high time.Duration) m365sim.Duration {
	return m365sim.Duration((low + time.Duration(g.Int64N(int64(high-low)+1))).Truncate(time.Second))
}

func pick[T any](g *gen, of ...T) T { return of[g.IntN(len(of))] }

// part is a share with two digits below a limit.
func (g *gen) part(limit float64) float64 { return float64(1+g.IntN(int(limit*1000))) / 1000 }

// moment is a time during live traffic; half of them lie in the first tenth, in which the history is collected.
func (g *gen) moment() m365sim.Duration {
	live := time.Duration(g.p.Live)
	if g.perhaps(0.5) {
		return g.between(0, live/10)
	}
	return g.between(0, live)
}

// frame draws time. The factor decides how much work fits into a virtual minute.
func (g *gen) frame() {
	g.p.Factor = pick(g, 600.0, 1200, 1200, 1800, 2400)
	wall := time.Duration(2000+g.IntN(2500)) * time.Millisecond
	g.p.Live = m365sim.Duration(time.Duration(float64(wall) * g.p.Factor).Truncate(time.Second))
	g.p.Commit = pick(g, m365sim.Duration(2*time.Minute), m365sim.Duration(5*time.Minute), m365sim.Duration(10*time.Minute))
	g.p.Settle = pick(g, settleSweeps, settleSweeps, settleRestart)
}

// process draws how the program ends and comes back.
func (g *gen) process() {
	for range pick(g, 0, 1, 1, 2, 2, 3, 4) {
		e := Event{At: g.moment()}
		switch n := g.IntN(100); {
		case n < 40:
			e.Kind, e.For = Kill, g.absence()
		case n < 60:
			e.Kind, e.For = Stop, g.absence()
		default:
			e.Kind, e.Point = FailPoint, pick(g, failpoint.Names()...)
			e.Hit = 1 + g.IntN(1+g.IntN(oftenPassed(e.Point)))
			if e.Times = 1 + g.IntN(3); g.perhaps(0.15) {
				e.Act = "error"
			}
			if g.perhaps(0.5) { // while the history is collected every point is passed often
				e.At = 0
			}
		}
		g.away += time.Duration(e.For)
		g.p.Events = append(g.p.Events, e)
	}
	if withDisk, full := g.perhaps(0.12), g.perhaps(0.4); withDisk && g.disk {
		g.p.DiskMiB = 900
		e := Event{At: g.moment(), Kind: DiskFloor, For: g.between(10*time.Minute, 40*time.Minute)}
		if full {
			e.Kind = DiskFull
		}
		g.p.Events = append(g.p.Events, e)
	}
}

// oftenPassed is about how often a point is passed while a small history is collected.
func oftenPassed(point string) int {
	switch point {
	case failpoint.CollectHealed:
		return 1
	case failpoint.LakeFilesWritten, failpoint.LakeTableCommitted, failpoint.LakeCommitted:
		return 3
	case failpoint.CollectListed:
		return 5
	default:
		return 10
	}
}

// absence draws how long the program is away: mostly not at all, sometimes for days.
func (g *gen) absence() m365sim.Duration {
	switch n := g.IntN(100); {
	case n < 60:
		return 0
	case n < 80:
		return g.between(10*time.Minute, time.Hour)
	case n < 92:
		return g.between(2*time.Hour, 12*time.Hour)
	default:
		return g.between(24*time.Hour, 72*time.Hour)
	}
}

// tenants draws directories and what they produce. Rates are such that the number of events does not depend on how long
// the program is away.
func (g *gen) tenants() {
	s := &g.p.Scenario
	minutes := (time.Duration(g.p.Live) + g.away).Minutes()
	tenants := pick(g, 1, 1, 1, 2, 2, 3)
	for i := range tenants {
		t := m365sim.Tenant{
			ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", 0xa0+i, g.p.Seed), Name: fmt.Sprintf("tenant%d", i), Users: 20 + g.IntN(200),
			Apps: []m365sim.App{{ID: fmt.Sprintf("%08x-0000-4000-9000-%012x", 0xb0+i, g.p.Seed), Secret: fmt.Sprintf("soak~secret~of~tenant~%d", i)}},
		}
		types := m365sim.ContentTypes()
		g.Shuffle(len(types), func(a, b int) { types[a], types[b] = types[b], types[a] })
		for _, contentType := range types[:1+g.IntN(len(types))] {
			f := m365sim.Traffic{
				ContentType: contentType, BlobSize: 1 + g.IntN(1+g.IntN(60)), Latency: g.between(time.Second, 10*time.Minute),
				History: g.between(time.Hour, 20*time.Hour), Rate: float64(30+g.IntN(600)) / float64(tenants) / minutes,
			}
			f.Events = (20 + g.IntN(1000)) / tenants
			if blobs := 120; f.Events/f.BlobSize > blobs { // small blobs cost requests, not insight
				f.Events = f.BlobSize * blobs
			}
			if most := 80 / minutes; f.Rate/float64(f.BlobSize) > most {
				f.Rate = most * float64(f.BlobSize)
			}
			t.Traffic = append(t.Traffic, f)
		}
		s.Tenants = append(s.Tenants, t)
	}
}

// weaknesses draws what the service does without being broken.
func (g *gen) weaknesses() {
	s := &g.p.Scenario
	s.PageSize = 3 + g.IntN(60)
	s.ShufflePages, s.Recut = g.perhaps(0.5), g.perhaps(0.12)
	if s.EqualCreated = 1; g.perhaps(0.4) {
		s.EqualCreated = 2 + g.IntN(6)
	}
	if g.perhaps(0.15) {
		s.Expiry = g.between(22*time.Hour, 60*time.Hour)
	}
	if g.perhaps(0.5) {
		s.TokenLifetime = g.between(10*time.Minute, time.Hour)
	}
	if g.perhaps(0.6) {
		s.Latency = g.between(time.Second, 30*time.Second)
	}
	if g.perhaps(0.25) {
		s.ClockSkew = g.between(-15*time.Minute, 15*time.Minute)
	}
	if g.perhaps(0.5) {
		s.Late = m365sim.Late{Share: g.part(0.3), Delay: g.between(10*time.Minute, 12*time.Hour)}
	}
	growing := m365sim.Growing{Share: g.part(0.4), Delay: g.between(2*time.Minute, 50*time.Minute)}
	if g.perhaps(0.6) && g.growing {
		s.Growing = growing
	}
	d := &s.Duplicates
	for _, share := range []*float64{&d.WithinBlob, &d.AcrossBlobs, &d.AcrossFeeds, &d.Redelivered, &d.Variants} {
		if v := g.part(0.2); g.perhaps(0.4) {
			*share = v
		}
	}
	d.RedeliveredAfter = g.between(10*time.Minute, 10*time.Hour)
	for _, share := range []*float64{&s.WithoutID, &s.Malformed, &s.Odd} {
		if v := g.part(0.05); g.perhaps(0.4) {
			*share = v
		}
	}
	if g.perhaps(0.25) {
		s.Throttle = m365sim.Throttle{RequestsPerMinute: 60 + g.IntN(400), Status: pick(g, 403, 429), RetryAfter: g.retryAfter()}
	}
}

func (g *gen) retryAfter() string {
	return pick(g, "", "none", "seconds", "decimal", "date", "past_date", "garbage", "0", "0.5", "45", "180")
}

// faultsOf are the kinds that make sense on a route.
func faultsOf(route string) []m365sim.Kind {
	all := []m365sim.Kind{
		m365sim.TooMany, m365sim.AF429, m365sim.ServerError, m365sim.Unavailable, m365sim.Reset, m365sim.TruncatedGzip,
		m365sim.TruncatedJSON, m365sim.BadGzip, m365sim.HTML200, m365sim.Slow, m365sim.Stall, m365sim.Unauthorized,
	}
	switch route {
	case "blob":
		return append(all, m365sim.NotFound, m365sim.Expired)
	case "content":
		return append(all, m365sim.RepeatNext, m365sim.ForeignNext, m365sim.ForeignURI, m365sim.EmptyPage, m365sim.NextV1,
			m365sim.NextEndtime, m365sim.StaleNext, m365sim.NotFound)
	}
	return all
}

// faults draws rules of the whole menu.
func (g *gen) faults() {
	s := &g.p.Scenario
	for range pick(g, 0, 2, 3, 4, 5, 6, 8, 12) {
		route := pick(g, "blob", "blob", "blob", "content", "content", "token", "subscriptions", "*")
		f := m365sim.Fault{Route: route, Kind: pick(g, faultsOf(route)...), RetryAfter: g.retryAfter(), Duration: g.between(10*time.Second, 10*time.Minute)}
		g.often(&f)
		if g.perhaps(0.3) {
			f.After = g.between(0, time.Duration(g.p.Live)/2)
		}
		if g.perhaps(0.2) {
			f.Until = f.After + g.between(time.Minute, time.Duration(g.p.Live)/2)
		}
		if g.perhaps(0.2) {
			f.Tenant = s.Tenants[g.IntN(len(s.Tenants))].ID
		}
		if named := route == "blob" || route == "content"; named && g.perhaps(0.2) {
			f.ContentType = pick(g, m365sim.ContentTypes()...)
		}
		s.Faults = append(s.Faults, f)
	}
	if g.perhaps(0.2) { // an outage
		f := m365sim.Fault{Route: pick(g, "*", "blob", "content", "token"), Kind: pick(g, m365sim.Unavailable, m365sim.AF429, m365sim.Reset), After: g.moment()}
		f.Until = f.After + g.between(2*time.Minute, 30*time.Minute)
		s.Faults = append(s.Faults, f)
	}
	if g.perhaps(0.2) { // a few blobs that cannot be read for long
		s.Faults = append(s.Faults, m365sim.Fault{
			Route: "blob", Kind: pick(g, m365sim.ServerError, m365sim.TruncatedJSON, m365sim.HTML200), Share: g.part(0.05), Until: g.between(10*time.Minute, 3*time.Hour),
		})
	}
	if g.perhaps(0.15) { // listings that only work in parts
		s.Faults = append(s.Faults, m365sim.Fault{
			Route: "content", Kind: m365sim.ServerError, WiderThan: g.between(2*time.Hour, 20*time.Hour), Until: g.between(30*time.Minute, 3*time.Hour),
		})
	}
}

// often draws when a rule strikes.
func (g *gen) often(f *m365sim.Fault) {
	switch n := g.IntN(10); {
	case f.Kind == m365sim.NotFound || f.Kind == m365sim.Expired:
		f.Probability = g.part(0.05)
	case n < 6:
		f.Probability = g.part(0.25)
	case n < 8:
		f.Every = 3 + g.IntN(20)
	default:
		f.First, f.PerTarget = 1+g.IntN(4), g.perhaps(0.5)
	}
}

// connectors draws how the tenants are collected: by one connector, by two that share the content types, or by two that
// both have some.
func (g *gen) connectors() {
	for i, t := range g.p.Scenario.Tenants {
		var types []string
		back := time.Duration(0)
		for _, f := range t.Traffic {
			types = append(types, f.ContentType)
			back = max(back, time.Duration(f.History))
		}
		c := Connector{
			Name: fmt.Sprintf("c%d", i), Tenant: t.ID, Types: types, Interval: g.between(time.Minute, 15*time.Minute),
			Back: m365sim.Duration(back + 2*time.Hour), Parallel: 1 + g.IntN(1+g.IntN(16)), PerMin: pick(g, 0, 300, 1200, 1200),
		}
		second := c
		second.Name, second.Interval, second.Parallel = c.Name+"b", g.between(time.Minute, 15*time.Minute), 1+g.IntN(4)
		cutAt, n := 1+g.IntN(max(len(types)-1, 1)), g.IntN(100)
		switch {
		case n < 12 && len(types) > 1:
			c.Types, second.Types = types[:cutAt], types[cutAt:]
			g.p.Connectors = append(g.p.Connectors, c, second)
		case n < 20:
			second.Types = types[:cutAt]
			g.p.Connectors = append(g.p.Connectors, c, second)
		default:
			g.p.Connectors = append(g.p.Connectors, c)
		}
	}
	horizon := time.Duration(g.p.Live) + g.away
	for _, c := range g.p.Connectors {
		horizon = max(horizon, time.Duration(g.p.Live)+g.away+time.Duration(c.Back))
	}
	if horizon > 22*time.Hour { // the hourly sweeps do not reach all of what can come late
		g.p.Settle = settleRestart
	}
}

// operator draws what people do meanwhile.
func (g *gen) operator() {
	if g.perhaps(0.2) {
		g.p.Events = append(g.p.Events, Event{At: g.moment(), Kind: Backfill, Name: pick(g, g.p.Connectors...).Name})
	}
	if g.perhaps(0.15) {
		g.p.Events = append(g.p.Events, Event{
			At: g.moment(), Kind: Pause, Name: pick(g, g.p.Connectors...).Name, For: g.between(time.Minute, 20*time.Minute),
		})
	}
	if g.perhaps(0.2) { // little more than one batch: the lake has to make room
		g.p.Journal = int64(1000+g.IntN(600)) << 10
	}
	slices.SortStableFunc(g.p.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
}

// database draws what happens to the connections with PostgreSQL.
func (g *gen) database() {
	g.p.Postgres = true
	for range pick(g, 0, 1, 1, 2, 3) {
		e := Event{At: g.moment(), Kind: Disconnect}
		if g.perhaps(0.4) {
			e.Kind, e.For = DatabaseDown, g.between(time.Minute, 30*time.Minute)
		}
		g.p.Events = append(g.p.Events, e)
	}
}
