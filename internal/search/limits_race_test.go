//go:build race

package search_test

// dataLimit is off: the shadow memory of the race detector alone exceeds any sensible limit.
const dataLimit = -1
