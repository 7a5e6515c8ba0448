package source

import "context"

// Tender is implemented by sources that look after something at the service beside collecting, such as a webhook. Tend may take
// long and is never called on the path of collecting: shortly after a start and then every 15 minutes.
type Tender interface {
	Tend(ctx context.Context, contentTypes []string)
}

// Warner is implemented by sources that know of trouble which does not keep them from collecting. Warnings asks nobody.
type Warner interface {
	Warnings() []Check
}
