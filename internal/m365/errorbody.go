package m365

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is kept of an error body (spec/http-behaviour.md section 2, spec/management-activity-api.md 8.2).
const (
	maxErrorBody    = 64 << 10
	maxErrorMessage = 200 // characters, first line only
)

// errorBody is what the many shapes of error bodies have in common.
type errorBody struct {
	Code    string
	Message string // whole text, not yet shortened
	IDs     string // correlation ids for Microsoft support: "request-id x, trace_id y"
	HTML    bool   // the body was a page of a gateway or proxy
}

var (
	htmlTitle  = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	htmlTag    = regexp.MustCompile(`(?s)<[^>]*>`)
	xmlMessage = regexp.MustCompile(`(?is)<(?:\w+:)?message[^>]*>(.*?)</`)
	linkQuery  = regexp.MustCompile(`(https?://[^\s"'<>?]*)\?[^\s"'<>]*`)
	bearerText = regexp.MustCompile(`(?i)bearer\s+[\w\-.~+/=]+|eyJ[\w\-]+\.[\w\-]*\.?[\w\-]*`)
)

// parseErrorBody decides by content, never by Content-Type, since bodies are mislabelled.
func parseErrorBody(body []byte) errorBody {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return errorBody{}
	}
	switch {
	case body[0] == '{':
		if e, ok := parseErrorJSON(body); ok {
			return e
		}
	case isHTML(body):
		return errorBody{HTML: true, Message: pageText(body)}
	case body[0] == '<':
		if m := xmlMessage.FindSubmatch(body); m != nil {
			return errorBody{Message: html.UnescapeString(string(m[1]))}
		}
	}
	return errorBody{Message: string(body)}
}

// isHTML reports whether a body is a web page rather than data.
func isHTML(body []byte) bool {
	head := bytes.ToLower(bytes.TrimSpace(body[:min(len(body), 512)]))
	if len(head) == 0 || head[0] != '<' {
		return false
	}
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.Contains(head, []byte("<html")) ||
		bytes.Contains(head, []byte("<head")) || bytes.Contains(head, []byte("<body"))
}

// pageText is the title of a page, or its text when it has none.
func pageText(body []byte) string {
	if m := htmlTitle.FindSubmatch(body); m != nil {
		return html.UnescapeString(string(bytes.TrimSpace(m[1])))
	}
	return html.UnescapeString(string(htmlTag.ReplaceAll(body, []byte(" "))))
}

// parseErrorJSON reads the JSON shapes in the order of spec/http-behaviour.md section 2.
func parseErrorJSON(body []byte) (errorBody, bool) {
	var outer map[string]json.RawMessage
	if json.Unmarshal(body, &outer) != nil {
		return errorBody{}, false
	}
	var e errorBody
	inner, isObject := object(outer["error"])
	odata, isOData := object(outer["odata.error"])
	switch {
	case isObject:
		e = envelope(inner)
	case text(outer["error"]) != "": // the token endpoint
		e = errorBody{Code: text(outer["error"]), Message: text(outer["error_description"]), IDs: ids(outer)}
	case isOData:
		e = envelope(odata)
	default:
		e.Code = text(outer["ErrorCode"])
		for _, key := range []string{"Message", "message", "detail", "error_description"} {
			if e.Message == "" {
				e.Message = text(outer[key])
			}
		}
		e.IDs = ids(outer)
	}
	if e.Message == "" && e.Code == "" {
		e.Message = string(body)
	}
	return e, true
}

// envelope reads {"code":…,"message":text or {"value":text},"innerError":{…}}.
func envelope(m map[string]json.RawMessage) errorBody {
	e := errorBody{Code: text(m["code"]), Message: text(m["message"])}
	if value, ok := object(m["message"]); ok {
		e.Message = text(value["value"])
	}
	for _, key := range []string{"innerError", "innererror"} {
		if inner, ok := object(m[key]); ok {
			e.IDs = ids(inner)
		}
	}
	return e
}

func ids(m map[string]json.RawMessage) string {
	var found []string
	for _, key := range []string{"request-id", "client-request-id", "trace_id", "correlation_id", "timestamp"} {
		if v := text(m[key]); v != "" {
			found = append(found, key+" "+oneLine(v, 64))
		}
	}
	return strings.Join(found, ", ")
}

func object(raw json.RawMessage) (map[string]json.RawMessage, bool) {
	if len(raw) == 0 || raw[0] != '{' {
		return nil, false
	}
	var m map[string]json.RawMessage
	return m, json.Unmarshal(raw, &m) == nil
}

func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// redact removes what must not reach a log from a text of the far side: links' queries, anything that looks like a
// token, and the given secrets in every usual spelling.
func redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) < 4 {
			continue
		}
		for _, form := range forms(secret) {
			s = strings.ReplaceAll(s, form, "[redacted]")
		}
	}
	s = bearerText.ReplaceAllString(s, "[redacted]")
	return linkQuery.ReplaceAllString(s, "$1?…")
}

// oneLine is the first line of s that has text, without control characters, at most n characters.
func oneLine(s string, n int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "�"))
	if i := strings.IndexAny(s, "\r\n"); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
