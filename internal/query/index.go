package query

import (
	"strings"

	"sluice/internal/fault"
)

// All is the index of windows_events, syslog and alerts together. NormalizeIndex accepts it besides the tables of
// package record.
const All = "all"

var indexNames = []string{"windows_events", "alerts", "syslog", "quarantine", All}

// NormalizeIndex turns the name of an index as people write it ("Windows Events", "windows-events", "ALERTS") into the
// name of the table, or All. The empty name is All. An unknown name is a fault.Config error that lists the known ones.
func NormalizeIndex(name string) (string, error) {
	folded := strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r == ' ' || r == '_' || r == '-' || r == '\t'
	}), "_")
	if folded == "" {
		return All, nil
	}
	for _, known := range indexNames {
		if folded == known || folded == strings.ReplaceAll(known, "_", "") {
			return known, nil
		}
	}
	return "", fault.Newf(fault.Config, "choose index", "unknown index %q: expected one of %s", name, strings.Join(indexNames, ", "))
}
