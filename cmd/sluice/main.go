// Command sluice is Sluice: the server (sluice up) and the client of its API (everything else).
//
// The package holds flags, output and exit codes and nothing else. A command prepares a request, sends it with package
// client and prints the answer: data on standard output, everything said about the data on standard error. Exit codes:
// 0 done, 1 failed, 2 usage, 3 incomplete or partly failed, 130 interrupted.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"sluice/internal/client"
	"sluice/internal/fault"
)

// The exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitPartly      = 3
	exitInterrupted = 130
)

// version is set by the linker.
var version = "dev"

func main() {
	// Would send sign-ins to a regional host that no connector was configured for.
	_ = os.Unsetenv("AZURE_REGIONAL_AUTHORITY_NAME")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	c := &cli{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: time.Now, version: version, parts: wire(),
		terminal: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
	}
	code := c.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// cli is what a command sees of the world.
type cli struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string
	now      func() time.Time
	terminal bool // a person can be asked, and shown a progress bar
	version  string
	parts    parts
	data     string        // flag --data
	answers  *bufio.Reader // of in, once a question was asked
	started  bool          // a command began to run: errors before that are wrong usage

	problemEvery time.Duration // 0: the constant of the same name
}

// run runs one command line and returns the exit code.
func (c *cli) run(ctx context.Context, args []string) int {
	root := c.root()                          //nolint:contextcheck // commands get the context from cobra
	root.SetArgs(append([]string{}, args...)) // never nil, which would mean os.Args
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || fault.Is(err, fault.Canceled)) {
		_, _ = fmt.Fprintln(c.err, "interrupted")
		return exitInterrupted
	}
	var usage *usageError
	if !c.started && !errors.As(err, &usage) {
		err = &usageError{err}
	}
	c.explain(err)
	return codeOf(err)
}

// usageError is a mistake on the command line.
type usageError struct{ error }

// Unwrap returns the mistake.
func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// partError says that a part of the work was done.
type partError struct{ error }

// Unwrap returns the cause.
func (e *partError) Unwrap() error { return e.error }

func partlyf(format string, args ...any) error {
	return &partError{fmt.Errorf(format, args...)}
}

func codeOf(err error) int {
	var usage *usageError
	var part *partError
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &part):
		return exitPartly
	}
	return exitFailed
}

// explain prints err as people read it: what happened, then what to do.
func (c *cli) explain(err error) {
	if doc, ok := errors.AsType[*client.DocumentError](err); ok {
		c.mistakes("error", doc.Mistakes)
	}
	for line := range strings.SplitSeq(err.Error(), "\n") { // several mistakes, or several errors in one
		c.sayf("error: %s", clean(line))
	}
	hint := fault.HintOf(err)
	var usage *usageError
	if hint == "" && errors.As(err, &usage) {
		hint = "run the command with --help to see how it is used"
	}
	for line := range strings.SplitSeq(hint, "\n") {
		if line != "" {
			c.sayf("hint: %s", clean(line))
		}
	}
}

// sayf prints a line that is not data.
func (c *cli) sayf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.err, format+"\n", args...) // nowhere to report a broken standard error
}

// notef is sayf with the signature of printf; the format brings its own line end.
func (c *cli) notef(format string, args ...any) error {
	c.sayf(strings.TrimSuffix(format, "\n"), args...)
	return nil
}
