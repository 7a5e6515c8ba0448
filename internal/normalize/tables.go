package normalize

import (
	"bytes"
	_ "embed" // the tables
	"encoding/csv"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// The tables are facts of spec/record-types.csv and spec/ocsf-mapping.csv, cut to the columns that are used.
var (
	//go:embed tables/record_types.csv
	recordTypesCSV []byte
	//go:embed tables/ocsf_rules.csv
	ocsfRulesCSV []byte
)

// recordTypes is the table of record types, by number. It is parsed once, at first use, and then only read. That it
// parses is guarded by a test and by New.
var recordTypes = sync.OnceValues(func() (map[int]string, error) {
	rows, err := readTable(recordTypesCSV, "value", "name")
	if err != nil {
		return nil, fmt.Errorf("table of record types: %w", err)
	}
	types := make(map[int]string, len(rows))
	for _, row := range rows {
		value, err := strconv.Atoi(row[0])
		if err != nil {
			return nil, fmt.Errorf("table of record types: %w", err)
		}
		types[value] = row[1]
	}
	return types, nil
})

// RecordTypeName is Microsoft's name of an audit record type; ok is false for numbers that nobody has named.
func RecordTypeName(number int) (name string, ok bool) {
	types, err := recordTypes()
	name, ok = types[number]
	return name, ok && err == nil
}

// readTable reads the named columns of a table with a header, in the order of the names.
func readTable(data []byte, columns ...string) ([][]string, error) {
	all, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(all) < 2 {
		return nil, errors.New("no rows")
	}
	at := make([]int, len(columns))
	for i, name := range columns {
		at[i] = -1
		for j, header := range all[0] {
			if header == name {
				at[i] = j
			}
		}
		if at[i] < 0 {
			return nil, fmt.Errorf("no column %s", name)
		}
	}
	rows := make([][]string, 0, len(all)-1)
	for _, line := range all[1:] {
		row := make([]string, len(at))
		for i, j := range at {
			row[i] = line[j]
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// OCSFRule is a row of the class table: which class and activity of OCSF an operation is (spec/record-schema.md
// sections 5.7 and 8).
type OCSFRule struct {
	Number  int    // of the row, stored in ocsf.rule
	Family  string // group of record types: entra_signin, dlp ...
	MinOCSF string // lowest version of OCSF that knows the pair

	ClassUID, ActivityID, TypeUID       int64 // up to OCSF 1.8
	ClassUID19, ActivityID19, TypeUID19 int64 // from OCSF 1.9
	types                               []int // record types; nil for any
	pattern                             *regexp.Regexp
}

// loadRules parses the class table.
func loadRules() ([]OCSFRule, error) {
	rows, err := readTable(ocsfRulesCSV, "family", "record_types", "operation_pattern", "min_ocsf_version",
		"rule", "class_uid", "activity_id", "type_uid", "class_uid_1_9", "activity_id_1_9", "type_uid_1_9")
	if err != nil {
		return nil, fmt.Errorf("class table: %w", err)
	}
	rules := make([]OCSFRule, len(rows))
	for i, row := range rows {
		r := &rules[i]
		r.Family, r.MinOCSF = row[0], row[3]
		var numbers [7]int64
		for j := range numbers {
			if numbers[j], err = strconv.ParseInt(row[4+j], 10, 64); err != nil {
				return nil, fmt.Errorf("class table, row %d: %w", i+1, err)
			}
		}
		r.Number = int(numbers[0])
		r.ClassUID, r.ActivityID, r.TypeUID = numbers[1], numbers[2], numbers[3]
		r.ClassUID19, r.ActivityID19, r.TypeUID19 = numbers[4], numbers[5], numbers[6]
		if r.pattern, err = regexp.Compile(`(?s)^(?:` + row[2] + `)$`); err != nil {
			return nil, fmt.Errorf("class table, row %d: %w", i+1, err)
		}
		if row[1] == "*" {
			continue
		}
		for t := range strings.SplitSeq(row[1], ";") {
			number, err := strconv.Atoi(t)
			if err != nil {
				return nil, fmt.Errorf("class table, row %d: %w", i+1, err)
			}
			r.types = append(r.types, number)
		}
	}
	return rules, nil
}
