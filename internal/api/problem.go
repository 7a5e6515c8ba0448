package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/fault"
)

// Problem is an error on the wire: an RFC 9457 problem with the members of a fault. It carries no secret and, for
// errors of unknown origin, nothing but an id.
type Problem struct {
	Type       string     `json:"type" doc:"Always about:blank; branch on kind"`
	Title      string     `json:"title" doc:"Text of the HTTP status"`
	Status     int        `json:"status"`
	Detail     string     `json:"detail" doc:"The same as message"`
	Kind       fault.Kind `json:"kind" doc:"Class of the failure: branch on this" enum:"config,auth,permission,notfound,gone,throttled,unavailable,malformed,full,conflict,canceled,internal"`
	Message    string     `json:"message" doc:"What happened"`
	Hint       string     `json:"hint,omitempty" doc:"What to do"`
	Code       string     `json:"code,omitempty" doc:"The far side's own code"`
	ID         string     `json:"id,omitempty" doc:"Where to look in the server's log"`
	RetryAfter int        `json:"retry_after_seconds,omitempty"`
	Problems   []Mistake  `json:"problems,omitempty" nullable:"false" doc:"The mistakes of a document, one by one"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Message }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

// Fault turns a problem that was received back into the error that it stands for.
func (p *Problem) Fault() *fault.Error {
	return fault.New(p.Kind, "", p.Message).WithHint(p.Hint).WithCode(p.Code).WithStatus(p.Status)
}

const problemType = "application/problem+json"

// newProblem makes a problem of a kind; the status follows from the kind.
func newProblem(kind fault.Kind, message, hint string) *Problem {
	status := fault.HTTPStatus(kind)
	return &Problem{Type: "about:blank", Title: title(status), Status: status, Detail: message, Kind: kind, Message: message, Hint: hint}
}

func title(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Client Closed Request" // 499, the one status of ours that net/http does not know
}

// problems turns errors into Problems and keeps what must not leave the server in its log.
type problems struct{ log *slog.Logger }

// of classifies err. Errors that nobody classified, and bugs, show an id only.
func (p problems) of(ctx context.Context, err error) *Problem {
	if ready, ok := errors.AsType[*Problem](err); ok {
		return ready
	}
	kind := fault.KindOf(err)
	if kind == fault.Internal {
		id := newID()
		p.log.ErrorContext(ctx, "internal error", "id", id, "error", err)
		problem := newProblem(fault.Internal, "internal error "+id, "the server's log has the details under this id; please report them")
		problem.ID = id
		return problem
	}
	problem := newProblem(kind, err.Error(), fault.HintOf(err))
	problem.Code = fault.CodeOf(err)
	if wait := fault.RetryAfterOf(err); wait > 0 {
		problem.RetryAfter = int(math.Ceil(wait.Seconds()))
	}
	return problem
}

func newID() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// write sends a problem outside of huma: from middleware, and from streams that did not start yet.
func (p problems) write(w http.ResponseWriter, problem *Problem) {
	h := w.Header()
	h.Set("Content-Type", problemType)
	if problem.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(problem.RetryAfter))
	}
	if problem.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="sluice"`)
	}
	w.WriteHeader(problem.Status)
	if err := json.NewEncoder(w).Encode(problem); err != nil {
		p.log.Debug("answer not delivered", "error", err)
	}
}

// fromHuma gives the errors that huma finds in a request the shape of ours. The refused values are left out: they may
// be secrets.
func fromHuma(_ huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	var parts []string
	for _, e := range model.Errors {
		if e.Location == "" || strings.Contains(e.Message, e.Location) {
			parts = append(parts, e.Message)
			continue
		}
		parts = append(parts, e.Location+": "+e.Message)
	}
	message := model.Detail
	if len(parts) > 0 {
		message += ": " + strings.Join(parts, "; ")
	}
	kind := fault.Config
	if model.Status >= http.StatusInternalServerError {
		kind, message = fault.Internal, "internal error"
	}
	problem := newProblem(kind, message, "")
	problem.Status, problem.Title = model.Status, title(model.Status)
	return problem, nil
}
