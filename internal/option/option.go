// Package option lets a driver declare its settings once, as data.
//
// From the one declaration come the checking of YAML (config), the help of the command line, the web form, redaction,
// the reference page and the JSON Schema. A driver package exports its options as a value:
//
//	var Options = []option.Option{
//	        {Name: "directory_id", Help: "Directory (tenant) ID. ...", Type: option.GUID, Required: true},
//	}
package option

// Type is the kind of value that an option takes.
type Type string

// The types of options.
const (
	String     Type = "string"
	Int        Type = "int"
	Bool       Type = "bool"
	Duration   Type = "duration" // a Go duration, or a bare number of minutes
	Time       Type = "time"     // RFC 3339
	GUID       Type = "guid"
	URL        Type = "url" // https, or http on loopback only
	File       Type = "file"
	StringList Type = "list"
)

// Option is one setting of a driver.
type Option struct {
	Name     string   // YAML key, lower case with underscores
	Help     string   // first sentence is the summary
	Type     Type     // String when empty
	Default  any      // of the Go type that Type decodes to; nil when there is none
	Required bool     // must be given
	Secret   bool     // redacted everywhere, given as ${env:}, ${file:} or a vault reference
	Fixed    bool     // cannot be changed after creation
	Advanced bool     // hidden from the short help
	Choices  []string // closed list of values; empty when open
	Min, Max int64    // bounds for Int and, in seconds, for Duration; both 0 means unbounded
	Example  string
}
