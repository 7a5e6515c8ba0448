package api

import "time"

// UnitState is the state of a unit in the ledger, as clients see it.
type UnitState string

// The states of a unit. Pending is no state: as a filter it stands for listed, fetching and retrying.
const (
	UnitListed   UnitState = "listed"
	UnitFetching UnitState = "fetching"
	UnitLanded   UnitState = "landed"
	UnitRetrying UnitState = "retrying"
	UnitLost     UnitState = "lost"
	UnitPending  UnitState = "pending"
)

// UnitsRequest asks for units of a connector. Empty members do not restrict.
type UnitsRequest struct {
	Connector   string // must be given
	ContentType string
	State       UnitState // also UnitPending
	Since       time.Time // created at or after
	Until       time.Time // created before
	Limit       int       // at most so many; 0: DefaultUnits; never more than MaxUnits
	After       string    // UnitsPage.Next of the page before
}

// How many units a page has.
const (
	DefaultUnits = 100
	MaxUnits     = 1000
)

// UnitsPage is a part of a list of units, oldest creation time first.
type UnitsPage struct {
	Units []Unit `json:"units" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Give it as after to get the next page; absent on the last"`
}

// Unit is what a source lists and fetches as one thing, with what the ledger knows of it. Records to Malformed count
// records; their sum is what was fetched.
type Unit struct {
	ID          string     `json:"id" doc:"32 hexadecimal digits"`
	Connector   string     `json:"connector"`
	ContentType string     `json:"content_type"`
	ContentID   string     `json:"content_id" doc:"The source's own id"`
	Created     time.Time  `json:"created" doc:"When the source made it"`
	Expires     *time.Time `json:"expires" doc:"Until when the source serves it; null when it does not say"`
	State       UnitState  `json:"state" enum:"listed,fetching,landed,retrying,lost"`
	Attempt     int        `json:"attempt" doc:"Failed attempts so far"`
	NextTry     *time.Time `json:"next_try" doc:"null unless it is retrying"`
	LastError   *Failure   `json:"last_error" doc:"How the last attempt failed; null when none did"`
	Bytes       int64      `json:"bytes"`
	Records     int64      `json:"records" doc:"In the lake because of this unit"`
	Duplicates  int64      `json:"duplicates"`
	Filtered    int64      `json:"filtered"`
	Malformed   int64      `json:"malformed"`
	JournalSeq  uint64     `json:"journal_seq" doc:"Place in the journal of its last batch; 0 when it has none"`
	ListedAt    time.Time  `json:"listed_at" doc:"When Sluice first saw it in a listing"`
	LandedAt    *time.Time `json:"landed_at"`
}

// RetryRequest forces units of a connector to be tried now.
type RetryRequest struct {
	Connector string
	Unit      string // id of one unit, or a prefix of it; "": all that are retrying
	Lost      bool   // also units that were given up as lost
}

// MinUnitPrefix is how many digits of a unit's id are accepted for the whole.
const MinUnitPrefix = 6

// RetryResult counts what a retry did.
type RetryResult struct {
	Queued int64 `json:"queued" doc:"Units that are tried again now"`
}
