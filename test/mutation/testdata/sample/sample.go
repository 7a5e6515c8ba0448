// Package sample is what the tests of package mutation mutate.
package sample

// Max is the larger of two numbers.
func Max(a, b int) int {
	if a > b {
		return a
	}
	return b
}

// Wait ends when done is closed.
func Wait(done <-chan struct{}) {
	<-done
}
