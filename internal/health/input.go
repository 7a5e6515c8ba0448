package health

import (
	"time"

	"sluice/internal/option"
)

// Input is everything that is known of one feed, as plain data. Times are of one clock; a zero time means never.
type Input struct {
	Feed   Feed
	Limits Limits

	Paused bool // by the operator, or not enabled, or run elsewhere
	// Elsewhere is the node group that runs the connector, when this server is not of it.
	Elsewhere string
	Running   bool    // the connector's runner exists
	Start     Trouble // why it could not be started
	Storage   Trouble // why nothing can be written, of the whole server; At may be zero

	Listed   bool // a listing succeeded since the start
	NextRun  time.Time
	Listing  Trouble
	Fetching Trouble
	Failed   int64 // attempts at units that failed, counted up since the start of the process

	Created    time.Time // when the connector was made
	Landed     int64     // units
	Pending    int64     // units with a next try
	Lost       int64     // units that can no longer be read
	LastData   time.Time // creation time of the newest unit with records that landed
	Gaps       int       // intervals of which nobody can say that all was collected
	GapReason  string    // of the newest one
	Verified   Verified  // the latest verification
	Expires    time.Time // when the secret or certificate ends, zero when that cannot be known
	ExpiryWhat string    // what ends, in words for people: "the certificate 3F2A..."
}

// Trouble is a row of failures. It is over with the next success.
type Trouble struct {
	Failures int       // in a row
	Err      error     // the last one; nil when there is none. Its text must be fit for operators
	At       time.Time // of the last one
}

// Verified is the result of the latest verification for a feed.
type Verified struct {
	At              time.Time // when it ended; zero before the first
	Whole           bool      // nothing is missing or lost
	Queued          bool      // what is missing was queued to be read again
	CoveragePercent float64
	Missing, Lost   int64  // units
	Surplus         int64  // units of which the lake has more than it should
	Note            string // what limits the verdict
}

// Sensitivity says how soon silence counts as unusual.
type Sensitivity string

// The sensitivities. The empty one is Medium.
const (
	Off    Sensitivity = "off" // the history is not looked at
	Low    Sensitivity = "low"
	Medium Sensitivity = "medium"
	High   Sensitivity = "high"
)

// Limits are the settings of the monitors of a feed. Zero values stand for the defaults of Options.
type Limits struct {
	ErrorUnits    int64         // more failed units than that within ErrorWindow are too many
	ErrorWindow   time.Duration // at least a minute
	Sensitivity   Sensitivity
	SilenceAfter  time.Duration // no data for so long is too long, whatever the history says; 0: no such limit
	ExpiryWarning time.Duration // how long before its end a credential is warned about
}

// The defaults of Limits.
const (
	DefaultErrorUnits    = 30
	DefaultErrorWindow   = 5 * time.Minute
	DefaultExpiryWarning = 30 * 24 * time.Hour
)

func (l Limits) withDefaults() Limits {
	if l.ErrorUnits <= 0 {
		l.ErrorUnits = DefaultErrorUnits
	}
	if l.ErrorWindow <= 0 {
		l.ErrorWindow = DefaultErrorWindow
	}
	if l.Sensitivity == "" {
		l.Sensitivity = Medium
	}
	if l.ExpiryWarning <= 0 {
		l.ExpiryWarning = DefaultExpiryWarning
	}
	return l
}

// Options declares the limits as settings that every connector has.
func Options() []option.Option {
	return []option.Option{
		{
			Name: "monitor_error_units", Type: option.Int, Default: int64(DefaultErrorUnits), Min: 1, Max: 1_000_000, Advanced: true,
			Help: "Warn when more units than this fail within monitor_error_window. Failed units are tried again by themselves.",
		},
		{
			Name: "monitor_error_window", Type: option.Duration, Default: DefaultErrorWindow, Min: 60, Max: 24 * 3600, Advanced: true,
			Help: "Time over which failed units are counted for monitor_error_units.",
		},
		{
			Name: "monitor_inactivity", Default: string(Medium), Choices: []string{string(Off), string(Low), string(Medium), string(High)}, Advanced: true,
			Help: "How soon to warn when no data comes although the content type's own history, hour by hour of the week, says there should be. " +
				"Needs three weeks of history; quiet content types never warn.",
		},
		{
			Name: "monitor_inactivity_after", Type: option.Duration, Min: 600, Max: 365 * 24 * 3600, Example: "24h", Advanced: true,
			Help: "Warn when a content type that had data brings none for this long, whatever its history says. Empty: no fixed limit.",
		},
		{
			Name: "monitor_expiry", Type: option.Duration, Default: DefaultExpiryWarning, Min: 24 * 3600, Max: 365 * 24 * 3600, Advanced: true,
			Help: "Warn this long before the secret or certificate ends, where its end can be known.",
		},
	}
}

// LimitsFrom reads the limits out of values that were declared with Options.
func LimitsFrom(v option.Values) Limits {
	return Limits{
		ErrorUnits:    v.Int("monitor_error_units"),
		ErrorWindow:   v.Duration("monitor_error_window"),
		Sensitivity:   Sensitivity(v.String("monitor_inactivity")),
		SilenceAfter:  v.Duration("monitor_inactivity_after"),
		ExpiryWarning: v.Duration("monitor_expiry"),
	}.withDefaults()
}
