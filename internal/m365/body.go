package m365

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"sluice/internal/fault"
)

// cutAnswer is what to do about an answer that did not arrive whole.
const cutAnswer = transient + "; if it stays, a proxy or firewall on the way cuts or changes answers: ask your network team"

// maxPage is how much of a web page in the place of data is kept for the operator.
const maxPage = 512

// errTimeout is the cause of a context that the budget ended.
var errTimeout = errors.New("the service took too long")

// budget ends a request after a time spent waiting for the service. It runs from start to stop, so the time in which
// the reader of a body is busy with something else does not count. It is used by one goroutine.
type budget struct {
	timer   *time.Timer
	left    time.Duration
	started time.Time
}

func newBudget(d time.Duration, cancel context.CancelCauseFunc) *budget {
	return &budget{timer: time.AfterFunc(d, func() { cancel(errTimeout) }), left: d, started: time.Now()}
}

func (b *budget) start() {
	b.started = time.Now()
	b.timer.Reset(max(b.left, 0))
}

func (b *budget) stop() {
	b.timer.Stop()
	b.left -= time.Since(b.started)
}

// body is a response body: decoded, timed, limited, and with its errors classified.
type body struct {
	op, host string
	ctx      context.Context //nolint:containedctx // lives exactly as long as the request it belongs to
	cancel   context.CancelCauseFunc
	budget   *budget
	raw      io.ReadCloser
	src      io.Reader // raw, or zip
	zip      *gzip.Reader
	pool     *sync.Pool // of *gzip.Reader
	left     int64      // bytes that may still come, after decoding; negative: no limit
	read     bool       // something was read
	page     []byte     // beginning of the body when it looks like a web page
	err      error      // sticky
}

// open wraps resp's body. It reads the gzip header, so it can wait for the service. The budget is running.
func (b *body) open(resp *http.Response) error {
	b.raw, b.src = resp.Body, resp.Body
	coding := strings.ToLower(strings.TrimSpace(resp.Header.Get("Content-Encoding")))
	switch coding {
	case "", "identity":
		return nil
	case "gzip", "x-gzip":
	default:
		return fault.Newf(fault.Unavailable, b.op, "%s answers in the coding %q, which was not asked for", b.host, oneLine(coding, 20))
	}
	if resp.ContentLength == 0 {
		return nil
	}
	b.zip, _ = b.pool.Get().(*gzip.Reader)
	if b.zip == nil {
		b.zip = new(gzip.Reader)
	}
	if err := b.zip.Reset(b.raw); err != nil {
		if errors.Is(err, io.EOF) && context.Cause(b.ctx) == nil { // no body at all
			b.src = http.NoBody
			return nil
		}
		return b.failure(err)
	}
	b.src = b.zip
	return nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if b.left == 0 { // one byte more tells a body that fits from one that does not
		p = p[:min(len(p), 1)]
	} else if b.left > 0 && int64(len(p)) > b.left {
		p = p[:b.left]
	}
	b.budget.start()
	n, err := b.src.Read(p)
	b.budget.stop()
	if n > 0 && !b.read {
		b.read = true
		if isHTML(p[:n]) {
			b.page = bytes.Clone(p[:min(n, maxPage)])
		}
	}
	if n > 0 && b.left == 0 {
		b.err = fault.New(fault.Malformed, b.op, "the answer is larger than Sluice accepts")
		return 0, b.err
	}
	if b.left > 0 {
		b.left -= int64(n)
	}
	if err != nil {
		b.err = err
		if !errors.Is(err, io.EOF) || context.Cause(b.ctx) != nil { // a request that was ended can look like an end
			b.err = b.failure(err)
		}
		return n, b.err
	}
	return n, nil
}

// failure classifies an error of the connection or the decoder.
func (b *body) failure(err error) error {
	switch cause := context.Cause(b.ctx); {
	case errors.Is(cause, errTimeout):
		return fault.Newf(fault.Unavailable, b.op, "%s did not finish its answer in time", b.host).WithHint(cutAnswer)
	case cause != nil:
		return fault.Wrap("", b.op, cause)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Newf(fault.Unavailable, b.op, "the answer of %s was cut off", b.host).WithHint(cutAnswer)
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader):
		return fault.Newf(fault.Unavailable, b.op, "the compressed answer of %s is damaged", b.host).WithHint(cutAnswer)
	}
	return fault.Newf(fault.Unavailable, b.op, "the connection to %s broke while its answer was read: %s", b.host, oneLine(redact(networkWords(err)), 120)).WithHint(cutAnswer)
}

// Close implements io.Closer and may be called again.
func (b *body) Close() error {
	b.budget.timer.Stop()
	if b.zip != nil {
		b.pool.Put(b.zip)
		b.zip = nil
		if b.err == nil {
			b.err = fault.New(fault.Internal, b.op, "read after close")
		}
		b.src = http.NoBody
	}
	var err error
	if b.raw != nil {
		err = b.raw.Close()
	}
	b.cancel(nil)
	return err
}
