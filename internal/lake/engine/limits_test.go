//go:build !race

package engine_test

// dataLimit is the usual one.
const dataLimit = 0
