package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/internal/fault"
)

// Store keeps the record. Changes come in the order in which they happened; a store may drop old ones, but never the
// last one of a Change.Key. A change to ReasonDeleted ends a key: nothing of it needs to be kept.
type Store interface {
	// Load returns the last change of every key; with an error those that could be read.
	Load(ctx context.Context) ([]Change, error)
	// Append adds changes. After an error it may be called again with the same ones; to have some of them twice is
	// harmless.
	Append(ctx context.Context, changes []Change) error
	// List returns changes of the feed, newest first, at most limit. An empty ContentType stands for all of the
	// connector, an empty ConnectorID for the server.
	List(ctx context.Context, f Feed, limit int) ([]Change, error)
}

// Values is a table of small values by key, as the state database has one.
type Values interface {
	Value(ctx context.Context, key string) (value []byte, ok bool, err error)
	PutValue(ctx context.Context, key string, value []byte) error
	Values(ctx context.Context, prefix string) (map[string][]byte, error)
	DeleteValue(ctx context.Context, key string) error
}

const (
	keyPrefix = "health/"
	// keepPerFeed is how many changes of a feed a ValueStore keeps.
	keepPerFeed = 60
)

// ValueStore is a Store in a table of values, one value per connector and one for the server, with the last 60 changes
// of each feed. One process at a time may write.
type ValueStore struct{ values Values }

// NewValueStore makes a store of the keys that begin with "health/".
func NewValueStore(values Values) *ValueStore { return &ValueStore{values} }

var _ Store = (*ValueStore)(nil)

func valueKey(connectorID string) string { return keyPrefix + connectorID }

// Load implements Store.
func (s *ValueStore) Load(ctx context.Context) ([]Change, error) {
	all, err := s.values.Values(ctx, keyPrefix)
	if err != nil {
		return nil, err
	}
	var last []Change
	var damaged error
	for key, value := range all {
		changes, err := decode(key, value)
		if err != nil {
			damaged = errors.Join(damaged, err)
			continue
		}
		seen := map[string]bool{}
		for _, c := range slices.Backward(changes) {
			if k := c.Key(); !seen[k] {
				seen[k] = true
				last = append(last, c)
			}
		}
	}
	return last, damaged
}

func decode(key string, value []byte) ([]Change, error) {
	var changes []Change
	if err := json.Unmarshal(value, &changes); err != nil {
		return nil, fault.New(fault.Internal, "read the history of conditions", fmt.Sprintf("value %q is damaged", key)).WithCause(err)
	}
	return changes, nil
}

// Append implements Store.
func (s *ValueStore) Append(ctx context.Context, changes []Change) error {
	byConnector := map[string][]Change{}
	var order []string
	for _, c := range changes {
		id := c.Feed.ConnectorID
		if byConnector[id] == nil {
			order = append(order, id)
		}
		byConnector[id] = append(byConnector[id], c)
	}
	for _, id := range order {
		if err := s.appendTo(ctx, valueKey(id), byConnector[id]); err != nil {
			return err
		}
	}
	return nil
}

func (s *ValueStore) appendTo(ctx context.Context, key string, changes []Change) error {
	old, ok, err := s.values.Value(ctx, key)
	if err != nil {
		return err
	}
	var have []Change
	if ok {
		have, _ = decode(key, old) // a damaged record is begun anew
	}
	have = trim(append(have, changes...))
	if len(have) == 0 {
		return s.values.DeleteValue(ctx, key)
	}
	value, err := json.Marshal(have)
	if err != nil {
		return fault.Wrap(fault.Internal, "write the history of conditions", err)
	}
	return s.values.PutValue(ctx, key, value)
}

func (s *ValueStore) read(ctx context.Context, key string) ([]Change, error) {
	value, ok, err := s.values.Value(ctx, key)
	if err != nil || !ok {
		return nil, err
	}
	return decode(key, value)
}

// trim drops what is deleted, and of each feed what is older than the last changes, but not the last one of a key.
func trim(changes []Change) []Change {
	perFeed, seen, ended := map[string]int{}, map[string]bool{}, map[string]bool{}
	var kept []Change
	for _, c := range slices.Backward(changes) {
		k := c.Key()
		if !seen[k] {
			ended[k] = c.Condition.Reason == ReasonDeleted
		}
		if !ended[k] && (!seen[k] || perFeed[c.Feed.Key()] < keepPerFeed) {
			perFeed[c.Feed.Key()]++
			kept = append(kept, c)
		}
		seen[k] = true
	}
	slices.Reverse(kept)
	return kept
}

// List implements Store.
func (s *ValueStore) List(ctx context.Context, f Feed, limit int) ([]Change, error) {
	changes, err := s.read(ctx, valueKey(f.ConnectorID))
	if err != nil {
		return nil, err
	}
	var list []Change
	for _, c := range slices.Backward(changes) {
		if len(list) >= limit {
			break
		}
		if f.ContentType == "" || c.Feed.ContentType == "" || strings.EqualFold(c.Feed.ContentType, f.ContentType) {
			list = append(list, c)
		}
	}
	return list, nil
}
