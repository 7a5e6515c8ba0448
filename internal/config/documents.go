package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// MaxDocument is the largest document, in bytes, that is read.
const MaxDocument = 4 << 20

// Documents parses YAML or JSON, one document or several in a row, and returns the root of every one that is not empty.
// An error is a *SyntaxError; what stands before it is returned with it. The size is up to the caller, see MaxDocument.
func Documents(data []byte) (roots []*yaml.Node, err error) {
	if json.Valid(data) {
		data = bytes.ReplaceAll(data, []byte("\t"), []byte(" ")) // JSON may be indented with tabs, YAML may not
	}
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return roots, nil
		}
		if err != nil {
			return roots, syntaxError(data, err)
		}
		if len(doc.Content) == 1 && !isNull(doc.Content[0]) {
			roots = append(roots, doc.Content[0])
		}
	}
}

// SyntaxError is what is no YAML, and where. Its text does not quote the document.
type SyntaxError struct {
	Line, Column int // from 1
	Text         string

	alias bool // that does not exist is named
}

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Text) }

var (
	syntaxLine   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?s:(.*))$`)
	syntaxAnchor = regexp.MustCompile(`anchor '([^']*)`)
)

// syntaxError takes the place out of an error of the YAML parser, which names no column and leaves out the line when it
// is the first. The name of an unknown anchor is not repeated: it can be a secret that was not put in quotes.
func syntaxError(data []byte, err error) *SyntaxError {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		return &SyntaxError{Line: 1, Column: 1, Text: "the syntax is wrong"}
	}
	if anchor := syntaxAnchor.FindStringSubmatch(m[2]); anchor != nil {
		line, column := lineColumn(data, max(0, bytes.Index(data, []byte("*"+anchor[1]))))
		return &SyntaxError{Line: line, Column: column, Text: "it names an alias that does not exist " + quoteStar, alias: true}
	}
	line, convErr := strconv.Atoi(m[1])
	if convErr != nil {
		line = 1
	}
	return &SyntaxError{Line: line, Column: 1, Text: m[2]}
}

const quoteStar = "(write a text that begins with * or & in quotes)"
