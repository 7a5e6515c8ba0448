package m365sim

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"sluice/internal/fault"
)

// maxLine bounds one record of a file.
const maxLine = 64 << 20

// loadFiles reads the records of a Files entry, in the order of the sorted file names and of the lines.
func loadFiles(tenantID string, f Files) ([]fileRecord, error) {
	var records []fileRecord
	for _, pattern := range f.Paths {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, fault.Wrap(fault.Config, "find records "+pattern, err)
		}
		if len(paths) == 0 {
			return nil, fault.New(fault.Config, "find records "+pattern, "no such file")
		}
		slices.Sort(paths)
		for _, path := range paths {
			if records, err = loadFile(records, tenantID, path); err != nil {
				return nil, fault.Wrap(fault.Config, "read records "+path, err)
			}
		}
	}
	if f.ContentType != "" {
		for i := range records {
			records[i].feed = f.ContentType
		}
	}
	return records, nil
}

func loadFile(records []fileRecord, tenantID, path string) (_ []fileRecord, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var in io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			return nil, err
		}
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 1<<20), maxLine)
	for lines.Scan() {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			records = append(records, newFileRecord(tenantID, bytes.Clone(line)))
		}
	}
	return records, lines.Err()
}
