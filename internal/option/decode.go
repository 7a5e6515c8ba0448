package option

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxText is the longest text, in bytes, that an option takes.
const MaxText = 16 << 10

// ChoiceError tells that a value is not one of the choices. Its text lists them; the caller may add the nearest one.
type ChoiceError struct {
	Value   string
	Choices []string
}

// Error implements error.
func (e *ChoiceError) Error() string {
	return fmt.Sprintf("unknown value %s, known are %s", quote(e.Value), strings.Join(e.Choices, ", "))
}

// ItemError is a mistake in one item of a list.
type ItemError struct {
	Item int // counted from 0
	Err  error
}

// Error implements error.
func (e *ItemError) Error() string { return fmt.Sprintf("item %d: %v", e.Item+1, e.Err) }

// Unwrap returns the mistake.
func (e *ItemError) Unwrap() error { return e.Err }

// Decode checks a value that came out of a document (YAML, JSON) and returns it in the Go type that the option's Type
// stands for:
//
//	String, GUID (lower case), URL, File  string
//	Int                                   int64
//	Bool                                  bool
//	Duration                              time.Duration
//	Time                                  time.Time, UTC
//	StringList                            []string
//
// v is a string, bool, int64, float64 or []any, as a decoder makes them; the kinds are strict (a number is not a
// text). Choices are matched without letter case and returned in their declared spelling. A text that holds a
// reference (ParseReferences) is returned as it is, because only the referenced text can be checked. The error is a
// phrase for people and never quotes a secret. Decode returns nil, nil for what counts as not given: nil, an empty
// text, and an empty list of an option without choices.
func (o Option) Decode(v any) (any, error) {
	if v == nil || v == "" {
		return nil, nil
	}
	switch o.kind() {
	case Int:
		return o.decodeInt(v)
	case Bool:
		b, ok := v.(bool)
		if !ok {
			return nil, fmt.Errorf("must be true or false, found %s", o.found(v))
		}
		return b, nil
	case Duration:
		return o.decodeDuration(v)
	case Time:
		return o.decodeTime(v)
	case StringList:
		return o.decodeList(v)
	default:
		return o.decodeString(v)
	}
}

// Parse is Decode for a text that a person typed into a form or a flag: the text is first read as what Type needs.
// Items of a list are separated by commas or line ends.
func (o Option) Parse(text string) (any, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return o.Decode(nil)
	}
	switch o.kind() {
	case Int:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return o.Decode(n)
		}
	case Bool:
		if b, err := strconv.ParseBool(text); err == nil {
			return o.Decode(b)
		}
	case StringList:
		var items []any
		for item := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == '\n' || r == '\r' }) {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return o.Decode(items)
	default: // the others begin as a text
	}
	return o.Decode(text)
}

func (o Option) kind() Type {
	if o.Type == "" {
		return String
	}
	return o.Type
}

func (o Option) decodeString(v any) (any, error) {
	switch v := v.(type) {
	case string:
		return o.decodeText(v)
	case bool, int64, float64:
		return nil, fmt.Errorf("must be a text, found %s (write it in quotes)", o.found(v))
	}
	return nil, fmt.Errorf("must be a text, found %s", o.found(v))
}

func (o Option) decodeInt(v any) (any, error) {
	n, ok := v.(int64)
	if !ok {
		return nil, fmt.Errorf("must be a whole number, found %s", o.found(v))
	}
	if o.bounded() && (n < o.Min || n > o.Max) {
		return nil, fmt.Errorf("must be between %d and %d, found %d", o.Min, o.Max, n)
	}
	return n, nil
}

func (o Option) decodeDuration(v any) (any, error) {
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case int64:
		text = strconv.FormatInt(v, 10)
	}
	d, err := ParseDuration(text)
	if err != nil {
		return nil, fmt.Errorf("must be a duration such as 90s, 5m or 1h, or a number of minutes, found %s", o.found(v))
	}
	low, high := time.Duration(o.Min)*time.Second, time.Duration(o.Max)*time.Second
	if o.bounded() && (d < low || d > high) {
		return nil, fmt.Errorf("must be between %s and %s, found %s", FormatDuration(low), FormatDuration(high), FormatDuration(d))
	}
	if d < 0 {
		return nil, fmt.Errorf("must not be negative, found %s", FormatDuration(d))
	}
	return d, nil
}

func (o Option) bounded() bool { return o.Min != 0 || o.Max != 0 }

func (o Option) decodeTime(v any) (any, error) {
	if s, ok := v.(string); ok {
		if t, err := time.Parse(time.RFC3339, s); err == nil {
			return t.UTC(), nil
		}
	}
	return nil, fmt.Errorf("must be a time such as 2026-01-31T08:00:00Z, found %s", o.found(v))
}

func (o Option) decodeList(v any) (any, error) {
	items, ok := v.([]any)
	if !ok {
		return nil, fmt.Errorf("must be a list, found %s", o.found(v))
	}
	if len(items) == 0 {
		if len(o.Choices) > 0 { // a default of all or none? say it
			return nil, errors.New("must name at least one")
		}
		return nil, nil // not given
	}
	list := make([]string, 0, len(items))
	seen := make(map[string]bool, len(items))
	for i, item := range items {
		s, ok := item.(string)
		if !ok || s == "" {
			return nil, &ItemError{i, fmt.Errorf("must be a text, found %s", o.found(item))}
		}
		s, err := o.decodeText(s)
		if err != nil {
			return nil, &ItemError{i, err}
		}
		if seen[s] {
			return nil, &ItemError{i, fmt.Errorf("%s is listed twice", quote(s))}
		}
		seen[s] = true
		list = append(list, s)
	}
	return list, nil
}

func (o Option) decodeText(s string) (string, error) {
	if err := checkText(s); err != nil {
		return "", err
	}
	if o.Secret && s == Redacted {
		return "", fmt.Errorf("%s stands for a secret that was hidden on output: give the secret again, best as ${env:NAME}", Redacted)
	}
	parts, err := ParseReferences(s)
	if err != nil {
		return "", err
	}
	for _, p := range parts {
		if p.Kind == VaultRef && !o.Secret {
			return "", errors.New("a vault reference is only possible for a secret")
		}
		if p.Kind != Literal {
			return s, nil
		}
	}
	switch {
	case len(o.Choices) > 0:
		for _, c := range o.Choices {
			if strings.EqualFold(c, s) {
				return c, nil
			}
		}
		return "", &ChoiceError{Value: s, Choices: o.Choices}
	case o.Type == GUID:
		return decodeGUID(s)
	case o.Type == URL:
		return s, checkURL(s)
	}
	return s, nil
}

// checkText refuses what only a slip of copy and paste brings into a setting.
func checkText(s string) error {
	switch {
	case len(s) > MaxText:
		return fmt.Errorf("is too long: %d bytes, at most %d", len(s), MaxText)
	case !utf8.ValidString(s):
		return errors.New("is not valid UTF-8")
	case strings.TrimSpace(s) != s:
		return errors.New("begins or ends with white space")
	}
	for _, r := range s {
		if !unicode.IsGraphic(r) {
			return fmt.Errorf("holds the invisible character %U", r)
		}
	}
	return nil
}

var guidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// IsGUID reports whether s has the form of a GUID, in either letter case.
func IsGUID(s string) bool { return guidPattern.MatchString(strings.ToLower(s)) }

func decodeGUID(s string) (string, error) {
	g := strings.ToLower(s)
	if !guidPattern.MatchString(g) {
		return "", fmt.Errorf("must be a GUID such as 11111111-2222-3333-4444-555555555555, found %s", quote(s))
	}
	if strings.Trim(g, "0-") == "" {
		return "", errors.New("is the empty GUID, a placeholder")
	}
	return g, nil
}

// checkURL accepts an absolute https URL without credentials, query and fragment, or the same with http on loopback.
func checkURL(s string) error {
	if strings.Contains(s, "@") { // before anything that quotes s
		return errors.New("must not carry a user name or password")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return fmt.Errorf("must be a URL such as https://host.example, found %s", quote(s))
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#"):
		return errors.New("must not carry a query or fragment")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("must be https (http only on loopback), found %s", quote(s))
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("must begin with https://, found %s", quote(s))
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("has the impossible port %s", quote(port))
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// found describes a wrong value without quoting a secret.
func (o Option) found(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case []any:
		return "a list"
	case string:
		if o.Secret {
			return "a text"
		}
		if v == "" {
			return "an empty text"
		}
		return quote(v)
	case bool:
		return fmt.Sprintf("the truth value %t", v)
	case int64, float64:
		if o.Secret {
			return "a number"
		}
		return fmt.Sprintf("the number %v", v)
	}
	return "a group of keys"
}

// quote quotes a value for a message and cuts what is too long to read.
func quote(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "..."
	}
	return strconv.Quote(s)
}
