package source

import "context"

// Stopper is implemented by sources whose content exists only because of a subscription. Stop ends it for content types and
// returns an error per type that could not be ended. What becomes available between a stop and the next start can never be
// read (spec/management-activity-api.md section 3.2), so it is called only when an operator asks for exactly that.
type Stopper interface {
	Stop(ctx context.Context, contentTypes []string) map[string]error
}
