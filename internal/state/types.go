package state

import (
	"time"

	"sluice/internal/fault"
	"sluice/internal/record"
)

// Connector is a configured connector as the operator gave it.
type Connector struct {
	ID          string // opaque, made by CreateConnector when empty
	Name        string // unique; fixed
	TenantName  string // fixed
	Type        string // fixed
	DirectoryID string // lower case; belongs to one tenant name
	Spec        []byte // the configuration as JSON, secrets as references, never resolved
	Owner       string // file that owns the entry, "" when made with apply or the API
	Paused      bool
	Created     time.Time
	Updated     time.Time
}

// Change is an entry of a connector's history.
type Change struct {
	At     time.Time
	Actor  string
	What   string // created, updated, paused, resumed, deleted
	Detail string // names of the changed options, no values
}

// Term is a publisher's exclusive right to write for a subject. Every SQL write of the collection path checks the epoch.
type Term struct {
	Subject string
	Epoch   string // UUID, new with every term
}

// Position is a place in the journal.
type Position struct {
	Stream string // identity of the stream; another one means another history
	Seq    uint64
}

// UnitState is the state of a unit in the ledger.
type UnitState string

// The states of a unit. Listed and Retrying units are due for fetching.
const (
	Listed   UnitState = "listed"
	Retrying UnitState = "retrying"
	Landed   UnitState = "landed"
	Lost     UnitState = "lost"
	Dropped  UnitState = "interrupted" // a part of an import that was cut off; importing the file again heals it
)

// LedgerUnit is a unit with what the ledger knows of it.
type LedgerUnit struct {
	record.Unit
	ID          record.UnitID
	ConnectorID string
	State       UnitState
	Attempt     int       // failed attempts so far
	NextTry     time.Time // when Retrying
	ErrorKind   fault.Kind
	ErrorText   string
	Bytes       int64
	Records     int64 // in the lake because of this unit
	Duplicates  int64
	Filtered    int64
	Malformed   int64
	ListedAt    time.Time
	LandedAt    time.Time
}

// UnitFailure says how an attempt at a unit ended without landing.
type UnitFailure struct {
	ID      record.UnitID
	State   UnitState // Retrying, Lost or Dropped
	NextTry time.Time // for Retrying
	Kind    fault.Kind
	Text    string // no secrets
}

// Claim asks for the right to land one record.
type Claim struct {
	Second  uint32   // event time, Unix seconds: neighbouring keys for neighbouring events
	Key     [16]byte // hash of generation and _id
	Content [16]byte // hash of the canonical content
}

// ClaimResult answers a Claim.
type ClaimResult uint8

// The answers. A claim repeated within one call is answered like a claim of an id that is held.
const (
	Claimed   ClaimResult = iota // the record is new and now belongs to the batch
	Duplicate                    // held with the same content
	Variant                      // held with other content
)

// UnitCount is what one batch contributes to a unit. Fetched = Records + Duplicates + Filtered + Malformed.
type UnitCount struct {
	Unit       record.UnitID
	Bytes      int64
	Records    int64
	Duplicates int64
	Filtered   int64
	Malformed  int64
	Complete   bool      // the unit's body ended complete and valid with this batch
	Newest     time.Time // newest event time among the records
}

// Total is the ledger summed up for one connector and content type.
type Total struct {
	ConnectorID string
	ContentType string
	Listed      int64 // units ever listed
	Landed      int64
	Pending     int64
	Lost        int64
	Records     int64
	Duplicates  int64
	Filtered    int64
	Malformed   int64
	Bytes       int64
	Newest      time.Time // newest event
	LastLanded  time.Time // when a unit last landed
	OldestOpen  time.Time // creation time of the oldest pending unit, zero when none
}

// OpenBatch is a batch whose publication was not confirmed.
type OpenBatch struct {
	Number int64
	Epoch  string
}

// ImportJob is one run of `sluice import`.
type ImportJob struct {
	ID          string
	Type        string
	TenantName  string
	DirectoryID string
	State       string // running, done, failed
	Error       string
	Files       []string
	Lines       int64 // records read
	Records     int64
	Duplicates  int64
	Filtered    int64
	Malformed   int64
	Started     time.Time
	Finished    time.Time
}
