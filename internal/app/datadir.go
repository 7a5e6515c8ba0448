package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
	"github.com/google/uuid"

	"sluice/internal/fault"
)

// dataFormat is the layout of the data folder. It is raised when an older version must not touch a folder any more.
const dataFormat = 1

const (
	formatFile = "sluice.json"
	lockFile   = "lock"
)

// dataDir is a locked data folder.
type dataDir struct {
	path string
	node string // identity of the folder: who runs on it is, for leases, always the same
	lock *flock.Flock
}

// openDataDir creates the folder if needed, locks it for this process and checks its format.
func openDataDir(path string) (*dataDir, error) {
	const op = "open data folder"
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Wrap(fault.Config, op, err)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fault.New(fault.Config, op, path).WithCause(err).WithHint("choose another folder with --data, or give this user the right to write there")
	}
	d := &dataDir{path: path, lock: flock.New(filepath.Join(path, lockFile), flock.SetPermissions(0o600))}
	locked, err := d.lock.TryLock()
	if err != nil {
		return nil, fault.New(fault.Config, op, path).WithCause(err).WithHint("give this user the right to write there")
	}
	if !locked {
		return nil, fault.Newf(fault.Conflict, op, "%s is in use by another Sluice%s", path, d.owner()).
			WithHint("stop that one first, or choose another folder with --data")
	}
	err = os.WriteFile(d.lock.Path(), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
	if err != nil {
		err = fault.New(diskKind(err), op, path).WithCause(err).WithHint("free disk space or choose another folder with --data")
	} else {
		err = d.checkFormat()
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// owner names the process that has the lock, if it can be read.
func (d *dataDir) owner() string {
	text, err := os.ReadFile(d.lock.Path())
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

func (d *dataDir) checkFormat() error {
	const op = "open data folder"
	type content struct {
		Format int    `json:"format"`
		Node   string `json:"node"`
	}
	path := filepath.Join(d.path, formatFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(text) == 0 { // empty: a full disk or a crash at the first start
		d.node = uuid.NewString()
		text, err = json.Marshal(content{Format: dataFormat, Node: d.node})
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
			return fault.New(diskKind(err), op, d.path).WithCause(err).WithHint("free disk space or choose another folder with --data")
		}
		return nil
	}
	var c content
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	switch {
	case err != nil:
		return fault.Newf(fault.Config, op, "%s is unreadable", path).WithCause(err).WithHint("is this really a data folder of Sluice?")
	case c.Format > dataFormat:
		return fault.Newf(fault.Config, op, "%s was written by a newer version of Sluice (format %d, this one knows %d)", d.path, c.Format, dataFormat).
			WithHint("install that version, or choose another folder with --data")
	}
	d.node = c.Node
	return nil
}

// holder is the name under which this process holds leases. The lock on the folder makes sure that an earlier holder of
// the same name is gone.
func (d *dataDir) holder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	return host + " " + d.path + " (" + d.node + ")"
}

// sub returns a folder inside the data folder and creates it.
func (d *dataDir) sub(name string) (string, error) {
	path := filepath.Join(d.path, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fault.New(diskKind(err), "open data folder", path).WithCause(err)
	}
	return path, nil
}

// Close unlocks the folder.
func (d *dataDir) Close() {
	if err := d.lock.Unlock(); err != nil {
		fmt.Fprintln(os.Stderr, "unlock data folder:", err)
	}
}
