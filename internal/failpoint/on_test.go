//go:build sluicetest

package failpoint

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"sluice/internal/fault"
)

// TestMain passes points when it is told to, so that the tests below have a process that may die.
func TestMain(m *testing.M) {
	if os.Getenv("FAILPOINT_TEST_CHILD") == "" {
		m.Run()
		return
	}
	for range 3 {
		Hit("test/hit")
		if err := Err("test/err"); err != nil {
			os.Stdout.WriteString(string(fault.KindOf(err)) + "\n")
		} else {
			os.Stdout.WriteString("ok\n")
		}
	}
}

func TestActions(t *testing.T) {
	run := func(points string) (out string, err error) {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "FAILPOINT_TEST_CHILD=1", Variable+"="+points)
		text, err := cmd.Output()
		return string(text), err
	}
	tests := []struct {
		points, out string
		killed      bool
	}{
		{"", "ok\nok\nok\n", false},
		{"test/err@2=error", "ok\nunavailable\nok\n", false},
		{"test/hit=error", "ok\nok\nok\n", false},
		{"test/hit@2=kill", "ok\n", true},
		{"test/err@3=kill", "ok\nok\n", true},
	}
	for _, tt := range tests {
		out, err := run(tt.points)
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if strings.ToLower(out) != tt.out || killed != tt.killed {
			t.Errorf("%q: printed %q and ended with %v, want %q and killed=%v", tt.points, out, err, tt.out, tt.killed)
		}
	}
	if _, err := run("nonsense"); err == nil {
		t.Error("a list that cannot be read was accepted")
	}
}
