//go:build !sluicetest

package failpoint

// Hit marks a place. In this build it does nothing.
func Hit(string) {}

// Err marks a place that can fail. In this build it returns nil.
func Err(string) error { return nil }
