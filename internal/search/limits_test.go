//go:build !race

package search_test

// dataLimit is the usual one.
const dataLimit = 0
