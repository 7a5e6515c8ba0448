package normalize

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/rawjson"
)

// ContentHash is the first 16 bytes of the SHA-256 of a record's canonical JSON: equal for equal content, whatever the
// order of members, the white space and the escapes.
type ContentHash = [16]byte

// Identity is what decides whether a record is new (spec/record-schema.md section 4).
type Identity struct {
	ID      string      // _id
	Second  uint32      // of the event, Unix seconds; 0 when the record does not say, or may say another time under the same ID
	Event   int64       // time of the event, Unix milliseconds; 0 when the record does not say
	Content ContentHash // two records with one ID and different Content are variants
}

// Scratch holds buffers that Identify reuses. The zero value is ready; a Scratch is for one goroutine.
type Scratch struct {
	canonical, id, stripped []byte
	text                    [numIdentityFields][]byte
	exact                   [numIdentityFields]bool
}

// maxKeyText bounds the parts of an id. A record whose own id is longer is identified by its bytes.
const maxKeyText = 512

// Fields that identities are made of. One slot serves all sources.
type identityField int

const (
	fieldOrganization identityField = iota // OrganizationId
	fieldID                                // Id, MessageTraceId, _id
	fieldType                              // RecordType, RecipientAddress
	fieldOperation                         // Operation, Status
	fieldTime                              // CreationTime, Received, timestamp, lastModifiedDateTime
	fieldAlertMark                         // a member that only alerts have
	numIdentityFields
)

// identityKeys are the names of the fields per connector type, in lower case: names are compared ignoring case, since
// exports with all-lower-case keys exist. A member with the exact spelling is preferred; of equal ones the last counts,
// as in most JSON readers.
var identityKeys = map[string][]identityKey{
	Office365: {
		{"OrganizationId", "organizationid", fieldOrganization},
		{"Id", "id", fieldID},
		{"RecordType", "recordtype", fieldType},
		{"Operation", "operation", fieldOperation},
		{"CreationTime", "creationtime", fieldTime},
	},
	MessageTrace: {
		{"MessageTraceId", "messagetraceid", fieldID},
		{"id", "id", fieldID},
		{"RecipientAddress", "recipientaddress", fieldType},
		{"Status", "status", fieldOperation},
		{"Received", "received", fieldTime},
		{"receivedDateTime", "receiveddatetime", fieldTime},
	},
	CloudApps: {
		{"_id", "_id", fieldID},
		{"timestamp", "timestamp", fieldTime},
		{"resolutionStatusValue", "resolutionstatusvalue", fieldAlertMark},
		{"severityValue", "severityvalue", fieldAlertMark},
	},
	ServiceHealth: {{"id", "id", fieldID}, {"lastModifiedDateTime", "lastmodifieddatetime", fieldTime}},
}

type identityKey struct {
	exact, lower string
	field        identityField
}

// Identify makes the identity of a record. The members are those of raw, which rawjson.Check accepted. directoryID
// stands in for a record that names no organisation. The error, of kind malformed or config, means that raw cannot be
// a record of this connector type.
func Identify(connectorType, directoryID string, raw []byte, members []rawjson.Member, s *Scratch) (Identity, error) {
	keys, ok := identityKeys[connectorType]
	if !ok {
		return Identity{}, fault.Newf(fault.Config, "identify record", "unknown connector type %q", connectorType)
	}
	s.collect(keys, members)
	var id Identity
	if err := s.hash(connectorType, raw, members, &id.Content); err != nil {
		return Identity{}, fault.Wrap(fault.Malformed, "identify record", err)
	}
	id.Event = s.eventTime()
	if second := id.Event / 1000; second > 0 && second <= math.MaxUint32 {
		id.Second = uint32(second)
	}
	s.id = s.id[:0]
	timed := true
	switch connectorType {
	case Office365:
		s.office365(directoryID, raw)
	case MessageTrace:
		timed = s.messageTrace(directoryID, raw)
	case CloudApps:
		timed = s.cloudApps(raw, id.Content)
	case ServiceHealth:
		s.serviceHealth(raw)
	}
	if !timed { // the index of ids looks under the second and the id: one id must not be under two seconds
		id.Second = 0
	}
	id.ID = string(s.id)
	return id, nil
}

// collect finds the fields' values as text.
func (s *Scratch) collect(keys []identityKey, members []rawjson.Member) {
	for i := range s.text {
		s.text[i], s.exact[i] = s.text[i][:0], false
	}
	for _, m := range members {
		key := m.Key
		if len(key) > len(`\u0000`) && bytes.IndexByte(key, '\\') >= 0 {
			key, _ = rawjson.AppendUnquoted(nil, key)
		}
		for _, k := range keys {
			if !foldEqual(key, k.lower) {
				continue
			}
			exact := string(key) == k.exact
			if exact || !s.exact[k.field] {
				s.text[k.field], s.exact[k.field] = appendPlainText(s.text[k.field][:0], m), exact
			}
			break
		}
	}
}

func appendPlainText(dst []byte, m rawjson.Member) []byte {
	switch m.Kind {
	case rawjson.String:
		dst, _ = rawjson.AppendUnquoted(dst, m.Value)
	case rawjson.Number, rawjson.Bool:
		dst = append(dst, m.Value...)
	default: // the rest has no plain text
	}
	return dst
}

// hash hashes the canonical form. Rows of the message trace carry the query's window and their row number, which
// change from query to query and are left out (spec/message-trace.md A.4).
func (s *Scratch) hash(connectorType string, raw []byte, members []rawjson.Member, out *ContentHash) (err error) {
	if connectorType == MessageTrace {
		s.stripped = append(s.stripped[:0], '{')
		for _, m := range members {
			if foldEqual(m.Key, "startdate") || foldEqual(m.Key, "enddate") || foldEqual(m.Key, "index") || foldEqual(m.Key, "__metadata") {
				continue
			}
			if len(s.stripped) > 1 {
				s.stripped = append(s.stripped, ',')
			}
			s.stripped = append(append(append(append(s.stripped, '"'), m.Key...), '"', ':'), m.Value...)
		}
		s.stripped = append(s.stripped, '}')
		raw = s.stripped
	}
	if s.canonical, err = rawjson.AppendCanonical(s.canonical[:0], raw); err != nil {
		return err
	}
	sum := sha256.Sum256(s.canonical)
	copy(out[:], sum[:])
	return nil
}

// eventTime is the record's time, 0 when it says none.
func (s *Scratch) eventTime() int64 {
	text := s.text[fieldTime]
	if ms, ok := ParseTime(string(text)); ok {
		return ms
	}
	// Defender for Cloud Apps counts milliseconds.
	if ms, err := strconv.ParseInt(string(text), 10, 64); err == nil && ms > 0 {
		return ms
	}
	return 0
}

func (s *Scratch) add(parts ...string) {
	for _, p := range parts {
		s.id = append(s.id, p...)
	}
}

// addLower appends in lower case; only ASCII has case here.
func (s *Scratch) addLower(text []byte) {
	for _, c := range text {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		s.id = append(s.id, c)
	}
}

// addHash appends the SHA-256 of the record's bytes, for records without an id of their own.
func (s *Scratch) addHash(raw []byte) {
	sum := sha256.Sum256(raw)
	s.id = hex.AppendEncode(s.id, sum[:])
}

func (s *Scratch) hasID(fields ...identityField) bool {
	for _, f := range fields {
		if len(s.text[f]) > maxKeyText {
			return false
		}
	}
	return len(s.text[fieldID]) > 0
}

func (s *Scratch) office365(directoryID string, raw []byte) {
	s.add("o365:")
	if organization := s.text[fieldOrganization]; len(organization) > 0 && len(organization) <= maxKeyText {
		s.addLower(organization)
	} else {
		s.addLower([]byte(directoryID))
	}
	s.add(":")
	if !s.hasID(fieldID) {
		s.addHash(raw)
		return
	}
	s.id = append(append(s.id, s.text[fieldID]...), ':')
	// Id alone is not enough: a DLP match and its undo were seen under one Id.
	text := s.stripped[:0]
	text = append(append(text, s.text[fieldType]...), '|')
	text = append(append(text, s.text[fieldOperation]...), '|')
	text = append(text, s.text[fieldTime]...)
	s.stripped = text
	sum := sha256.Sum256(text)
	s.id = hex.AppendEncode(s.id, sum[:4])
}

// messageTrace reports whether the id follows from the time, as that of a hash does.
func (s *Scratch) messageTrace(directoryID string, raw []byte) (timed bool) {
	s.add("mt:")
	s.addLower([]byte(directoryID))
	s.add(":")
	if !s.hasID(fieldID, fieldType, fieldOperation) {
		s.addHash(raw)
		return true
	}
	s.id = append(append(s.id, s.text[fieldID]...), ':')
	s.addLower(s.text[fieldType])
	s.add(":")
	s.addLower(s.text[fieldOperation])
	return false
}

// cloudApps tells alerts from activities by members that only alerts have (spec/defender-cloud-apps.md). It reports
// whether the id follows from the time.
func (s *Scratch) cloudApps(raw []byte, content ContentHash) (timed bool) {
	alert := len(s.text[fieldAlertMark]) > 0
	if alert {
		s.add("mda-al:")
	} else {
		s.add("mda-a:")
	}
	if !s.hasID(fieldID) {
		s.addHash(raw)
		return true
	}
	s.id = append(s.id, s.text[fieldID]...)
	if alert {
		s.id = hex.AppendEncode(append(s.id, ':'), content[:6])
	}
	return alert
}

func (s *Scratch) serviceHealth(raw []byte) {
	s.add("sh:")
	if !s.hasID(fieldID, fieldTime) {
		s.addHash(raw)
		return
	}
	s.id = append(append(append(s.id, s.text[fieldID]...), ':'), s.text[fieldTime]...)
}

// TypeOfID is the connector type of the records that have an id like this one, also of a variant.
func TypeOfID(id string) (connectorType string, ok bool) {
	prefix, _, _ := strings.Cut(id, ":")
	switch prefix {
	case "o365":
		return Office365, true
	case "mt":
		return MessageTrace, true
	case "mda-al", "mda-a":
		return CloudApps, true
	case "sh":
		return ServiceHealth, true
	}
	return "", false
}

// VariantID is the _id of a record whose identity is taken by other content.
func VariantID(id string, content ContentHash) string {
	return id + "~" + hex.EncodeToString(content[:4])
}

// ClaimKey is the key of an id in the index of ids. The generation of a tenant rises when its data are deleted, so
// that a second import of the same records lands.
func ClaimKey(generation uint32, id string) [16]byte {
	buf := make([]byte, 0, 160)
	buf = binary.BigEndian.AppendUint32(buf, generation)
	sum := sha256.Sum256(append(buf, id...))
	return [16]byte(sum[:16])
}
