package notify

import "context"

// Store keeps one value per target: what the target was told and its outbox.
type Store interface {
	// Load returns the value of a target, nil when there is none.
	Load(ctx context.Context, target string) ([]byte, error)
	// Save replaces it as a whole.
	Save(ctx context.Context, target string, value []byte) error
}

// Values is a table of small values by key, as the state database has one.
type Values interface {
	Value(ctx context.Context, key string) (value []byte, ok bool, err error)
	PutValue(ctx context.Context, key string, value []byte) error
}

type valueStore struct{ values Values }

// NewValueStore makes a Store of the keys that begin with "notify/". One process at a time may write.
func NewValueStore(values Values) Store { return valueStore{values} }

func (s valueStore) Load(ctx context.Context, target string) ([]byte, error) {
	value, _, err := s.values.Value(ctx, "notify/"+target)
	return value, err
}

func (s valueStore) Save(ctx context.Context, target string, value []byte) error {
	return s.values.PutValue(ctx, "notify/"+target, value)
}
