// Package filter decides which records a connector does not keep.
//
// A log filter has a name, a mode and conditions (spec/record-schema.md section 2). Connectors refer to filters by
// name, so that one filter serves many:
//
//	filters:
//	  - name: drop-noise
//	    mode: exclude                      # default; include keeps only what matches
//	    conditions:                        # all must hold
//	      - {field: Workload, operator: equals, value: Exchange}
//	      - {field: Operation, operator: in, values: [MailItemsAccessed, Create]}
//	      - {field: srcip, operator: cidr, value: 10.0.0.0/8}
//	    query: NOT UserType:2              # and so must the LQ query, if there is one
//
// # What happens to a record
//
// A Set is the filters of one connector. An exclude filter drops what it matches. Include filters drop what none of
// them matches; a record that one of them matches is kept unless an exclude filter drops it. Nothing is dropped
// silently: Decide names the filter, and the caller counts. Where a filter cannot decide, the record is kept.
//
// Filters run before a record's identity is claimed, so that another connector without the filter still gets it.
// Records that are no JSON objects are not the business of filters: Decide keeps them, whatever the mode.
//
// # What a filter sees
//
// A View shows a record to filters: its vendor fields as they came and the core fields of record/1, which are computed
// only when a filter asks for one. Names are those of a search (spec/query-languages.md section 2.3): a core field
// (srcip, user.email, msg_class), a vendor field with or without the vendor's key (office365.Operation, Operation), a
// path into a structure (Parameters.ForwardTo), or an alias (@timestamp, source.ip, ClientIP). Fields that the lake
// adds (write_time, _seq, _unit, _batch) do not exist yet.
//
// Conditions on a field with several values hold when any value meets them; the negative operators (not_equals, not_in,
// not_exists) hold exactly when their counterpart does not, so also when the field is missing. Text is compared without
// regard to case, except by matches.
//
// The query is run by package memsql from the SQL that package query compiles for searches, so a search finds exactly
// what the filter matches. There is one difference: a field has the kind of its value in this record, where a table has
// one kind for all records of a column.
//
// # Before a filter is used
//
// Check lists the mistakes of a Spec, Compile makes a Filter of it, and Test runs a Set over sample records: what would
// be dropped, by which filter, which fields no record had, and whether nothing at all would be left.
//
// Everything is safe for concurrent use except View, which belongs to one goroutine.
package filter
