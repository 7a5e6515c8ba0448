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

func TestScaledTravelsAsText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewScaled(1200)
		again, err := ParseScaled(c.String())
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if d := again.Now().Sub(c.Now()).Abs(); d > time.Microsecond {
			t.Errorf("%s came back %v apart", c, d)
		}
		later := c.Ahead(72 * time.Hour)
		if d := later.Now().Sub(c.Now()) - 72*time.Hour; d.Abs() > time.Millisecond {
			t.Errorf("72 hours ahead is wrong by %v", d)
		}
		before := later.Now()
		<-time.After(time.Second)
		if d := later.Now().Sub(before) - 20*time.Minute; d.Abs() > time.Millisecond {
			t.Errorf("a second is 20 minutes and %v", d)
		}
	})
}

func TestParseScaledRefuses(t *testing.T) {
	for _, text := range []string{"", "60", "60@", "@1", "0@1", "-1@1", "NaN@1", "+Inf@1", "2000000@1", "60@now", "60@1@2"} {
		if c, err := ParseScaled(text); err == nil {
			t.Errorf("%q became %v", text, c)
		}
	}
}

// FuzzParseScaled demands that what was read once is written and read again as the same.
func FuzzParseScaled(f *testing.F) {
	for _, seed := range []string{"60@1764547200000000000", "1e3@0", "0.5@-1", "@", "1@9223372036854775808"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseScaled(text)
		if err != nil {
			return
		}
		again, err := ParseScaled(c.String())
		if err != nil || again.Factor != c.Factor || !again.Start.Equal(c.Start) {
			t.Errorf("%q became %v, then %v (%v)", text, c, again, err)
		}
	})
}
