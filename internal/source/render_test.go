package source

import (
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/internal/fault"
)

type shown struct{ error }

func (shown) Shown() string { return "GET https://x/\nHTTP 403 Forbidden" }

func TestRenderChecks(t *testing.T) {
	cause := &fault.Error{Kind: fault.Permission, Op: "list", Message: "outer", Code: "AF1", Hint: "first; second", RetryAfter: 2 * time.Second, Err: shown{errors.New("in\nner")}}
	failed := Failure("api", fault.Wrap("", "above", cause))
	failed.Duration = 31*time.Millisecond + 300*time.Microsecond
	checks := []Check{
		{Name: "token", Status: Passed, Message: "signed in", Duration: 400 * time.Microsecond},
		{Name: "clock", Status: Passed, Message: "late", Hint: "set it"},
		failed,
		{Name: "sample", Status: Skipped, Message: "evil \x1b[31m"},
	}
	const want = `passed  token: signed in
passed  clock: late
        warning: set it
failed  api: outer: in; ner; the service asks to wait 2s (31ms)
        hint: first
              second
        more: GET https://x/
              HTTP 403 Forbidden
              kind permission, code AF1
skipped sample: evil \x1b[31m
`
	for verbose, want := range map[bool]string{true: want, false: strings.Join(append(strings.SplitAfter(want, "\n")[:6:6], strings.SplitAfter(want, "\n")[9:]...), "")} {
		var b strings.Builder
		if err := RenderChecks(&b, checks, verbose); err != nil {
			t.Fatal(err)
		}
		if b.String() != want {
			t.Errorf("verbose %v: got\n%s\nwant\n%s", verbose, b.String(), want)
		}
	}
}

func TestFailureWithoutExchange(t *testing.T) {
	if c := Failure("settings", fault.New(fault.Config, "configure", "wrong").WithHint("right")); c.Message != "wrong" || c.Hint != "right" || c.Detail != "" || c.Status != Failed {
		t.Errorf("%+v", c)
	}
	if c := Failure("x", fault.New(fault.Canceled, "op", "")); c.Message != string(fault.Canceled) {
		t.Errorf("%+v", c)
	}
}
