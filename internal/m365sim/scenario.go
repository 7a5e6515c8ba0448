package m365sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The content types of the Management Activity API (spec/management-activity-api.md section 2.2).
const (
	AzureActiveDirectory = "Audit.AzureActiveDirectory"
	Exchange             = "Audit.Exchange"
	SharePoint           = "Audit.SharePoint"
	General              = "Audit.General"
	DLP                  = "DLP.All"
)

// ContentTypes lists the five content types.
func ContentTypes() []string {
	return []string{AzureActiveDirectory, Exchange, SharePoint, General, DLP}
}

// Scenario says what the simulated Microsoft holds and how it misbehaves. The zero value is an empty, well-behaved
// service; New fills in the defaults named below. testdata/example.yaml shows every key with its meaning.
type Scenario struct {
	Seed    uint64    `yaml:"seed"`    // everything random follows from it
	Start   time.Time `yaml:"start"`   // end of the history; default: the clock's time in New
	Tenants []Tenant  `yaml:"tenants"` // directories

	PageSize      int      `yaml:"page_size"`      // blobs per page of a listing; default 200
	ShufflePages  bool     `yaml:"shuffle_pages"`  // listings are unsorted within a page
	EqualCreated  int      `yaml:"equal_created"`  // so many neighbouring blobs share one contentCreated; default 1
	Expiry        Duration `yaml:"expiry"`         // blobs can be read so long after their first event; default 7d
	Recut         bool     `yaml:"recut"`          // the listing cuts blobs differently for other start times
	WideWindow    string   `yaml:"wide_window"`    // refuse (default): AF20055 above 24 h; partial: 200 with a part of the blobs
	RestartDelay  Duration `yaml:"restart_delay"`  // after stop and start, content answers AF20023 for so long
	TokenLifetime Duration `yaml:"token_lifetime"` // default 1h
	Latency       Duration `yaml:"latency"`        // wait before every answer
	ClockSkew     Duration `yaml:"clock_skew"`     // service time minus clock time, visible in Date
	ForeignHost   string   `yaml:"foreign_host"`   // host of the foreign_next and foreign_uri faults
	Precompress   bool     `yaml:"precompress"`    // make all bodies of the history in New, for benchmarks

	Late       Late       `yaml:"late"`
	Growing    Growing    `yaml:"growing"`
	Duplicates Duplicates `yaml:"duplicates"`
	WithoutID  float64    `yaml:"without_id"` // share of records without Id
	Malformed  float64    `yaml:"malformed"`  // share of array elements that are no records
	Odd        float64    `yaml:"odd"`        // share of records with an unusual CreationTime or RecordType
	Throttle   Throttle   `yaml:"throttle"`
	Faults     []Fault    `yaml:"faults"`
}

// Tenant is a directory with its applications and what it produces.
type Tenant struct {
	ID       string    `yaml:"id"`        // GUID
	Name     string    `yaml:"name"`      // default contoso; the domain is NAME.onmicrosoft.com
	Plan     string    `yaml:"plan"`      // enterprise (default) | gcc | gcc_high | dod: the audience of its tokens
	Audience string    `yaml:"audience"`  // replaces the plan's audience; self is the address the simulator is called at
	AuditOff bool      `yaml:"audit_off"` // unified audit logging is off: a start answers the malformed 400
	Users    int       `yaml:"users"`     // default 3000
	Apps     []App     `yaml:"apps"`
	Traffic  []Traffic `yaml:"traffic"`
	Records  []Files   `yaml:"records"`
}

// audienceSelf stands for the address the simulator is called at: the rule of Microsoft's own clouds, where a token is for
// the host of the API (spec/entra-auth.md).
const audienceSelf = "self"

// App is an application registered in a tenant.
type App struct {
	ID            string   `yaml:"id"`             // GUID
	Secret        string   `yaml:"secret"`         // valid client secret
	ExpiredSecret string   `yaml:"expired_secret"` // a secret that is answered with 7000222
	Certificate   string   `yaml:"certificate"`    // path of a PEM file with the registered certificates, or the PEM text itself
	Roles         []string `yaml:"roles"`          // default ActivityFeed.Read and ActivityFeed.ReadDlp; [] means no consent
	Subscribed    bool     `yaml:"subscribed"`     // subscriptions of all content types exist since before the history
}

// Traffic is generated content of one type.
type Traffic struct {
	ContentType string   `yaml:"content_type"`
	Rate        float64  `yaml:"rate"`      // events per minute, from now on
	History     Duration `yaml:"history"`   // how far back content exists when the simulator starts
	Events      int      `yaml:"events"`    // number of events of the history; default: rate times history
	BlobSize    int      `yaml:"blob_size"` // events per blob; default 100
	Latency     Duration `yaml:"latency"`   // time from an event to its blob; default 1m
}

// Files serves records of files, one JSON record per line, as content. Lines are kept byte for byte.
type Files struct {
	Paths       []string `yaml:"files"`        // NDJSON; .gz too; patterns allowed; relative to the scenario file
	ContentType string   `yaml:"content_type"` // default: told from RecordType and Workload
	Over        Duration `yaml:"over"`         // the blobs are spread over this time before the start; default 24h
	BlobSize    int      `yaml:"blob_size"`    // records per blob; default 100
}

// Late makes blobs appear in the listing long after their contentCreated.
type Late struct {
	Share float64  `yaml:"share"` // of the blobs
	Delay Duration `yaml:"delay"` // each late blob appears after half to all of it
}

// Growing makes blobs that are served with the first half of their records at first, and with all of them under the same
// contentId later. Nothing in the listing tells that a blob has grown.
type Growing struct {
	Share float64  `yaml:"share"` // of the blobs
	Delay Duration `yaml:"delay"` // each has grown half to all of it after it appeared
}

// Duplicates makes the same record arrive several times. All values but the time are shares.
type Duplicates struct {
	WithinBlob       float64  `yaml:"within_blob"`       // of the records: again in the same blob
	AcrossBlobs      float64  `yaml:"across_blobs"`      // of the records: again in the next blob
	AcrossFeeds      float64  `yaml:"across_feeds"`      // of the DLP.All records: also in Audit.General
	Redelivered      float64  `yaml:"redelivered"`       // of the blobs: repeat records of an old blob
	RedeliveredAfter Duration `yaml:"redelivered_after"` // how old; default 5d
	Variants         float64  `yaml:"variants"`          // of the records: the next blob has the same identity with other content
}

// Throttle limits requests per tenant and publisher over a rolling minute of the clock.
type Throttle struct {
	RequestsPerMinute int    `yaml:"requests_per_minute"` // 0: no limit
	Status            int    `yaml:"status"`              // 403 (default) or 429
	RetryAfter        string `yaml:"retry_after"`         // as in Fault
}

// Fault is a rule that makes matching requests fail. Conditions that are left out match everything; a rule without
// probability, every and first fires on every match. The first rule that fires decides.
type Fault struct {
	Route       string   `yaml:"route"`        // token | list | content | blob | subscriptions (list, start, stop) | resources | * (default)
	Tenant      string   `yaml:"tenant"`       // directory id
	ContentType string   `yaml:"content_type"` // only requests that name one
	Share       float64  `yaml:"share"`        // only this share of the blobs, always the same ones
	WiderThan   Duration `yaml:"wider_than"`   // only listings of longer windows
	Probability float64  `yaml:"probability"`  // of each request, decided by seed, request and its count
	Every       int      `yaml:"every"`        // every Nth match
	First       int      `yaml:"first"`        // the first N matches
	PerTarget   bool     `yaml:"per_target"`   // every and first count per blob, window or path instead of over all
	After       Duration `yaml:"after"`        // only so long after the simulator started
	Until       Duration `yaml:"until"`        // only until then; 0: no end
	Kind        Kind     `yaml:"kind"`
	RetryAfter  string   `yaml:"retry_after"` // seconds, decimal, date, past_date, garbage, none (default) or a literal number
	Duration    Duration `yaml:"duration"`    // of slow and stall; default 30s
}

// Kind is the way in which a Fault fails.
type Kind string

// The kinds of faults. The kinds from RepeatNext on change a listing and are ignored elsewhere.
const (
	TooMany       Kind = "429"            // 429 with AF429
	AF429         Kind = "af429"          // 403 with AF429, as the service does
	ServerError   Kind = "500"            // AF50000
	Unavailable   Kind = "503html"        // 503 with an HTML page
	Reset         Kind = "reset"          // the connection is reset in the middle of the body
	TruncatedGzip Kind = "truncated_gzip" // complete answer, incomplete gzip stream
	TruncatedJSON Kind = "truncated_json" // complete answer, incomplete JSON
	BadGzip       Kind = "bad_gzip"       // wrong checksum
	HTML200       Kind = "html200"        // 200 with a log-in page, as captive portals do
	Slow          Kind = "slow"           // the body trickles for Duration
	Stall         Kind = "stall"          // nothing happens for Duration, then the answer comes
	Unauthorized  Kind = "401"            // 401 with an empty body
	NotFound      Kind = "404"            // AF20050; a blob stays lost for good
	Expired       Kind = "af20051"        // 400 AF20051; a blob stays lost for good
	RepeatNext    Kind = "repeat_next"    // NextPageUri is the page's own address
	ForeignNext   Kind = "foreign_next"   // NextPageUri leads to ForeignHost
	ForeignURI    Kind = "foreign_uri"    // every contentUri leads to ForeignHost
	EmptyPage     Kind = "empty_page"     // an empty page with a NextPageUri that leads on
	NextV1        Kind = "next_v1"        // NextPageUri has the path /api/v1/
	NextEndtime   Kind = "next_endtime"   // NextPageUri spells endtime
	StaleNext     Kind = "stale_next"     // a request with nextPage is answered with AF20031
)

// Kinds lists every kind of fault.
func Kinds() []Kind {
	return []Kind{
		TooMany, AF429, ServerError, Unavailable, Reset, TruncatedGzip, TruncatedJSON, BadGzip, HTML200, Slow,
		Stall, Unauthorized, NotFound, Expired, RepeatNext, ForeignNext, ForeignURI, EmptyPage, NextV1, NextEndtime, StaleNext,
	}
}

// Duration is a time.Duration that is written as 90s, 24h or 7d.
type Duration time.Duration

// UnmarshalText reads what time.ParseDuration reads, and days.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n < -36500 || n > 36500 {
			return fmt.Errorf("%q is not a duration such as 90s, 24h or 7d", s)
		}
		*d = Duration(n * float64(24*time.Hour))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 90s, 24h or 7d", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String prints the duration as time.Duration does.
func (d Duration) String() string { return time.Duration(d).String() }

func (d Duration) std() time.Duration { return time.Duration(d) }

// audiences of the plans (spec/management-activity-api.md section 2).
var audiences = map[string]string{
	"enterprise": "https://manage.office.com",
	"gcc":        "https://manage-gcc.office.com",
	"gcc_high":   "https://manage.office365.us",
	"dod":        "https://manage.protection.apps.mil",
}

// withDefaults returns a copy of the scenario in which every default is filled in.
func (s Scenario) withDefaults() Scenario {
	orInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orDuration := func(v *Duration, d time.Duration) {
		if *v == 0 {
			*v = Duration(d)
		}
	}
	orText := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	orInt(&s.PageSize, 200)
	orInt(&s.EqualCreated, 1)
	orDuration(&s.Expiry, 7*24*time.Hour)
	orDuration(&s.TokenLifetime, time.Hour)
	orDuration(&s.Duplicates.RedeliveredAfter, 5*24*time.Hour)
	orText(&s.WideWindow, "refuse")
	orText(&s.ForeignHost, "collector.attacker.example")
	orInt(&s.Throttle.Status, 403)
	s.Tenants = append([]Tenant(nil), s.Tenants...)
	for i := range s.Tenants {
		t := &s.Tenants[i]
		t.ID = strings.ToLower(t.ID)
		orText(&t.Name, "contoso")
		orText(&t.Plan, "enterprise")
		orText(&t.Audience, audiences[t.Plan])
		orInt(&t.Users, 3000)
		t.Apps = append([]App(nil), t.Apps...)
		for j := range t.Apps {
			if t.Apps[j].Roles == nil {
				t.Apps[j].Roles = []string{"ActivityFeed.Read", "ActivityFeed.ReadDlp"}
			}
		}
		t.Traffic = append([]Traffic(nil), t.Traffic...)
		for j := range t.Traffic {
			orInt(&t.Traffic[j].BlobSize, 100)
			orDuration(&t.Traffic[j].Latency, time.Minute)
		}
		t.Records = append([]Files(nil), t.Records...)
		for j := range t.Records {
			orInt(&t.Records[j].BlobSize, 100)
			orDuration(&t.Records[j].Over, 24*time.Hour)
		}
	}
	s.Faults = faultsWithDefaults(s.Faults)
	return s
}

func faultsWithDefaults(faults []Fault) []Fault {
	faults = append([]Fault(nil), faults...)
	for i := range faults {
		f := &faults[i]
		f.Tenant = strings.ToLower(f.Tenant)
		if f.Route == "" {
			f.Route = "*"
		}
		if f.Duration == 0 {
			f.Duration = Duration(30 * time.Second)
		}
	}
	return faults
}
