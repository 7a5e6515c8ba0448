// Package normalize says what a record of Microsoft 365 is: who it is (Identify), where it belongs (MsgClass, IndexFor,
// InferContentType) and what it means in the fields that all sources share (Normalizer).
//
// Identity comes first, in the collector. Two records with one _id are the same event; when their content differs too,
// the later one is a variant and is kept under an _id of its own (VariantID). The content is compared by the hash of
// its canonical JSON, so that another order of keys or another spelling of escapes changes nothing. The rules are those
// of spec/record-schema.md section 4.
//
// Normalising comes last, when the lake or a destination needs it: it can be repeated at any time from the bytes, and
// it never changes them.
//
//	members, err := rawjson.Members(nil, raw)
//	n.Normalize(&envelope, raw, members, row)          // core columns, by ColumnID
//	out = AppendRecord(out, row, meta, VendorKey(connectorType), raw)  // record/1 as users see it
//
// A record of the Management Activity API belongs to a family, such as sign-ins, mailbox, files or alerts. The family
// is found with the OCSF class: a table (tables/ocsf_rules.csv) maps record type and operation to both. One function per
// family then fills what section 6 of the specification lists; fields.go names all members that are read, without
// regard to case. Whatever is missing, of another type, or unknown is left out: Normalize cannot fail, and unknown
// record types and operations are kept with their number and name. Nothing that data loss prevention detected, which
// is secret text, reaches a column.
package normalize
