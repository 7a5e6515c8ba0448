// Package wire is what the server and its query children say to each other over the child's standard input and output.
//
// A message is a frame: four bytes of length (big endian, of what follows), one byte of type, the body. Bodies are
// JSON, except for rows, which have a compact form of their own (EncodeRow) that keeps types: a BIGINT stays exact, a
// time stays a time.
//
//	server                              child
//	Setup   ------------------------->  opens DuckDB, warms up
//	        <-------------------------  Ready
//	Open    ------------------------->  fences: allowed files, no other access, configuration locked
//	        <-------------------------  Ready, or Failed
//	Query   ------------------------->  runs it
//	        <-------------------------  Columns, Rows ..., Done, or Failed
//	Query ...                           any number of times
//	end of input                        exits
//
// Between Ready and Open a child is idle and belongs to nobody: that is how a query avoids paying for the start.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"sluice/internal/fault"
)

// Type is the type of a frame.
type Type byte

// The types of frames.
const (
	Setup   Type = 'S' // SetupBody
	Open    Type = 'O' // OpenBody
	Query   Type = 'Q' // QueryBody
	Ready   Type = 'r' // no body
	Columns Type = 'c' // []Column
	Rows    Type = 'd' // rows by EncodeRow, one after the other
	Done    Type = 'e' // DoneBody
	Failed  Type = 'f' // Failure
)

// MaxFrame bounds the body of a frame. A row larger than this cannot be answered.
const MaxFrame = 256 << 20

// SetupBody configures a child before it opens the engine.
type SetupBody struct {
	MemoryBytes int64  `json:"memory_bytes"` // the engine's own limit
	DataBytes   int64  `json:"data_bytes"`   // RLIMIT_DATA of the process
	Threads     int    `json:"threads"`
	TempDir     string `json:"temp_dir"` // private folder that exists; the server removes it
	TempBytes   int64  `json:"temp_bytes"`
}

// Column is a column of a table or of a result.
type Column struct {
	Name    string `json:"name"`
	SQLType string `json:"type"`
	Vendor  bool   `json:"vendor,omitempty"` // part of the vendor's record
}

// Table is a table of the lake as this caller may see it.
type Table struct {
	Name    string   `json:"name"`
	Columns []Column `json:"columns"` // of the table; a file may have fewer
	Files   []string `json:"files"`   // absolute paths
	Where   string   `json:"where"`   // condition on the table's columns that every view applies; "" is none
}

// OpenBody names everything that the child may read from now on.
type OpenBody struct {
	Tables  []Table `json:"tables"`
	Analyst bool    `json:"analyst"` // queries come from people: parse gate, public columns only
}

// QueryBody is one query.
type QueryBody struct {
	SQL string `json:"sql"`
	// Files restricts tables to some of their files for this query; a table that is not in the map keeps all.
	Files   map[string][]string `json:"files,omitempty"`
	MaxRows int64               `json:"max_rows"` // > 0; the child wraps the query in this LIMIT
	// TimeoutMillis is when the child interrupts the query; the server kills the child a second later.
	TimeoutMillis int64 `json:"timeout_ms"`
}

// DoneBody ends a result.
type DoneBody struct {
	Rows int64 `json:"rows"`
}

// Failure is an error on the wire.
type Failure struct {
	Kind    fault.Kind `json:"kind"`
	Message string     `json:"message"`
	Hint    string     `json:"hint,omitempty"`
}

// Err turns a failure into the error it was made from.
func (f Failure) Err(op string) error { return fault.New(f.Kind, op, f.Message).WithHint(f.Hint) }

// WriteFrame writes a frame whose body is already encoded.
func WriteFrame(w io.Writer, t Type, body []byte) error {
	if len(body) >= MaxFrame {
		return fault.Newf(fault.Full, "write frame", "%d bytes exceed the limit of %d", len(body), MaxFrame)
	}
	head := make([]byte, 5, 5+len(body))
	binary.BigEndian.PutUint32(head, uint32(len(body)+1)) // #nosec G115 -- bounded above
	head[4] = byte(t)
	_, err := w.Write(append(head, body...))
	return err
}

// WriteJSON writes a frame with a JSON body; a nil body is empty.
func WriteJSON(w io.Writer, t Type, body any) error {
	if body == nil {
		return WriteFrame(w, t, nil)
	}
	b, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode frame %c: %w", t, err)
	}
	return WriteFrame(w, t, b)
}

// ReadFrame reads one frame. It returns io.EOF when the stream ends between frames.
func ReadFrame(r io.Reader) (Type, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > MaxFrame {
		return 0, nil, fault.Newf(fault.Malformed, "read frame", "length %d", n)
	}
	body := make([]byte, n-1)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, fmt.Errorf("read frame of %d bytes: %w", n, io.ErrUnexpectedEOF)
	}
	return Type(head[4]), body, nil
}
