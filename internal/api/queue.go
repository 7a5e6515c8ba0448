package api

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"sluice/internal/fault"
)

type unitsInput struct {
	Name        string    `path:"name"`
	ContentType string    `query:"content_type" doc:"Only this content type"`
	State       UnitState `query:"state" enum:"listed,fetching,landed,retrying,lost,pending" doc:"Only this state; pending: listed, fetching or retrying"`
	Since       string    `query:"since" doc:"Created at or after: an age, RFC 3339 or a date"`
	Until       string    `query:"until" doc:"Created before"`
	Limit       int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	After       string    `query:"after" doc:"The next of the page before"`
}

// RetryOptions says what a retry is about. Without it everything that is retrying is tried now.
type RetryOptions struct {
	Unit string `json:"unit,omitempty" doc:"Id of one unit, 32 hexadecimal digits; its first 6 or more are enough when no other unit has them"`
	Lost bool   `json:"lost,omitempty" doc:"Also units that were given up as lost"`
}

type retryInput struct {
	Name string `path:"name"`
	Body *RetryOptions
}

func (s *server) queueRoutes(api huma.API) {
	handle(s, api, operation("list-units", http.MethodGet, "/connectors/{name}/units", "Completeness",
		"List the units of a connector, oldest first, page by page"), s.units)
	handle(s, api, operation("retry", http.MethodPost, "/connectors/{name}/retry", "Completeness",
		"Try waiting units now instead of when their turn comes"), s.retry)
}

func (s *server) units(ctx context.Context, in *unitsInput) (UnitsPage, error) {
	since, until, err := s.parseRange(in.Since, in.Until, "")
	if err != nil {
		return UnitsPage{}, err
	}
	page, err := s.service.Units(ctx, UnitsRequest{
		Connector: in.Name, ContentType: in.ContentType, State: in.State, Since: since, Until: until, Limit: in.Limit, After: in.After,
	})
	page.Units = listed(page.Units)
	return page, err
}

func (s *server) retry(ctx context.Context, in *retryInput) (RetryResult, error) {
	var asked RetryOptions
	if in.Body != nil {
		asked = *in.Body
	}
	if asked.Unit != "" && !IsUnitID(asked.Unit) {
		return RetryResult{}, fault.Newf(fault.Config, "", "%q is no id of a unit", asked.Unit).
			WithHint("an id has 32 hexadecimal digits; the first 6 or more are enough when no other unit has them")
	}
	return s.service.Retry(ctx, RetryRequest{Connector: in.Name, Unit: strings.ToLower(asked.Unit), Lost: asked.Lost})
}

var unitID = regexp.MustCompile(`^[0-9a-fA-F]{6,32}$`)

// IsUnitID reports whether text can be the id of a unit or a prefix that Retry takes.
func IsUnitID(text string) bool { return unitID.MatchString(text) }
