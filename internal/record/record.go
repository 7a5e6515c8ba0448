// Package record holds the plain types that travel through Sluice: units, items, records and batches.
//
//	Microsoft --List--> Unit --Fetch--> Item --identity, filters, ids--> Record --frozen into a--> Batch --> journal --> lake
//
// A Unit is what a source lists and fetches as one thing. An Item is one record as the source handed it over, byte for
// byte. A Record is an Item that has an identity and will be kept. A Batch is one journal message, frozen once.
// The package imports nothing of Sluice and does no I/O.
package record

import (
	"crypto/md5" //nolint:gosec // see IDHash
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Index names a table of the lake, as in the record's _index.
type Index string

// The indices of the lake.
const (
	WindowsEvents Index = "windows_events"
	Syslog        Index = "syslog"
	Alerts        Index = "alerts"
	Quarantine    Index = "quarantine"
)

// Connector says who collected a record. It is copied into every record.
type Connector struct {
	ID          string `json:"id"`                     // stable, opaque
	Name        string `json:"name"`                   // unique among connectors
	Type        string `json:"type"`                   // office365, ...
	TenantName  string `json:"tenant_name"`            // the operator's name for the tenant
	DirectoryID string `json:"directory_id,omitempty"` // Microsoft's id of the tenant, lower case
}

// Unit is one thing that a source lists and fetches: a content blob, a page of a time window, a part of a file.
type Unit struct {
	Key         string    // stable within the connector; the same content has the same key in every listing
	ContentType string    // Audit.General, ...
	ContentID   string    // the source's own id, for people
	URI         string    // where Fetch reads it
	Created     time.Time // when the content became available, UTC
	Expires     time.Time // when the source forgets it, UTC; zero when unknown
}

// UnitID is the hash of a unit's key within its connector. In the lake it is the column _unit, in hexadecimal.
type UnitID [16]byte

// ID returns the unit's id for the connector with the given id.
func (u Unit) ID(connectorID string) UnitID {
	h := sha256.New()
	h.Write([]byte(connectorID))
	h.Write([]byte{0})
	h.Write([]byte(u.Key))
	var id UnitID
	copy(id[:], h.Sum(nil))
	return id
}

// String returns the id in hexadecimal.
func (id UnitID) String() string { return hex.EncodeToString(id[:]) }

// ParseUnitID is the inverse of String.
func ParseUnitID(s string) (UnitID, bool) {
	var id UnitID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	copy(id[:], b)
	return id, true
}

// Item is one record as a source handed it over.
type Item struct {
	Raw       []byte // the bytes as they came; the receiver owns them
	Offset    int64  // of Raw in the unit's body, in bytes after decompression; the line number for files of lines
	Malformed string // why Raw is not a usable record; empty for a good one
}

// IDHash is the first half of the MD5 of an _id. The XOR over the ids of a unit (its IDSum) is kept in the ledger and
// can be computed again by any engine that reads the lake, so the two can be compared without listing ids.
func IDHash(id string) uint64 {
	sum := md5.Sum([]byte(id)) //nolint:gosec // compares what we wrote ourselves; nothing is trusted because of it
	return binary.BigEndian.Uint64(sum[:8])
}

// Record is an item that is kept: it has an identity and a place in the lake.
type Record struct {
	ID        string // _id, unique in the lake
	Index     Index
	Unit      int    // position in Batch.Units
	VariantOf string // _id of the record whose identity this one shares with other content; usually empty
	Received  int64  // when the body was fetched, Unix milliseconds
	Offset    int64  // Item.Offset
	Reason    string // why the record is in quarantine; empty elsewhere
	Raw       []byte // byte for byte what the source sent
}

// BatchUnit is what a batch remembers of a unit.
type BatchUnit struct {
	ID          UnitID
	Connector   int // position in Batch.Connectors
	ContentType string
	ContentID   string
	Created     time.Time
}

// Batch is one journal message. It is frozen once: after Number and Epoch are set its content never changes.
type Batch struct {
	Epoch      string // the publisher's term
	Number     int64  // unique over all epochs of a state database, increasing
	Connectors []Connector
	Units      []BatchUnit
	Records    []Record // at most MaxBatchRecords
}

// MaxBatchRecords bounds the records of a batch, so that Seq can number them.
const MaxBatchRecords = 1 << 16

// Seq is the lake order of record number i of the batch at journal sequence seq: the column _seq.
func Seq(seq uint64, i int) int64 { return int64(seq<<16) | int64(i) }

// JournalSeq is the journal sequence of a record's _seq.
func JournalSeq(seq int64) uint64 { return uint64(seq) >> 16 }
