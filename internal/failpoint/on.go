//go:build sluicetest

package failpoint

import (
	"fmt"
	"os"
	"sync"

	"sluice/internal/fault"
)

// Variable is the environment variable that names the points of this process.
const Variable = "SLUICE_FAILPOINT"

// armed are the points of this process, read when the first place is passed.
var armed = sync.OnceValue(func() *points {
	p, err := parse(os.Getenv(Variable))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", Variable, err)
		os.Exit(2) //nolint:forbidigo // test builds only: a wrong point must not look like a passed test
	}
	return p
})

// Hit marks a place: the process ends here when it is told to.
func Hit(name string) {
	if armed().pass(name) == actKill {
		die(name)
	}
}

// Err marks a place that can fail.
func Err(name string) error {
	switch armed().pass(name) {
	case actKill:
		die(name)
	case actError:
		return fault.New(fault.Unavailable, "pass "+name, "a fail point says so")
	case actNone:
	}
	return nil
}

// die ends the process as kill -9 does. It says so first, for whoever reads the log of a test.
func die(name string) {
	fmt.Fprintf(os.Stderr, "fail point %s: kill\n", name)
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // nothing runs on behind the place while the signal is on its way
}
