package sample

import "testing"

func TestMax(t *testing.T) {
	for _, name := range []string{"first is larger", "second is larger"} {
		t.Run(name, func(t *testing.T) {
			a, b := 2, 1
			if name == "second is larger" {
				a, b = b, a
			}
			if got := Max(a, b); got != 2 {
				t.Errorf("got %d, want 2", got)
			}
		})
	}
}

func TestWait(t *testing.T) {
	done := make(chan struct{})
	close(done)
	Wait(done)
}

func TestSkipped(t *testing.T) { t.Skip("not here") }
