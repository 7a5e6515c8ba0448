package api

import "time"

// VerifyRequest asks for a proof of completeness: what Microsoft lists now, what the ledger remembers and what the lake
// holds are compared, unit by unit.
type VerifyRequest struct {
	Connector string    // "": every connector that is not paused
	Since     time.Time // units created at or after; zero: as far back as the source still lists
	Until     time.Time // and before; zero: now
	Repair    bool      // queue what is missing and can still be fetched
}

// VerifyPhase is what a verification is doing.
type VerifyPhase string

// The phases, in their order.
const (
	VerifyListing   VerifyPhase = "listing"   // asking Microsoft what there is
	VerifyCounting  VerifyPhase = "counting"  // counting in the lake
	VerifyComparing VerifyPhase = "comparing" // comparing the two with the ledger
	VerifyRepairing VerifyPhase = "repairing" // queueing what is missing
)

// VerifyProgress tells how far a verification is. Done and Total count steps of the phase: windows, days or units.
type VerifyProgress struct {
	Phase       VerifyPhase `json:"phase" enum:"listing,counting,comparing,repairing"`
	Connector   string      `json:"connector,omitempty" doc:"Empty when the phase is about all of them"`
	ContentType string      `json:"content_type,omitempty"`
	Done        int64       `json:"done"`
	Total       int64       `json:"total" doc:"0 while it is unknown"`
}

// VerifyFrame is a line of a verification's stream. It has exactly one member. The report is the last line of a
// verification that came to its end, whatever it found.
type VerifyFrame struct {
	Progress *VerifyProgress `json:"progress,omitempty"`
	Report   *VerifyReport   `json:"report,omitempty"`
	Error    *Problem        `json:"error,omitempty"`
}

// VerifyCounts is what a verification counted. Every unit that was to be found is in one of Landed, Missing, Lost and
// Waiting. A unit of which only a part of the records is in the lake is Missing.
type VerifyCounts struct {
	Listed         int64 `json:"listed" doc:"Units that Microsoft listed, now or earlier"`
	Landed         int64 `json:"landed" doc:"Units whose records are all in the lake"`
	Missing        int64 `json:"missing" doc:"Units that are not in the lake, or not with all their records"`
	Lost           int64 `json:"lost" doc:"Units that Microsoft no longer serves"`
	Surplus        int64 `json:"surplus" doc:"Units of which the lake has more than it should"`
	Waiting        int64 `json:"waiting" doc:"Units that were listed a moment ago or are still tried again; no verdict yet"`
	Records        int64 `json:"records" doc:"Records counted in the lake"`
	MissingRecords int64 `json:"missing_records" doc:"Records that the ledger says are in the lake and are not"`
	SurplusRecords int64 `json:"surplus_records" doc:"Records that are in the lake twice, or that no unit accounts for"`
	DroppedRecords int64 `json:"dropped_records" doc:"Records that landed and that the retention of the lake removed; they are not missing"`
}

// Whole reports whether nothing is missing. Waiting units are neither.
func (c VerifyCounts) Whole() bool { return c.Missing == 0 && c.Lost == 0 && c.MissingRecords == 0 }

// Undecided reports whether units wait and none has a verdict yet: a coverage would say nothing.
func (c VerifyCounts) Undecided() bool { return c.Waiting > 0 && c.Landed+c.Missing+c.Lost == 0 }

// Coverage is the share of units with a verdict that landed, in percent: 100 when there are none, and 100 only when
// nothing is missing.
func (c VerifyCounts) Coverage() float64 {
	if c.Whole() {
		return 100
	}
	judged := c.Landed + c.Missing + c.Lost
	if judged == 0 || c.Landed == judged { // only records are missing
		there := c.Records + c.DroppedRecords
		return min(100*float64(there)/float64(there+c.MissingRecords), almost)
	}
	return min(100*float64(c.Landed)/float64(judged), almost)
}

// almost is the largest coverage of what is not whole: one unit in a billion must not vanish in a float's rounding.
const almost = 99.9999999

// Add adds the counts of other.
func (c *VerifyCounts) Add(other VerifyCounts) {
	c.Listed += other.Listed
	c.Landed += other.Landed
	c.Missing += other.Missing
	c.Lost += other.Lost
	c.Surplus += other.Surplus
	c.Waiting += other.Waiting
	c.Records += other.Records
	c.MissingRecords += other.MissingRecords
	c.SurplusRecords += other.SurplusRecords
	c.DroppedRecords += other.DroppedRecords
}

// Gap is an interval of which something can no longer be had.
type Gap struct {
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	Reason  string    `json:"reason" doc:"In plain words"`
	Noticed time.Time `json:"noticed_at" doc:"When Sluice found out"`
}

// VerifyHour is one hour of a feed, by the creation time of the units.
type VerifyHour struct {
	Hour time.Time `json:"hour" doc:"Start of the hour, UTC"`
	VerifyCounts
	CoveragePercent float64 `json:"coverage_percent"`
}

// VerifyFeed is the result for one content type of a connector.
type VerifyFeed struct {
	Connector   string `json:"connector"`
	TenantName  string `json:"tenant_name"`
	ContentType string `json:"content_type"`
	VerifyCounts
	CoveragePercent float64      `json:"coverage_percent" doc:"Landed of landed, missing and lost; 100 only when nothing is missing"`
	Hours           []VerifyHour `json:"hours" nullable:"false" doc:"Hours that have units, oldest first"`
	Gaps            []Gap        `json:"gaps" nullable:"false"`
}

// VerifyState is what is wrong with a unit.
type VerifyState string

// What can be wrong with a unit.
const (
	UnitMissing VerifyState = "missing"
	UnitGone    VerifyState = "lost"
	UnitSurplus VerifyState = "surplus"
)

// VerifyProblem is one unit that is not as it should be.
type VerifyProblem struct {
	Connector   string      `json:"connector"`
	ContentType string      `json:"content_type"`
	ContentID   string      `json:"content_id" doc:"The source's own id"`
	Unit        string      `json:"unit" doc:"The id that retry takes"`
	Created     time.Time   `json:"created"`
	State       VerifyState `json:"state" enum:"missing,lost,surplus"`
	Reason      string      `json:"reason" doc:"In plain words"`
	Expected    int64       `json:"expected" doc:"Records that should be in the lake; 0 when that is not known"`
	Found       int64       `json:"found" doc:"Records that are"`
	Repairable  bool        `json:"repairable" doc:"Fetching it again may help"`
}

// MaxVerifyProblems bounds the problems of a report.
const MaxVerifyProblems = 1000

// VerifyReport is the result of a verification.
type VerifyReport struct {
	ID              string          `json:"id"`
	Connector       string          `json:"connector" doc:"Empty when all were asked for"`
	Started         time.Time       `json:"started"`
	Finished        time.Time       `json:"finished"`
	Since           time.Time       `json:"since" doc:"Units created at or after were looked at"`
	Until           time.Time       `json:"until" doc:"And before"`
	Scheduled       bool            `json:"scheduled" doc:"The daily run, which nobody asked for"`
	Repair          bool            `json:"repair" doc:"What is missing was queued, as far as Microsoft still serves it"`
	Complete        bool            `json:"complete" doc:"Every unit was looked at and nothing is missing, lost or surplus"`
	CoveragePercent float64         `json:"coverage_percent" doc:"Landed of landed, missing and lost; 100 only when nothing is missing"`
	Totals          VerifyCounts    `json:"totals"`
	Feeds           []VerifyFeed    `json:"feeds" nullable:"false" doc:"Ordered by connector, then as the status is"`
	Problems        []VerifyProblem `json:"problems" nullable:"false" doc:"At most 1000: lost first, then missing, then surplus; oldest first"`
	Omitted         int64           `json:"omitted" doc:"Problems beyond those listed"`
	Repaired        int64           `json:"repaired" doc:"Units that were queued to be fetched again"`
	Notes           []string        `json:"notes" nullable:"false" doc:"What limits the verdict: a listing that failed, a connector that is paused"`
}

// listed makes missing lists empty ones.
func (r VerifyReport) listed() VerifyReport {
	r.Feeds, r.Problems, r.Notes = listed(r.Feeds), listed(r.Problems), listed(r.Notes)
	for i := range r.Feeds {
		r.Feeds[i].Hours, r.Feeds[i].Gaps = listed(r.Feeds[i].Hours), listed(r.Feeds[i].Gaps)
	}
	return r
}
