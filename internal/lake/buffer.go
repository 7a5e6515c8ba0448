package lake

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
	"unsafe"
)

// rowBuffer holds the rows of one table and one day, column by column, until they are written as one file. A row costs
// what its own values cost, however many columns the table has: a column is a list of values with their row numbers.
type rowBuffer struct {
	rows   int
	cols   []column // by slot
	arena  *arena
	values int // in all columns
	texts  int // in all dictionaries
}

// column is the values of one column, in the order of their rows.
type column struct {
	at    []uint32 // row numbers; empty while every row so far has a value
	codes []uint32 // Text, JSON: positions in dict
	dict  []span   // texts; most of them once, see seenTexts
	nums  []int64  // Long, Bool (0 or 1), Time (milliseconds)
	seen  *[seenTexts]seenText
}

// seenTexts is how many texts a column remembers in order to store each once. Most columns have fewer values than that
// among thousands of rows, which keeps the memory of a buffer far below the size of its records.
const seenTexts = 128

// seenText is a text that a column remembers. The hash tells most other texts without a look at the arena, which is rarely
// in the processor's cache.
type seenText struct{ hash, at uint32 } // at is 1 + position in dict

// seenHash tells texts apart by their length and their first and last bytes, which differ where names, numbers and times
// do.
func seenHash(s []byte) uint32 {
	h := uint64(len(s))
	if n := len(s); n >= 8 {
		h ^= binary.LittleEndian.Uint64(s[n-8:]) ^ binary.LittleEndian.Uint64(s)<<1
	} else {
		for _, c := range s {
			h = h<<8 | uint64(c)
		}
	}
	return uint32(h * 0x9e3779b97f4a7c15 >> 32)
}

func (c *column) len() int { return max(len(c.codes), len(c.nums)) }

// span is a text in an arena.
type span struct{ chunk, off, len uint32 }

// arena keeps texts in chunks that are used again and again. It holds no pointers per text, so the garbage collector
// has nothing to look at.
type arena struct {
	pool   *chunkPool
	chunks [][]byte
	size   int // bytes in chunks
}

const chunkSize = 1 << 18

// chunkPool keeps the chunks of written buffers for the next ones. It is for one goroutine.
type chunkPool struct{ free [][]byte }

func (p *chunkPool) get() []byte {
	if n := len(p.free); n > 0 {
		c := p.free[n-1]
		p.free = p.free[:n-1]
		return c
	}
	return make([]byte, 0, chunkSize)
}

func (a *arena) add(s []byte) span {
	n := len(a.chunks) - 1
	if n < 0 || len(a.chunks[n])+len(s) > cap(a.chunks[n]) {
		if len(s) > chunkSize {
			a.chunks = append(a.chunks, make([]byte, 0, len(s)))
		} else {
			a.chunks = append(a.chunks, a.newChunk(len(s)))
		}
		n++
		a.size += cap(a.chunks[n])
	}
	off := len(a.chunks[n])
	a.chunks[n] = append(a.chunks[n], s...)
	return span{chunk: uint32(n), off: uint32(off), len: uint32(len(s))}
}

// newChunk returns a chunk for at least n bytes: small ones first, because an import of many days has many buffers.
func (a *arena) newChunk(n int) []byte {
	size := 4096 << min(len(a.chunks), 6)
	if size >= chunkSize || n > size {
		return a.pool.get()
	}
	return make([]byte, 0, size)
}

func (a *arena) get(s span) []byte {
	if s.len == 0 {
		return nil
	}
	return a.chunks[s.chunk][s.off : s.off+s.len]
}

// release gives the chunks back. The arena is empty afterwards.
func (a *arena) release() {
	for _, c := range a.chunks {
		if cap(c) == chunkSize {
			a.pool.free = append(a.pool.free, c[:0])
		}
	}
	a.chunks, a.size = nil, 0
}

// reset empties the buffer and keeps its memory for the next rows.
func (b *rowBuffer) reset() {
	b.arena.release()
	b.rows, b.values, b.texts = 0, 0, 0
	for i := range b.cols {
		c := &b.cols[i]
		c.at, c.codes, c.dict, c.nums = c.at[:0], c.codes[:0], c.dict[:0], c.nums[:0]
		if c.seen != nil {
			*c.seen = [seenTexts]seenText{}
		}
	}
}

func newRowBuffer(pool *chunkPool) *rowBuffer { return &rowBuffer{arena: &arena{pool: pool}} }

// bytes estimates the memory of the buffer: texts, dictionaries, places, and what columns cost in themselves.
func (b *rowBuffer) bytes() int { return b.arena.size + 12*b.texts + 10*b.values + 1<<16 }

// column returns the column of a slot. The pointer is valid until the next call.
func (b *rowBuffer) column(slot int) *column {
	if slot >= len(b.cols) {
		b.cols = append(b.cols, make([]column, slot+1-len(b.cols))...)
	}
	return &b.cols[slot]
}

// addText sets a text of the row that is being added. Most texts that were there before are stored once.
func (b *rowBuffer) addText(slot int, s []byte) {
	c := b.column(slot)
	b.mark(c)
	b.appendText(c, s)
}

// appendText adds a text to a column, whatever its row is.
func (b *rowBuffer) appendText(c *column, s []byte) {
	if c.seen == nil {
		c.seen = new([seenTexts]seenText)
	}
	hash := seenHash(s)
	known := &c.seen[hash%seenTexts]
	if known.at == 0 || known.hash != hash || string(b.arena.get(c.dict[known.at-1])) != string(s) {
		c.dict = append(c.dict, b.arena.add(s))
		b.texts++
		*known = seenText{hash: hash, at: uint32(len(c.dict))}
	}
	c.codes = append(c.codes, known.at-1)
}

// text is the k-th text of a column.
func (b *rowBuffer) text(c *column, k int32) []byte { return b.arena.get(c.dict[c.codes[k]]) }

// addString is addText for a string, without a copy between.
func (b *rowBuffer) addString(slot int, s string) {
	b.addText(slot, unsafe.Slice(unsafe.StringData(s), len(s))) //nolint:gosec // addText only reads
}

// addNum sets a number of the row that is being added.
func (b *rowBuffer) addNum(slot int, n int64) {
	c := b.column(slot)
	b.mark(c)
	c.nums = append(c.nums, n)
}

// mark notes that the column has a value in the current row.
func (b *rowBuffer) mark(c *column) {
	b.values++
	n := c.len()
	if len(c.at) == 0 && n == b.rows {
		return // dense so far
	}
	if len(c.at) == 0 {
		for i := range n {
			c.at = append(c.at, uint32(i))
		}
	}
	c.at = append(c.at, uint32(b.rows))
}

// endRow ends the row that is being added.
func (b *rowBuffer) endRow() { b.rows++ }

// positions fills index with the number of the value that each row has in c, or -1.
func (b *rowBuffer) positions(c *column, index []int32) []int32 {
	index = slices.Grow(index[:0], b.rows)[:b.rows]
	n := c.len()
	if len(c.at) == 0 {
		for i := range index {
			index[i] = -1
			if i < n {
				index[i] = int32(i)
			}
		}
		return index
	}
	for i := range index {
		index[i] = -1
	}
	for k, row := range c.at {
		index[row] = int32(k)
	}
	return index
}

// sortedOrder returns the row numbers sorted by the text of one column and then by the number of another. Rows that
// look alike side by side make files 7 % smaller and let a query for one action skip most of them.
func (b *rowBuffer) sortedOrder(textSlot, numSlot int) []uint32 {
	b.column(max(textSlot, numSlot)) // both exist from here on
	texts, nums := b.column(textSlot), b.column(numSlot)
	rank := b.ranks(texts)
	numAt := b.positions(nums, nil)
	type key struct {
		rank int32
		row  uint32
		num  int64
	}
	keys := make([]key, b.rows)
	for i := range keys {
		keys[i] = key{rank: rank[i], row: uint32(i)}
		if k := numAt[i]; k >= 0 {
			keys[i].num = nums.nums[k]
		}
	}
	slices.SortFunc(keys, func(x, y key) int {
		return cmp.Or(cmp.Compare(x.rank, y.rank), cmp.Compare(x.num, y.num), cmp.Compare(x.row, y.row))
	})
	order := make([]uint32, b.rows)
	for i, k := range keys {
		order[i] = k.row
	}
	return order
}

// ranks numbers the rows by the place of their text among the texts of the column; rows without a text come first.
func (b *rowBuffer) ranks(c *column) []int32 {
	uniq, final := b.uniqueTexts(c)
	order := make([]int32, len(uniq))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(x, y int32) int { return bytes.Compare(b.arena.get(uniq[x]), b.arena.get(uniq[y])) })
	rankOf := make([]int32, len(uniq))
	for r, i := range order {
		rankOf[i] = int32(r) + 1
	}
	at := b.positions(c, nil)
	for row, k := range at {
		at[row] = 0
		if k >= 0 {
			at[row] = rankOf[final[c.codes[k]]]
		}
	}
	return at
}

// uniqueTexts returns the texts of a column, each once, and for each position in its dict the position among them.
func (b *rowBuffer) uniqueTexts(c *column) (uniq []span, final []int32) {
	ids := make(map[string]int32, len(c.dict))
	final = make([]int32, len(c.dict))
	for i, s := range c.dict {
		text := b.arena.get(s)
		id, ok := ids[string(text)]
		if !ok {
			id = int32(len(uniq))
			ids[string(text)] = id
			uniq = append(uniq, s)
		}
		final[i] = id
	}
	return uniq, final
}
