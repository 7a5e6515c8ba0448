//go:build !linux

package engine

// limitProcess does nothing where RLIMIT_DATA does not bound what the engine allocates.
func limitProcess(int64) error { return nil }

// restrict does nothing where there is no Landlock; the engine's own fences remain.
func restrict([]string, string) error { return nil }
