package collect

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"sluice/internal/fault"
	"sluice/internal/normalize"
	"sluice/internal/rawjson"
	"sluice/internal/record"
	"sluice/internal/state"
)

// prepared is a record with the claim for its identity.
type prepared struct {
	rec     record.Record
	claim   state.Claim
	content normalize.ContentHash
	event   int64 // Unix milliseconds, 0 when unknown
	// variantLake says whether the lake has the record under the id of a variant; see Publisher.askLake.
	variantLake state.LakeAnswer
}

// preparer turns items into records with identities. It keeps buffers and is for one goroutine.
type preparer struct {
	connector  *record.Connector
	generation uint32 // of the tenant
	now        func() time.Time
	members    []rawjson.Member
	scratch    normalize.Scratch
}

// prepare gives the item its identity. An item that is no usable record goes to quarantine. The content type is that
// of the unit, or inferred from the record when the unit has none (imports).
func (p *preparer) prepare(item record.Item, contentType, contentID string) (prepared, string) {
	out := prepared{rec: record.Record{Raw: item.Raw, Offset: item.Offset, Received: p.now().UnixMilli()}}
	reason := item.Malformed // the driver has looked: see source.Source
	if reason == "" {
		var err error
		if p.members, err = rawjson.Members(p.members[:0], item.Raw); err != nil {
			reason = err.Error()
		}
	}
	if reason == "" {
		if contentType == "" {
			contentType = normalize.InferContentType(p.members)
		}
		id, err := normalize.Identify(p.connector.Type, p.connector.DirectoryID, item.Raw, p.members, &p.scratch)
		if err == nil {
			out.rec.ID = id.ID
			out.rec.Index = normalize.IndexFor(p.connector.Type, contentType)
			out.claim = state.Claim{Second: id.Second, Key: normalize.ClaimKey(p.generation, id.ID), Content: id.Content}
			out.content, out.event = id.Content, id.Event
			return out, contentType
		}
		reason = err.Error()
	}
	if contentType == "" {
		contentType = normalize.InferContentType(nil)
	}
	p.quarantine(&out, reason, contentID)
	return out, contentType
}

// quarantine gives a malformed item an identity of its own: its place and its bytes, so that reading the same unit
// again does not keep it twice.
func (p *preparer) quarantine(out *prepared, reason, contentID string) {
	h := sha256.New()
	h.Write([]byte(p.connector.ID))
	h.Write([]byte{0})
	h.Write([]byte(contentID))
	var offset [9]byte
	binary.BigEndian.PutUint64(offset[1:], uint64(out.rec.Offset))
	h.Write(offset[:])
	h.Write(out.rec.Raw)
	sum := h.Sum(nil)
	out.rec.ID = "q:" + hex.EncodeToString(sum[:16])
	out.rec.Index = record.Quarantine
	out.rec.Reason = reason
	out.claim.Content = [16]byte(sum[:16]) // the id is made of the bytes: there are no variants
	out.claim.Key = quarantineKey(p.generation, out.rec.ID, out.claim.Content)
}

// quarantineClaim is the claim of a malformed item with the given id.
func quarantineClaim(generation uint32, id string) (c state.Claim, err error) {
	text, ok := strings.CutPrefix(id, "q:")
	if n, err := hex.Decode(c.Content[:], []byte(text[:min(len(text), 2*len(c.Content))])); !ok || err != nil || n != len(c.Content) || len(text) != 2*n {
		return c, fault.Newf(fault.Internal, "read id of a malformed item", "%q is none", id)
	}
	c.Key = quarantineKey(generation, id, c.Content)
	return c, nil
}

// quarantineKey is the key of a malformed item: its id is a hash already.
func quarantineKey(generation uint32, id string, sum [16]byte) [16]byte {
	if generation == 0 {
		return sum
	}
	return normalize.ClaimKey(generation, id)
}
