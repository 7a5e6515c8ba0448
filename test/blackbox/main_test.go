package blackbox

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// binary is the program under test; TestMain sets it before any test runs.
var binary string

func TestMain(m *testing.M) {
	dir, err := prepareBinary()
	if err != nil {
		fmt.Fprintln(os.Stderr, "the program to test:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// prepareBinary sets binary and returns the temporary folder that it is in, "" for none.
func prepareBinary() (dir string, err error) {
	if given := os.Getenv("SLUICE_TEST_BINARY"); given != "" {
		binary, err = filepath.Abs(given)
		if err == nil {
			_, err = os.Stat(binary)
		}
		return "", err
	}
	if dir, err = os.MkdirTemp("", "sluice-blackbox-"); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "sluice")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "sluice/cmd/sluice")
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	return dir, build.Run()
}

// poll is how often eventually looks.
const poll = 150 * time.Millisecond

// eventually calls look until it says done, and fails the test with its last word when that takes longer than limit.
func eventually(t *testing.T, limit time.Duration, look func() (done bool, word string)) {
	t.Helper()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	deadline := time.After(limit)
	for {
		done, word := look()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", limit, word)
		}
	}
}

// module is the folder of go.mod.
func module(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// write makes a file in a folder and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
