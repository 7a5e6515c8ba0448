package filter

import (
	"regexp"
	"slices"
	"sync"
	"time"

	"sluice/internal/filter/memsql"
	"sluice/internal/normalize"
	"sluice/internal/query"
	"sluice/internal/rawjson"
)

// lq is the query of a filter. What a query means depends on which fields there are and of which kind they are, so it
// is compiled once for every shape of record: the sequence of names and kinds of the members. A connector meets some
// hundred shapes.
type lq struct {
	parsed *query.Query
	now    func() time.Time
	moves  bool // the query may depend on the time

	mu       sync.RWMutex
	programs map[string]*program // by View.signature
}

// program is the query for one shape.
type program struct {
	run     *memsql.Program // nil when the query cannot be decided for this shape
	notices []query.Notice
	err     error
	until   time.Time // when a query with "now" is compiled again; else zero
}

// maxPrograms bounds the memory of seen shapes.
const maxPrograms = 4096

// freshness is how long "now" stands still.
const freshness = time.Minute

// decision is what a filter finds about a record.
type decision uint8

const (
	unmatched decision = iota
	matched
	undecided // the query means nothing for this record
)

func (q *lq) match(v *View) decision {
	p := q.program(v)
	if p.run == nil {
		return undecided
	}
	if p.run.Match(&v.machine, (*lqRow)(v)) {
		return matched
	}
	return unmatched
}

// program finds or compiles the query for the shape of the record.
func (q *lq) program(v *View) *program {
	shape := v.signature()
	q.mu.RLock()
	p := q.programs[string(shape)]
	q.mu.RUnlock()
	if p != nil && (!q.moves || q.now().Before(p.until)) {
		return p
	}
	p = q.compile(v)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.programs == nil || len(q.programs) >= maxPrograms {
		q.programs = make(map[string]*program)
	}
	q.programs[string(shape)] = p
	return p
}

func (q *lq) compile(v *View) *program {
	columns, numbers := v.columns()
	p := &program{}
	now := q.now()
	if q.moves {
		p.until = now.Add(freshness)
	}
	compiled, err := q.parsed.Compile(query.NewCatalogue(columns), query.Options{Now: now})
	p.notices = compiled.Notices
	if err != nil {
		p.err = err
		return p
	}
	p.run, p.err = memsql.Compile(compiled.Where, func(name string) (int, bool) {
		n, ok := numbers[name]
		return n, ok
	})
	return p
}

// nowWord finds now and date math on it.
var nowWord = regexp.MustCompile(`(?:^|[^\pL\pN_])now(?:$|[^\pL\pN_])`)

// changes reports whether the condition for these columns depends on the time at which it is compiled.
func changes(q *query.Query, catalogue *query.Catalogue, now time.Time) bool {
	a, errA := q.Compile(catalogue, query.Options{Now: now})
	b, errB := q.Compile(catalogue, query.Options{Now: now.Add(time.Hour)})
	return errA == nil && errB == nil && a.Where != b.Where
}

// Numbers of columns in programs: first those below, then normalize.Columns, then the members of the record.
const (
	idColumn = iota
	indexColumn
	firstCore
)

func firstMember() int { return firstCore + len(normalize.Columns) }

// signature is the shape of the record as text: the vendor's key, and kind and name of every member.
func (v *View) signature() []byte {
	if len(v.shape) > 0 {
		return v.shape
	}
	v.object()
	v.shape = append(append(v.shape, v.vendorKey()...), 0)
	for i := range v.members {
		m := &v.members[i]
		v.shape = append(append(append(v.shape, byte(memberKind(m))), m.Key...), 0)
	}
	return v.shape
}

// memberKind is the kind that a member has for a query. A null is a text that is NULL.
func memberKind(m *rawjson.Member) query.Kind {
	switch m.Kind {
	case rawjson.String, rawjson.Null:
		return query.Text
	case rawjson.Bool:
		return query.Bool
	case rawjson.Number:
		if _, ok := wholeNumber(m.Value); ok {
			return query.Long
		}
	default: // lists and objects
	}
	return query.JSON // as in the lake
}

// wholeNumber reads a JSON integer that fits 64 bits.
func wholeNumber(text []byte) (n int64, ok bool) {
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	if len(text) == 0 || len(text) > 18 || text[0] == '0' && (len(text) > 1 || negative) {
		return 0, false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// columns is the catalogue of the record, and the number of each column by its name.
func (v *View) columns() ([]query.Column, map[string]int) {
	columns := slices.Clone(coreColumns())
	numbers := make(map[string]int, len(columns)+len(v.members))
	for i, c := range columns {
		numbers[c.Name] = i
	}
	vendor := v.vendorKey()
	for i := range v.members {
		m := &v.members[i]
		name, exact := rawjson.Unquote(m.Key)
		if !exact || name == "" {
			continue
		}
		c := vendorColumn(vendor+"."+name, memberKind(m))
		if _, taken := numbers[c.Name]; taken {
			continue // of members of the same name the first counts
		}
		numbers[c.Name] = firstMember() + i
		columns = append(columns, c)
	}
	return columns, numbers
}

func vendorColumn(name string, kind query.Kind) query.Column {
	return query.Column{Name: name, Kind: kind, SQLType: sqlTypes[kind], Vendor: true}
}

var sqlTypes = [...]string{
	query.Text: "VARCHAR", query.Long: "BIGINT", query.Double: "DOUBLE", query.Bool: "BOOLEAN",
	query.Time: "TIMESTAMP WITH TIME ZONE", query.JSON: "VARCHAR",
}

// coreColumns are the columns that every record has, by number.
func coreColumns() []query.Column {
	columns := make([]query.Column, firstMember())
	columns[idColumn] = query.Column{Name: "_id", SQLType: "VARCHAR"}
	columns[indexColumn] = query.Column{Name: "_index", SQLType: "VARCHAR"}
	kinds := [...]query.Kind{normalize.Text: query.Text, normalize.Long: query.Long, normalize.Time: query.Time, normalize.JSON: query.JSON}
	for i, c := range normalize.Columns {
		columns[firstCore+i] = query.Column{Name: c.Name, Kind: kinds[c.Kind], SQLType: sqlTypes[kinds[c.Kind]]}
	}
	return columns
}

// lqRow is a View as a program reads it.
type lqRow View

// Column implements memsql.Row.
func (r *lqRow) Column(number int) memsql.Value {
	v := (*View)(r)
	switch {
	case number == idColumn:
		return v.textColumn(v.env.ID)
	case number == indexColumn:
		return v.textColumn(string(v.env.Index))
	case number < firstMember():
		return v.coreColumn(normalize.ColumnID(number - firstCore))
	}
	m := &v.members[number-firstMember()]
	switch memberKind(m) {
	case query.Bool:
		if m.Value[0] == 't' {
			return memsql.Value{Kind: memsql.Bool, Num: 1}
		}
		return memsql.Value{Kind: memsql.Bool}
	case query.Long:
		n, _ := wholeNumber(m.Value)
		return memsql.Value{Kind: memsql.Int, Num: n}
	case query.JSON:
		return memsql.Value{Kind: memsql.JSON, Bytes: m.Value}
	default:
		if m.Kind == rawjson.Null {
			return memsql.Value{}
		}
		return memsql.Value{Kind: memsql.Text, Bytes: v.machine.Unquote(m.Value)}
	}
}

func (v *View) textColumn(text string) memsql.Value {
	if text == "" {
		return memsql.Value{}
	}
	return memsql.Value{Kind: memsql.Text, Bytes: v.machine.Text(text)}
}

func (v *View) coreColumn(id normalize.ColumnID) memsql.Value {
	row := v.row()
	if !row.Has(id) {
		return memsql.Value{}
	}
	switch normalize.Columns[id].Kind {
	case normalize.Long:
		n, _ := row.Long(id)
		return memsql.Value{Kind: memsql.Int, Num: n}
	case normalize.Time:
		n, _ := row.Long(id)
		return memsql.Value{Kind: memsql.Time, Num: n * 1000}
	case normalize.JSON:
		return memsql.Value{Kind: memsql.JSON, Bytes: v.machine.Text(row.Text(id))}
	default:
		return memsql.Value{Kind: memsql.Text, Bytes: v.machine.Text(row.Text(id))}
	}
}
