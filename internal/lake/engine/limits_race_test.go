//go:build race

package engine_test

// dataLimit is off: the shadow memory of the race detector alone exceeds any sensible limit.
const dataLimit = -1
