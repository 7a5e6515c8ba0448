package worker

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"sluice/internal/fault"
)

// readBuffer is the size of the buffer between the pipe of a child and the decoder.
const readBuffer = 256 << 10

// reapedBy bounds the wait for a child that has closed its output: it ends, but on a busy machine not at once.
const reapedBy = 10 * time.Second

// child is a running query process.
type child struct {
	cmd    *exec.Cmd
	temp   string
	in     *os.File // its standard input
	out    *os.File // its standard output
	reader *bufio.Reader
	stderr *head
	exited chan struct{} // closed when the process was reaped; exit is set then
	exit   error

	mu     sync.Mutex
	reason error // why it was killed, nil if it was not
}

func startChild(cfg Config) (*child, error) {
	const op = "start query child"
	temp, err := os.MkdirTemp(cfg.TempDir, "sluice-query-")
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, op, err)
	}
	c := &child{temp: temp, stderr: &head{}, exited: make(chan struct{})}
	if err := c.start(cfg.Argv); err != nil {
		_ = os.RemoveAll(temp)
		return nil, fault.Wrap(fault.Unavailable, op, err)
	}
	return c, nil
}

func (c *child) start(argv []string) error {
	childIn, in, err := os.Pipe()
	if err != nil {
		return err
	}
	out, childOut, err := os.Pipe()
	if err != nil {
		_, _ = childIn.Close(), in.Close()
		return err
	}
	// Not CommandContext: a child outlives the call that started it, and it is killed as a group.
	c.cmd = exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // our own executable; the comment above
	c.cmd.Env = []string{"TMPDIR=" + c.temp, "HOME=" + c.temp, "TZ=UTC"}
	c.cmd.Dir = c.temp
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = childIn, childOut, c.stderr
	c.cmd.SysProcAttr = ownGroup()
	c.cmd.WaitDelay = time.Second
	err = c.cmd.Start()
	_, _ = childIn.Close(), childOut.Close()
	if err != nil {
		_, _ = in.Close(), out.Close()
		return err
	}
	c.in, c.out, c.reader = in, out, bufio.NewReaderSize(out, readBuffer)
	go func() {
		c.exit = c.cmd.Wait()
		close(c.exited)
	}()
	return nil
}

func (c *child) alive() bool {
	select {
	case <-c.exited:
		return false
	default:
		return true
	}
}

// kill ends the process group at once. The first reason is kept and explains the end of the stream to the reader.
func (c *child) kill(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reason == nil {
		c.reason = reason
	}
	if c.alive() {
		killGroup(c.cmd.Process)
	}
}

// end kills the child if it runs and frees what it held.
func (c *child) end() {
	c.kill(errClosed)
	<-c.exited
	_, _ = c.in.Close(), c.out.Close()
	_ = os.RemoveAll(c.temp)
}

// death explains why the stream of the child ended with err.
func (c *child) death(err error) error {
	const op = "run query"
	if c.in != nil {
		_ = c.in.Close()
	}
	c.mu.Lock()
	reason := c.reason
	c.mu.Unlock()
	if reason != nil {
		return reason
	}
	t := time.NewTimer(reapedBy)
	defer t.Stop()
	select {
	case <-c.exited:
	case <-t.C:
		return fault.Wrap(fault.Unavailable, op, err)
	}
	text := c.stderr.String()
	low := strings.ToLower(text)
	if strings.Contains(low, "out of memory") || strings.Contains(low, "cannot allocate memory") || strings.Contains(low, "bad_alloc") {
		return fault.New(fault.Full, op, "the query needs more memory than it may use").
			WithHint("narrow the time range, select fewer columns, or raise the memory limit of queries")
	}
	how := "it exited"
	if c.exit != nil {
		how = c.exit.Error()
	}
	if line := firstLine(text); line != "" {
		how += ": " + line
	}
	return fault.Newf(fault.Unavailable, op, "the query process ended early (%s)", how)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// head keeps the beginning of what a child writes to its standard error, which is where a crash names its cause.
type head struct {
	mu   sync.Mutex
	text []byte
}

const headBytes = 8 << 10

var _ io.Writer = (*head)(nil)

// Write implements io.Writer and never fails.
func (t *head) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[:min(len(p), headBytes-len(t.text))]...)
	return len(p), nil
}

// String returns what was kept.
func (t *head) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
