package collect

import (
	"context"
	"sync"
	"time"

	"sluice/internal/fault"
	"sluice/internal/state"
)

// erasures remembers of which tenants the data were erased, as the state database has it. It is safe for concurrent use.
type erasures struct {
	mu      sync.RWMutex
	tenants map[string]state.Erasure
}

func (e *erasures) load(ctx context.Context, s *state.Store) error {
	list, err := s.Erasures(ctx)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tenants = make(map[string]state.Erasure, len(list))
	for _, erasure := range list {
		e.tenants[erasure.TenantName] = erasure
	}
	return nil
}

func (e *erasures) add(erasure state.Erasure) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tenants[erasure.TenantName] = erasure
}

// generation is the part of the keys of claims that rises with every erasure, so that what was erased can land again (rule
// 8 of the collection path).
func (e *erasures) generation(tenantName string) uint32 {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.tenants[tenantName].Generation
}

// cover reports whether a record of the lake counts as erased, although it may still be there.
func (e *erasures) cover(row Held) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	erasure, ok := e.tenants[row.TenantName]
	return ok && row.Seq <= erasure.Seq
}

// eraseRetry is how long BeginErasure waits between two attempts.
const eraseRetry = 250 * time.Millisecond

// BeginErasure forgets what the ledger has of a tenant and makes what the journal and the lake have of it count as erased:
// ids of its records can be claimed again, a new connector of the tenant collects anew everything that the service still
// lists. It waits until the lake has what was collected, because what is there is known by its place. The rows themselves go
// with FinishErasures. A tenant with connectors is a fault.Conflict.
func (p *Publisher) BeginErasure(ctx context.Context, tenantName string) (state.Erasure, error) {
	imports := make([]string, 0, len(KnownTypes()))
	for _, connectorType := range KnownTypes() {
		imports = append(imports, ImportConnector(connectorType, tenantName, "").ID)
	}
	for {
		var erasure state.Erasure
		err := p.between(ctx, func() (err error) {
			if erasure, err = p.cfg.State.BeginErasure(ctx, p.term, tenantName, imports); err == nil {
				p.erasures.add(erasure)
			}
			return err
		})
		if !fault.Is(err, fault.Unavailable) {
			return erasure, err
		}
		if err := p.settleAll(ctx); err != nil {
			return state.Erasure{}, err
		}
		if sleepErr := p.cfg.Clock.Sleep(ctx, eraseRetry); sleepErr != nil {
			return state.Erasure{}, err
		}
	}
}

// settleAll waits until the lake has what was published so far, and notes that it has.
func (p *Publisher) settleAll(ctx context.Context) error {
	seq := p.Confirmed()
	if err := p.cfg.Lake.Committed(ctx, seq); err != nil {
		return err
	}
	return p.Committed(ctx, state.Position{Stream: p.cfg.Journal.StreamID(), Seq: seq})
}

// between runs do while no batch is under way, and returns its error.
func (p *Publisher) between(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	select {
	case p.orders <- func() { done <- do() }:
		return <-done
	case <-p.stopped:
		return fault.New(fault.Canceled, "", "the server stops")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refuseErased ends the fragments that were read before the data of their tenant were erased, and returns the others. Their
// claims would not be found by what is collected now. What a connector read it reads again, a deleted one or an import ends.
func (p *Publisher) refuseErased(group []*fragment) []*fragment {
	current := group[:0]
	for _, f := range group {
		if tenant := f.connector.TenantName; f.generation != p.erasures.generation(tenant) {
			p.finish([]*fragment{f}, fault.Newf(fault.Conflict, "", "the data of the tenant %s were erased meanwhile", tenant))
			continue
		}
		current = append(current, f)
	}
	return current
}

// FinishErasures removes from the lake what erasures left there, those of earlier processes too, and returns how many
// records that were. After an error it is called again.
func (p *Publisher) FinishErasures(ctx context.Context) (records int64, err error) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	list, err := p.cfg.State.Erasures(ctx)
	if err != nil {
		return 0, err
	}
	for _, erasure := range list {
		if !erasure.Pending {
			continue
		}
		n, err := p.cfg.Lake.Erase(ctx, erasure.TenantName, erasure.Seq)
		records += n
		if err == nil {
			err = p.cfg.State.EndErasure(ctx, p.term, erasure)
		}
		if err != nil {
			return records, fault.Wrap("", "erase tenant "+erasure.TenantName, err)
		}
		p.log.Info("erased a tenant from the lake", "tenant", erasure.TenantName, "records", n)
	}
	return records, nil
}
