package worker_test

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/internal/lake/worker"
	"sluice/internal/lake/worker/wire"
)

// TestMain is a query child without an engine when it is started as one: it does what the SQL says.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == worker.Command {
		os.Exit(child()) //nolint:forbidigo // this is the end of the child's main
	}
	goleak.VerifyTestMain(m)
}

func child() int {
	in := bufio.NewReader(os.Stdin)
	for {
		typ, body, err := wire.ReadFrame(in)
		if err != nil {
			return 0
		}
		if typ != wire.Query {
			if err := wire.WriteJSON(os.Stdout, wire.Ready, nil); err != nil {
				return 1
			}
			continue
		}
		if code := answer(string(body)); code != 0 {
			return code
		}
	}
}

// hang is longer than any test waits.
const hang = time.Hour

func answer(body string) int {
	has := func(word string) bool {
		return len(body) > len(word) && body[:len(`{"sql":"`)+len(word)] == `{"sql":"`+word
	}
	switch {
	case has("hang"):
		<-time.After(hang)
	case has("crash"):
		fmt.Fprintln(os.Stderr, "SIGSEGV: segmentation violation")
		return 139
	case has("memory"):
		fmt.Fprintln(os.Stderr, "fatal error: runtime: cannot allocate memory")
		return 2
	case has("fail"):
		_ = wire.WriteJSON(os.Stdout, wire.Failed, wire.Failure{Kind: "config", Message: "no such column", Hint: "look"})
		return 0
	}
	_ = wire.WriteJSON(os.Stdout, wire.Columns, []wire.Column{{Name: "env", SQLType: "BIGINT"}})
	row, _ := wire.EncodeRow(nil, []any{int64(len(os.Environ()))})
	_ = wire.WriteFrame(os.Stdout, wire.Rows, append(row, row...))
	if has("half") {
		<-time.After(hang)
	}
	_ = wire.WriteJSON(os.Stdout, wire.Done, wire.DoneBody{Rows: 2})
	return 0
}
