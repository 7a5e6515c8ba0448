package clock

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestScaledRunsFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := NewScaled(60)
		if err := c.Sleep(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
		if wall := time.Since(start); wall != time.Minute {
			t.Errorf("an hour took %v of wall time, want a minute", wall)
		}
		if got := c.Now().Sub(start); got != time.Hour {
			t.Errorf("the clock went on by %v, want an hour", got)
		}
		<-c.After(30 * time.Minute)
		if got := c.Now().Sub(start); got != 90*time.Minute {
			t.Errorf("the clock went on by %v, want 90 minutes", got)
		}
	})
}

func TestSleepEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, c := range []Clock{Real{}, NewScaled(2)} {
			if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%T: %v", c, err)
			}
			if err := c.Sleep(ctx, 0); err == nil {
				t.Errorf("%T: no wait at all must still report the end of the context", c)
			}
		}
	})
}

func TestRealIsUTC(t *testing.T) {
	if zone := (Real{}).Now().Location(); zone != time.UTC {
		t.Errorf("zone %v", zone)
	}
}
