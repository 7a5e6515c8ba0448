// Package fault is the closed list of ways in which work can fail, and the error value that carries one of them.
//
// Everything that has to be decided about a failure is decided from its Kind, never from its text: whether to retry
// and how (collect), which HTTP status the API answers (api), which metric label is counted, which badge an operator
// sees (health). A driver classifies; the caller decides.
//
//	return fault.New(fault.Permission, "list content", "AF10001: permission set lacks ActivityFeed.Read").
//	        WithHint("grant the application permission ActivityFeed.Read and give admin consent")
//
// Text travels in four parts, which together answer what an operator asks: Op (what was being done), Message (what
// happened), Hint (what to do) and the wrapped cause. Error prints Op and Message only, once per layer.
package fault

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Kind is the class of a failure. The values are stable: they are metric labels and appear in the JSON of the API.
type Kind string

// The closed list of kinds.
const (
	Config      Kind = "config"      // a wrong option or request: retrying cannot help
	Auth        Kind = "auth"        // the credential was not accepted
	Permission  Kind = "permission"  // the credential is fine, a right is missing
	NotFound    Kind = "notfound"    // the thing does not exist
	Gone        Kind = "gone"        // the thing existed and cannot be read any more (expired content)
	Throttled   Kind = "throttled"   // the far side asked to slow down; see RetryAfter
	Unavailable Kind = "unavailable" // 5xx, time-outs, resets, cut bodies: retry with back-off
	Malformed   Kind = "malformed"   // a body or record that cannot be decoded
	Full        Kind = "full"        // disk, journal or quota exhausted
	Conflict    Kind = "conflict"    // somebody else holds or changed it (lease, name, version)
	Canceled    Kind = "canceled"    // the caller gave up
	Internal    Kind = "internal"    // a bug of Sluice
)

// Kinds lists every kind, in the order of the constants.
func Kinds() []Kind {
	return []Kind{Config, Auth, Permission, NotFound, Gone, Throttled, Unavailable, Malformed, Full, Conflict, Canceled, Internal}
}

// Error is a classified failure. Build it with New or Wrap; the With methods return changed copies.
type Error struct {
	Op         string        // what was being done, verb first: "list Audit.General"
	Kind       Kind          // never empty
	Message    string        // what happened; no secret, no record content
	Hint       string        // what the operator can do; may be empty
	Code       string        // the far side's own code: AF20022, AADSTS7000215
	Status     int           // HTTP status, 0 when there was none
	RetryAfter time.Duration // wait that the far side asked for, 0 when it asked for none
	Err        error         // cause, may be nil
}

// New makes an error of the given kind.
func New(kind Kind, op, message string) *Error { return &Error{Op: op, Kind: kind, Message: message} }

// Newf is New with a formatted message.
func Newf(kind Kind, op, format string, args ...any) *Error {
	return &Error{Op: op, Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap classifies err, or keeps its class when kind is empty. Wrap of nil is nil.
func Wrap(kind Kind, op string, err error) error {
	if err == nil {
		return nil
	}
	if kind == "" {
		kind = KindOf(err)
	}
	return &Error{Op: op, Kind: kind, Err: err}
}

// WithHint returns a copy that tells the operator what to do.
func (e *Error) WithHint(hint string) *Error { c := *e; c.Hint = hint; return &c }

// WithCode returns a copy with the far side's own code.
func (e *Error) WithCode(code string) *Error { c := *e; c.Code = code; return &c }

// WithStatus returns a copy with an HTTP status.
func (e *Error) WithStatus(status int) *Error { c := *e; c.Status = status; return &c }

// WithRetryAfter returns a copy with the wait that was asked for.
func (e *Error) WithRetryAfter(d time.Duration) *Error { c := *e; c.RetryAfter = d; return &c }

// WithCause returns a copy that wraps err.
func (e *Error) WithCause(err error) *Error { c := *e; c.Err = err; return &c }

// Error prints "op: message: cause" and leaves out what is empty.
func (e *Error) Error() string {
	text := e.Op
	add := func(s string) {
		if s == "" {
			return
		}
		if text != "" {
			text += ": "
		}
		text += s
	}
	add(e.Message)
	if e.Err != nil {
		add(e.Err.Error())
	}
	if text == "" {
		return string(e.Kind)
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf tells the kind of err: that of the outermost *Error in its chain, Canceled for a cancelled context,
// Unavailable for an expired deadline, Internal for everything else, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Kind
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	}
	return Internal
}

// Is reports whether err is of kind k.
func Is(err error, k Kind) bool { return KindOf(err) == k }

// HintOf returns the first non-empty hint in err's chain.
func HintOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
	}
	return ""
}

// CodeOf returns the first far-side code in err's chain.
func CodeOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Code != "" {
			return e.Code
		}
		err = e.Err
	}
	return ""
}

// RetryAfterOf returns the first positive wait in err's chain, 0 when there is none.
func RetryAfterOf(err error) time.Duration {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return 0
		}
		if e.RetryAfter > 0 {
			return e.RetryAfter
		}
		err = e.Err
	}
	return 0
}

// HTTPStatus maps a kind to the status that the API of Sluice answers with.
func HTTPStatus(k Kind) int {
	switch k {
	case "":
		return 200
	case Config, Malformed:
		return 400
	case Auth:
		return 401
	case Permission:
		return 403
	case NotFound:
		return 404
	case Gone:
		return 410
	case Conflict:
		return 409
	case Throttled:
		return 429
	case Full:
		return 507
	case Unavailable:
		return 503
	case Canceled:
		return 499
	default: // Internal, and a kind that is none
		return 500
	}
}

// DiskFull reports whether an error of the file system says that the disk or a quota is exhausted.
func DiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
