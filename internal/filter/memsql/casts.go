package memsql

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// casts are the types to which conditions cast, all as TRY_CAST: what does not fit is NULL.
var casts = map[string]func(m *Machine, v Value) Value{
	"DOUBLE":      toDouble,
	"VARCHAR":     toText,
	"TIMESTAMPTZ": toTime,
}

func toDouble(_ *Machine, v Value) Value {
	switch v.Kind {
	case Int:
		return Value{Kind: Float, Float: float64(v.Num)}
	case Float:
		return v
	case Text, JSON:
		if f, ok := parseDouble(v.Bytes); ok {
			return Value{Kind: Float, Float: f}
		}
	default: // the others are no numbers
	}
	return null
}

// parseDouble reads the numbers that DuckDB reads: Go's, without the hexadecimal ones.
func parseDouble(text []byte) (float64, bool) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || len(text) > 400 {
		return 0, false
	}
	if last := text[len(text)-1]; !isDigit(last) && last != '.' && last|0x20 != 'f' && last|0x20 != 'n' && last|0x20 != 'y' {
		return 0, false
	}
	if bytes.ContainsAny(text, "xX_") || text[0] == '+' && len(text) > 1 && !isDigit(text[1]) && text[1] != '.' {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return f, err == nil
}

func toText(m *Machine, v Value) Value {
	switch v.Kind {
	case Text, JSON:
		return Value{Kind: Text, Bytes: v.Bytes}
	case Int:
		return Value{Kind: Text, Bytes: m.Append(func(dst []byte) []byte { return strconv.AppendInt(dst, v.Num, 10) })}
	case Float:
		return Value{Kind: Text, Bytes: m.Append(func(dst []byte) []byte { return appendFloat(dst, v.Float) })}
	case Bool:
		return Value{Kind: Text, Bytes: m.Append(func(dst []byte) []byte { return strconv.AppendBool(dst, v.Num != 0) })}
	default: // query casts nothing else to text
		return null
	}
}

func toTime(_ *Machine, v Value) Value {
	switch v.Kind {
	case Time:
		return v
	case Text, JSON:
		if t, ok := parseTime(string(bytes.TrimSpace(v.Bytes))); ok {
			return Value{Kind: Time, Num: t.UnixMicro()}
		}
	default: // the others are no times
	}
	return null
}

// timeLayouts are the spellings of ISO 8601, with a blank for the T.
var timeLayouts = []string{
	"2006-1-2 15:04:05.999999999Z07:00", "2006-1-2 15:04:05.999999999Z0700", "2006-1-2 15:04:05.999999999Z07",
	"2006-1-2 15:04:05.999999999", "2006-1-2 15:04", "2006-1-2",
}

// parseTime reads a time; without a zone it is UTC. Digits behind the microsecond are cut.
func parseTime(text string) (time.Time, bool) {
	if len(text) > len("2006-01-02") && (text[10] == 'T' || text[10] == 't') {
		text = text[:10] + " " + text[11:]
	}
	if rest, ok := strings.CutSuffix(text, "z"); ok {
		text = rest + "Z"
	}
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC().Truncate(time.Microsecond), true
		}
	}
	return time.Time{}, false
}
