package source

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/internal/fault"
)

// Shower is an error in whose chain a driver keeps what an operator may see of the request that failed: method, URL,
// status and body on lines of their own, without secrets.
type Shower interface {
	error
	Shown() string
}

// Failure is the failed step that err explains: what happened without what was being done (the name of the step says
// that), the hint, and as detail the exchange that a Shower in its chain carries.
func Failure(name string, err error) Check {
	c := Check{Name: name, Status: Failed, Message: happened(err), Hint: fault.HintOf(err), Detail: detail(err)}
	if wait := fault.RetryAfterOf(err); wait > 0 {
		c.Message += fmt.Sprintf("; the service asks to wait %v", wait.Round(100*time.Millisecond))
	}
	return c
}

// happened is the text of err without the operations of its layers.
func happened(err error) string {
	e, ok := err.(*fault.Error) //nolint:errorlint // only this layer; the next is looked at below
	if !ok {
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	text := e.Message
	if e.Err != nil {
		if cause := happened(e.Err); cause != "" && text != "" {
			text += ": " + cause
		} else {
			text += cause
		}
	}
	if text == "" && e.Err == nil {
		return string(e.Kind)
	}
	return text
}

// detail adds what a support case needs.
func detail(err error) string {
	var lines []string
	if shower, ok := errors.AsType[Shower](err); ok {
		lines = append(lines, shower.Shown())
	}
	facts := "kind " + string(fault.KindOf(err))
	if code := fault.CodeOf(err); code != "" {
		facts += ", code " + code
	}
	if len(lines) == 0 && fault.CodeOf(err) == "" {
		return ""
	}
	return strings.Join(append(lines, facts), "\n")
}
