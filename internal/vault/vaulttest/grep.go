// Package vaulttest finds secrets where none may be.
//
// A test plants sentinels (texts that occur nowhere else) as secrets, uses the program, and then greps everything that
// it left behind: the data folder with the state database and its write-ahead log, the journal, the lake, logs, answers
// of the API. Grep fails the test with the file, the offset and the spelling of each find.
//
// Sentinels are searched in the spellings in which a careless program would have written them: plain, JSON, HTML, Go and URL
// escapes, base64 in both alphabets and at each of the three alignments, hexadecimal in both letter cases, and UTF-16.
// Gzip, zstd and S2 streams are decoded wherever their magic bytes stand, also inside of other files such as Parquet
// and database pages, and inside of one another.
//
// What it cannot see: text that is split over two places, such as a value on two overflow pages of SQLite or two parts of
// a log line, and compression without magic bytes (raw deflate, Snappy blocks). Keep sentinels short (20 to 40 bytes) and
// random, so that neither matters and no compressor breaks them up.
package vaulttest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

const (
	minSentinel = 8        // bytes; a shorter one is found by chance
	maxDecoded  = 64 << 20 // bytes that are read of one compressed stream
	maxDepth    = 4        // of streams inside of streams
)

// Hit is one find.
type Hit struct {
	Where    string // file, and the streams inside of it
	Offset   int
	Sentinel int    // index of the sentinel, which itself is not printed
	Spelling string // plain, base64, ...
}

// String describes the find without the sentinel.
func (h Hit) String() string {
	return fmt.Sprintf("%s: byte %d holds sentinel %d (%s)", h.Where, h.Offset, h.Sentinel, h.Spelling)
}

// Grep fails the test for each sentinel in a regular file below root, and in the names of files and folders. It also
// fails when there is no file, because then nothing was proved.
func Grep(t testing.TB, root string, sentinels ...string) {
	t.Helper()
	hits, files, err := Find(root, sentinels...)
	if err != nil {
		t.Fatalf("grep %s: %v", root, err)
	}
	if files == 0 {
		t.Fatalf("grep %s: there is no file to look into", root)
	}
	for _, h := range hits {
		t.Errorf("a secret is in %v", h)
	}
}

// GrepText does the same with a text, such as a log, the output of a command or the answer of an API.
func GrepText(t testing.TB, what, text string, sentinels ...string) {
	t.Helper()
	hits, err := FindBytes(what, []byte(text), sentinels...)
	if err != nil {
		t.Fatalf("grep %s: %v", what, err)
	}
	for _, h := range hits {
		t.Errorf("a secret is in %v", h)
	}
}

// Find looks into every regular file below root and tells how many there were. A file that goes away meanwhile is left
// out, as a running database deletes files.
func Find(root string, sentinels ...string) (hits []Hit, files int, err error) {
	patterns, err := spellings(sentinels)
	if err != nil {
		return nil, 0, err
	}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) && path != root {
			return nil
		}
		if err != nil {
			return err
		}
		if path != root {
			hits = append(hits, search("the name "+filepath.Dir(path)+"/...", []byte(d.Name()), patterns, maxDepth)...)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path) //nolint:gosec // a test looks into the folder that it made
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		files++
		hits = append(hits, search(path, data, patterns, 0)...)
		return nil
	})
	return hits, files, err
}

// FindBytes looks into data, which messages call what.
func FindBytes(what string, data []byte, sentinels ...string) ([]Hit, error) {
	patterns, err := spellings(sentinels)
	if err != nil {
		return nil, err
	}
	return search(what, data, patterns, 0), nil
}

// pattern is one spelling of a sentinel.
type pattern struct {
	sentinel int
	name     string
	text     []byte
}

// spellings lists the ways in which the sentinels are written, each text once.
func spellings(sentinels []string) ([]pattern, error) {
	if len(sentinels) == 0 {
		return nil, fmt.Errorf("no sentinel is given")
	}
	var list []pattern
	seen := map[string]bool{}
	for i, s := range sentinels {
		if len(s) < minSentinel {
			return nil, fmt.Errorf("sentinel %d has only %d bytes, want at least %d", i, len(s), minSentinel)
		}
		add := func(name, text string) {
			if !seen[text] {
				seen[text] = true
				list = append(list, pattern{i, name, []byte(text)})
			}
		}
		add("plain", s)
		add("JSON", jsonText(s, false))
		add("JSON with HTML escapes", jsonText(s, true))
		add("Go string", strings.Trim(strconv.Quote(s), `"`))
		add("HTML", html.EscapeString(s))
		for name, text := range map[string]string{"URL query": url.QueryEscape(s), "URL path": url.PathEscape(s)} {
			add(name, text)
			add(name+", lower case", lowerEscapes(text))
		}
		add("hexadecimal", hex.EncodeToString([]byte(s)))
		add("hexadecimal, upper case", strings.ToUpper(hex.EncodeToString([]byte(s))))
		add("UTF-16", utf16Text(s))
		for shift := range 3 {
			add("base64", inBase64(base64.RawStdEncoding, s, shift))
			add("base64url", inBase64(base64.RawURLEncoding, s, shift))
		}
	}
	return list, nil
}

func jsonText(s string, escape bool) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escape)
	_ = e.Encode(s) // a text always encodes, to a buffer
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(b.String()), `"`), `"`)
}

// lowerEscapes writes %2b for %2B.
func lowerEscapes(text string) string {
	b := []byte(text)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:i+3], bytes.ToLower(b[i+1:i+3]))
		}
	}
	return string(b)
}

// utf16Text is the text in little-endian UTF-16.
func utf16Text(s string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return string(b)
}

// inBase64 is that part of the base64 of a longer text that depends on s alone, when s begins shift bytes after a
// multiple of three.
func inBase64(e *base64.Encoding, s string, shift int) string {
	whole := e.EncodeToString([]byte(strings.Repeat("\x00", shift) + s))
	first := (shift*8 + 5) / 6       // digits that also hold bits of what stands before
	last := (shift + len(s)) * 8 / 6 // digits that are whole
	return whole[first:min(last, len(whole))]
}

// search looks for every pattern in data and in the streams inside of it.
func search(where string, data []byte, patterns []pattern, depth int) (hits []Hit) {
	for _, p := range patterns {
		if at := bytes.Index(data, p.text); at >= 0 {
			hits = append(hits, Hit{where, at, p.sentinel, p.name})
		}
	}
	if depth >= maxDepth {
		return hits
	}
	for _, c := range codecs() {
		for at := 0; ; at++ {
			next := bytes.Index(data[at:], c.magic)
			if next < 0 {
				break
			}
			at += next
			if plain := decoded(c, data[at:]); len(plain) > 0 {
				hits = append(hits, search(fmt.Sprintf("%s, %s stream at byte %d", where, c.name, at), plain, patterns, depth+1)...)
			}
		}
	}
	return hits
}

// codec is a kind of compressed stream.
type codec struct {
	name  string
	magic []byte
	open  func(io.Reader) (io.Reader, func(), error)
}

func codecs() []codec {
	return []codec{
		{"gzip", []byte{0x1f, 0x8b, 8}, func(r io.Reader) (io.Reader, func(), error) {
			z, err := gzip.NewReader(r)
			return z, func() {}, err
		}},
		{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, func(r io.Reader) (io.Reader, func(), error) {
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoded))
			if err != nil {
				return nil, nil, err
			}
			return z, z.Close, nil
		}},
		{"S2", []byte("\xff\x06\x00\x00S2sTwO"), func(r io.Reader) (io.Reader, func(), error) {
			return s2.NewReader(r), func() {}, nil
		}},
	}
}

// decoded is what can be read of a stream that begins with data, up to its end or the first fault: a stream inside of a
// file is followed by other bytes.
func decoded(c codec, data []byte) []byte {
	r, done, err := c.open(bytes.NewReader(data))
	if err != nil {
		return nil // by chance the magic bytes only
	}
	defer done()
	var plain bytes.Buffer
	_, _ = io.Copy(&plain, io.LimitReader(r, maxDecoded)) // what came before a fault counts
	return plain.Bytes()
}
