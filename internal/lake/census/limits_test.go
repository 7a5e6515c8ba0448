//go:build !race

package census_test

// dataLimit is the usual one.
const dataLimit = 0
