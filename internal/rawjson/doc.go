// Package rawjson reads JSON without changing a byte of it.
//
// Sluice keeps Microsoft's records byte for byte, so its hot path never decodes a whole document: it finds the bounds
// of records in an array and of members in an object (Members), validates (Valid), decodes single strings when a
// column needs them (Unquote), and writes the canonical form whose hash decides whether two records have the same
// content (AppendCanonical). Nothing here retains its input unless it says so.
package rawjson
