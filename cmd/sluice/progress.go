package main

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// bar is a progress bar on standard error, for people only: elsewhere it prints nothing. Errors of a terminal that
// went away do not matter to the work, so its methods have none.
type bar struct{ bar *progressbar.ProgressBar }

func (c *cli) bar(total int64, what string, bytes bool) bar {
	if !c.terminal {
		return bar{}
	}
	return bar{progressbar.NewOptions64(max(total, 1),
		progressbar.OptionSetWriter(c.err),
		progressbar.OptionSetDescription(cut(clean(what), 40)),
		progressbar.OptionShowBytes(bytes),
		progressbar.OptionShowCount(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())}
}

// describe says what is being counted now.
func (b bar) describe(what string) {
	if b.bar != nil {
		b.bar.Describe(cut(clean(what), 40))
	}
}

func (b bar) limit(total int64) {
	if b.bar != nil && b.bar.GetMax64() != total {
		b.bar.ChangeMax64(total)
	}
}

func (b bar) set(n int64) {
	if b.bar != nil {
		_ = b.bar.Set64(n)
	}
}

func (b bar) close() {
	if b.bar != nil {
		_ = b.bar.Clear()
	}
}

// reader counts what is read from r.
func (b bar) reader(r io.Reader) io.Reader {
	if b.bar == nil {
		return r
	}
	return io.TeeReader(r, b.bar)
}
