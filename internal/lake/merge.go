package lake

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"

	"sluice/internal/fault"
)

// merger merges Parquet files of this package into one. The columns of the inputs are matched by field id.
type merger struct {
	inputs []*input
	rows   int // of the inputs
	erase  *erasure
	pool   *chunkPool
	pages  pageReader
}

// input is a file that is read.
type input struct {
	path   string // as iceberg.DataFile has it
	reader *file.Reader
	cols   map[int32]int // field id -> column
	first  int           // number of its first row among all rows
}

func (m *merger) close() {
	for _, in := range m.inputs {
		_ = in.reader.Close()
	}
}

func (m *merger) open(df iceberg.DataFile) error {
	path, err := localPath(df.FilePath())
	if err != nil {
		return err
	}
	r, err := openParquet(path)
	if err != nil {
		return err
	}
	in := &input{path: df.FilePath(), reader: r, cols: make(map[int32]int), first: m.rows}
	m.inputs = append(m.inputs, in)
	if r.NumRows() != df.Count() {
		return fault.Newf(fault.Internal, "compact", "%s has %d rows, not %d", path, r.NumRows(), df.Count())
	}
	m.rows += int(r.NumRows())
	sc := r.MetaData().Schema
	for i := range sc.NumColumns() {
		in.cols[sc.Column(i).SchemaNode().FieldID()] = i
	}
	return nil
}

// write writes the merged file.
func (m *merger) write(ctx context.Context, w io.Writer) (fileMeta, error) {
	cols, noDictionary, err := m.columns()
	if err != nil {
		return nil, err
	}
	place, rows, err := m.places(cols)
	if err != nil {
		return nil, err
	}
	out := bufio.NewWriterSize(w, 1<<16)
	fw, err := newParquetFile(out, cols, func(c fileColumn) bool { return noDictionary[c.def.fieldID] })
	if err != nil {
		return nil, err
	}
	p := &parquetWriter{}
	for start := 0; start < rows; start += rowGroupRows {
		end := min(start+rowGroupRows, rows)
		group, err := fw.AppendRowGroupChecked()
		if err != nil {
			return nil, err
		}
		for _, c := range cols {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b, err := m.gather(c.def, place, start, end)
			if err != nil {
				return nil, fmt.Errorf("read column %s: %w", c.def.name, err)
			}
			if err := p.writeColumn(group, b, fileColumn{0, c.def}, nil, 0, end-start); err != nil {
				return nil, fmt.Errorf("write column %s: %w", c.def.name, err)
			}
			b.arena.release()
		}
		if err := group.Close(); err != nil {
			return nil, err
		}
	}
	if err := fw.Close(); err != nil {
		return nil, err
	}
	if err := out.Flush(); err != nil {
		return nil, err
	}
	return fw.FileMetadata()
}

// columns is the union of the columns of the inputs, by field id, and which of them need no dictionary: those that the
// writer found to be mostly unique in most inputs.
func (m *merger) columns() ([]fileColumn, map[int]bool, error) {
	defs := make(map[int]columnDef)
	plain := make(map[int]int)
	for _, in := range m.inputs {
		meta := in.reader.MetaData()
		for id, i := range in.cols {
			d, err := definition(meta, i)
			if err != nil {
				return nil, nil, err
			}
			if known, ok := defs[d.fieldID]; ok && known != d {
				return nil, nil, fmt.Errorf("column %s differs between files", d.name)
			}
			defs[d.fieldID] = d
			chunk, err := meta.RowGroup(0).ColumnChunk(i)
			if err != nil {
				return nil, nil, err
			}
			if !chunk.HasDictionaryPage() {
				plain[int(id)]++
			} else {
				plain[int(id)]--
			}
		}
	}
	cols := make([]fileColumn, 0, len(defs))
	noDictionary := make(map[int]bool)
	for id, d := range defs {
		cols = append(cols, fileColumn{0, d})
		noDictionary[id] = plain[id] > 0
	}
	slices.SortFunc(cols, func(a, b fileColumn) int { return cmp.Compare(a.def.fieldID, b.def.fieldID) })
	return cols, noDictionary, nil
}

func definition(meta fileMeta, i int) (columnDef, error) {
	col := meta.Schema.Column(i)
	d := columnDef{name: col.Name(), fieldID: int(col.SchemaNode().FieldID())}
	switch col.PhysicalType() {
	case parquet.Types.ByteArray:
		d.kind = Text
	case parquet.Types.Boolean:
		d.kind = Bool
	case parquet.Types.Int64:
		d.kind = Long
		if col.LogicalType().String() == timestampType.String() {
			d.kind = Time
		}
	default:
		return d, fmt.Errorf("column %s is of type %s", d.name, col.PhysicalType())
	}
	return d, nil
}

// nowhere is the place of a row that is left out.
const nowhere = math.MaxUint32

// places returns where each input row goes, and how many go anywhere.
func (m *merger) places(cols []fileColumn) (place []uint32, rows int, err error) {
	const action, timestamp, tenant, seq = 0, 1, 2, 3
	slots := map[string]int{colAction: action, ColTimestamp: timestamp}
	if m.erase != nil {
		slots[ColTenantName], slots[ColSeq] = tenant, seq
	}
	keys, err := m.keys(cols, slots)
	if err != nil {
		return nil, 0, err
	}
	defer keys.arena.release()
	keys.column(max(action, timestamp, tenant, seq))
	order := keys.sortedOrder(action, timestamp)
	if m.erase != nil {
		gone := m.erase.rows(keys, tenant, seq)
		order = slices.DeleteFunc(order, func(row uint32) bool { return gone[row] })
	}
	place = make([]uint32, m.rows)
	for i := range place {
		place[i] = nowhere
	}
	for to, from := range order {
		place[from] = uint32(to)
	}
	return place, len(order), nil
}

// keys reads some columns of all input rows, by name into slots.
func (m *merger) keys(cols []fileColumn, slots map[string]int) (*rowBuffer, error) {
	keys := newRowBuffer(m.pool)
	keys.rows = m.rows
	stay := make([]uint32, m.rows)
	for i := range stay {
		stay[i] = uint32(i)
	}
	for _, c := range cols {
		if slot, ok := slots[c.def.name]; ok {
			if err := m.fill(keys, slot, c.def, stay, 0, m.rows); err != nil {
				return nil, err
			}
		}
	}
	return keys, nil
}

// gather reads the values of one column that belong to the output rows from start to end.
func (m *merger) gather(d columnDef, place []uint32, start, end int) (*rowBuffer, error) {
	b := newRowBuffer(m.pool)
	b.rows = end - start
	b.column(0)
	return b, m.fill(b, 0, d, place, start, end)
}

// fill reads a column of all inputs into a slot of b.
func (m *merger) fill(b *rowBuffer, slot int, d columnDef, place []uint32, start, end int) error {
	for _, in := range m.inputs {
		i, ok := in.cols[int32(d.fieldID)]
		if !ok {
			continue
		}
		if err := m.fillFrom(b, slot, d, in, i, place, start, end); err != nil {
			return &unreadable{in.path, fmt.Errorf("column %s: %w", d.name, err)}
		}
	}
	return nil
}

// fillFrom reads column i of one input.
func (m *merger) fillFrom(b *rowBuffer, slot int, d columnDef, in *input, i int, place []uint32, start, end int) error {
	row := in.first
	for g := range in.reader.NumRowGroups() {
		group := in.reader.RowGroup(g)
		var chunk file.ColumnChunkReader
		if err := guarded(func() (err error) { chunk, err = group.Column(i); return err }); err != nil {
			return err
		}
		if err := m.fillChunk(b, slot, d, chunk, place[row:row+int(group.NumRows())], start, end); err != nil {
			return err
		}
		row += int(group.NumRows())
	}
	return nil
}

// fillChunk reads one column chunk. place says where its rows go.
func (m *merger) fillChunk(b *rowBuffer, slot int, d columnDef, chunk file.ColumnChunkReader, place []uint32, start, end int) error {
	defer clear(m.pages.values)
	for len(place) > 0 {
		n, err := m.pages.batch(chunk, min(len(place), readRows))
		if err != nil {
			return err
		}
		c := b.column(slot)
		k := 0
		for i := range n {
			if m.pages.levels[i] == 0 {
				continue
			}
			if to := int(place[i]); to >= start && to < end {
				c.at = append(c.at, uint32(to-start))
				switch d.kind {
				case Text, JSON:
					b.appendText(c, m.pages.values[k])
				case Bool:
					c.nums = append(c.nums, boolNum(m.pages.bools[k]))
				case Time:
					c.nums = append(c.nums, m.pages.nums[k]/1000)
				default:
					c.nums = append(c.nums, m.pages.nums[k])
				}
			}
			k++
		}
		place = place[n:]
	}
	return nil
}

func boolNum(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
