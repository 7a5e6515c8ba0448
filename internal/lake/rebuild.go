package lake

import (
	"encoding/base64"
	"strconv"

	"sluice/internal/fault"
	"sluice/internal/normalize"
	"sluice/internal/rawjson"
)

// Rebuild returns the record of one row byte for byte as it came. get returns the value of a column of the row and
// whether it is there and not null: string for Text and JSON columns ([]byte is accepted too), int64 for Long, bool
// for Bool. Only columns that RawColumns names are asked for. An error of kind fault.Internal means that the row is
// damaged.
func Rebuild(get func(column string) (any, bool)) ([]byte, error) {
	style, err := styleOf(get(ColStyle))
	if err != nil {
		return nil, err
	}
	if v, ok := get(ColRaw); ok {
		return rawOf(nil, v, style)
	}
	shape, _ := get(ColShape)
	text, _ := textOf(shape)
	steps, ok := parseShape(text)
	if !ok {
		return nil, damaged("the shape cannot be read")
	}
	overflow, _ := get(ColOverflow)
	return appendRebuilt(nil, steps, style, overflow, func(i int) (any, bool) { return get(steps[i].column) })
}

// RawColumns returns those of the given columns that Rebuild needs, in their order.
func RawColumns(columns []string) []string {
	var need []string
	for _, c := range columns {
		switch c {
		case ColRaw, ColShape, ColStyle, ColOverflow:
			need = append(need, c)
		default:
			if !isCore(normalize.Columns, c) {
				need = append(need, c)
			}
		}
	}
	return need
}

// Rebuilder is Rebuild for many rows with the same columns, as a function of a query engine gets them. It is for one
// goroutine.
type Rebuilder struct {
	places                      map[string]int // folded column name -> position in the row
	raw, shape, style, overflow int
	shapes                      map[string][]place
}

// place is a parsed shape whose columns were looked up.
type place struct {
	step
	at int // position in the row, -1 when the row does not have the column
}

// NewRebuilder returns a Rebuilder for rows of the given columns; see RawColumns.
func NewRebuilder(columns []string) *Rebuilder {
	r := &Rebuilder{places: make(map[string]int, len(columns)), shapes: make(map[string][]place)}
	for i, c := range columns {
		r.places[fold(c)] = i
	}
	r.raw, r.shape, r.style, r.overflow = r.at(ColRaw), r.at(ColShape), r.at(ColStyle), r.at(ColOverflow)
	return r
}

func (r *Rebuilder) at(column string) int {
	if i, ok := r.places[fold(column)]; ok {
		return i
	}
	return -1
}

// maxShapes bounds the memory of parsed shapes.
const maxShapes = 4096

// Append appends the record of a row to dst. row has a value per column given to NewRebuilder, nil for null.
func (r *Rebuilder) Append(dst []byte, row []any) ([]byte, error) {
	value := func(i int) (any, bool) {
		if i < 0 || i >= len(row) || row[i] == nil {
			return nil, false
		}
		return row[i], true
	}
	style, err := styleOf(value(r.style))
	if err != nil {
		return dst, err
	}
	if v, ok := value(r.raw); ok {
		return rawOf(dst, v, style)
	}
	shape, _ := value(r.shape)
	text, _ := textOf(shape)
	places, ok := r.shapes[text]
	if !ok {
		steps, valid := parseShape(text)
		if !valid {
			return dst, damaged("the shape cannot be read")
		}
		for _, st := range steps {
			places = append(places, place{st, r.at(st.column)})
		}
		if len(r.shapes) >= maxShapes {
			clear(r.shapes)
		}
		r.shapes[text] = places
	}
	overflow, _ := value(r.overflow)
	return appendPlaces(dst, places, style, overflow, value)
}

func appendRebuilt(dst []byte, steps []step, style int64, overflow any, value func(int) (any, bool)) ([]byte, error) {
	places := make([]place, len(steps))
	for i, st := range steps {
		places[i] = place{st, i}
	}
	return appendPlaces(dst, places, style, overflow, value)
}

func appendPlaces(dst []byte, places []place, style int64, overflow any, value func(int) (any, bool)) ([]byte, error) {
	over, _ := textOf(overflow)
	var members []rawjson.Member
	if over != "" {
		var err error
		if members, err = rawjson.Members(nil, []byte(over)); err != nil {
			return dst, damaged("the overflow cannot be read")
		}
	}
	dst = append(dst, '{')
	for i, p := range places {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), p.key...), '"', ':')
		switch p.code {
		case asNull:
			dst = append(dst, "null"...)
			continue
		case asOverflow:
			if len(members) == 0 {
				return dst, damaged("the overflow is too short")
			}
			dst = append(dst, members[0].Value...)
			members = members[1:]
			continue
		}
		v, ok := value(p.at)
		if !ok {
			return dst, damaged("a column is missing: " + p.column)
		}
		if dst, ok = appendValue(dst, p.code, v, style); !ok {
			return dst, damaged("a column has another type: " + p.column)
		}
	}
	return append(dst, '}'), nil
}

// appendValue appends a stored value in the way its code says.
func appendValue(dst []byte, code byte, v any, style int64) ([]byte, bool) {
	switch code {
	case asText:
		s, ok := textOf(v)
		return rawjson.AppendQuoted(dst, s, rawjson.Style(style)), ok
	case asJSON:
		s, ok := textOf(v)
		return append(dst, s...), ok
	case asLong:
		n, ok := v.(int64)
		return strconv.AppendInt(dst, n, 10), ok
	case asBool:
		b, ok := v.(bool)
		return strconv.AppendBool(dst, b), ok
	}
	return dst, false
}

func textOf(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case []byte:
		return string(s), true
	}
	return "", false
}

func styleOf(v any, ok bool) (int64, error) {
	if !ok {
		return 0, nil
	}
	n, isInt := v.(int64)
	if !isInt {
		return 0, damaged("the style has another type")
	}
	return n, nil
}

func rawOf(dst []byte, v any, style int64) ([]byte, error) {
	s, ok := textOf(v)
	if !ok {
		return dst, damaged("the raw column has another type")
	}
	if style != styleBase64 {
		return append(dst, s...), nil
	}
	dst, err := base64.StdEncoding.AppendDecode(dst, []byte(s))
	if err != nil {
		return dst, damaged("the raw column is not base64")
	}
	return dst, nil
}

func damaged(what string) error { return fault.New(fault.Internal, "rebuild record", what) }
