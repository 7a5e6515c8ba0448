package collect

import (
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/internal/fault"
	"sluice/internal/normalize"
	"sluice/internal/record"
)

// examplesKept bounds the malformed lines that an import quotes.
const examplesKept = 10

// Example is an item of an imported file that is not a usable record.
type Example struct {
	Line   int64
	Reason string
}

// FileResult says what became of a file. Lines = Records + Duplicates + Filtered + Malformed once everything was
// handed over.
type FileResult struct {
	Counts
	Lines    int64
	Examples []Example
}

// ImportConnector is the connector that imported records carry. Its ledger is apart from that of any real connector.
func ImportConnector(connectorType, tenantName, directoryID string) record.Connector {
	return record.Connector{
		ID: importPrefix + connectorType + ":" + tenantName, Name: "import", Type: connectorType,
		TenantName: tenantName, DirectoryID: directoryID,
	}
}

const importPrefix = "import:"

// ImportTenant is the tenant name in the id of an ImportConnector. ok is false for any other id.
func ImportTenant(connectorID string) (tenantName string, ok bool) {
	rest, ok := strings.CutPrefix(connectorID, importPrefix)
	if !ok {
		return "", false
	}
	_, tenantName, ok = strings.Cut(rest, ":") // no type has a colon
	return tenantName, ok
}

// Import takes the items of one file through ids, journal and ledger. It returns when all of them are safe in the
// journal. An error of items ends the file; what came before it lands, and the result counts it.
func (m *Manager) Import(ctx context.Context, connector record.Connector, jobID, name string, items iter.Seq2[record.Item, error]) (FileResult, error) {
	p := m.deps.Publisher
	select {
	case <-p.ready: // before, the generation of the tenant is not known
	case <-p.stopped:
		return FileResult{}, fault.New(fault.Canceled, "import", "the server stops")
	case <-ctx.Done():
		return FileResult{}, ctx.Err()
	}
	im := &fileImport{
		m: m, connector: connector, key: jobID + "|" + name, contentID: filepath.Base(name),
		prep: &preparer{connector: &connector, generation: p.erasures.generation(connector.TenantName), now: m.deps.Clock.Now},
		open: map[string]*fragment{},
	}
	readErr := im.read(ctx, items)
	for contentType := range im.open {
		if err := im.handOver(ctx, contentType); err != nil && readErr == nil {
			readErr = err
		}
	}
	im.pending.Wait()
	im.mu.Lock()
	defer im.mu.Unlock()
	if readErr == nil {
		readErr = im.err
	}
	return im.result, readErr
}

type fileImport struct {
	m         *Manager
	connector record.Connector
	key       string
	contentID string
	prep      *preparer
	open      map[string]*fragment // by content type
	parts     int
	pending   sync.WaitGroup

	mu     sync.Mutex
	result FileResult
	err    error
}

func (im *fileImport) read(ctx context.Context, items iter.Seq2[record.Item, error]) error {
	for item, err := range items {
		if err != nil {
			return err
		}
		rec, contentType := im.prep.prepare(item, "", im.contentID)
		im.mu.Lock()
		im.result.Lines++
		if rec.rec.Index == record.Quarantine && len(im.result.Examples) < examplesKept {
			im.result.Examples = append(im.result.Examples, Example{Line: item.Offset, Reason: rec.rec.Reason})
		}
		im.mu.Unlock()
		frag := im.open[contentType]
		if frag == nil {
			if frag, err = im.fragment(ctx, contentType); err != nil {
				return err
			}
			im.open[contentType] = frag
		}
		frag.items = append(frag.items, rec)
		frag.bytes += int64(len(item.Raw))
		if frag.bytes >= fragmentBytes || len(frag.items) >= fragmentItems {
			if err := im.handOver(ctx, contentType); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

func (im *fileImport) fragment(ctx context.Context, contentType string) (*fragment, error) {
	if p := im.m.deps.Publisher; !p.tryReserve(fragmentBytes) {
		// Waiting for memory while holding some could wait for ever.
		for contentType := range im.open {
			if err := im.handOver(ctx, contentType); err != nil {
				return nil, err
			}
		}
		if err := p.reserve(ctx, fragmentBytes); err != nil {
			return nil, err
		}
	}
	im.parts++
	unit := record.Unit{
		Key: fmt.Sprintf("%s|%d|%s", im.key, im.parts, contentType), ContentType: contentType, ContentID: im.contentID,
		Created: im.m.deps.Clock.Now().Truncate(time.Millisecond),
	}
	return &fragment{
		connector: &im.connector, generation: im.prep.generation, reserved: fragmentBytes, add: &unit, complete: true, done: im.done,
		unit: record.BatchUnit{ID: unit.ID(im.connector.ID), ContentType: contentType, ContentID: unit.ContentID, Created: unit.Created},
	}, nil
}

func (im *fileImport) handOver(ctx context.Context, contentType string) error {
	frag := im.open[contentType]
	delete(im.open, contentType)
	im.pending.Add(1)
	err := im.m.deps.Publisher.askLake(ctx, frag, false)
	if err == nil {
		err = im.m.deps.Publisher.submit(ctx, frag)
	}
	if err != nil {
		im.pending.Done()
		im.m.deps.Publisher.release(frag.reserved)
	}
	return err
}

func (im *fileImport) done(c Counts, err error) {
	im.mu.Lock()
	if err != nil {
		im.err = fault.Wrap("", "import", err)
	} else {
		im.result.add(c)
	}
	im.mu.Unlock()
	im.pending.Done()
}

// Known reports whether records of a connector type can be imported.
func Known(connectorType string) bool { return slices.Contains(KnownTypes(), connectorType) }

// KnownTypes lists the connector types whose records can be imported.
func KnownTypes() []string {
	return []string{normalize.Office365, normalize.MessageTrace, normalize.CloudApps, normalize.ServiceHealth}
}
