package rawjson

// Kind is the JSON type of a value, told from its first byte.
type Kind byte

// The kinds of values.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// Member is one member of an object. Both slices alias the input.
type Member struct {
	Key   []byte // text between the quotes, escapes not resolved
	Value []byte // text of the value, without white space around it
	Kind  Kind   // of Value
}
