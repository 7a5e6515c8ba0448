package main

import (
	"context"
	"iter"
	"slices"
	"time"

	"sluice/internal/m365sim"
)

// shrinker looks for the smallest plan that still fails.
type shrinker struct {
	fails func(context.Context, *Plan) bool
	left  int // runs
}

// shrink returns a plan that fails like p and is not larger. It ends after a number of runs, or with ctx.
func (s *shrinker) shrink(ctx context.Context, p *Plan) *Plan {
	for {
		smaller := s.step(ctx, p)
		if smaller == nil {
			return p
		}
		p = smaller
	}
}

// step returns the first smaller plan that fails, nil when there is none.
func (s *shrinker) step(ctx context.Context, p *Plan) *Plan {
	for candidate := range smallerPlans(p) {
		if s.left <= 0 || ctx.Err() != nil {
			return nil
		}
		if candidate.check() != nil || candidate.equal(p) {
			continue
		}
		s.left--
		if s.fails(ctx, candidate) {
			return candidate
		}
	}
	return nil
}

// smallerPlans yields plans that are a little simpler, those that save most first. Some may be no plans any more.
func smallerPlans(p *Plan) iter.Seq[*Plan] {
	return func(yield func(*Plan) bool) {
		for _, f := range simplifications(p) {
			c := p.clone()
			f(c)
			c.sort()
			if !yield(c) {
				return
			}
		}
	}
}

// simplifications lists what can be done to make a plan simpler.
func simplifications(p *Plan) (list []func(*Plan)) {
	change := func(f func(*Plan)) { list = append(list, f) }
	for i := range p.Scenario.Tenants {
		change(func(c *Plan) { c.dropTenant(i) })
	}
	for i := range p.Connectors {
		change(func(c *Plan) { c.Connectors = slices.Delete(c.Connectors, i, i+1) })
	}
	change(func(c *Plan) { c.Scenario.Faults = nil })
	change(func(c *Plan) { c.Events = nil })
	for _, halve := range [][2]int{{0, 2}, {1, 2}} {
		change(func(c *Plan) { c.Scenario.Faults = half(c.Scenario.Faults, halve[0]) })
		change(func(c *Plan) { c.Events = half(c.Events, halve[0]) })
	}
	for i := range p.Scenario.Faults {
		change(func(c *Plan) { c.Scenario.Faults = slices.Delete(c.Scenario.Faults, i, i+1) })
	}
	for i := range p.Events {
		change(func(c *Plan) { c.Events = slices.Delete(c.Events, i, i+1) })
	}
	for i, c := range p.Connectors {
		for j := range c.Types {
			if len(c.Types) > 1 {
				change(func(c *Plan) { c.dropType(i, j) })
			}
		}
	}
	for _, reset := range resets() {
		change(reset)
	}
	for i := range p.Scenario.Faults {
		change(func(c *Plan) {
			f := &c.Scenario.Faults[i]
			f.After, f.Until, f.RetryAfter, f.Tenant, f.ContentType = 0, 0, "", "", ""
		})
	}
	for i := range p.Events {
		change(func(c *Plan) { c.Events[i].For = 0 })
		change(func(c *Plan) { c.Events[i].Times = 0 })
		change(func(c *Plan) { c.Events[i].Hit /= 2 })
	}
	return list
}

// half keeps the first (0) or the second half.
func half[T any](list []T, which int) []T {
	if which == 0 {
		return list[:len(list)/2]
	}
	return list[len(list)/2:]
}

// resets take away one weakness each, or make a number smaller.
func resets() []func(*Plan) {
	traffic := func(f func(*m365sim.Traffic)) func(*Plan) {
		return func(p *Plan) {
			for i := range p.Scenario.Tenants {
				for j := range p.Scenario.Tenants[i].Traffic {
					f(&p.Scenario.Tenants[i].Traffic[j])
				}
			}
		}
	}
	return []func(*Plan){
		func(p *Plan) { p.Scenario.Duplicates = m365sim.Duplicates{} },
		func(p *Plan) { p.Scenario.Late = m365sim.Late{} },
		func(p *Plan) { p.Scenario.Growing = m365sim.Growing{} },
		func(p *Plan) { p.Journal = 0 },
		func(p *Plan) { p.Scenario.Throttle = m365sim.Throttle{} },
		func(p *Plan) { p.Scenario.Malformed, p.Scenario.Odd, p.Scenario.WithoutID = 0, 0, 0 },
		func(p *Plan) { p.Scenario.ClockSkew = 0 },
		func(p *Plan) { p.Scenario.TokenLifetime = 0 },
		func(p *Plan) { p.Scenario.Expiry = 0 },
		func(p *Plan) { p.Scenario.Recut = false },
		func(p *Plan) { p.Scenario.ShufflePages, p.Scenario.EqualCreated = false, 0 },
		func(p *Plan) { p.Scenario.PageSize = 0 },
		func(p *Plan) { p.Scenario.Latency = 0 },
		func(p *Plan) { p.Scenario.Duplicates.Variants = 0 },
		func(p *Plan) { p.Scenario.Duplicates.Redelivered, p.Scenario.Duplicates.AcrossFeeds = 0, 0 },
		func(p *Plan) { p.Scenario.Duplicates.WithinBlob, p.Scenario.Duplicates.AcrossBlobs = 0, 0 },
		func(p *Plan) { p.Live /= 2 },
		traffic(func(t *m365sim.Traffic) { t.Events /= 2 }),
		traffic(func(t *m365sim.Traffic) { t.Rate /= 2 }),
		traffic(func(t *m365sim.Traffic) { t.Rate = 0 }),
		func(p *Plan) {
			for i := range p.Connectors {
				p.Connectors[i].Parallel = 1
			}
		},
		func(p *Plan) {
			for i := range p.Connectors {
				p.Connectors[i].Interval, p.Connectors[i].PerMin = m365sim.Duration(5*time.Minute), 0
			}
		},
	}
}

// dropTenant removes a tenant and what belongs to it.
func (p *Plan) dropTenant(i int) {
	id := p.Scenario.Tenants[i].ID
	p.Scenario.Tenants = slices.Delete(p.Scenario.Tenants, i, i+1)
	p.Connectors = slices.DeleteFunc(p.Connectors, func(c Connector) bool { return c.Tenant == id })
	p.Scenario.Faults = slices.DeleteFunc(p.Scenario.Faults, func(f m365sim.Fault) bool { return f.Tenant == id })
	p.Events = slices.DeleteFunc(p.Events, func(e Event) bool {
		return e.Name != "" && !slices.ContainsFunc(p.Connectors, func(c Connector) bool { return c.Name == e.Name })
	})
}

// dropType stops collecting a content type, and making it when nobody else collects it.
func (p *Plan) dropType(connector, which int) {
	c := &p.Connectors[connector]
	contentType := c.Types[which]
	c.Types = slices.Delete(c.Types, which, which+1)
	for _, other := range p.Connectors {
		if other.Tenant == c.Tenant && slices.Contains(other.Types, contentType) {
			return
		}
	}
	for i := range p.Scenario.Tenants {
		if t := &p.Scenario.Tenants[i]; t.ID == c.Tenant {
			t.Traffic = slices.DeleteFunc(t.Traffic, func(f m365sim.Traffic) bool { return f.ContentType == contentType })
		}
	}
}
