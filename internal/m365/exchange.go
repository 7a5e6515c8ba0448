package m365

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"sluice/internal/fault"
)

// maxShownBody is how many characters of an answer an operator is shown.
const maxShownBody = 2000

// Exchange is a request and the answer to it, fit to be shown: no header, no secret, no token, no opaque part of a link,
// and only the beginning of the body of a refusal. Every failure of a Client that had to do with the network carries one
// as its cause; errors.AsType[*Exchange] finds it. It prints as its own cause and as nothing when it has none.
type Exchange struct {
	Method string // empty when no request was made (a connection that was only opened)
	URL    string // of the query only harmless parameters keep their values
	Status int    // 0: no answer
	Body   string // of a refusal; answers with content are not shown
	Broke  string // the network's own words when there was no answer

	err error
}

// Error implements error.
func (e *Exchange) Error() string {
	if e.err == nil || e.Status == 0 { // the message of the failure says it in better words
		return ""
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *Exchange) Unwrap() error { return e.err }

// Shown prints the exchange on several lines: request, status, body.
func (e *Exchange) Shown() string {
	var lines []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			lines = append(lines, s)
		}
	}
	add(e.Method + " " + e.URL)
	if e.Status != 0 {
		add(fmt.Sprintf("HTTP %d %s", e.Status, http.StatusText(e.Status)))
	}
	add(e.Broke)
	add(e.Body)
	return strings.Join(lines, "\n")
}

// newExchange keeps what may be shown of a request and its answer.
func newExchange(method string, u *url.URL, status int, body []byte, cause error, secrets ...string) *Exchange {
	return &Exchange{Method: method, URL: shownQuery(u), Status: status, Body: shownBody(string(body), append(hiddenValues(u), secrets...)...), err: cause}
}

// hiddenValues are the parameters of a query that are not shown: a refusal may echo them.
func hiddenValues(u *url.URL) (values []string) {
	for name, all := range u.Query() {
		if !harmlessParameter(name) {
			values = append(values, all...)
		}
	}
	return values
}

// noAnswer is the exchange of a request that brought none.
func noAnswer(method string, u *url.URL, cause error) *Exchange {
	x := &Exchange{Method: method, URL: shownQuery(u)}
	if e, explained := errors.AsType[*fault.Error](cause); explained {
		x.Status = e.Status // of a proxy; the failure itself says the rest
		return x
	}
	x.Broke, x.err = oneLine(redact(networkWords(cause)), maxErrorMessage), cause
	return x
}

// networkWords is the text of an error without that of *url.Error, which prints the whole address.
func networkWords(err error) string {
	if err == nil {
		return ""
	}
	return unwrapURL(err).Error()
}

// shownQuery is an address as it may be shown: of its query only parameters that hold no secret keep their values.
func shownQuery(u *url.URL) string {
	if u == nil {
		return ""
	}
	var text strings.Builder
	text.WriteString(shown(u))
	separator := "?"
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, valued := strings.Cut(part, "=")
		switch {
		case part == "":
			continue
		case valued && !harmlessParameter(name):
			part = name + "=…"
		}
		text.WriteString(separator + part)
		separator = "&"
	}
	return text.String()
}

func harmlessParameter(name string) bool {
	switch strings.ToLower(name) {
	case "contenttype", "starttime", "endtime", "publisheridentifier":
		return true
	}
	return false
}

// stackTrace finds the .NET stack trace in a JSON text, which helps nobody who reads it here.
var stackTrace = regexp.MustCompile(`(?s)(\\r)?\\n\s+at .*`)

// shownBody is the beginning of a body without secrets and control characters.
func shownBody(body string, secrets ...string) string {
	body = redact(strings.ToValidUTF8(strings.TrimSpace(body), "�"), secrets...)
	body = stackTrace.ReplaceAllString(body, "… (a stack trace was left out)")
	body = strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ReplaceAll(body, "\r\n", "\n"))
	if utf8.RuneCountInString(body) > maxShownBody {
		return string([]rune(body)[:maxShownBody]) + "… (cut)"
	}
	return body
}

// forms are the spellings in which a far side may echo a secret.
func forms(secret string) []string {
	spellings := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret)}
	if quoted, err := json.Marshal(secret); err == nil {
		spellings = append(spellings, strings.Trim(string(quoted), `"`))
	}
	return spellings
}
