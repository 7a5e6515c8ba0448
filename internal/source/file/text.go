package file

import (
	"bufio"
	"bytes"
	"io"

	"golang.org/x/text/encoding/unicode"
)

// decodeText removes a byte order mark and turns UTF-16 into UTF-8. UTF-16 without a mark is recognised by the zero
// byte beside the first character, which is ASCII in every format.
func decodeText(src *bufio.Reader) (*bufio.Reader, error) {
	head, err := src.Peek(3)
	if err != nil && len(head) == 0 {
		if err == io.EOF {
			err = nil
		}
		return src, err
	}
	endian := unicode.LittleEndian
	switch {
	case bytes.Equal(head, []byte{0xef, 0xbb, 0xbf}):
		_, err := src.Discard(3)
		return src, err
	case len(head) >= 2 && (head[0] == 0xff && head[1] == 0xfe || head[0] != 0 && head[1] == 0):
	case len(head) >= 2 && (head[0] == 0xfe && head[1] == 0xff || head[0] == 0 && head[1] != 0):
		endian = unicode.BigEndian
	default:
		return src, nil
	}
	decoder := unicode.UTF16(endian, unicode.UseBOM).NewDecoder()
	return bufio.NewReaderSize(decoder.Reader(src), 256<<10), nil
}
