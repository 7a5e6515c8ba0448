//go:build race

package census_test

// dataLimit is off: the shadow memory of the race detector alone exceeds any sensible limit.
const dataLimit = -1
