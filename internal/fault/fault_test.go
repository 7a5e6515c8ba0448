package fault

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"syscall"
	"testing"
	"time"
)

func TestErrorText(t *testing.T) {
	cause := errors.New("connection refused")
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"operation and message", New(Config, "read file", "line 3"), "read file: line 3"},
		{"with a cause", New(Unavailable, "list", "no answer").WithCause(cause), "list: no answer: connection refused"},
		{"only a cause", Wrap(Unavailable, "list", cause), "list: connection refused"},
		{"nothing but the kind", New(Full, "", ""), "full"},
		{"no operation", New(Gone, "", "expired"), "expired"},
		{"layers", Wrap("", "collect", New(Gone, "fetch", "expired")), "collect: fetch: expired"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestKindOf(t *testing.T) {
	tests := []struct {
		err  error
		want Kind
	}{
		{nil, ""},
		{errors.New("x"), Internal},
		{fmt.Errorf("around: %w", New(Throttled, "", "")), Throttled},
		{Wrap("", "outer", New(Throttled, "", "")), Throttled},
		{Wrap(Config, "outer", New(Throttled, "", "")), Config},
		{context.Canceled, Canceled},
		{fmt.Errorf("around: %w", context.DeadlineExceeded), Unavailable},
		{Wrap("", "op", context.Canceled), Canceled},
	}
	for _, tt := range tests {
		if got := KindOf(tt.err); got != tt.want {
			t.Errorf("KindOf(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
	if Wrap(Config, "op", nil) != nil {
		t.Error("wrapping nil must give nil")
	}
	if !Is(New(Full, "", ""), Full) || Is(New(Full, "", ""), Gone) || Is(nil, Full) {
		t.Error("Is does not compare kinds")
	}
}

func TestInnerDetailsAreFound(t *testing.T) {
	inner := New(Throttled, "get", "slow down").WithHint("wait").WithCode("AF429").WithStatus(403).WithRetryAfter(time.Second)
	err := fmt.Errorf("again: %w", Wrap("", "fetch", inner))
	if HintOf(err) != "wait" || CodeOf(err) != "AF429" || RetryAfterOf(err) != time.Second {
		t.Errorf("hint %q, code %q, wait %v", HintOf(err), CodeOf(err), RetryAfterOf(err))
	}
	outer := New(Unavailable, "x", "").WithHint("outer hint").WithCause(inner)
	if HintOf(outer) != "outer hint" {
		t.Error("the outermost hint counts")
	}
	if plain := errors.New("x"); HintOf(plain) != "" || CodeOf(plain) != "" || RetryAfterOf(nil) != 0 {
		t.Error("a plain error has no details")
	}
	if inner.Message != "slow down" || !errors.Is(err, inner) {
		t.Error("the cause is lost")
	}
}

func TestEveryKindHasAStatus(t *testing.T) {
	for _, k := range Kinds() {
		status := HTTPStatus(k)
		if status < 400 || (status >= http.StatusInternalServerError && (k == Config || k == Auth || k == NotFound)) {
			t.Errorf("kind %s answers %d", k, status)
		}
	}
	if HTTPStatus("") != http.StatusOK || HTTPStatus("unheard of") != http.StatusInternalServerError {
		t.Error("no error is 200, an unknown kind 500")
	}
}

func TestDiskFull(t *testing.T) {
	for err, want := range map[error]bool{
		nil: false, syscall.EIO: false, syscall.ENOSPC: true, syscall.EDQUOT: true,
		New(Unavailable, "write", "").WithCause(&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}): true,
	} {
		if got := DiskFull(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
