package filter

import "sluice/internal/option"

// Names of the keys of a filter and of a condition.
const (
	KeyName        = "name"
	KeyDescription = "description"
	KeyMode        = "mode"
	KeyConditions  = "conditions"
	KeyQuery       = "query"
	KeyField       = "field"
	KeyOperator    = "operator"
	KeyValue       = "value"
	KeyValues      = "values"
)

// SpecOptions declares the keys of a filter, apart from its list of conditions, in canonical order: conditions stand
// before the query.
func SpecOptions() []option.Option {
	return []option.Option{
		{Name: KeyName, Required: true, Fixed: true, Example: "drop-noise", Help: "Name of the filter, unique. Connectors refer to it in log_filters, and what it drops is counted under it. Printable ASCII, at most 64 characters."},
		{Name: KeyDescription, Example: "Mailbox reads of the backup account", Help: "What the filter is for, in words."},
		{
			Name: KeyMode, Default: string(Exclude), Choices: Modes(),
			Help: "exclude drops the records that match; include drops the records that do not match. Of several include filters of a connector one has to match.",
		},
		{
			Name: KeyQuery, Example: "Workload:Exchange AND NOT UserType:2",
			Help: "LQ query that must match too. It means what it means in a search.",
		},
	}
}

// ConditionOptions declares the keys of a condition in canonical order. Value and values may hold numbers and truth
// values beside texts.
func ConditionOptions() []option.Option {
	return []option.Option{
		{
			Name: KeyField, Required: true, Example: "Operation",
			Help: "Field that is looked at: a core field (srcip, user.email), a field of Microsoft's record (Operation, office365.Operation) or a path into one (Parameters.ForwardTo).",
		},
		{Name: KeyOperator, Required: true, Choices: operatorNames(), Example: string(Equals), Help: "How the field is compared."},
		{Name: KeyValue, Example: "MailItemsAccessed", Help: "What the field is compared with, for operators of one value."},
		{Name: KeyValues, Type: option.StringList, Example: "MailItemsAccessed, Create", Help: "What the field is compared with, for operators of several values. A single one may stand under value."},
	}
}

// Takes says how many values an operator takes.
type Takes string

// How many values an operator takes.
const (
	NoValue    Takes = "none"
	OneValue   Takes = "one"
	ManyValues Takes = "one or more"
)

// OperatorInfo describes an operator for forms and reference pages.
type OperatorInfo struct {
	Name    Operator
	Takes   Takes
	Help    string
	Example string // of a value
}

// Operators describes every operator, in the order of spec/record-schema.md section 2.
func Operators() []OperatorInfo {
	return []OperatorInfo{
		{Equals, OneValue, "A value of the field is this one. Text ignores case; numbers and times are compared as such.", "MailItemsAccessed"},
		{NotEquals, OneValue, "No value of the field is this one. Holds also when the field is missing.", "Exchange"},
		{In, ManyValues, "A value of the field is one of these.", "MailItemsAccessed"},
		{NotIn, ManyValues, "No value of the field is one of these. Holds also when the field is missing.", "Exchange"},
		{Contains, OneValue, "A value contains this text. Ignores case.", "backup"},
		{StartsWith, OneValue, "A value begins with this text. Ignores case.", "svc-"},
		{EndsWith, OneValue, "A value ends with this text. Ignores case.", "@contoso.com"},
		{Matches, OneValue, "The regular expression (RE2) matches a whole value, with case. Write .* around it to find a part, (?i) before it to ignore case.", "File(Down|Up)loaded"},
		{Exists, NoValue, "The field is there and not null or empty.", ""},
		{NotExists, NoValue, "The field is missing, null or empty.", ""},
		{Greater, OneValue, "A value is greater than this number, or later than this time.", "1000000"},
		{Less, OneValue, "A value is less than this number, or earlier than this time.", "2026-01-31T08:00:00Z"},
		{CIDR, ManyValues, "A value is an IP address, with or without a port, in one of these networks.", "10.0.0.0/8"},
		{InLookup, OneValue, "A value is in the lookup of this name: the lines of a text file on the server. Ignores case.", "vip-users"},
	}
}

func operatorNames() []string {
	infos := Operators()
	names := make([]string, len(infos))
	for i, o := range infos {
		names[i] = string(o.Name)
	}
	return names
}

func operatorInfo(name Operator) (OperatorInfo, bool) {
	for _, o := range Operators() {
		if o.Name == name {
			return o, true
		}
	}
	return OperatorInfo{}, false
}
