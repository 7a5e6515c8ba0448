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
	Spec        []byte // the configuration as JSON, secrets as references or sealed, never resolved
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
	IDSum       uint64 // see UnitCount.IDSum; 0 beside records means not known: counted by a version that kept no sums
	// DroppedRecords of the Records and Malformed are not in the lake any more, because its retention removed them;
	// DroppedSum is the XOR over their ids. See DropMark.
	DroppedRecords int64
	DroppedSum     uint64
	ListedAt       time.Time
	LandedAt       time.Time
	Seq            uint64    // journal sequence of the last published batch that counted something for it, 0 for none
	AskLake        bool      // set by Step.Heal: whoever fetches it asks the lake for every id, see Claim.Lake
	LookAt         time.Time // when a second look is due, zero for none
	Looks          int       // second looks so far
}

// Cursor is the place of the unit in the order of Units and UnitsBetween.
func (u *LedgerUnit) Cursor() UnitCursor { return UnitCursor{Created: u.Created, ID: u.ID} }

// UnitCursor is a place in a list of units that is ordered by Created, then ID. The zero value is the beginning.
type UnitCursor struct {
	Created time.Time
	ID      record.UnitID
}

// UnitFailure says how an attempt at a unit ended without landing.
type UnitFailure struct {
	ID      record.UnitID
	State   UnitState // Retrying, Lost or Dropped
	NextTry time.Time // for Retrying
	Kind    fault.Kind
	Text    string // no secrets
}

// LakeAnswer says whether the lake was asked for an id before it was claimed, and what it said.
type LakeAnswer uint8

// The answers of the lake.
const (
	NotAsked LakeAnswer = iota // the index of identities alone decides
	Absent                     // the lake has no record with this id
	Present                    // the lake has one; Claim.LakeContent is the hash of its content
)

// Claim asks for the right to land one record.
type Claim struct {
	Second  uint32   // event time, Unix seconds: neighbouring keys for neighbouring events; 0 for records without a time
	Key     [16]byte // hash of the tenant's generation (Erasure) and _id
	Content [16]byte // hash of the canonical content

	Lake         LakeAnswer
	LakeContent  [16]byte // hash of the canonical content that the lake holds, when Present
	SettledBatch int64    // when the lake answered, it had all records of every batch up to this number
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
	// IDSum is the XOR of the first 8 bytes (big endian) of md5(_id) over the records that land, quarantined ones
	// included. The lake can compute the same of what it holds.
	IDSum     uint64
	Complete  bool      // the unit's body ended complete and valid with this batch
	AskedLake bool      // with Complete: the lake was asked for every id of the body
	Newest    time.Time // newest event time among the records
}

// Total is the ledger summed up for one connector and content type.
type Total struct {
	ConnectorID string
	ContentType string
	Listed      int64 // units ever listed
	Landed      int64
	Pending     int64 // listed or retrying
	Retrying    int64
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

// PublishedBatch is a batch that is in the journal and, as far as the state knows, not in the lake yet.
type PublishedBatch struct {
	Number   int64
	Epoch    string
	Position Position
}

// HealUnit is a unit of which the lake does not hold what it should, with what the lake really holds of it
// outside the DropMark.
type HealUnit struct {
	ID        record.UnitID
	Records   int64
	Malformed int64
	IDSum     uint64 // over both, see UnitCount.IDSum
}

// Hour is what folded units of one feed, created within one hour, add up to.
type Hour struct {
	Start          time.Time
	Units          int64 // all of them landed
	Records        int64
	Duplicates     int64
	Filtered       int64
	Malformed      int64
	Bytes          int64
	IDSum          uint64 // XOR over the units, see UnitCount.IDSum
	DroppedRecords int64  // what retention removed of Records and Malformed, see LedgerUnit.DroppedRecords
	DroppedSum     uint64
}

// Gap is an interval of content creation time of which nobody can say that all was collected.
type Gap struct {
	ConnectorID string
	ContentType string
	From, To    time.Time // To is not part of it
	Reason      string    // for people; gaps are merged only with others of the same reason
	NoticedAt   time.Time
}

// FeedMarks is how far the listing of a feed has come, kept over restarts.
type FeedMarks struct {
	ListedUntil time.Time // the end of the last listing that was complete
	SweptDay    time.Time // when the last day was last listed again
	SweptAll    time.Time // when everything that the service still lists was last listed again
	LooksGrew   bool      // a second look once found more than the first: every unit gets one
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
