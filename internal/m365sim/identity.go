package m365sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// identity is what the _id of a record is made of (spec/record-schema.md section 4).
type identity struct {
	org, id, recordType, operation, created string
	raw                                     []byte // for records without id
}

// String is the expected _id.
func (i identity) String() string {
	if i.id == "" {
		sum := sha256.Sum256(i.raw)
		return "o365:" + i.org + ":" + hex.EncodeToString(sum[:])
	}
	sum := sha256.Sum256([]byte(i.recordType + "|" + i.operation + "|" + i.created))
	return "o365:" + i.org + ":" + i.id + ":" + hex.EncodeToString(sum[:4])
}

// fileRecord is a record that came from a file.
type fileRecord struct {
	raw       []byte
	id        string // expected _id without a variant's suffix
	content   string // hash of the canonical JSON
	malformed bool   // not a JSON object
	feed      string // content type it belongs to
}

// newFileRecord classifies one line of a file. It is deliberately a straightforward implementation over encoding/json,
// independent of the code under test.
func newFileRecord(tenantID string, line []byte) fileRecord {
	r := fileRecord{raw: line, feed: General}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil || fields == nil {
		r.malformed = true
		return r
	}
	get := func(name string) string {
		v, ok := fields[name]
		if !ok {
			for key, other := range fields {
				if strings.EqualFold(key, name) {
					v = other
				}
			}
		}
		switch v := v.(type) {
		case string:
			return v
		case json.Number:
			return v.String()
		case bool:
			return strconv.FormatBool(v)
		}
		return ""
	}
	org := get("OrganizationId")
	if org == "" {
		org = tenantID
	}
	i := identity{
		org: strings.ToLower(org), id: get("Id"), recordType: get("RecordType"), operation: get("Operation"),
		created: get("CreationTime"), raw: line,
	}
	r.id = i.String()
	sum := sha256.Sum256(canonical(nil, fields))
	r.content = hex.EncodeToString(sum[:4])
	r.feed = feedOf(i.recordType, get("Workload"))
	return r
}

// feedOf tells in which feed a record arrives.
func feedOf(recordType, workload string) string {
	switch recordType {
	case "11", "13", "33", "63", "99", "100", "107":
		return DLP
	}
	switch strings.ToLower(workload) {
	case "azureactivedirectory":
		return AzureActiveDirectory
	case "exchange":
		return Exchange
	case "sharepoint", "onedrive":
		return SharePoint
	}
	return General
}

// canonical writes a decoded value with sorted keys, strings and numbers by value.
func canonical(dst []byte, v any) []byte {
	switch v := v.(type) {
	case map[string]any:
		text, _ := json.Marshal(sortedMembers(v)) //nolint:errchkjson // raw members of valid JSON
		return append(dst, text...)
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = canonical(dst, item)
		}
		return append(dst, ']')
	case json.Number:
		if r, ok := exactNumber(v.String()); ok {
			return append(dst, r...)
		}
		return append(dst, v.String()...)
	default:
		text, _ := json.Marshal(v) //nolint:errchkjson // a string, bool or null
		return append(dst, text...)
	}
}

// sortedMembers holds the members of an object in canonical form; encoding/json writes maps with sorted keys.
func sortedMembers(v map[string]any) map[string]json.RawMessage {
	members := make(map[string]json.RawMessage, len(v))
	for key, item := range v {
		members[key] = canonical(nil, item)
	}
	return members
}

// exactNumber writes equal numbers alike (1, 1.0 and 10e-1) and unlike any text. Numbers with exponents that would need much memory keep
// their spelling.
func exactNumber(text string) (string, bool) {
	if len(text) > 64 {
		return "", false
	}
	if _, exponent, found := strings.Cut(strings.ToLower(text), "e"); found && len(exponent) > 4 {
		return "", false
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return "", false
	}
	return fmt.Sprintf(`{"number":%q}`, r.RatString()), true
}
